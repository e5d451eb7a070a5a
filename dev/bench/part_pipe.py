"""The whole pipe by the clock on the wall: from an empty mirror to all rows being in the table that others read.

A table is there; once its first row is in the topic, rows are updated and inserted as fast as the server takes it. Ours begins with the start of
`cdc-source` and `iceberg-sink`; the pair with the creation of its two connectors, on a worker that is up already.
"""

import threading
import time

from connect import Worker
from mirror import Mirror
from processes import load_average, until
from servers import LastRow

# Rows, changes.
SIZES = {True: (60_000, 10_000), False: (500_000, 100_000)}
# Ours is 500 ms, its default.
THEIR_INTERVAL_MS = 1_000


def run(bench, report):
    rows, changes = SIZES[bench.quick]
    bench.say("%d rows and %d changes: cdc-source and iceberg-sink" % (rows, changes))
    ours = our_run(bench, rows, changes)
    bench.say("%d rows and %d changes: Debezium and the Apache sink" % (rows, changes))
    theirs = their_run(bench, rows, changes)
    what = "%s rows and %s changes" % (format(rows, ",d"), format(changes, ",d"))
    report.less("pipe", what, "seconds", ours["seconds"], theirs["seconds"])
    report.less("pipe", what, "CPU seconds", ours["cpu_seconds"], theirs["cpu_seconds"])
    report.less("pipe", what, "peak MiB, both halves", ours["peak_rss_mib"], theirs["peak_rss_mib"])
    report.keep("pipe", what, ours, theirs)


class Changes(threading.Thread):
    """Waits for the first row in a topic, then makes the changes."""

    def __init__(self, bench, topic, changes):
        super().__init__(daemon=True)
        self.bench, self.topic, self.changes = bench, topic, changes
        self.made, self.failure = None, None
        self.start()

    def run(self):
        try:
            until("the first row is in " + self.topic, 300, lambda: self.bench.kafka.end_offset(self.topic) > 0, 0.02)
            # By statements of 100 rows, which the server makes faster than either side reads them.
            self.bench.mysql.call("updates", self.changes // 2)
            self.bench.mysql.call("inserts", self.changes // 2)
            self.bench.mysql.mark()
            self.made = time.time()
        except Exception as e:  # it is told where it is waited for
            self.failure = e

    def last_row(self, last):
        if self.failure is not None:
            raise self.failure
        return last.offset() if self.made else None


def our_run(bench, rows, changes):
    bench.mysql.load(rows)
    mirror = Mirror(bench, "pipe")
    load, began = load_average(), time.time()
    halves = [mirror.source(), mirror.sink()]
    making, last = Changes(bench, mirror.topic, changes), LastRow(bench.kafka, mirror.topic)
    # Looking for it takes the sink's time; so it is looked for once it is likely to be there.
    offset = until("the last row is in the topic", 600, lambda: making.last_row(last), 0.05, halves)

    def applied():
        head = bench.catalog.head(mirror.prefix)
        return head if head is not None and head.next_offset() > offset else None

    head = until("the last row is in the table", 600, applied, 0.01, halves)
    outcome = {
        "seconds": head.at - began, "changes_made_after": making.made - began, "cpu_seconds": sum(h.cpu() for h in halves),
        "peak_rss_mib": sum(h.peak() for h in halves), "load_before": load,
    }
    for half in halves:
        half.end()
    return outcome


def their_run(bench, rows, changes):
    bench.mysql.load(rows)
    worker = Worker(bench, "pipe", ["debezium", "iceberg"], "2g")
    load, began, cpu = load_average(), time.time(), worker.cpu()
    worker.source("pair")
    worker.sink("pair_sink", "pair.bench.orders", False, THEIR_INTERVAL_MS)
    making = Changes(bench, "pair.bench.orders", changes)

    def appended():
        if making.failure is not None:
            raise making.failure
        head = bench.catalog.head("pair_sink")
        return head if head is not None and head.rows() >= rows + changes + 1 else None

    head = until("the last row is in the table", 900, appended, 0.01, [worker.process])
    outcome = {
        "seconds": head.at - began, "changes_made_after": making.made - began, "cpu_seconds": worker.cpu() - cpu,
        "peak_rss_mib": worker.peak(), "load_before": load,
    }
    worker.end()
    return outcome
