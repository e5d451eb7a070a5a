use change_log::{KafkaLog, KafkaLogConfig};
use std::path::PathBuf;
use std::process::Command;

/// A Kafka cluster that the project's script runs.
#[derive(Debug, Clone)]
pub struct Cluster {
    name: String,
    pub bootstrap_servers: String,
}

impl Cluster {
    /// Starts it, or finds it running; returns what the script says of it.
    pub fn start_described(name: &str, options: &[&str]) -> serde_json::Value {
        let output = dev_kafka(&[&["start", name, "--json"], options].concat());
        serde_json::from_slice(&output).unwrap()
    }

    /// Starts it, or finds it running.
    pub fn start(name: &str, options: &[&str]) -> Self {
        let info = Self::start_described(name, options);
        Self { name: name.to_owned(), bootstrap_servers: info["bootstrap_servers"].as_str().unwrap().to_owned() }
    }

    /// `pause`, `resume`: what the script does with the cluster.
    pub fn act(&self, verb: &str) {
        dev_kafka(&[verb, &self.name]);
    }

    /// The folder of the data of its first broker.
    pub fn data(&self) -> PathBuf {
        let info: serde_json::Value = serde_json::from_slice(&dev_kafka(&["info", &self.name, "--json"])).unwrap();
        PathBuf::from(info["brokers"][0]["datadir"].as_str().unwrap())
    }

    pub async fn log(&self) -> KafkaLog {
        KafkaLog::open(self.config()).await.unwrap()
    }

    pub fn config(&self) -> KafkaLogConfig {
        let mut config = KafkaLogConfig::new(&self.bootstrap_servers);
        config.group_id = Some("change-log-tests".to_owned());
        // Tests write records of 1970.
        config.topic_settings.insert("retention.ms".to_owned(), "-1".to_owned());
        config
    }
}

fn dev_kafka(arguments: &[&str]) -> Vec<u8> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../dev/kafka");
    let output = Command::new(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "dev/kafka: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
