"""The servers between which things are measured: MySQL, Kafka, the catalog's PostgreSQL; started by the scripts of dev/."""

import json
import os
import time
from urllib.parse import urlparse

import psycopg2
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from processes import Failed, cpu_seconds, described, script

HERE = os.path.dirname(os.path.abspath(__file__))
DEV = os.path.dirname(HERE)
NAME = "bench"
# A broker that ends is no news.
QUIET = {"log_level": 2}
LAST_KEY = 9_000_000_000_000_000


class Mysql:
    """The source, with the table and the procedures of dev/load.sql."""

    def __init__(self):
        self.script = os.path.join(DEV, "mysql")
        info = described(self.script, "start", NAME, "--fresh", "--json")
        self.port, self.version, self.pid = info["port"], info["version"], info["pid"]

    def sql(self, text):
        return script(self.script, "sql", NAME, "--batch", "--skip-column-names", stdin=text)

    def load(self, rows):
        """Makes the database anew, with that many rows in the table."""
        with open(os.path.join(DEV, "load.sql"), encoding="utf-8") as file:
            self.sql("SET @rows = %d;\n%s" % (rows, file.read()))

    def call(self, procedure, count):
        self.sql("USE bench; CALL %s(%d);" % (procedure, count))

    def mark(self):
        """Makes the last row of all, LAST_KEY."""
        self.sql(
            "INSERT INTO bench.orders (id, customer_id, status, amount, qty, email, is_paid, created_at)"
            " VALUES (%d, 1, 'new', 1, 1, 'last@example.com', 0, NOW(6))" % LAST_KEY
        )

    def remove(self):
        script(self.script, "rm", NAME)


class Kafka:
    """One broker, with a virtual machine as one would give it: 1 GB, all compilers."""

    def __init__(self):
        self.script = os.path.join(DEV, "kafka")
        info = described(
            self.script, "start", NAME, "--fresh", "--jvm", "-Xmx1g", "--jvm", "-XX:TieredStopAtLevel=4",
            "--set", "log.retention.check.interval.ms=300000", "--json",
        )
        self.servers, self.version = info["bootstrap_servers"], info["version"]
        self.pid = info["brokers"][0]["pid"]
        self.admin = AdminClient({"bootstrap.servers": self.servers, **QUIET})
        self.consumer = self.new_consumer()

    def new_consumer(self):
        return Consumer({
            "bootstrap.servers": self.servers, "group.id": "bench", "isolation.level": "read_committed",
            "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 20,
            "enable.partition.eof": True, **QUIET,
        })

    def cpu(self):
        return cpu_seconds(self.pid)

    def create(self, topic):
        for future in self.admin.create_topics([NewTopic(topic, 1, 1)]).values():
            future.result()

    def end_offset(self, topic):
        """The offset after the last committed record, 0 if there is no such topic."""
        if topic not in self.admin.list_topics(timeout=10).topics:
            return 0
        return self.consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]

    def values(self, topic, first, last):
        """Offset and value of the records from `first` up to before `last`, tombstones left out."""
        consumer = self.new_consumer()
        consumer.assign([TopicPartition(topic, 0, first)])
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                for message in consumer.consume(10_000, 0.2):
                    if message.error():
                        # What ends a transaction has an offset and is no record, so that the last offset may not come.
                        if message.error().code() == KafkaError._PARTITION_EOF:
                            return
                        raise Failed("%s cannot be read: %s" % (topic, message.error()))
                    if message.offset() >= last:
                        return
                    if message.value() is not None:
                        yield message.offset(), message.value()
            raise Failed("%s could not be read up to offset %d within 60 s" % (topic, last))
        finally:
            consumer.close()

    def settled(self, topic, alive=(), seconds=1.5, patience=300):
        """Waits until the topic is there and has not grown for so long; returns its end."""
        deadline = time.monotonic() + patience
        end, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            now = self.end_offset(topic)
            if now != end:
                end, since = now, time.monotonic()
            elif end > 0 and time.monotonic() - since > seconds:
                return end
            for process in alive:
                process.must_run()
            time.sleep(0.1)
        raise Failed("%s did not come to rest within %d s" % (topic, patience))

    def remove(self):
        self.consumer.close()
        script(self.script, "rm", NAME)


class LastRow:
    """Whether a topic ends with the row of this key, which is made after all others."""

    def __init__(self, kafka, topic, key=LAST_KEY):
        self.kafka, self.topic, self.text = kafka, topic, ('"id":%d,' % key).encode()
        self.end, self.looked = -1, False

    def offset(self):
        """Its offset, once the topic does not grow any more."""
        end = self.kafka.end_offset(self.topic)
        if end != self.end:
            self.end, self.looked = end, False
            return None
        if self.looked:
            return None
        self.looked = True
        found = [offset for offset, value in self.kafka.values(self.topic, max(0, end - 8), end) if self.text in value]
        return found[-1] if found else None


class Head:
    """The newest snapshot of a table, as a reader finds it."""

    def __init__(self, at, location, metadata):
        self.at, self.location = at, location
        current = metadata.get("current-snapshot-id")
        self.snapshots = metadata.get("snapshots", [])
        self.summary = next((s["summary"] for s in self.snapshots if s["snapshot-id"] == current), {})

    def number(self, name):
        return int(self.summary.get(name, 0))

    def next_offset(self):
        """The mirror's own word: every record before this offset is in the table."""
        return max((int(part.rsplit(":", 1)[1]) for part in self.summary.get("cdc.next-offsets", "").split()), default=0)

    def rows(self):
        return self.number("total-records")


class Catalog:
    """The JDBC catalog of both sinks."""

    def __init__(self, folder):
        self.script = os.path.join(DEV, "postgres")
        info = described(self.script, "start", NAME, "--fresh", "--json")
        self.port, self.version = info["port"], info["version"]
        self.warehouse = os.path.join(folder, "warehouse")
        os.makedirs(self.warehouse, exist_ok=True)
        script(self.script, "sql", NAME, "postgres", "-c", "CREATE DATABASE lake")
        self.connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="admin", password="admin", dbname="lake")
        self.connection.autocommit = True
        self.heads = {}
        # Two clients that make them at once disturb each other.
        with self.connection.cursor() as cursor:
            cursor.execute(TABLES)

    def uri(self):
        return "jdbc:postgresql://127.0.0.1:%d/lake" % self.port

    def prepare(self, catalog):
        """Makes the namespace, which the Apache sink would try to make from several clients."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO iceberg_namespace_properties VALUES (%s, 'bench', 'exists', 'true') ON CONFLICT DO NOTHING", (catalog,)
            )

    def head(self, catalog):
        """Of `bench.orders`. `None` until there is a table; the same object as long as its metadata is the same."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT metadata_location FROM iceberg_tables"
                " WHERE catalog_name = %s AND table_namespace = 'bench' AND table_name = 'orders'", (catalog,)
            )
            row = cursor.fetchone()
        if row is None:
            return None
        known = self.heads.get(catalog)
        if known is None or known.location != row[0]:
            at = time.time()
            with open(urlparse(row[0]).path, encoding="utf-8") as file:
                known = Head(at, row[0], json.load(file))
            self.heads[catalog] = known
        return known

    def remove(self):
        self.connection.close()
        script(self.script, "rm", NAME)


# As Iceberg's Java library makes them.
TABLES = """
CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name));
CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000), PRIMARY KEY (catalog_name, namespace, property_key));
"""
