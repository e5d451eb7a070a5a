"""The sources alone: events are made, counted and dropped; `encode-and-drop` beside Debezium's engine with `EncodeAndDrop.java`.

Each reads the same rows and changes twice, few and many, in processes of their own; what counts is the difference, so that start,
compilation and warming up are not in it.
"""

import json
import os
import subprocess

from connect import class_path, debezium, java
from processes import Failed, Helper, load_average

SIZES = {True: (20_000, 60_000), False: (60_000, 300_000)}
PATIENCE = 600


def run(bench, report):
    sizes = SIZES[bench.quick]
    for schemas in (False,) if bench.quick else (False, True):
        form = "with schemas" if schemas else "without schemas"
        snapshots = {rows: both(bench, "snapshot", schemas, rows) for rows in sizes}
        tell(report, "snapshot, " + form, snapshots)
        streams = {rows: both(bench, "stream", schemas, rows) for rows in sizes}
        tell(report, "stream, " + form, streams)


def both(bench, what, schemas, rows):
    """One size, measured on both sides: our figures and theirs."""
    bench.say("%s of %d rows%s" % (what, rows, ", with schemas" if schemas else ""))
    bench.mysql.load(rows)
    ours = Runner(bench, "ours", what, schemas, rows)
    if what == "snapshot":
        ours = ours.outcome()
        return ours, Runner(bench, "theirs", what, schemas, rows).outcome()
    # Both have noted the position before the changes are made, and read the same ones.
    theirs = Runner(bench, "theirs", what, schemas, rows)
    for runner in (ours, theirs):
        runner.ready()
    bench.mysql.call("backlog", rows)
    for runner in (ours, theirs):
        runner.go()
        runner.result = runner.outcome()
    return ours.result, theirs.result


class Runner(Helper):
    """A process that reads so many rows, then says what it has used."""

    def __init__(self, bench, side, what, schemas, rows):
        self.side = side
        self.load = load_average()
        folder = os.path.join(bench.data, "%s-%s-%s-%d" % (side, what, schemas, rows))
        os.makedirs(folder)
        if side == "ours":
            command = [
                os.path.join(bench.binaries, "encode-and-drop"), str(bench.mysql.port), what, str(schemas).lower(), "orders", str(rows)
            ]
        else:
            properties = os.path.join(folder, "debezium.properties")
            settings = {
                "name": "bench", **debezium(bench, "bench", schemas), "snapshot.mode": "no_data" if what == "stream" else "initial",
                "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
                "schema.history.internal": "io.debezium.relational.history.MemorySchemaHistory",
            }
            with open(properties, "w", encoding="utf-8") as file:
                for key, value in settings.items():
                    file.write("%s=%s\n" % (key, value.replace("\\", "\\\\")))
            command = [
                *java(bench, "1g"), "-cp", os.path.join(bench.peers, "runner") + ":" + class_path(os.path.join(bench.peers, "embedded")),
                "EncodeAndDrop", properties, what, "bench.bench.orders", str(rows),
            ]
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            super().__init__(command, cwd=folder, stdout=subprocess.PIPE, stderr=log)
        self.lines = self.said()
        self.result = None

    def said(self):
        """What is for us; a log may write to the same stream."""
        for line in self.child.stdout:
            if line.startswith(("ready", "{")):
                yield line
        raise Failed("the source of %s ended without an answer (%s)\n%s" % (self.side, self.child.wait(), self.tail()))

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def ready(self):
        next(self.lines)

    def go(self):
        self.child.stdin.write("go\n")
        self.child.stdin.flush()

    def outcome(self):
        outcome = json.loads(next(self.lines))
        self.wait(PATIENCE)
        return {**outcome, "load_before": self.load}


def tell(report, what, runs):
    (few_ours, few_theirs), (many_ours, many_theirs) = (runs[rows] for rows in sorted(runs))

    def rate(few, many):
        return (many["rows"] - few["rows"]) / max(many["cpu_seconds"] - few["cpu_seconds"], 0.01)

    report.more("source", what, "rows per CPU-second", rate(few_ours, many_ours), rate(few_theirs, many_theirs))
    report.less("source", what, "peak MiB", many_ours["peak_rss_mib"], many_theirs["peak_rss_mib"])
    report.plain("source", what, "bytes a record", *(m["bytes"] / m["records"] for m in (many_ours, many_theirs)))
    report.keep("source", what, [few_ours, many_ours], [few_theirs, many_theirs])
