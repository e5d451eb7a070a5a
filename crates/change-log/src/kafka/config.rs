use super::token_endpoint::{self, TokenEndpoint};
use super::tokens::Tokens;
use crate::error::{Error, ErrorKind, Result};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How a [`KafkaLog`](super::KafkaLog) reaches its cluster, and how the topics are that it creates.
///
/// Settings of the client are those of librdkafka; [`set`](Self::set) takes them by name. `Debug` shows their names and hides their values,
/// except for the servers.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaLogConfig {
    bootstrap_servers: String,
    client: BTreeMap<String, String>,
    /// The consumer group that [releases](crate::ChangeLog::release) are committed to, for tools that show lag. Nothing is read from
    /// it. `None`: releases go nowhere.
    pub group_id: Option<String>,
    /// Copies of each partition of a topic that is created; `None` is the cluster's own default.
    pub replication_factor: Option<i32>,
    /// Settings of a topic that is created, by Kafka's names (`retention.ms`, ...).
    pub topic_settings: BTreeMap<String, String>,
    /// The largest record that a topic is created for, bytes; `max.message.bytes` in `topic_settings` wins. Topics that are there have
    /// limits of their own, which an append is held to.
    pub max_message_bytes: usize,
    /// After which time the cluster aborts a transaction whose writer has gone silent. Until then readers wait for it.
    pub transaction_timeout: Duration,
    /// How long a question to the cluster may take, connecting included.
    pub request_timeout: Duration,
    /// Bytes that are fetched before they are read, by the whole log, however many partitions it reads, but no less than 256 KiB; one of them
    /// has a 16th at most, or that much, and what a read has taken. Where there is more, those that were not read for longest let go of
    /// theirs, and fetch it again when they are. What arrives at once may exceed it, by one record, or by as much as it was compressed.
    pub read_ahead_bytes: usize,
    /// A partition that nobody has read or waited for so long is fetched no more until somebody does.
    pub idle_partition_timeout: Duration,
    /// Records are read with their headers, which costs time for each. Without, they have none.
    pub read_headers: bool,
}

/// Where what is read ahead waits, and how it comes.
pub(super) struct ReadAhead {
    /// Bytes of all partitions.
    pub(super) limit: usize,
    /// Partitions that may begin to be fetched at once.
    pub(super) beginners: usize,
    /// Bytes of a partition that were taken from its queue.
    pub(super) room: usize,
    /// Bytes of a partition in its queue, after which no more is fetched.
    pub(super) queue: usize,
    /// Bytes of a partition that come at once, and of all partitions of a broker: compressed, while all others are not. Records with
    /// embedded schemas are compressed forty to one.
    pub(super) fetched: usize,
    pub(super) response: usize,
}

/// The default of [`KafkaLogConfig::max_message_bytes`]: 64 MiB, MySQL's default of the largest row.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

impl KafkaLogConfig {
    /// The cluster behind these servers (`host:port`, comma-separated), reached without encryption unless it is [set](Self::set).
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            client: BTreeMap::new(),
            group_id: None,
            replication_factor: None,
            topic_settings: BTreeMap::new(),
            max_message_bytes: MAX_MESSAGE_BYTES,
            transaction_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            read_ahead_bytes: 64 << 20,
            idle_partition_timeout: Duration::from_secs(60),
            read_headers: true,
        }
    }

    /// Sets a property of the client, by librdkafka's name. Those that the log's promises rest on are its own and win.
    ///
    /// With `sasl.mechanism=OAUTHBEARER` and `sasl.oauthbearer.token.endpoint.url` the log has a token of that endpoint for all its clients, by
    /// `sasl.oauthbearer.client.id` and `.client.secret` (and `.scope`, `.extensions`), and renews it in time. `https.ca.location` or
    /// `https.ca.pem` has the authorities of the endpoint's certificate; left out, they are the system's.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.client.insert(name.into(), value.into());
        self
    }

    /// The servers, as they were given.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The properties of the client that were [set](Self::set), by librdkafka's names. Secrets are among them.
    pub fn client_settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.client.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "lakehouse-mirror");
        for (name, value) in self.client.iter().filter(|(name, _)| !token_endpoint::SETTINGS.contains(&name.as_str())) {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.bootstrap_servers);
        // Room for one record of the largest kind, whatever its topic's limit is by the time it is written.
        config.set("message.max.bytes", self.largest_message().to_string());
        config.set("receive.message.max.bytes", (self.largest_message() + (64 << 20)).to_string());
        config
    }

    /// Where the clients have their tokens from, if they log in with such.
    fn token_endpoint(&self) -> Result<Option<TokenEndpoint>> {
        TokenEndpoint::from_settings(&self.client)
    }

    /// What the clients log in with, where that is a token of an endpoint; asked for from now on.
    pub(super) fn tokens(&self) -> Result<Option<Tokens>> {
        self.token_endpoint()?.map(|endpoint| Tokens::start(endpoint, self.request_timeout)).transpose()
    }

    /// librdkafka's upper limit is 10^9.
    fn largest_message(&self) -> usize {
        self.max_message_bytes.clamp(1 << 20, 900 << 20) + 4096
    }

    /// Of the client that asks for topics and high watermarks.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.base();
        // So that the end of a partition is its high watermark, undecided transactions included.
        config.set("isolation.level", "read_uncommitted");
        config
    }

    /// What is read ahead, where.
    pub(super) fn read_ahead(&self) -> ReadAhead {
        let share = (self.read_ahead_bytes / 32).clamp(128 << 10, 2 << 20);
        ReadAhead {
            // Two can be read in turns, however little is given.
            limit: self.read_ahead_bytes.max(2 * share),
            beginners: (self.read_ahead_bytes / share).max(2),
            room: share / 2,
            queue: (self.read_ahead_bytes / 16).clamp(256 << 10, 1 << 30),
            fetched: share / 16,
            // The client takes no less.
            response: (self.read_ahead_bytes / 64).clamp(1 << 20, 64 << 20),
        }
    }

    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.base();
        let ahead = self.read_ahead();
        // A group is needed by name even where nothing is committed to it.
        config
            .set("group.id", self.group_id.as_deref().unwrap_or("lakehouse-mirror-reader"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("check.crcs", "true")
            // A broker has one fetch at a time. One that finds nothing keeps waiting the partitions that it does not ask for, because they were
            // added or sought meanwhile, or because their queues were full when it began: a busy one must have enough in its queue until then.
            .set("fetch.wait.max.ms", "20")
            .set("fetch.error.backoff.ms", "100")
            // A queue is read in milliseconds: one that is full must not rest for the second that is the client's default.
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", (ahead.queue >> 10).to_string())
            .set("max.partition.fetch.bytes", ahead.fetched.to_string())
            // A larger record comes all the same: the brokers send at least one. The client's own limit of messages would raise this one.
            .set("fetch.max.bytes", ahead.response.to_string())
            .set("message.max.bytes", "1000000");
        config
    }

    /// Bytes of records that a producer sends at once, at most.
    pub(super) fn batch_bytes(&self) -> usize {
        self.max_message_bytes.clamp(1, 1_000_000)
    }

    pub(super) fn producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.base();
        let timeout = self.transaction_timeout.as_millis().clamp(1_000, 900_000).to_string();
        if !self.client.contains_key("compression.type") {
            config.set("compression.type", "lz4");
        }
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", &timeout)
            .set("message.timeout.ms", &timeout)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // The last records of a transaction wait for so long; meanwhile the ones before them fill batches.
            .set("linger.ms", "1")
            // A topic's limit is one of what is sent at once.
            .set("batch.size", self.batch_bytes().to_string())
            .set("batch.num.messages", "1000000")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", (2 * self.largest_message() / 1024).max(64 << 10).to_string());
        config
    }

    /// Checks the names and values of the client's settings, as far as that goes without a cluster: certificates, keys and what belongs
    /// together are looked at when a log is opened.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] names the property, with its value where that is no free text.
    pub fn check_client(&self) -> Result<()> {
        self.check()?;
        for config in [self.admin(), self.reader(), self.producer("check")] {
            config.create_native_config().map_err(|e| match e {
                KafkaError::ClientConfig(_, description, property, _) => {
                    Error::new(ErrorKind::Invalid, format!("the Kafka client refuses \"{property}\": {description}"))
                }
                other => Error::new(ErrorKind::Invalid, format!("the Kafka client refuses its settings: {other}")),
            })?;
        }
        Ok(())
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.bootstrap_servers.trim().is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a Kafka log needs the servers of its cluster: set bootstrap.servers to host:port, comma-separated",
            ));
        }
        self.token_endpoint().map(drop)
    }
}

impl fmt::Debug for KafkaLogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLogConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("client", &self.client.keys())
            .field("group_id", &self.group_id)
            .field("replication_factor", &self.replication_factor)
            .field("topic_settings", &self.topic_settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn what_is_read_ahead_has_one_limit_however_many_partitions_there_are() {
        let mut config = KafkaLogConfig::new("h:1");
        for (total, beginners) in [(0, 2), (1 << 20, 8), (64 << 20, 32), (1 << 30, 512)] {
            config.read_ahead_bytes = total;
            let ahead = config.read_ahead();
            assert_eq!(ahead.beginners, beginners, "{total}");
            assert_eq!(ahead.limit, total.max(256 << 10));
            assert!(2 * ahead.beginners * ahead.room <= ahead.limit, "{} beginners with {}", ahead.beginners, ahead.room);
            assert!(ahead.queue <= (total / 16).max(256 << 10), "{} bytes of {total} for one partition", ahead.queue);
            config.check_client().unwrap();
        }
    }

    #[test]
    fn a_setting_that_the_client_does_not_take_is_named() {
        let config = KafkaLogConfig::new("h:1").set("sasl.password", "s3cret");
        config.check_client().unwrap();
        for (name, value) in [("no.such.property", "s3cret"), ("compression.type", "brotli"), ("reconnect.backoff.ms", "-1")] {
            let e = config.clone().set(name, value).check_client().unwrap_err();
            assert!(e.kind() == ErrorKind::Invalid && e.to_string().contains(name), "{e}");
            assert!(!e.to_string().contains("s3cret"), "{e}");
        }
        assert!(KafkaLogConfig::new(" ").check_client().unwrap_err().to_string().contains("bootstrap.servers"));
    }

    #[test]
    fn the_values_of_client_settings_are_never_shown() {
        let config = KafkaLogConfig::new("h:1").set("sasl.password", "s3cret").set("sasl.username", "alice");
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("s3cret"), "{shown}");
    }
}
