use super::KafkaLogConfig;
use super::client::{Context, Reader};
use crate::error::{Error, ErrorKind, Result};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A consumer group of a Kafka cluster, looked at by somebody who is no member of it: who takes over from its consumers asks whether they
/// are gone, and how far they came.
#[derive(Clone)]
pub struct ConsumerGroup {
    name: String,
    reader: Arc<Reader>,
    timeout: Duration,
}

/// Whether a group has members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupState {
    /// The cluster knows no such group: it never was, or its offsets have expired.
    Absent,
    /// It has no members. Its offsets stay for a while (`offsets.retention.minutes` of the brokers, 7 days).
    Empty,
    /// It has members, is just getting or losing some, or is in a state that cannot be told from here: as the broker names it (`Stable`,
    /// `PreparingRebalance`, `Dead`).
    ///
    /// A group of the newer protocol (`group.protocol=consumer`, KIP-848) is always told as `Dead`.
    Active {
        /// The broker's word.
        state: String,
        /// Its members, by client id and host.
        members: Vec<String>,
    },
}

impl ConsumerGroup {
    /// A client for this group, with the settings of the log's clients. Nothing is asked of the cluster yet, and the group is not joined.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a property of the client is not one.
    pub fn open(config: &KafkaLogConfig, name: &str) -> Result<Self> {
        config.check()?;
        let mut client = config.reader();
        client.set("group.id", name);
        let reader = Reader::from_config_and_context(&client, Context::default()).map_err(|e| {
            Error::new(ErrorKind::Invalid, format!("the Kafka client cannot be made: {e}: correct its settings")).with_source(e)
        })?;
        Ok(Self { name: name.to_owned(), reader: Arc::new(reader), timeout: config.request_timeout })
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the group has members now. A member that was killed counts until its session ends (`session.timeout.ms`).
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the brokers do not answer in time, [`ErrorKind::Denied`] if they do not let this client ask.
    pub async fn state(&self) -> Result<GroupState> {
        let this = self.clone();
        let answer = self.blocking(move || this.reader.fetch_group_list(Some(&this.name), this.timeout)).await?;
        let doing = format!("cannot ask for the members of the consumer group {}", self.name);
        let list = answer.map_err(|e| self.reader.context().wrap(&doing, e))?;
        let Some(group) = list.groups().iter().find(|g| g.name() == self.name) else { return Ok(GroupState::Absent) };
        if group.state() == "Empty" && group.members().is_empty() {
            return Ok(GroupState::Empty);
        }
        let members = group.members().iter().map(|m| format!("{} on {}", m.client_id(), m.client_host())).collect();
        Ok(GroupState::Active { state: group.state().to_owned(), members })
    }

    /// The next offsets to read that were committed for partitions `0..partitions` of a topic, those without one left out. What a
    /// transaction that is not decided yet has committed is waited for.
    ///
    /// # Errors
    /// As of [`state`](Self::state); [`ErrorKind::Unavailable`] also if such a transaction stays undecided.
    pub async fn committed(&self, topic: &str, partitions: i32) -> Result<BTreeMap<i32, i64>> {
        let (this, name) = (self.clone(), topic.to_owned());
        let answer = self
            .blocking(move || {
                let mut asked = TopicPartitionList::new();
                for partition in 0..partitions {
                    asked.add_partition(&name, partition);
                }
                this.reader.committed_offsets(asked, this.timeout)
            })
            .await?;
        let doing = format!("cannot ask for the offsets of {topic} that the consumer group {} has committed", self.name);
        let wrap = |e| self.reader.context().wrap(&doing, e);
        let mut committed = BTreeMap::new();
        for element in answer.map_err(wrap)?.elements() {
            element.error().map_err(wrap)?;
            if let Offset::Offset(next) = element.offset() {
                committed.insert(element.partition(), next);
            }
        }
        Ok(committed)
    }

    async fn blocking<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        tokio::task::spawn_blocking(call).await.map_err(super::ended)
    }
}

impl std::fmt::Debug for ConsumerGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerGroup").field("name", &self.name).finish_non_exhaustive()
    }
}
