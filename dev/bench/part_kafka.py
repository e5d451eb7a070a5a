"""The sources into Kafka: `cdc-source`, and Debezium on a standalone worker; one broker, acks=all on both sides.

The worker has read a smaller table with the same connector before, and what it uses counts from its first record on; `cdc-source`
counts from the start of its process. What the broker uses is counted apart.
"""

import time

from connect import Worker
from mirror import Mirror
from processes import load_average, until
from servers import LastRow

SIZES = {True: (20_000, 60_000), False: (60_000, 300_000)}


def run(bench, report):
    warm, rows = SIZES[bench.quick]
    worker = Worker(bench, "source", ["debezium"], "1g")
    bench.say("Debezium warms up on %d rows" % warm)
    bench.mysql.load(warm)
    worker.source("warm")
    complete(bench, worker, "warm", "warm.bench.orders", warm)
    worker.stop("warm")
    bench.say("snapshot of %d rows" % rows)
    bench.mysql.load(rows)
    mirror = Mirror(bench, "ours")
    source = mirror.source()
    ours = measure(bench, source, mirror.topic, 0, lambda end: end >= rows, rows, from_start=True)
    bench.kafka.settled(mirror.topic, [source])
    source.end()
    worker.source("theirs")
    theirs = measure(bench, worker.process, "theirs.bench.orders", 0, lambda end: end >= rows, rows)
    complete(bench, worker, "theirs", "theirs.bench.orders", rows)
    tell(report, "snapshot", ours, theirs)
    # Both are down while the changes are made, and read them as a backlog.
    worker.stop("theirs")
    begins = {topic: bench.kafka.end_offset(topic) for topic in (mirror.topic, "theirs.bench.orders")}
    bench.say("%d changes" % rows)
    bench.mysql.call("backlog", rows)
    bench.mysql.mark()
    source = mirror.source()
    last = LastRow(bench.kafka, mirror.topic)
    ours = measure(bench, source, mirror.topic, begins[mirror.topic], lambda _: last.offset() is not None, rows + 1, from_start=True)
    source.end()
    worker.resume("theirs")
    last = LastRow(bench.kafka, "theirs.bench.orders")
    begin = begins["theirs.bench.orders"]
    theirs = measure(bench, worker.process, "theirs.bench.orders", begin, lambda _: last.offset() is not None, rows + 1)
    worker.must_work("theirs")
    worker.end()
    tell(report, "stream", ours, theirs)


def complete(bench, worker, name, topic, rows):
    """Waits until the snapshot is in the topic, and the connector follows the server."""
    until("the snapshot is in " + topic, 600, lambda: bench.kafka.end_offset(topic) >= rows, 0.2, [worker.process])
    worker.must_work(name)
    bench.kafka.settled(topic, [worker.process])


def measure(bench, process, topic, begin, done, rows, from_start=False):
    """From the first record in the topic behind `begin` (or from the start of the process) until `done` says so of its end."""
    load, began = load_average(), time.monotonic()
    cpu, broker, first, at_first = 0 if from_start else None, bench.kafka.cpu(), None, None
    while True:
        end = bench.kafka.end_offset(topic)
        if first is None and end > begin:
            first, at_first = end if not from_start else begin, process.cpu()
            if not from_start:
                began, cpu, broker = time.monotonic(), at_first, bench.kafka.cpu()
        if end > begin and done(end):
            break
        process.must_run()
        if time.monotonic() - began > 600:
            process.must_run()
            raise TimeoutError("%s has %d of %d rows after 600 s\n%s" % (topic, end - begin, rows, process.last_words()))
        time.sleep(0.02)
    seconds, used = time.monotonic() - began, process.cpu() - cpu
    counted = rows - (first - begin)
    return {
        "rows": counted, "seconds": seconds, "cpu_seconds": used, "rows_per_cpu_second": counted / max(used, 0.01),
        "rows_per_second": counted / seconds, "broker_cpu_seconds": bench.kafka.cpu() - broker, "peak_rss_mib": process.peak(),
        "cpu_seconds_at_first_record": at_first, "load_before": load,
    }


def tell(report, what, ours, theirs):
    report.more("kafka", what, "rows per CPU-second", ours["rows_per_cpu_second"], theirs["rows_per_cpu_second"])
    report.more("kafka", what, "rows a second", ours["rows_per_second"], theirs["rows_per_second"])
    report.less(
        "kafka", what, "broker's CPU, us a row", *(1e6 * side["broker_cpu_seconds"] / side["rows"] for side in (ours, theirs))
    )
    report.less("kafka", what, "peak MiB", ours["peak_rss_mib"], theirs["peak_rss_mib"])
    report.keep("kafka", what, ours, theirs)
