//! Topics of the cluster: what they are, making and deleting them.

use super::KafkaLog;
use super::native::{Described, describe_topics};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{TopicInfo, TopicSpec, check_existing, check_topic};
use rdkafka::admin::{AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode as Code;
use std::time::{Duration, Instant};

/// How long a topic's settings are believed. They hardly ever change, and a topic that is made anew has another id.
const SETTINGS_FOR: Duration = Duration::from_secs(60);
/// How often it is looked whether a change of topics has come to all brokers.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A topic that was there is gone once it is not found for so long: brokers hear of topics one after the other, and any of them answers.
const GONE_AFTER: Duration = Duration::from_secs(2);
/// How often it is looked for meanwhile.
const LOOK_FOR_EVERY: Duration = Duration::from_millis(100);

/// A topic, and the settings that matter here.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) info: TopicInfo,
    /// The largest record that it takes, bytes.
    pub(super) max_message_bytes: usize,
    /// Records that are older may go; `None`: none goes by age.
    pub(super) retention_ms: Option<i64>,
    /// Records may go by the size of their partition.
    pub(super) goes_by_size: bool,
    /// Records must have keys: the newest of each is kept for ever, or for a while.
    pub(super) needs_keys: bool,
    /// Records are acknowledged once so many copies have them.
    min_insync_replicas: Option<i64>,
    /// The copies that each partition is to have.
    replicas: usize,
    asked: Instant,
}

impl KafkaLog {
    /// Asks the cluster for these topics. One that is not there is left out.
    async fn describe(&self, names: Vec<String>) -> Result<Vec<Described>> {
        let shared = self.shared.clone();
        let timeout = shared.config.request_timeout;
        let asked = names.join(", ");
        let answer = self.blocking(move || describe_topics(shared.clients.admin.inner(), &names, timeout)).await?;
        answer.map_err(|code| {
            self.shared.clients.admin.inner().context().failure(&format!("cannot ask the cluster for {asked}"), code)
        })
    }

    /// The topic with its settings; asked for if they are not known or no longer believed.
    pub(super) async fn known_topic(&self, name: &str) -> Result<Topic> {
        let known = self.shared.topics().get(name).filter(|t| t.asked.elapsed() < SETTINGS_FOR).cloned();
        match known {
            Some(topic) => Ok(topic),
            None => self.find_topic(name).await?.ok_or_else(|| Error::unknown_topic(name)),
        }
    }

    /// The topic as it is now.
    pub(super) async fn find_topic(&self, name: &str) -> Result<Option<Topic>> {
        // Kafka refuses to look for what cannot be a name.
        if check_topic(name, TopicSpec::new()).is_err() {
            return Ok(None);
        }
        let mut gone_at = None;
        loop {
            let described = self.describe(vec![name.to_owned()]).await?;
            if let Some(topic) = self.with_settings(described).await?.pop() {
                return Ok(Some(topic));
            }
            let known = self.shared.topics().contains_key(name);
            let gone_at = *gone_at.get_or_insert_with(|| Instant::now() + GONE_AFTER);
            if !known || Instant::now() >= gone_at {
                self.shared.forget(name);
                return Ok(None);
            }
            tokio::time::sleep(LOOK_FOR_EVERY).await;
        }
    }

    pub(super) async fn all_topics(&self) -> Result<Vec<Topic>> {
        let shared = self.shared.clone();
        let timeout = shared.config.request_timeout;
        let metadata = self.blocking(move || shared.clients.admin.inner().fetch_metadata(None, timeout)).await?;
        let metadata =
            metadata.map_err(|e| self.shared.clients.admin.inner().context().wrap("cannot ask the cluster for its topics", e))?;
        let own = |name: &&str| !matches!(*name, "__consumer_offsets" | "__transaction_state" | "__share_group_state");
        let mut names: Vec<String> = metadata.topics().iter().map(|t| t.name()).filter(own).map(str::to_owned).collect();
        names.sort_unstable();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut described = self.describe(names).await?;
        described.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.with_settings(described).await
    }

    /// Adds the settings, for those whose are not known yet. A topic that is not there any more is left out.
    async fn with_settings(&self, described: Vec<Described>) -> Result<Vec<Topic>> {
        let known = |d: &Described| {
            let topic = self.shared.topics().get(&d.name).cloned();
            topic.filter(|t| t.info.id == d.id && t.asked.elapsed() < SETTINGS_FOR)
        };
        let mut out: Vec<Option<Topic>> = described.iter().map(known).collect();
        let missing: Vec<&Described> = described.iter().zip(&out).filter(|(_, known)| known.is_none()).map(|(d, _)| d).collect();
        if !missing.is_empty() {
            let asked: Vec<ResourceSpecifier<'_>> = missing.iter().map(|d| ResourceSpecifier::Topic(&d.name)).collect();
            let options = AdminOptions::new().request_timeout(Some(self.shared.config.request_timeout));
            let context = self.shared.clients.admin.inner().context();
            let doing = "cannot ask the cluster for the settings of topics";
            let answers =
                self.shared.clients.admin.describe_configs(&asked, &options).await.map_err(|e| context.wrap(doing, e))?;
            let mut found = Vec::with_capacity(answers.len());
            for (d, answer) in missing.iter().zip(answers) {
                found.push(match answer {
                    Ok(settings) => Some(Topic::new(d, &settings)),
                    Err(Code::UnknownTopicOrPartition) => None,
                    Err(code) => return Err(context.failure(doing, code).at_topic(&d.name)),
                });
            }
            let mut found = found.into_iter();
            for slot in out.iter_mut().filter(|slot| slot.is_none()) {
                *slot = found.next().flatten();
            }
        }
        let mut topics = Vec::with_capacity(out.len());
        for (d, topic) in described.iter().zip(out) {
            let Some(mut topic) = topic else { continue };
            topic.info.partitions = d.partitions;
            self.shared.remember(topic.clone());
            topics.push(topic);
        }
        Ok(topics)
    }

    /// Refuses a topic that is there and is not what was asked for.
    fn check_there(&self, there: &Topic, spec: TopicSpec) -> Result<()> {
        let name = &there.info.name;
        if spec.compacted && there.needs_keys && !there.info.compacted {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "topic {name} has cleanup.policy=compact,delete, so that what it must keep for ever goes by age: kafka-configs.sh --bootstrap-server {} --entity-type topics --entity-name {name} --alter --add-config cleanup.policy=compact",
                    self.shared.config.bootstrap_servers()
                ),
            )
            .at_topic(name));
        }
        check_existing(&there.info, spec)
    }

    pub(super) async fn make_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo> {
        check_topic(name, spec)?;
        if let Some(there) = self.find_topic(name).await? {
            self.check_there(&there, spec)?;
            return Ok(there.info);
        }
        let config = &self.shared.config;
        let replication = config.replication_factor.unwrap_or(-1);
        let limit = config.max_message_bytes.to_string();
        let mut topic =
            NewTopic::new(name, spec.partitions, TopicReplication::Fixed(replication)).set("max.message.bytes", &limit);
        // Kafka's own default is 1: then an acknowledged record may be on one disk, however many copies there are to be.
        if replication >= 3 {
            topic = topic.set("min.insync.replicas", "2");
        }
        for (setting, value) in &config.topic_settings {
            topic = topic.set(setting, value);
        }
        if spec.compacted {
            topic = topic.set("cleanup.policy", "compact");
        }
        let options =
            AdminOptions::new().request_timeout(Some(config.request_timeout)).operation_timeout(Some(config.request_timeout));
        let context = self.shared.clients.admin.inner().context();
        let doing = format!("cannot create the topic {name}");
        let made = self
            .shared
            .clients
            .admin
            .create_topics([&topic], &options)
            .await
            .map_err(|e| context.wrap(&doing, e).at_topic(name))?;
        for result in made {
            match result {
                // Somebody was faster; what is there is looked at below.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(context.failure(&doing, code).at_topic(name)),
            }
        }
        let (made_at, deadline) = (Instant::now(), Instant::now() + config.request_timeout);
        loop {
            let led = self.describe(vec![name.to_owned()]).await?.pop().is_some_and(|d| d.led);
            if led && let Some(there) = self.find_topic(name).await? {
                match self.check_there(&there, spec) {
                    Ok(()) => {
                        warn_of_one_copy(&there);
                        return Ok(there.info);
                    }
                    // Brokers hear of the settings of a topic one after the other too, and any of them answers.
                    Err(_) if made_at.elapsed() < GONE_AFTER => drop(self.shared.topics().remove(name)),
                    Err(e) => return Err(e),
                }
            }
            if Instant::now() >= deadline {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!("the topic {name} was created, but its partitions have no leader yet: check the cluster"),
                )
                .at_topic(name));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(super) async fn remove_topic(&self, name: &str) -> Result<()> {
        let there = self.find_topic(name).await?.ok_or_else(|| Error::unknown_topic(name))?;
        let timeout = self.shared.config.request_timeout;
        let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let context = self.shared.clients.admin.inner().context();
        let doing = format!("cannot delete the topic {name}");
        let deleted = self
            .shared
            .clients
            .admin
            .delete_topics(&[name], &options)
            .await
            .map_err(|e| context.wrap(&doing, e).at_topic(name))?;
        for result in deleted {
            result.map_err(|(_, code)| match code {
                Code::UnknownTopicOrPartition => Error::unknown_topic(name),
                code => context.failure(&doing, code).at_topic(name),
            })?;
        }
        self.shared.forget(name);
        let deadline = Instant::now() + timeout;
        while self.describe(vec![name.to_owned()]).await?.pop().is_some_and(|d| d.id == there.info.id) {
            if Instant::now() >= deadline {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "the topic {name} is being deleted, but still there after {} s: check the cluster",
                        timeout.as_secs()
                    ),
                )
                .at_topic(name));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

fn warn_of_one_copy(topic: &Topic) {
    if topic.replicas > 1 && topic.min_insync_replicas == Some(1) {
        tracing::warn!(
            topic = topic.info.name,
            replicas = topic.replicas,
            "min.insync.replicas is 1: a record that was acknowledged is lost with one disk while the other copies are behind; set it to 2"
        );
    }
}

impl Topic {
    fn new(described: &Described, settings: &ConfigResource) -> Self {
        let text = |name| settings.get(name).and_then(|entry| entry.value.as_deref());
        let number = |name| text(name).and_then(|value| value.parse::<i64>().ok());
        let policy = text("cleanup.policy").unwrap_or("delete");
        let (compacts, deletes) = (policy.contains("compact"), policy.contains("delete"));
        Self {
            info: TopicInfo {
                name: described.name.clone(),
                id: described.id.clone(),
                partitions: described.partitions,
                // One that deletes as well forgets the newest record of a key when it is old.
                compacted: compacts && !deletes,
            },
            max_message_bytes: number("max.message.bytes").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX),
            retention_ms: number("retention.ms").filter(|ms| deletes && *ms >= 0),
            goes_by_size: deletes && number("retention.bytes").is_some_and(|bytes| bytes >= 0),
            needs_keys: compacts,
            min_insync_replicas: number("min.insync.replicas"),
            replicas: described.replicas,
            asked: Instant::now(),
        }
    }
}
