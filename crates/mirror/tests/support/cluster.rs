use super::server::dev;
use change_log::KafkaLogConfig;
use std::process::Command;

/// A Kafka cluster of the project's script, and the prefix of a test's topics there.
#[derive(Debug, Clone)]
pub struct Cluster {
    name: String,
    pub bootstrap_servers: String,
    pub prefix: String,
}

impl Cluster {
    /// Starts it, or finds it running.
    pub fn start(name: &str, options: &[&str]) -> Self {
        let output = Command::new(dev("kafka")).args(["start", name, "--json"]).args(options).output().unwrap();
        assert!(output.status.success(), "kafka: {}", String::from_utf8_lossy(&output.stderr));
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let bootstrap_servers = info["bootstrap_servers"].as_str().unwrap().to_owned();
        Self { name: name.to_owned(), bootstrap_servers, prefix: String::new() }
    }

    /// The same cluster with topics that no other run has.
    pub fn with_prefix(&self, prefix: &str) -> Self {
        let run = uuid::Uuid::new_v4().simple().to_string();
        Self { prefix: format!("{prefix}-{}", &run[..8]), ..self.clone() }
    }

    /// `kill9`, `restart`, `rm`: what the project's script does with the cluster.
    pub fn act(&self, verb: &str) {
        let output = Command::new(dev("kafka")).args([verb, &self.name]).output().unwrap();
        assert!(output.status.success(), "kafka: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn config(&self) -> KafkaLogConfig {
        let mut config = KafkaLogConfig::new(&self.bootstrap_servers);
        config.group_id = Some(format!("mirror-{}", self.prefix));
        config
    }
}
