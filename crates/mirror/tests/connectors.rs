//! The halves as services, over a real cluster, with the files that were written for Kafka Connect.

use crate::support::{Fixture, Row, both_over_kafka, caught_up, poll, start, stop, within};
use mirror::{MirrorConfig, Program};

impl Fixture {
    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The first record of a table's topic.
    async fn first_event(&self, table: &str) -> serde_json::Value {
        let log = self.log().await;
        let topic = format!("{}.{}.{table}", self.config().source.topic_prefix, self.database);
        let first = log.offsets(&topic, 0).await.unwrap().first;
        log.wait(&topic, 0, first).await.unwrap();
        let fetched = log.read(&topic, 0, first, 1 << 20).await.unwrap();
        let value = fetched.records.iter().next().expect("a record").value.expect("a value").to_vec();
        serde_json::from_slice(&value).unwrap()
    }
}

/// Waits until the mirror has these rows of `Wide` and no others.
async fn wait_for(f: &mut Fixture, rows: &[Row]) {
    let mut expected = rows.to_vec();
    expected.sort();
    poll("the rows", async || (f.mirrored("Wide").await == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_two_connectors_and_their_worker_mirror_what_the_sink_names() {
    both_over_kafka("connectors", async |mut f| {
        f.sql(&[
            "CREATE TABLE Wide (id BIGINT UNSIGNED PRIMARY KEY, price DECIMAL(30,4) NOT NULL, note VARCHAR(20) DEFAULT 'none')",
            "INSERT INTO Wide VALUES (1, 1.5, NULL), (18446744073709551615, -99999999999999999999999999.9999, 'most')",
            "CREATE TABLE other (id INT PRIMARY KEY)",
            "INSERT INTO other VALUES (1)",
        ])
        .await;
        let prefix = f.config().source.topic_prefix;
        let (port, database) = (f.server.port, f.database.clone());
        let servers = f.cluster.as_ref().unwrap().bootstrap_servers.clone();
        let worker = f.write(
            "worker.properties",
            &format!("bootstrap.servers={servers}\ngroup.id=connect\nplugin.path=/plugins\nproducer.override.client.id=test\n"),
        );
        let source = f.write(
            "source.json",
            &format!(
                r#"{{"name": "source", "config": {{
                "connector.class": "io.debezium.connector.{kind}Connector", "database.hostname": "127.0.0.1", "database.port": {port},
                "database.user": "mirror", "database.password": "mirror", "database.include.list": "{database}",
                "topic.prefix": "{prefix}", "decimal.handling.mode": "string", "tombstones.on.delete": "false",
                "topic.creation.default.replication.factor": 1, "topic.creation.default.partitions": 1,
                "topic.creation.default.retention.ms": 604800000}}}}"#,
                kind = if f.server.is_mysql() { "mysql.MySql" } else { "mariadb.MariaDb" },
            ),
        );
        let sink = f.write(
            "sink.properties",
            &format!(
                "connector.class=org.apache.iceberg.connect.IcebergSinkConnector\nname={prefix}\ntopics={prefix}.{database}.Wide\n\
                iceberg.tables={database}.wide\niceberg.tables.auto-create-enabled=true\niceberg.tables.evolve-schema-enabled=true\n\
                iceberg.catalog=lake\niceberg.catalog.warehouse=warehouse\niceberg.tables.auto-create-props.owner=the shop\n\
                transforms=d\ntransforms.d.type=org.apache.iceberg.connect.transforms.DebeziumTransform\n"
            ),
        );
        let sets = ["iceberg.tables.mode=upsert", "iceberg.control.commit.interval-ms=50", "source.decimal.handling.mode=string"];
        let read = |program, files: &[&std::path::PathBuf], sets: &[&str]| {
            let files: Vec<_> = files.iter().map(|path| (*path).clone()).collect();
            let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
            MirrorConfig::read_for(program, &files, &sets).unwrap()
        };
        let source = start(read(Program::CdcSource, &[&worker, &source], &[])).await;
        caught_up(&source).await;
        let event = f.first_event("Wide").await;
        assert_eq!(event["schema"]["name"], format!("{prefix}.{database}.Wide.Envelope"));
        let row = &event["payload"]["after"];
        assert!(row["price"].is_string() && row["id"].is_i64(), "{row}");

        let sink = start(read(Program::IcebergSink, &[&worker, &sink], &sets)).await;
        let name = f.name("Wide");
        let mut status = sink.watch();
        let begun = status.wait_for(|s| s.tables.get(&name).is_some_and(|t| t.applied > 0 && t.commits > 0));
        within("the first commit", begun).await.unwrap();
        let largest = "18446744073709551615";
        let row = |id: &str, price: &str, note: Option<&str>| vec![Some(id.to_owned()), Some(price.to_owned()), note.map(str::to_owned)];
        wait_for(&mut f, &[row("1", "1.5000", None), row(largest, "-99999999999999999999999999.9999", Some("most"))]).await;
        f.sql(&[
            "UPDATE Wide SET id = 9223372036854775808, note = 'half' WHERE note = 'most'",
            "DELETE FROM Wide WHERE id = 1",
            "INSERT INTO Wide (id, price) VALUES (3, 0.0001), (4, 1)",
            "INSERT INTO other VALUES (2)",
        ])
        .await;
        caught_up(&source).await;
        let half = row("9223372036854775808", "-99999999999999999999999999.9999", Some("half"));
        wait_for(&mut f, &[row("3", "0.0001", Some("none")), row("4", "1.0000", Some("none")), half]).await;
        f.assert_equal_except(&["other"]).await;
        assert_eq!(f.table("Wide").await.metadata().properties().get("owner").map(String::as_str), Some("the shop"));
        let tables = stop(sink).await.tables;
        assert_eq!(tables.keys().collect::<Vec<_>>(), [&f.name("Wide")], "only what the sink's topics name is written");
        stop(source).await;
    })
    .await;
}
