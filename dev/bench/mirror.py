"""Our side: `cdc-source` and `iceberg-sink`, each a process with one file of configuration."""

import json
import os

from processes import Process


def write_toml(path, sections):
    """Keys and strings of TOML are written as in JSON."""
    with open(path, "w", encoding="utf-8") as file:
        for section, values in sections.items():
            file.write("[%s]\n" % section)
            for key, value in values.items():
                file.write("%s = %s\n" % (json.dumps(key), json.dumps(value)))
            file.write("\n")


class Mirror:
    """The two halves over Kafka, of one topic prefix; the table is `bench.orders` in the catalog of the same name.

    `cdc-source` has the defaults of its own but for the schemas in the events, `iceberg-sink` all of its own.
    """

    def __init__(self, bench, prefix, schemas=False):
        self.prefix, self.topic = prefix, prefix + ".bench.orders"
        self.binaries = bench.binaries
        self.folder = os.path.join(bench.data, "mirror-" + prefix)
        os.makedirs(self.folder, exist_ok=True)
        self.toml = os.path.join(self.folder, "mirror.toml")
        events = {"value.converter.schemas.enable": schemas, "key.converter.schemas.enable": schemas}
        write_toml(self.toml, {
            "source": {
                "database.hostname": "127.0.0.1", "database.port": bench.mysql.port, "database.user": "mirror",
                "database.password": "mirror", "topic.prefix": prefix, "table.include.list": r"bench\.orders", **events,
            },
            "log": {
                "type": "kafka", "bootstrap.servers": bench.kafka.servers, "dir": os.path.join(self.folder, "log"),
                "topic.creation.default.replication.factor": 1,
            },
            "sink": {
                "iceberg.catalog": prefix, "iceberg.catalog.uri": bench.catalog.uri() if bench.catalog else "",
                "iceberg.catalog.jdbc.user": "admin", "iceberg.catalog.jdbc.password": "admin",
                "iceberg.catalog.warehouse": os.path.join(self.folder, "warehouse"),
            } if bench.catalog else {},
        })

    def source(self, limit=None):
        return self.start("cdc-source", limit)

    def sink(self, limit=None):
        return self.start("iceberg-sink", limit)

    def start(self, program, limit):
        command = [os.path.join(self.binaries, program), "-c", self.toml, "--listen", "none"]
        return Process(command, self.folder, program, limit)
