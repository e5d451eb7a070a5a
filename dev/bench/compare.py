"""What dev/bench/run starts: the parts of the comparison, one after the other, each on servers of its own."""

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import time

from processes import Failed, end_all, load_average
from report import TITLES, Report, text, write_docs
from servers import Catalog, Kafka, Mysql

# The servers that each needs.
PARTS = {"source": "mysql", "kafka": "mysql kafka", "sink": "mysql kafka catalog", "pipe": "mysql kafka catalog",
         "fresh": "mysql kafka catalog", "load": "mysql kafka"}


class Bench:
    """What a part works with."""

    def __init__(self, options):
        self.quick, self.out = options.quick, options.out
        self.binaries, self.peers, self.java = options.binaries, options.peers, options.java
        self.data = os.path.join(options.out, "data")
        self.mysql = self.kafka = self.catalog = None
        self.versions = {}
        self.servers = 0
        self.began = time.monotonic()

    def say(self, what):
        print("%4d s, load %s: %s" % (time.monotonic() - self.began, load_average(), what), file=sys.stderr, flush=True)

    def server_id(self):
        """Another one for each reader among the server's replicas."""
        self.servers += 1
        return str(184_000 + self.servers)

    def begin(self, servers):
        os.makedirs(self.data, exist_ok=True)
        self.mysql = Mysql()
        self.versions["MySQL"] = self.mysql.version
        if "kafka" in servers:
            self.kafka = Kafka()
            self.versions["Kafka"] = self.kafka.version
        if "catalog" in servers:
            self.catalog = Catalog(self.data)

    def end(self, keep):
        end_all()
        for server in (self.catalog, self.kafka, self.mysql):
            if server is not None:
                server.remove()
        self.mysql = self.kafka = self.catalog = None
        if not keep:
            shutil.rmtree(self.data, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="dev/bench/run")
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--quick", action="store_true")
    for name in ("out", "binaries", "peers", "java", "document"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--version", action="append", default=[])
    parser.add_argument("--docs", action="store_true")
    options = parser.parse_args()
    bench = Bench(options)
    bench.versions.update(version.split("=", 1) for version in options.version)
    report = Report(bench.quick, bench.versions)
    path = os.path.join(bench.out, "compared.json")
    for name in options.parts or PARTS:
        bench.say(TITLES[name])
        failed = True
        try:
            bench.begin(PARTS[name])
            importlib.import_module("part_" + name).run(bench, report)
            failed = False
        finally:
            bench.end(keep=failed)
        # What is there is kept, if a later part fails.
        report.write(path)
    print(text(report.data))
    print("figures: %s" % path)
    if options.docs:
        write_docs(report.data, options.document)


def ended(_signal, _frame):
    raise Failed("it was asked to end")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, ended)
    try:
        main()
    except (Failed, OSError, ValueError, json.JSONDecodeError) as e:
        print("error: %s" % e, file=sys.stderr)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
