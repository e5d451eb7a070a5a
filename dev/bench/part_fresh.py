"""Freshness: from a COMMIT at the source to the snapshot of the table that has the change, at 1,000 changes a second.

An observer asks the catalog every 5 ms for the table's newest snapshot. Ours says up to which offset of the topic it reaches; in the Apache sink's,
which appends the events of one partition in order, the number of rows says it. The topic is read afterwards: the n-th event
behind the first rows is the n-th change. The first ten seconds do not count. Ours runs with 256 MB of memory for each half, where control groups can be made.
"""

import os
import subprocess
import threading
import time

from connect import Worker
from mirror import Mirror
from processes import Failed, MemoryLimit, load_average, until

RATE = 1_000
ROWS = 2_000
# The first of them do not count: the pair's code is not compiled yet.
WARM_SECONDS = {True: 5, False: 10}
SECONDS = {True: 8, False: 60}
LIMIT_MIB = 256
# Of the pair; ours is 500 ms, its default.
INTERVALS_MS = {True: (1_000,), False: (1_000, 5_000)}


def run(bench, report):
    warm = WARM_SECONDS[bench.quick]
    seconds = warm + SECONDS[bench.quick]
    bench.say("cdc-source and iceberg-sink, %d s" % seconds)
    ours = our_run(bench, seconds, warm)
    for interval in INTERVALS_MS[bench.quick]:
        bench.say("Debezium and the Apache sink, a commit each %d ms, %d s" % (interval, seconds))
        theirs = their_run(bench, seconds, warm, interval)
        what = "commits each 500 ms; the pair's each %s ms" % format(interval, ",d")
        for name in ("p50_ms", "p99_ms", "max_ms"):
            report.less("fresh", what, name.replace("_ms", ", ms"), ours[name], theirs[name])
        report.less("fresh", what, "CPU us a change, both halves", ours["cpu_us_per_change"], theirs["cpu_us_per_change"])
        report.less("fresh", what, "peak MiB, source and sink", ours["peak_rss_mib"], theirs["peak_rss_mib"])
        report.keep("fresh", what, ours, theirs)
    report.plain("fresh", "iceberg-sink alone", "peak MiB", ours["sink_peak_rss_mib"], None)
    report.plain("fresh", "cdc-source alone", "peak MiB", ours["source_peak_rss_mib"], None)
    report.plain("fresh", "each under a limit of", "MiB", ours["limit_mib"], None)


class Observer(threading.Thread):
    """When which progress of a table was seen first."""

    def __init__(self, bench, catalog, progress):
        super().__init__(daemon=True)
        self.bench, self.catalog, self.progress = bench, catalog, progress
        self.seen, self.failure, self.ending = [], None, False
        self.start()

    def run(self):
        try:
            while not self.ending:
                head = self.bench.catalog.head(self.catalog)
                if head is not None and (not self.seen or self.seen[-1][2] is not head):
                    self.seen.append((head.at, self.progress(head), head))
                time.sleep(0.005)
        except Exception as e:  # it is told where it is waited for
            self.failure = e

    def reached(self, progress):
        if self.failure is not None:
            raise self.failure
        return bool(self.seen) and self.seen[-1][1] >= progress

    def end(self):
        self.ending = True
        self.join()


def write(bench, seconds, warm, cpu):
    """Makes the changes; returns when each COMMIT had returned, and what had been used by the time from which on it counts."""
    path = os.path.join(bench.data, "transactions")
    command = [os.path.join(bench.binaries, "paced-writer"), *map(str, (bench.mysql.port, RATE, seconds, ROWS, path))]
    used = []
    sample = threading.Timer(warm, lambda: used.append(cpu()))
    sample.start()
    subprocess.run(command, check=True, timeout=seconds + 120)
    sample.join()
    with open(path, encoding="ascii") as file:
        return [float(line.split()[2]) for line in file], used[0]


def delays(commits, visible, warm):
    """`visible`: for each change when it was seen; `warm`: the seconds at first that do not count."""
    if len(commits) != len(visible):
        raise Failed("%d changes were made, and %d are in the topic" % (len(commits), len(visible)))
    found = sorted(1e3 * (seen - commit) for commit, seen in zip(commits[RATE * warm :], visible[RATE * warm :]))
    return {
        "changes": len(found), "p50_ms": found[len(found) // 2], "p99_ms": found[int(len(found) * 0.99)], "max_ms": found[-1],
        "changes_per_second": (len(commits) - 1) / (commits[-1] - commits[0]),
    }


def when(seen, progress):
    """When each progress, ascending, was reached."""
    found, at = [], 0
    for value in progress:
        while seen[at][1] < value:
            at += 1
        found.append(seen[at][0])
    return found


def our_run(bench, seconds, warm):
    bench.mysql.load(ROWS)
    mirror = Mirror(bench, "fresh")
    limits = [MemoryLimit.make(name, LIMIT_MIB) for name in ("source", "sink")]
    load = load_average()
    halves = [mirror.source(limits[0]), mirror.sink(limits[1])]
    observer = Observer(bench, "fresh", lambda head: head.next_offset())
    until("the first rows are in the topic", 60, lambda: bench.kafka.end_offset(mirror.topic) >= ROWS, 0.1, halves)
    first = bench.kafka.settled(mirror.topic, halves)
    until("the first rows are in the table", 60, lambda: observer.reached(ROWS), 0.1, halves)
    commits, cpu = write(bench, seconds, warm, lambda: sum(h.cpu() for h in halves))
    end = bench.kafka.settled(mirror.topic, halves)
    offsets = [offset for offset, _ in bench.kafka.values(mirror.topic, first, end)]
    until("the last change is in the table", 60, lambda: observer.reached(offsets[-1] + 1), 0.05, halves)
    cpu = sum(h.cpu() for h in halves) - cpu
    observer.end()
    peaks = [h.peak() for h in halves]
    for half in halves:
        half.end()
    for limit in limits:
        if limit is not None:
            limit.remove()
    return {
        **delays(commits, when(observer.seen, [offset + 1 for offset in offsets]), warm),
        "cpu_us_per_change": 1e6 * cpu / (len(commits) - RATE * warm),
        "peak_rss_mib": sum(peaks), "source_peak_rss_mib": peaks[0], "sink_peak_rss_mib": peaks[1],
        "limit_mib": LIMIT_MIB if None not in limits else None, "heads": len(observer.seen), "load_before": load,
    }


def their_run(bench, seconds, warm, interval):
    bench.mysql.load(ROWS)
    name = "pair%d" % interval
    topic = name + ".bench.orders"
    worker = Worker(bench, name, ["debezium", "iceberg"], "2g")
    load = load_average()
    worker.source(name)
    worker.sink(name + "_sink", topic, False, interval)
    observer = Observer(bench, name + "_sink", lambda head: head.rows())
    until("the first rows are in the table", 180, lambda: observer.reached(ROWS), 0.1, [worker.process])
    bench.kafka.settled(topic, [worker.process])
    commits, cpu = write(bench, seconds, warm, worker.cpu)
    until("the last change is in the table", 180, lambda: observer.reached(ROWS + len(commits)), 0.05, [worker.process])
    cpu = worker.cpu() - cpu
    observer.end()
    peak = worker.peak()
    worker.end()
    return {
        **delays(commits, when(observer.seen, range(ROWS + 1, ROWS + len(commits) + 1)), warm),
        "cpu_us_per_change": 1e6 * cpu / (len(commits) - RATE * warm),
        "peak_rss_mib": peak, "heads": len(observer.seen), "load_before": load,
    }
