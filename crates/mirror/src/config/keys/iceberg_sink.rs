//! The keys of the Iceberg sink of Kafka Connect: Apache's (1.10 and later), the archived one's of Tabular, and our own of `[sink]`.

use super::Treatment::{Alias, Ignored, Only, Refused, Used};
use super::{Key, Section, Treatment};

const fn key(name: &'static str, default: &'static str, treatment: Treatment, why: &'static str) -> Key {
    Key::new(Section::Sink, name, default, treatment, why)
}

const ONE: &str = "one process needs no control topic";
const OBJECTS: &str = "object stores are not there yet: tables are in a local folder";
const REST: &str = "REST catalogs are not there yet";
const IDS: &str = "a row is identified by the primary key of its source table";
const PARTITIONS: &str = "tables are not partitioned";
const ROUTES: &str = "a table is fed by one topic, its own";
const BRANCHES: &str = "commits go to main";

pub(super) const KEYS: &[Key] = &[
    key("name", "", Used, "the sink's id, written into each commit; topic.prefix if it is left out"),
    key("topics", "", Used, "the topics whose tables are written, separated by commas; all of topic.prefix if it is left out"),
    key("topics.regex", "", Used, "the same, as a regular expression of whole names"),
    key("iceberg.catalog", "iceberg", Used, "the catalog's name"),
    key("iceberg.catalog.type", "", Used, "jdbc (alias sql)"),
    key("iceberg.catalog.catalog-impl", "", Used, "org.apache.iceberg.jdbc.JdbcCatalog, which is the type jdbc"),
    key("iceberg.catalog.uri", "", Used, "the catalog's database"),
    key("iceberg.catalog.warehouse", "", Used, "the folder of the tables' files"),
    key("iceberg.catalog.jdbc.schema-version", "", Ignored, "both versions of the tables are read and written"),
    key("iceberg.catalog.jdbc.init-catalog-tables", "true", Only(&["true"]), "tables that are missing are made"),
    key("iceberg.catalog.jdbc.user", "", Used, "who asks the catalog's server"),
    key("iceberg.catalog.jdbc.password", "", Used, "the password for it").secret(),
    key("iceberg.catalog.jdbc.*", "", Refused, "parameters of the connection belong in iceberg.catalog.uri"),
    key(
        "iceberg.catalog.io-impl",
        "",
        Only(&["org.apache.iceberg.hadoop.HadoopFileIO"]),
        "object stores are not there yet: tables are in a local folder",
    ),
    key("iceberg.catalog.credential", "", Refused, REST).secret(),
    key("iceberg.catalog.token", "", Refused, REST).secret(),
    key("iceberg.catalog.scope", "", Refused, REST),
    key("iceberg.catalog.audience", "", Refused, REST),
    key("iceberg.catalog.resource", "", Refused, REST),
    key("iceberg.catalog.oauth2-server-uri", "", Refused, REST),
    key("iceberg.catalog.rest.*", "", Refused, REST),
    key("iceberg.catalog.header.*", "", Refused, REST).secret(),
    key("iceberg.catalog.ref", "", Refused, "Nessie catalogs are not there yet"),
    key("iceberg.catalog.glue.*", "", Refused, "Glue catalogs are not there yet"),
    key("iceberg.catalog.gcp.*", "", Refused, "BigQuery's catalog is not there yet"),
    key("iceberg.catalog.gcs.*", "", Refused, OBJECTS).secret(),
    key("iceberg.catalog.adls.*", "", Refused, OBJECTS).secret(),
    key("iceberg.catalog.s3.*", "", Refused, OBJECTS).secret(),
    key("iceberg.catalog.client.*", "", Refused, OBJECTS).secret(),
    key("iceberg.catalog.include-credentials", "", Refused, OBJECTS),
    key("iceberg.catalog.cache-enabled", "true", Ignored, "tables are held in memory between commits"),
    key("iceberg.catalog.cache.*", "", Ignored, "tables are held in memory between commits"),
    key("iceberg.catalog.clients", "2", Ignored, "each table asks for itself"),
    key("iceberg.control.commit.interval-ms", "300000", Used, "time between two commits of a table under load"),
    key("iceberg.tables.mode", "append", Used, "upsert: tables that equal the source; append is not there yet. Our own"),
    key("iceberg.tables.upsert-mode-enabled", "false", Used, "true is iceberg.tables.mode = upsert (Tabular's)"),
    key(
        "iceberg.tables.cdc-field",
        "",
        Used,
        "_cdc.op, what DebeziumTransform adds, is iceberg.tables.mode = upsert (Tabular's)",
    ),
    key("iceberg.tables.auto-create-enabled", "false", Used, "make tables that are missing"),
    key(
        "iceberg.tables.auto-create-props.*",
        "",
        Used,
        "properties of tables that are made; the format version is 2, the files are Parquet, compressed with zstd whatever the property says to others",
    ),
    key(
        "iceberg.tables.write-props.*",
        "",
        Refused,
        "files are written one way; iceberg.tables.auto-create-props.* are for other writers",
    ),
    key("iceberg.tables.evolve-schema-enabled", "false", Used, "true: columns follow the source, which is always so"),
    key("iceberg.tables.compaction-enabled", "", Used, "fold deletes and small files away; our own"),
    key("iceberg.foreign.writes", "", Used, "rows written by others: stop or warn; our own"),
    key("iceberg.memory.budget.bytes", "", Used, "bytes that all tables together may hold; our own"),
    key(
        "iceberg.tables",
        "",
        Used,
        "must name the tables as they are named anyway: <database>.<table> of each topic, lower-cased",
    ),
    key(
        "iceberg.tables.dynamic-enabled",
        "false",
        Used,
        "true with iceberg.tables.route-field = _cdc.target or _cdc.source, which name the same tables",
    ),
    key("iceberg.tables.route-field", "", Used, "see iceberg.tables.dynamic-enabled"),
    key("iceberg.table.*.route-regex", "", Refused, ROUTES),
    key("iceberg.tables.route-regex", "", Refused, ROUTES),
    key("iceberg.table.*.id-columns", "", Refused, IDS),
    key("iceberg.tables.default-id-columns", "", Refused, IDS),
    key("iceberg.table.*.partition-by", "", Refused, PARTITIONS),
    key("iceberg.tables.default-partition-by", "", Refused, PARTITIONS),
    key("iceberg.table.*.commit-branch", "main", Only(&["main"]), BRANCHES),
    key("iceberg.tables.default-commit-branch", "main", Only(&["main"]), BRANCHES),
    key("iceberg.tables.schema-case-insensitive", "false", Only(&["false"]), "columns keep their case"),
    key("iceberg.tables.schema-force-optional", "false", Only(&["false"]), "NOT NULL columns are required"),
    key(
        "iceberg.tables.replace-null-with-default",
        "true",
        Only(&["false"]),
        "a null in the source is a null in the table; leave it out, which does so too",
    ),
    key("iceberg.tables.deadletter.*", "", Refused, "a record that cannot be applied stops its table; nothing is skipped"),
    key(
        "iceberg.control.topic",
        "control-iceberg",
        Used,
        "that of a Kafka Connect sink whose tables are taken over; one process needs none",
    ),
    key(
        "iceberg.control.group-id",
        "",
        Used,
        "the group with the offsets of Tabular's sink, if that has written the tables; cg-control-<name> if it is left out",
    ),
    key("iceberg.control.group-id-prefix", "cg-control", Ignored, ONE),
    key("iceberg.control.commit.timeout-ms", "30000", Ignored, "no commit waits for another worker"),
    key("iceberg.control.commit.threads", "", Ignored, "tables commit side by side"),
    key(
        "iceberg.control.commit.max-consecutive-failures",
        "1",
        Ignored,
        "a table that cannot be committed stops, or is tried again while its catalog is away",
    ),
    key("iceberg.coordinator.transactional.*", "", Ignored, ONE),
    key(
        "iceberg.connect.group-id",
        "",
        Used,
        "the consumer group that offsets are committed to, for tools that show lag; connect-<name> has those of a Kafka Connect sink whose tables are taken over",
    ),
    key("iceberg.hadoop-conf-dir", "", Refused, "there is no Hadoop: tables are in a local folder"),
    key("iceberg.hadoop.*", "", Refused, "there is no Hadoop: tables are in a local folder"),
    key(
        "iceberg.kafka.*",
        "",
        Used,
        "Kafka's client keys of the control topic: they serve where nothing else says bootstrap.servers",
    )
    .secret(),
    key("catalog.type", "", Alias("iceberg.catalog.type"), ""),
    key("catalog.uri", "", Alias("iceberg.catalog.uri"), ""),
    key("warehouse", "", Alias("iceberg.catalog.warehouse"), ""),
    key("commit.interval.ms", "", Alias("iceberg.control.commit.interval-ms"), ""),
];
