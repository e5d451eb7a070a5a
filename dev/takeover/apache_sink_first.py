"""What dev/takeover-test does: the Apache sink writes tables, and iceberg-sink goes on with them or refuses.

  apache_sink_first.py FOLDER ICEBERG_SINK PEERS JAVA
"""

import json
import os
import subprocess
import sys
import time
from urllib.parse import urlparse

HERE = os.path.dirname(os.path.abspath(__file__))
DEV = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(DEV, "bench"))

from connect import Worker  # noqa: E402
from processes import Failed, Process, end_all, until  # noqa: E402
from servers import Catalog, Kafka, Mysql  # noqa: E402

PREFIX, CATALOG = "takeover", "lake"
INTERVAL_MS = 4_000
UNWRAP = {"transforms": "unwrap", "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState"}
ENVELOPE = {"transforms": "debezium", "transforms.debezium.type": "org.apache.iceberg.connect.transforms.DebeziumTransform"}
CONNECTORS = {"orders": UNWRAP, "changed": UNWRAP, "gone": UNWRAP, "audit": ENVELOPE}
COLUMNS = "id BIGINT PRIMARY KEY, customer VARCHAR(40), qty INT, weight DOUBLE, note TEXT, is_paid BOOLEAN NOT NULL"

# A server that fails a commit: Apache's sink logs it, and goes on to offer and to commit offsets.
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON iceberg_tables FOR EACH ROW WHEN (NEW.table_name = 'orders') EXECUTE FUNCTION refuse();
"""
ACCEPT = "DROP TRIGGER refuse ON iceberg_tables"


class Wrong(Exception):
    """Not as it should be."""


class Place:
    """The servers, and the folder; a `Worker` and the programs of dev/bench ask it for what they need."""

    def __init__(self, folder, sink, peers, java):
        self.data, self.sink, self.peers, self.java = folder, sink, peers, java
        self.mysql, self.kafka, self.catalog = Mysql(), Kafka(), Catalog(folder)
        self.worker = Worker(self, "takeover", ["debezium", "iceberg"], "1g")
        self.warehouse = os.path.join(folder, "warehouse")

    def server_id(self):
        return "184500"

    def say(self, what):
        print("%s %s" % (time.strftime("%H:%M:%S"), what), file=sys.stderr, flush=True)

    def config(self, table):
        """The connector's, as it is posted to Kafka Connect and as it is given to iceberg-sink."""
        return {
            "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
            "tasks.max": "1",
            "topics": "%s.shop.%s" % (PREFIX, table),
            "consumer.override.auto.offset.reset": "earliest",
            **{"%s.converter" % of: "org.apache.kafka.connect.json.JsonConverter" for of in ("key", "value")},
            **{"%s.converter.schemas.enable" % of: "true" for of in ("key", "value")},
            **CONNECTORS[table],
            "iceberg.tables": "shop." + table,
            "iceberg.tables.auto-create-enabled": "true",
            "iceberg.control.commit.interval-ms": str(INTERVAL_MS),
            "iceberg.catalog": CATALOG,
            "iceberg.catalog.type": "jdbc",
            "iceberg.catalog.uri": self.catalog.uri(),
            "iceberg.catalog.jdbc.user": "admin",
            "iceberg.catalog.jdbc.password": "admin",
            "iceberg.catalog.jdbc.schema-version": "V1",
            "iceberg.catalog.warehouse": "file://" + self.warehouse,
            "iceberg.catalog.io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
        }

    def head(self, table):
        """The summary of the newest snapshot, {} if there is none yet."""
        with self.catalog.connection.cursor() as cursor:
            cursor.execute("SELECT metadata_location FROM iceberg_tables WHERE table_namespace = 'shop' AND table_name = %s", (table,))
            row = cursor.fetchone()
        if row is None:
            return {}
        with open(urlparse(row[0]).path, encoding="utf-8") as file:
            metadata = json.load(file)
        current = metadata.get("current-snapshot-id")
        return next((s["summary"] for s in metadata.get("snapshots", []) if s["snapshot-id"] == current), {})

    def catalog_sql(self, text):
        with self.catalog.connection.cursor() as cursor:
            cursor.execute(text)

    def has_rows(self, table, rows):
        until(
            "%d rows are in the Apache sink's table of %s" % (rows, table), 120,
            lambda: int(self.head(table).get("total-records", 0)) >= rows, 0.2, [self.worker.process],
        )

    def start_sink(self, table):
        """iceberg-sink with the worker's and the connector's own files, but for what they would append."""
        connector = os.path.join(self.data, table + "-sink.json")
        with open(connector, "w", encoding="utf-8") as file:
            json.dump({"name": table + "-sink", "config": self.config(table)}, file)
        sets = ["iceberg.tables.mode=upsert", "iceberg.tables.evolve-schema-enabled=true", "iceberg.control.commit.interval-ms=500"]
        if CONNECTORS[table] is UNWRAP:
            sets.append("transforms=")
        command = [self.sink, "-c", os.path.join(self.worker.folder, "worker.properties"), "-c", connector, "--listen", "none"]
        for value in sets:
            command += ["--set", value]
        return Process(command, self.data, table + "-iceberg-sink")

    def must_refuse(self, table, *words):
        before = self.head(table)
        process = self.start_sink(table)
        until("iceberg-sink has refused " + table, 60, lambda: process.child.poll() is not None, 0.1)
        process.end()
        said = process.last_words()
        if process.child.returncode != 4 or not all(word in said for word in words):
            raise Wrong("%s: code %s instead of 4, or without %s\n%s" % (table, process.child.returncode, words, said))
        if self.head(table) != before:
            raise Wrong("%s was refused and changed" % table)
        self.say("%s is refused: %s" % (table, next(w for w in words)))


def run(place):
    place.say("Debezium and four connectors of the Apache sink")
    place.mysql.sql("CREATE DATABASE shop")
    for table in CONNECTORS:
        place.mysql.sql("CREATE TABLE shop.%s (%s)" % (table, COLUMNS))
        insert(place, table, 1, 200)
    place.worker.put("debezium", {
        "connector.class": "io.debezium.connector.mysql.MySqlConnector", "tasks.max": "1",
        "database.hostname": "127.0.0.1", "database.port": str(place.mysql.port), "database.user": "admin", "database.password": "admin",
        "database.server.id": place.server_id(), "topic.prefix": PREFIX, "database.include.list": "shop",
        "schema.history.internal.kafka.bootstrap.servers": place.kafka.servers, "schema.history.internal.kafka.topic": "shop-history",
        "topic.creation.enable": "true", "topic.creation.default.replication.factor": "1", "topic.creation.default.partitions": "1",
    })
    place.catalog_sql("INSERT INTO iceberg_namespace_properties VALUES ('%s', 'shop', 'exists', 'true')" % CATALOG)
    place.kafka.create("control-iceberg")
    for table in CONNECTORS:
        place.worker.put(table + "-sink", place.config(table))
    for table in CONNECTORS:
        place.has_rows(table, 200)
    place.say("more rows; in some tables changes, which the Apache sink appends")
    for table in CONNECTORS:
        insert(place, table, 201, 300)
    place.mysql.sql("UPDATE shop.changed SET qty = qty + 1 WHERE id <= 10")
    place.mysql.sql("DELETE FROM shop.gone WHERE id <= 10")
    for table, rows in {"orders": 300, "changed": 310, "gone": 300, "audit": 300}.items():
        place.has_rows(table, rows)
    place.must_refuse("orders", "the sink still runs", "PUT /connectors/orders-sink/stop")

    place.say("the catalog refuses what the sink's worker has offered and its coordinator commits")
    control = place.kafka.end_offset("control-iceberg")
    place.catalog_sql(REFUSE)
    insert(place, "orders", 301, 320)
    until("files are offered", 60, lambda: offered(place, "orders-sink", control), 0.5, [place.worker.process])
    for table in CONNECTORS:
        place.worker.stop(table + "-sink")
    place.must_refuse("orders", "files are offered at offset")
    place.catalog_sql(ACCEPT)
    place.worker.resume("orders-sink")
    place.has_rows("orders", 320)
    place.worker.stop("orders-sink")

    place.must_refuse("changed", "have the key of another row")
    place.must_refuse("gone", "10 are left by no event")
    place.must_refuse("audit", "with the column _cdc it is a log of changes")

    place.say("iceberg-sink goes on with orders, Debezium with its topic")
    insert(place, "orders", 321, 400)
    sink = place.start_sink("orders")
    until("the first commit of iceberg-sink", 60, lambda: "cdc.checkpoint" in place.head("orders"), 0.1, [sink])
    place.mysql.sql(
        "USE shop; UPDATE orders SET qty = -qty, note = NULL WHERE id % 3 = 0; DELETE FROM orders WHERE id % 7 = 0;"
        " UPDATE orders SET id = id + 10000 WHERE id % 50 = 0; ALTER TABLE orders ADD COLUMN place VARCHAR(20);"
        " UPDATE orders SET place = CONCAT('p', id) WHERE id < 20"
    )
    insert(place, "orders", 500, 600)
    end = place.kafka.settled(PREFIX + ".shop.orders", [sink, place.worker.process], 3)
    until("all events are in the table", 60, lambda: next_offset(place.head("orders")) >= end, 0.1, [sink])
    sink.end()
    compare(place)


def insert(place, table, first, last):
    rows = ", ".join(
        "(%d, 'c%d', %d, %d.25, %s, %d)" % (i, i % 9, i * 3 - 100, i, "NULL" if i % 4 == 0 else "'ä %d'" % i, i % 2)
        for i in range(first, last + 1)
    )
    place.mysql.sql("SET NAMES utf8mb4; INSERT INTO shop.%s (id, customer, qty, weight, note, is_paid) VALUES %s" % (table, rows))


def offered(place, connector, first):
    """The worker of this connector has offered files at or behind that offset."""
    end = place.kafka.end_offset("control-iceberg")
    for _, value in place.kafka.values("control-iceberg", first, end):
        if b'"DataWritten"' in value and ("connect-" + connector).encode() in value:
            return True
    return False


def next_offset(summary):
    return max((int(part.rsplit(":", 1)[1]) for part in summary.get("cdc.next-offsets", "").split()), default=0)


def compare(place):
    """Spark's rows and the server's own."""
    columns = "id, customer, qty, weight, note, CAST(is_paid AS INT), place"
    catalogs = {CATALOG: {"uri": place.catalog.uri(), "user": "admin", "password": "admin", "warehouse": place.warehouse}}
    sql = "SELECT %s FROM %s.shop.orders\n" % (columns, CATALOG)
    ended = subprocess.run(
        [os.path.join(DEV, "spark-sql"), json.dumps(catalogs)], input=sql, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, text=True
    )
    if ended.returncode != 0:
        raise Failed("Spark: " + ended.stderr[-2000:])
    answer = json.loads(ended.stdout)
    if "error" in answer:
        raise Failed("Spark cannot read the table: " + answer["error"][:2000])
    theirs = sorted(row(values) for values in answer["rows"])
    columns = columns.replace("CAST(is_paid AS INT)", "CAST(is_paid AS SIGNED)")
    lines = place.mysql.sql("SET NAMES utf8mb4; SELECT %s FROM shop.orders" % columns).splitlines()
    ours = sorted(row([None if v == "NULL" else v for v in line.split("\t")]) for line in lines)
    if theirs != ours:
        only = [r for r in ours if r not in theirs][:5], [r for r in theirs if r not in ours][:5]
        raise Wrong("%d rows at the source, %d in the table; only there %s; only here %s" % (len(ours), len(theirs), *only))
    place.say("equal: %d rows" % len(ours))


def row(values):
    """As text, numbers in one form; NULL first."""
    return tuple("" if v is None else "+" + (repr(float(v)) if i == 3 else v) for i, v in enumerate(values))


def main():
    place = None
    try:
        place = Place(*sys.argv[1:])
        run(place)
    except Wrong as e:
        print("error: %s" % e, file=sys.stderr)
        sys.exit(1)
    except (Failed, OSError, ValueError) as e:
        print("error: %s" % e, file=sys.stderr)
        sys.exit(3)
    finally:
        end_all()


if __name__ == "__main__":
    main()
