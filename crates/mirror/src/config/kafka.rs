//! The keys of a log on Kafka: those of Kafka's own clients, as the client here calls them.

use super::keys::Section::Log;
use super::settings::Settings;
use crate::error::{Error, Result};
use change_log::KafkaLogConfig;
use std::time::Duration;

/// The cluster of the `[log]` section.
pub(super) fn cluster(s: &Settings, topic_prefix: &str) -> Result<KafkaLogConfig> {
    let Some(servers) = s.text(Log, "bootstrap.servers") else {
        return Err(Error::configuration(
            "[log] \"type\" = \"kafka\" needs \"bootstrap.servers\"\n  → write host:port of one or more brokers, comma-separated",
        ));
    };
    let mut cluster = KafkaLogConfig::new(servers);
    cluster.group_id = Some(s.text(Log, "group.id").map_or_else(|| format!("lakehouse-mirror-{topic_prefix}"), str::to_owned));
    // No header of a data record matters to a table.
    cluster.read_headers = false;
    let milliseconds = |name, default: Duration| {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        s.number(Log, name, "milliseconds", 1_000.., default).map(Duration::from_millis)
    };
    cluster.transaction_timeout = milliseconds("transaction.timeout.ms", cluster.transaction_timeout)?;
    cluster.request_timeout = milliseconds("request.timeout.ms", cluster.request_timeout)?;
    for name in ["security.protocol", "compression.type", "client.id"] {
        if let Some(value) = s.text(Log, name) {
            cluster = cluster.set(name, value);
        }
    }
    if s.text(Log, "topic.creation.default.replication.factor").is_some() {
        let name = "topic.creation.default.replication.factor";
        cluster.replication_factor = Some(s.number(Log, name, "a number of copies", 1..=i32::from(i16::MAX), 1)?);
    }
    Ok(cluster)
}
