"""Their side: a worker of Kafka Connect with Debezium's connector for MySQL and the Apache Iceberg sink."""

import json
import os
import socket
import urllib.error
import urllib.request

from processes import Failed, Process, until

LOGGING = """
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p [%t] %m (%c{1})%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=OUT
logger.config.name=org.apache.kafka.common.config
logger.config.level=WARN
logger.connect.name=org.apache.kafka.connect.runtime.ConnectorConfig
logger.connect.level=WARN
"""


def java(bench, heap):
    """Java as its makers ship it, but for the heap."""
    logging = os.path.join(bench.data, "log4j2.properties")
    with open(logging, "w", encoding="utf-8") as file:
        file.write(LOGGING)
    return [bench.java, "-Xmx" + heap, "-Dlog4j2.configurationFile=" + logging, "-Djava.awt.headless=true"]


def class_path(*folders):
    return ":".join(os.path.join(folder, "*") for folder in folders)


def debezium(bench, prefix, schemas, tables=r"bench\.orders"):
    """The connector's settings that the engine and the worker share: its defaults, one table, JSON."""
    return {
        "connector.class": "io.debezium.connector.mysql.MySqlConnector",
        "tasks.max": "1",
        "database.hostname": "127.0.0.1",
        "database.port": str(bench.mysql.port),
        # To hold the global read lock while it begins takes more rights than our reader needs.
        "database.user": "admin",
        "database.password": "admin",
        "database.server.id": bench.server_id(),
        "topic.prefix": prefix,
        "table.include.list": tables,
        "key.converter.schemas.enable": str(schemas).lower(),
        "value.converter.schemas.enable": str(schemas).lower(),
    }


class Worker:
    """A standalone worker."""

    def __init__(self, bench, name, plugins, heap):
        self.bench = bench
        self.folder = os.path.join(bench.data, "connect-" + name)
        # A plugin is a folder in one that the path names.
        os.makedirs(os.path.join(self.folder, "plugins"))
        for plugin in plugins:
            os.symlink(os.path.join(bench.peers, "plugins", plugin), os.path.join(self.folder, "plugins", plugin))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = "http://127.0.0.1:%d/connectors" % port
        properties = os.path.join(self.folder, "worker.properties")
        with open(properties, "w", encoding="utf-8") as file:
            for key, value in {
                "bootstrap.servers": bench.kafka.servers,
                "key.converter": "org.apache.kafka.connect.json.JsonConverter",
                "value.converter": "org.apache.kafka.connect.json.JsonConverter",
                "offset.storage.file.filename": os.path.join(self.folder, "offsets"),
                "offset.flush.interval.ms": "1000",
                "listeners": "http://127.0.0.1:%d" % port,
                "plugin.path": os.path.join(self.folder, "plugins"),
                "plugin.discovery": "service_load",
            }.items():
                file.write("%s=%s\n" % (key, value))
        command = [
            *java(bench, heap), "-cp", class_path(os.path.join(bench.peers, "connect")),
            "org.apache.kafka.connect.cli.ConnectStandalone", properties,
        ]
        self.process = Process(command, self.folder, "connect")
        until("Kafka Connect answers", 300, self.answers, 0.2, [self.process])

    def answers(self):
        try:
            return self.ask("GET", "") is not None
        except (OSError, Failed):
            return False

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
                return json.loads(text) if text else {}
        except urllib.error.HTTPError as e:
            raise Failed("Kafka Connect refuses %s %s: %s" % (method, path, e.read().decode(errors="replace")[:500])) from e

    def put(self, name, config):
        self.ask("PUT", "/%s/config" % name, config)

    def must_work(self, name):
        """A task that has failed says so to those who ask; nobody starts it again."""
        self.process.must_run()
        for task in self.ask("GET", "/%s/status" % name).get("tasks", []):
            if task["state"] == "FAILED":
                raise Failed("the task of %s has failed: %s" % (name, task.get("trace", "")[:2000]))

    def stop(self, name):
        """Ends its tasks; their offsets are kept."""
        self.ask("PUT", "/%s/stop" % name)
        until("%s has stopped" % name, 60, lambda: self.state(name) == "STOPPED", 0.1, [self.process])

    def resume(self, name):
        self.ask("PUT", "/%s/resume" % name)

    def state(self, name):
        status = self.ask("GET", "/%s/status" % name)
        return "RUNNING" if status["tasks"] else status["connector"]["state"]

    def source(self, prefix, schemas=False):
        """Debezium, into the topics of this prefix."""
        self.put(prefix, {
            **debezium(self.bench, prefix, schemas),
            "schema.history.internal.kafka.bootstrap.servers": self.bench.kafka.servers,
            "schema.history.internal.kafka.topic": prefix + "-history",
            "topic.creation.enable": "true",
            "topic.creation.default.replication.factor": "1",
            "topic.creation.default.partitions": "1",
            "producer.override.acks": "all",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        })

    def sink(self, name, topic, schemas, interval_ms):
        """The Apache sink: the table is `bench.orders` in the catalog `name`; with the transform that unpacks Debezium's events."""
        self.bench.catalog.prepare(name)
        self.bench.kafka.create("control-" + name)
        self.put(name, {
            "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
            "tasks.max": "1",
            "topics": topic,
            "consumer.override.auto.offset.reset": "earliest",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": str(schemas).lower(),
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": str(schemas).lower(),
            "transforms": "debezium",
            "transforms.debezium.type": "org.apache.iceberg.connect.transforms.DebeziumTransform",
            "iceberg.tables": "bench.orders",
            "iceberg.tables.auto-create-enabled": "true",
            "iceberg.control.topic": "control-" + name,
            "iceberg.control.commit.interval-ms": str(interval_ms),
            "iceberg.catalog": name,
            "iceberg.catalog.type": "jdbc",
            "iceberg.catalog.uri": self.bench.catalog.uri(),
            "iceberg.catalog.jdbc.user": "admin",
            "iceberg.catalog.jdbc.password": "admin",
            "iceberg.catalog.jdbc.schema-version": "V1",
            "iceberg.catalog.warehouse": "file://" + os.path.join(self.folder, "warehouse"),
            "iceberg.catalog.io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
        })

    def cpu(self):
        return self.process.cpu()

    def peak(self):
        return self.process.peak()

    def end(self):
        self.process.end(20)
