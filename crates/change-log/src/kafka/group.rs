use super::KafkaLogConfig;
use super::client::{Context, Reader, not_made};
use crate::error::Result;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A consumer group of a Kafka cluster, looked at by somebody who is no member of it: who takes over from its consumers asks whether they
/// are gone, and how far they came.
///
/// Each question has a client of its own, which is gone with the answer.
#[derive(Debug, Clone)]
pub struct ConsumerGroup {
    name: String,
    config: KafkaLogConfig,
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
    /// This group of a cluster, asked for with the settings of the log's clients. Nothing is asked yet, and the group is never joined.
    pub fn new(config: &KafkaLogConfig, name: &str) -> Self {
        Self { name: name.to_owned(), config: config.clone() }
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the group has members now. A member that was killed counts until its session ends (`session.timeout.ms`).
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the brokers do not answer in time, [`ErrorKind::Denied`](crate::ErrorKind::Denied) if they do not let this client ask,
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a property of the client is not one.
    pub async fn state(&self) -> Result<GroupState> {
        let doing = format!("cannot ask for the members of the consumer group {}", self.name);
        let name = self.name.clone();
        let question = move |reader: &Reader, timeout: Duration| {
            let list = reader.fetch_group_list(Some(&name), timeout)?;
            let found = list.groups().iter().find(|group| group.name() == name);
            Ok(match found {
                None => GroupState::Absent,
                Some(group) if group.state() == "Empty" && group.members().is_empty() => GroupState::Empty,
                Some(group) => GroupState::Active {
                    state: group.state().to_owned(),
                    members: group.members().iter().map(|m| format!("{} on {}", m.client_id(), m.client_host())).collect(),
                },
            })
        };
        self.ask(doing, question).await
    }

    /// The next offsets to read that were committed for partitions `0..partitions` of a topic, those without one left out. What a
    /// transaction that is not decided yet has committed is waited for.
    ///
    /// # Errors
    /// As of [`state`](Self::state); [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) also if such a transaction stays undecided.
    pub async fn committed(&self, topic: &str, partitions: i32) -> Result<BTreeMap<i32, i64>> {
        let doing = format!("cannot ask for the offsets of {topic} that the consumer group {} has committed", self.name);
        let topic = topic.to_owned();
        let answer = self.ask(doing, move |reader, timeout| {
            let mut asked = TopicPartitionList::new();
            for partition in 0..partitions {
                asked.add_partition(&topic, partition);
            }
            let committed = reader.committed_offsets(asked, timeout)?;
            committed.elements().iter().try_for_each(|element| element.error())?;
            Ok(committed)
        });
        let mut committed = BTreeMap::new();
        for element in answer.await?.elements() {
            if let Offset::Offset(next) = element.offset() {
                committed.insert(element.partition(), next);
            }
        }
        Ok(committed)
    }

    /// Asks where it may block.
    async fn ask<T: Send + 'static>(
        &self,
        doing: String,
        question: impl FnOnce(&Reader, Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T> {
        self.config.check()?;
        let (config, group) = (self.config.clone(), self.name.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let (tokens, timeout) = (config.tokens()?, config.request_timeout);
            let mut client = config.reader();
            client.set("group.id", group);
            let reader = Reader::from_config_and_context(&client, Context::new(tokens.as_ref())).map_err(not_made)?;
            let reader = Arc::new(reader);
            tokens.as_ref().map_or(Ok(()), |tokens| tokens.log_in(&reader, timeout))?;
            question(&reader, timeout).map_err(|e| reader.context().wrap(&doing, e))
        });
        asked.await.map_err(super::ended)?
    }
}
