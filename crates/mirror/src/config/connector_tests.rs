//! The files that people have: connectors as they are posted to Kafka Connect, and the workers' files beside them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use super::*;
use debezium_format::{BigintUnsigned, Converter, DecimalMode};
use std::fs;
use tempfile::TempDir;

/// A connector like those of the public reference deployment: a shop, one task, defaults for the rest.
const SOURCE: &str = r#"{
  "name": "shop-source",
  "config": {
    "connector.class": "io.debezium.connector.mysql.MySqlConnector",
    "tasks.max": 1,
    "database.hostname": "mysql",
    "database.port": 3306,
    "database.user": "${secrets:cdc/mysql:username}",
    "database.password": "${secrets:cdc/mysql:password}",
    "database.server.id": 184054,
    "topic.prefix": "mysql",
    "database.include.list": "inventory",
    "schema.history.internal.kafka.bootstrap.servers": "kafka-bootstrap:9092",
    "schema.history.internal.kafka.topic": "history.inventory",
    "exactly.once.source.support": "enabled"
  }
}"#;

/// And its sink, but for catalog and storage.
const SINK: &str = r#"{
  "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
  "name": "shop.sink",
  "tasks.max": "1",
  "topics": "mysql.inventory.orders",
  "iceberg.tables": "inventory.orders",
  "iceberg.tables.default-commit-branch": "main",
  "iceberg.tables.auto-create-enabled": "true",
  "iceberg.tables.auto-create-props.format-version": "2",
  "iceberg.tables.auto-create-props.write.format.default": "parquet",
  "iceberg.tables.auto-create-props.write.parquet.compression-codec": "snappy",
  "iceberg.tables.evolve-schema-enabled": "true",
  "iceberg.catalog": "retail",
  "iceberg.catalog.warehouse": "warehouse",
  "transforms": "debezium",
  "transforms.debezium.type": "org.apache.iceberg.connect.transforms.DebeziumTransform"
}"#;

/// A distributed worker.
const WORKER: &str = "\
bootstrap.servers=broker-1:9092,\\
    broker-2:9092
group.id=connect-cluster
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
key.converter.schemas.enable=false
offset.storage.topic=connect-offsets
config.storage.topic=connect-configs
status.storage.topic=connect-status
offset.storage.replication.factor=-1
exactly.once.source.support=enabled
plugin.path=/plugins
heartbeat.interval.ms=3000
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"worker\" password=\"s3cret\";
producer.sasl.mechanism=SCRAM-SHA-512
producer.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \\
    username=\"producer\" \\
    password=\"s3cret\";
consumer.max.poll.records=100
";

struct Desk(TempDir);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn read(&self, program: Program, files: &[&str], sets: &[&str]) -> Result<MirrorConfig> {
        let files: Vec<PathBuf> = files.iter().map(|name| self.0.path().join(name)).collect();
        let sets: Vec<String> = sets.iter().map(|s| (*s).to_owned()).collect();
        let read = MirrorConfig::read_for(program, &files, &sets);
        // Nothing that a configuration says may tell a secret.
        let shown = format!("{read:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        read
    }

    fn refused(&self, program: Program, files: &[&str], sets: &[&str]) -> String {
        let e = self.read(program, files, sets).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        e.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn cluster(c: &MirrorConfig) -> &change_log::KafkaLogConfig {
    match &c.log.kind {
        LogKind::Kafka { cluster, .. } => cluster,
        other => panic!("{other:?}"),
    }
}

fn says(c: &MirrorConfig, what: &str) -> bool {
    c.notes.iter().any(|note| note.contains(what))
}

const USER: [&str; 2] = ["database.user=me", "database.password=s3cret"];

#[test]
fn a_source_connector_is_taken_as_it_was_posted() {
    let desk = Desk::new(&[("source.json", SOURCE)]);
    let c = desk.read(Program::CdcSource, &["source.json"], &USER).unwrap();
    assert_eq!((c.halves, c.source.hostname.as_str(), c.source.port), (Halves::Source, "mysql", 3306));
    assert_eq!((c.source.user.as_str(), c.source.password.expose(), c.source.server_id), ("me", "s3cret", Some(184_054)));
    assert_eq!((c.source.topic_prefix.as_str(), c.source.database_include.as_deref()), ("mysql", Some("inventory")));
    assert_eq!(c.events, EventFormat::debezium());
    assert_eq!(cluster(&c).bootstrap_servers(), "kafka-bootstrap:9092");
    assert!(says(&c, "the log's servers are those of \"schema.history.internal.kafka.bootstrap.servers\""), "{:?}", c.notes);
    assert!(says(&c, "the schema change topic mysql is not written yet"), "{:?}", c.notes);
    assert!(says(&c, "data and position are always written in one transaction"), "{:?}", c.notes);
}

#[test]
fn a_reference_that_only_the_cluster_can_look_up_is_told_by_its_key_unless_something_else_wins() {
    let desk = Desk::new(&[("source.json", SOURCE)]);
    let said = desk.refused(Program::CdcSource, &["source.json"], &["database.password=s3cret"]);
    assert!(said.starts_with("database.user has ${secrets:cdc/mysql:username}, which cannot be looked up: Kubernetes"), "{said}");
    assert!(said.contains("--set database.user='${env:NAME}'"), "{said}");
    let c = desk.read(Program::CdcSource, &["source.json"], &["database.user=me"]).unwrap();
    let missing = c.source.password.needed().unwrap_err().to_string();
    assert!(missing.starts_with("database.password has ${secrets:cdc/mysql:password}"), "{missing}");
}

#[test]
fn a_workers_file_brings_the_servers_and_a_connectors_own_settings_win() {
    let desk = Desk::new(&[("worker.properties", WORKER), ("source.json", SOURCE), ("sink.json", SINK)]);
    let c = desk.read(Program::CdcSource, &["worker.properties", "source.json"], &USER).unwrap();
    let kafka = cluster(&c);
    assert_eq!(kafka.bootstrap_servers(), "broker-1:9092,broker-2:9092");
    let given: BTreeMap<&str, &str> = kafka.client_settings().collect();
    assert_eq!((given["sasl.username"], given["sasl.mechanism"]), ("producer", "SCRAM-SHA-512"));
    assert_eq!(kafka.group_id.as_deref(), Some("lakehouse-mirror-mysql"), "the workers' group is their own");
    assert_eq!(c.events.converter, Converter::Json { schemas: false }, "the worker's converter is the default of its connectors");
    assert!(says(&c, "\"group.id\" is not needed and ignored: it is the workers' own group"), "{:?}", c.notes);
    let c = desk.read(Program::IcebergSink, &["worker.properties", "sink.json"], &["iceberg.tables.mode=upsert"]).unwrap();
    let given: BTreeMap<&str, &str> = cluster(&c).client_settings().collect();
    assert_eq!((given["sasl.username"], given["sasl.mechanism"]), ("worker", "PLAIN"));
}

#[test]
fn a_sink_connector_that_would_append_is_refused_with_the_way_on() {
    let desk = Desk::new(&[("sink.json", SINK)]);
    let said = desk.refused(Program::IcebergSink, &["sink.json"], &["bootstrap.servers=h:1"]);
    assert_eq!(
        said,
        "with DebeziumTransform the file makes tables logs of changes, a row for each change; that is not supported yet\n  → for tables that equal the source: --set iceberg.tables.mode=upsert"
    );
}

#[test]
fn a_sink_connector_keeps_the_meaning_that_its_file_has() {
    let desk = Desk::new(&[("sink.json", SINK)]);
    let c = desk.read(Program::IcebergSink, &["sink.json"], &["bootstrap.servers=h:1", "iceberg.tables.mode=upsert"]).unwrap();
    assert_eq!((c.halves, c.source.topic_prefix.as_str(), c.sink.id.as_str()), (Halves::Sink, "mysql", "shop-sink"));
    assert_eq!((c.sink.catalog.as_str(), c.sink.commit_interval), ("retail", Duration::from_secs(300)));
    assert!(c.sink.auto_create);
    assert_eq!(c.sink.topics, Some(Topics::names(["mysql.inventory.orders"])));
    assert_eq!(c.sink.warehouse, desk.0.path().join("warehouse"));
    let properties: Vec<(&str, &str)> = c.sink.table_properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(properties, [("write.format.default", "parquet"), ("write.parquet.compression-codec", "snappy")]);
    assert_eq!(cluster(&c).group_id.as_deref(), Some("connect-shop.sink"));
    assert_eq!(c.events.converter, Converter::Json { schemas: true });
    assert!(says(&c, "DebeziumTransform is not needed") && says(&c, "files written here are zstd"), "{:?}", c.notes);
}

#[test]
fn a_sink_connector_tells_where_it_keeps_how_far_it_came() {
    let desk = Desk::new(&[("sink.json", SINK)]);
    let read = |more: &[&str]| {
        let sets = [&["bootstrap.servers=h:1", "iceberg.tables.mode=upsert"], more].concat();
        desk.read(Program::IcebergSink, &["sink.json"], &sets).unwrap().sink.predecessor
    };
    assert_eq!(read(&[]), ConnectSinkConfig::of("shop.sink"));
    let own = read(&["iceberg.control.topic=c", "iceberg.connect.group-id=g", "iceberg.control.group-id=t"]);
    assert_eq!((own.control_topic.as_str(), own.group.as_str(), own.control_group.as_str()), ("c", "g", "t"));
}

#[test]
fn absent_keys_of_a_sink_connector_have_the_defaults_of_apache() {
    let bare = r#"{"connector.class": "org.apache.iceberg.connect.IcebergSinkConnector", "topics": "a.b.c", "iceberg.tables.mode": "upsert"}"#;
    let desk = Desk::new(&[("sink.json", bare)]);
    let c = desk.read(Program::IcebergSink, &["sink.json"], &["bootstrap.servers=h:1"]).unwrap();
    assert!(!c.sink.auto_create);
    assert_eq!((c.sink.catalog.as_str(), c.sink.commit_interval), ("iceberg", Duration::from_secs(300)));
    assert!(says(&c, "\"iceberg.tables.evolve-schema-enabled\" is true, although"), "{:?}", c.notes);
    // The same under the exact profile.
    let c = desk.read(Program::IcebergSink, &["sink.json"], &["bootstrap.servers=h:1", "topic.prefix=a.b"]).unwrap();
    assert_eq!(c.source.topic_prefix, "a.b");
}

#[test]
fn the_archived_sinks_names_are_understood() {
    let tabular = |more: &str| {
        format!(
            "connector.class=io.tabular.iceberg.connect.IcebergSinkConnector\ntopics.regex=shop\\\\.inventory\\\\..*\niceberg.tables.dynamic-enabled=true\niceberg.tables.route-field=_cdc.target\ntransforms=d\ntransforms.d.type=io.tabular.iceberg.connect.transforms.DebeziumTransform\niceberg.control.group-id=x\n{more}"
        )
    };
    for mode in ["iceberg.tables.upsert-mode-enabled=true", "iceberg.tables.cdc-field=_cdc.op"] {
        let desk = Desk::new(&[("sink.properties", &tabular(mode))]);
        let c = desk.read(Program::IcebergSink, &["sink.properties"], &["bootstrap.servers=h:1"]).unwrap();
        assert_eq!(c.source.topic_prefix, "shop");
        assert!(c.sink.topics.unwrap().contains("shop.inventory.orders"));
        assert!(c.notes.iter().any(|note| note.starts_with("\"topic.prefix\" is taken to be \"shop\"")));
    }
    let desk = Desk::new(&[("sink.properties", &tabular("iceberg.tables.upsert-mode-enabled=false"))]);
    assert!(desk.refused(Program::IcebergSink, &["sink.properties"], &["bootstrap.servers=h:1"]).contains("it would append"));
}

#[test]
fn everything_that_is_refused_is_told_at_once_with_its_line() {
    let rest = SINK.replace(
        "\"iceberg.catalog\": \"retail\",",
        "\"iceberg.catalog\": \"retail\",\n  \"iceberg.catalog.credential\": \"root:s3cret\",\n  \"iceberg.catalog.s3.endpoint\": \"http://s3cret:9000\",\n  \"iceberg.tabels\": \"x\",",
    );
    let desk = Desk::new(&[("sink.json", &rest)]);
    let said = desk.refused(Program::IcebergSink, &["sink.json"], &["bootstrap.servers=h:1"]);
    assert!(said.contains("sink.json, line 14: \"iceberg.catalog.credential\" is not supported yet: REST catalogs"), "{said}");
    assert!(said.contains("sink.json, line 15: \"iceberg.catalog.s3.endpoint\" is not supported yet: object stores"), "{said}");
    assert!(said.contains("sink.json, line 16: unknown key \"iceberg.tabels\"\n  → did you mean \"iceberg.tables\"?"), "{said}");
    // And left out by --set, an unknown key aside.
    let desk = Desk::new(&[("sink.json", &rest.replace("tabels", "tables.mode").replace("\"x\"", "\"upsert\""))]);
    let sets = ["bootstrap.servers=h:1", "iceberg.catalog.credential=", "iceberg.catalog.s3.endpoint="];
    desk.read(Program::IcebergSink, &["sink.json"], &sets).unwrap();
}

#[test]
fn catalogs_and_stores_that_are_not_there_yet_are_refused_by_name() {
    let sets = |more: &'static str| vec!["bootstrap.servers=h:1", "iceberg.tables.mode=upsert", more];
    let desk = Desk::new(&[("sink.json", SINK)]);
    for (set, said) in [
        ("iceberg.catalog.type=rest", "\"iceberg.catalog.type\" = \"rest\" is not there yet"),
        ("iceberg.catalog.type=glue", "\"iceberg.catalog.type\" = \"glue\" is not there yet"),
        ("iceberg.catalog.catalog-impl=org.apache.iceberg.aws.glue.GlueCatalog", "GlueCatalog\" is not there yet"),
        ("iceberg.catalog.io-impl=org.apache.iceberg.aws.s3.S3FileIO", "object stores are not there yet"),
        ("iceberg.catalog.warehouse=s3a://lake/warehouse", "\"s3a://lake/warehouse\" is not there yet"),
        ("iceberg.tables=inventory.other", "\"inventory.orders\", or leave it out"),
        ("iceberg.table.inventory.orders.partition-by=days(ts)", "tables are not partitioned"),
        ("transforms.debezium.cdc.target.pattern={db}_x.{table}", "changes what is written"),
        ("transforms.debezium.type=io.debezium.transforms.ExtractNewRecordState", "leave the transform out"),
        ("value.converter=io.confluent.connect.avro.AvroConverter", "events are JSON"),
        ("errors.tolerance=all", "nothing is skipped"),
    ] {
        let message = desk.refused(Program::IcebergSink, &["sink.json"], &sets(set));
        assert!(message.contains(said), "{set}: {message}");
    }
    let mut with = sets("iceberg.catalog.catalog-impl=org.apache.iceberg.jdbc.JdbcCatalog");
    with.push("iceberg.catalog.uri=jdbc:sqlite:c.db");
    let c = desk.read(Program::IcebergSink, &["sink.json"], &with).unwrap();
    assert_eq!(c.sink.catalog_address.sqlite_path(), Some(&*desk.0.path().join("c.db")));
}

#[test]
fn handling_modes_that_the_events_can_have_are_read_and_others_refused() {
    let desk = Desk::new(&[("source.json", SOURCE)]);
    let read = |sets: &[&str]| desk.read(Program::CdcSource, &["source.json"], &[&USER[..], sets].concat());
    let c = read(&[
        "decimal.handling.mode=STRING",
        "bigint.unsigned.handling.mode=precise",
        "tombstones.on.delete=false",
        "extended.headers.enabled=false",
        "value.converter.schemas.enable=false",
        "key.converter.schemas.enable=false",
        "include.schema.changes=false",
    ])
    .unwrap();
    assert_eq!((c.events.profile.decimals, c.events.profile.bigint_unsigned), (DecimalMode::String, BigintUnsigned::Precise));
    assert!(!c.events.tombstones_on_delete && !c.events.extended_headers);
    assert_eq!(c.events.converter, Converter::Json { schemas: false });
    for (set, said) in [
        ("decimal.handling.mode=double", "double would lose digits\n  → leave it out, or write \"precise\" or \"string\""),
        ("time.precision.mode=connect", "times have one form"),
        ("skipped.operations=none", "no event for a TRUNCATE"),
        ("value.converter.schemas.enable=false", "\"key.converter.schemas.enable\" = \"true\" beside"),
        ("heartbeat.interval.ms=1000", "positions move on without heartbeats"),
        ("transforms=unwrap", "before any transform"),
        ("column.mask.with.5.chars=a.b.c", "all columns are written"),
        ("connector.class=io.debezium.connector.postgresql.PostgresConnector", "the source is MySQL or MariaDB"),
        ("header.converter=org.apache.kafka.connect.storage.SimpleHeaderConverter", "headers are JSON with their schema"),
    ] {
        let message = desk.refused(Program::CdcSource, &["source.json"], &[&USER[..], &[set]].concat());
        assert!(message.contains(said), "{set}: {message}");
    }
}

#[test]
fn lakehouse_takes_both_connectors_but_nothing_that_would_change_its_mirror() {
    let desk = Desk::new(&[("worker.properties", WORKER), ("source.json", SOURCE), ("sink.json", SINK)]);
    let files = ["worker.properties", "source.json", "sink.json"];
    let said = desk.refused(Program::Lakehouse, &files, &USER);
    assert!(said.contains("\"topics\" and \"topics.regex\" are not supported by lakehouse"), "{said}");
    let sets = [&USER[..], &["topics=", "iceberg.tables="]].concat();
    let c = desk.read(Program::Lakehouse, &files, &sets).unwrap();
    assert_eq!((c.halves, c.events), (Halves::Both, EventFormat::exact()));
    assert_eq!((c.sink.commit_interval, c.sink.id.as_str()), (Duration::from_millis(500), "shop-sink"));
    let changed = [&sets[..], &["bigint.unsigned.handling.mode=long"]].concat();
    assert!(desk.refused(Program::Lakehouse, &files, &changed).contains("or write \"precise\""));
}

#[test]
fn a_file_of_sections_serves_all_three_programs() {
    let toml = "[source]\n\"database.hostname\" = \"db\"\n\"database.user\" = \"u\"\n\"topic.prefix\" = \"shop\"\n[log]\n\"bootstrap.servers\" = \"h:1\"\n[sink]\n\"iceberg.catalog.warehouse\" = \"w\"\n";
    let desk = Desk::new(&[("mirror.toml", toml)]);
    for program in [Program::Lakehouse, Program::CdcSource, Program::IcebergSink] {
        let c = desk.read(program, &["mirror.toml"], &[]).unwrap();
        assert_eq!(c.halves, program.halves());
        assert_eq!((c.source.topic_prefix.as_str(), cluster(&c).bootstrap_servers()), ("shop", "h:1"));
        if program != Program::CdcSource {
            assert_eq!((c.sink.commit_interval, c.sink.auto_create), (Duration::from_millis(500), true));
        }
    }
}

#[test]
fn a_connector_without_servers_is_told_where_they_are() {
    let source = SOURCE.replace("schema.history.internal.kafka.bootstrap.servers", "schema.history.internal.kafka.recovery");
    let desk = Desk::new(&[("source.json", &source), ("sink.json", SINK)]);
    let said = desk.refused(Program::CdcSource, &["source.json"], &USER);
    assert!(said.starts_with("a log on Kafka needs \"bootstrap.servers\"\n  → name the worker's file as well"), "{said}");
    let c = desk.read(Program::CdcSource, &["source.json"], &[&USER[..], &["log.type=memory"]].concat()).unwrap();
    assert_eq!(c.log.kind, LogKind::Memory);
    let own = ["iceberg.kafka.bootstrap.servers=h:2", "iceberg.kafka.client.id=control", "iceberg.tables.mode=upsert"];
    let said = desk.refused(Program::IcebergSink, &["sink.json"], &own[2..]);
    assert!(said.contains("needs \"bootstrap.servers\""), "{said}");
}

#[test]
fn later_files_win() {
    let desk = Desk::new(&[
        ("a.properties", "bootstrap.servers=h:1\nclient.id=a\nplugin.path=x"),
        ("source.json", SOURCE),
        ("b.properties", "client.id=b\ndatabase.hostname=other\nconnector.class=MySqlConnector"),
    ]);
    let c = desk.read(Program::CdcSource, &["a.properties", "source.json", "b.properties"], &USER).unwrap();
    assert_eq!(c.source.hostname, "other");
    assert_eq!(cluster(&c).client_settings().find(|(name, _)| *name == "client.id"), Some(("client.id", "b")));
}
