"""The source's own users: how long their transactions take with no reader, and beside each.

A writer makes 500 transactions a second; a transaction's time counts from when it was due, as a user who waits behind another one waits
as well. A reader first reads the table, then follows; both go into Kafka.
"""

import os
import time

from connect import Worker
from mirror import Mirror
from processes import Failed, Helper, load_average, until

RATE = 500
ROWS = {True: 60_000, False: 300_000}
ALONE_SECONDS = {True: 6, False: 15}
FOLLOW_SECONDS = {True: 5, False: 15}


def run(bench, report):
    rows = ROWS[bench.quick]
    bench.mysql.load(rows)
    bench.say("no reader")
    alone = times(Writer(bench, "alone", ALONE_SECONDS[bench.quick]).transactions(), 0, float("inf"))
    # Each time anew, as the inserted rows have the same keys.
    bench.mysql.load(rows)
    bench.say("cdc-source")
    mirror = Mirror(bench, "load")
    ours = beside(bench, "ours", mirror.topic, rows, mirror.source)
    bench.mysql.load(rows)
    worker = Worker(bench, "load", ["debezium"], "1g")
    bench.say("Debezium")

    def begin():
        worker.source("theirs")
        return worker.process

    theirs = beside(bench, "theirs", "theirs.bench.orders", rows, begin, lambda: worker.must_work("theirs"))
    for name in ("p50_ms", "p99_ms", "max_ms"):
        unit = "of a transaction, " + name.replace("_ms", ", ms")
        report.plain("load", "no reader", unit, alone[name], alone[name])
    for phase, what in (("read", "while the table is read"), ("follow", "while changes are followed")):
        for name in ("p50_ms", "p99_ms", "max_ms"):
            report.less("load", what, "of a transaction, " + name.replace("_ms", ", ms"), ours[phase][name], theirs[phase][name])
        report.keep("load", what, {"alone": alone, **ours[phase]}, theirs[phase])
    report.less("load", "reading the table took", "seconds", ours["read_seconds"], theirs["read_seconds"])


class Writer(Helper):
    """The users, as a process: for so many seconds, or until they are told to end."""

    def __init__(self, bench, name, seconds=0):
        self.path = os.path.join(bench.data, "transactions-" + name)
        command = [os.path.join(bench.binaries, "paced-writer"), *map(str, (bench.mysql.port, RATE, seconds, 1_000, self.path))]
        super().__init__(command)

    def transactions(self):
        """When each was due, and ended."""
        if self.wait(600) != 0:
            raise Failed("paced-writer ended with code %d" % self.child.returncode)
        with open(self.path, encoding="ascii") as file:
            return [(float(due), float(ended)) for due, _, ended in map(str.split, file)]


def times(transactions, begin, end):
    """Of those that were due between two moments."""
    found = sorted(1e3 * (ended - due) for due, ended in transactions if begin <= due < end)
    if not found:
        raise Failed("no transaction was due between %f and %f" % (begin, end))
    return {
        "transactions": len(found), "p50_ms": found[len(found) // 2], "p99_ms": found[int(len(found) * 0.99)], "max_ms": found[-1]
    }


def beside(bench, name, topic, rows, begin, must_work=lambda: None):
    """A reader that begins while transactions go on, reads the table and follows for a while."""
    load = load_average()
    writer = Writer(bench, name)
    time.sleep(1)
    began = time.time()
    reader = begin()
    until("the table has been read into " + topic, 300, lambda: bench.kafka.end_offset(topic) >= rows, 0.05, [reader])
    read = time.time()
    # A second for catching up with what was changed meanwhile.
    time.sleep(1 + FOLLOW_SECONDS[bench.quick])
    end = time.time()
    reader.must_run()
    must_work()
    transactions = writer.transactions()
    reader.end()
    return {
        "read": times(transactions, began, read), "follow": times(transactions, read + 1, end), "read_seconds": read - began,
        "load_before": load,
    }
