"""The sinks on the same topics: inserts without and with embedded schemas, and changes of rows that are in the table.

`cdc-source` writes the topics beforehand. Our sink is counted from its start, whatever belongs to it included, until two seconds
after the last row was committed (tables are tidied up then), and it keeps the table equal to the source: a change of a row replaces it. The Apache sink
appends every event; it is counted from its start on a worker that runs, or from its first commit, when its code is compiled, whichever is better for it.
"""

import time

from connect import Worker
from mirror import Mirror
from processes import Failed, load_average, until
from servers import LastRow

SIZES = {True: (150_000, 60_000, 60_000), False: (1_000_000, 400_000, 300_000)}
# Ours is 500 ms, its default.
THEIR_INTERVAL_MS = {True: 5_000, False: 10_000}


def run(bench, report):
    inserts, with_schemas, changes = SIZES[bench.quick]
    plain, schemas = Mirror(bench, "plain"), Mirror(bench, "schemas", True)
    last = write_inserts(bench, plain, schemas, inserts, with_schemas)
    for mirror, what, rows in ((plain, "appends", inserts), (schemas, "appends, with schemas", with_schemas)):
        bench.say("%s: the Apache sink" % what)
        worker = Worker(bench, "sink-" + mirror.prefix, ["iceberg"], "2g")
        worker.sink("theirs_" + mirror.prefix, mirror.topic, mirror is schemas, THEIR_INTERVAL_MS[bench.quick])
        theirs = measure_theirs(bench, worker, "theirs_" + mirror.prefix, 0, rows)
        worker.end()
        bench.say("%s: iceberg-sink" % what)
        ours = measure_ours(bench, mirror, last[mirror.prefix], rows)
        if ours["records_in_files"] != rows:
            raise Failed("%d rows are in the table, %d were written" % (ours["records_in_files"], rows))
        tell(report, what, ours, theirs)
    run_changes(bench, report, changes)


def write_inserts(bench, plain, schemas, inserts, with_schemas):
    """All rows into the one topic, the first of them into the other; returns the offsets of the last ones."""
    bench.say("writing %d and %d rows to topics" % (inserts, with_schemas))
    bench.mysql.load(0)
    sources = {m.prefix: m.source() for m in (plain, schemas)}
    last = {}
    for mirror in (plain, schemas):
        # Behind the snapshot of no rows.
        bench.kafka.settled("__cdc.progress." + mirror.prefix, [sources[mirror.prefix]])
    for mirror, rows, more in ((schemas, with_schemas, with_schemas), (plain, inserts, inserts - with_schemas)):
        bench.mysql.call("inserts", more)
        row = LastRow(bench.kafka, mirror.topic, rows)
        last[mirror.prefix] = until("the inserts are in " + mirror.topic, 300, row.offset, 0.2, [sources[mirror.prefix]])
        sources[mirror.prefix].end()
    return last


def run_changes(bench, report, changes):
    """A table of as many rows as there are changes: 60 % updates, 30 % inserts, 10 % deletes, one fifth in transactions of one row."""
    bench.say("changes of a table of %d rows" % changes)
    mirror = Mirror(bench, "changes")
    bench.mysql.load(changes)
    source = mirror.source()
    until("the table's rows are in " + mirror.topic, 120, lambda: bench.kafka.end_offset(mirror.topic) >= changes, 0.1, [source])
    end = bench.kafka.settled(mirror.topic, [source])
    last = max(offset for offset, _ in bench.kafka.values(mirror.topic, end - 100, end))
    measure_ours(bench, mirror, last, changes)
    worker = Worker(bench, "sink-changes", ["iceberg"], "2g")
    worker.sink("theirs_changes", mirror.topic, False, THEIR_INTERVAL_MS[bench.quick])
    rows_of_theirs(bench, worker, "theirs_changes", changes)
    worker.stop("theirs_changes")
    bench.mysql.call("backlog", changes)
    bench.mysql.mark()
    last = until("the changes are in " + mirror.topic, 300, LastRow(bench.kafka, mirror.topic).offset, 0.2, [source])
    source.end()
    bench.say("changes: the Apache sink")
    worker.resume("theirs_changes")
    theirs = measure_theirs(bench, worker, "theirs_changes", changes, 2 * changes + 1)
    worker.end()
    bench.say("changes: iceberg-sink")
    ours = measure_ours(bench, mirror, last, changes + 1)
    tell(report, "changes: ours upserts, theirs appends", ours, theirs)


def measure_ours(bench, mirror, last, rows):
    load, broker = load_average(), bench.kafka.cpu()
    began = time.time()
    sink = mirror.sink()

    def applied():
        head = bench.catalog.head(mirror.prefix)
        return head if head is not None and head.next_offset() > last else None

    head = until("all rows are in the table of iceberg-sink", 300, applied, 0.02, [sink])
    seconds = head.at - began
    time.sleep(2)
    cpu, peak, broker = sink.cpu(), sink.peak(), bench.kafka.cpu() - broker
    sink.end()
    head = bench.catalog.head(mirror.prefix)
    return {
        "rows": rows, "seconds": seconds, "cpu_seconds": cpu, "rows_per_cpu_second": rows / cpu, "peak_rss_mib": peak,
        "broker_cpu_seconds": broker, "records_in_files": head.rows(), **files(head), "load_before": load,
    }


def files(head):
    return {
        "snapshots": len(head.snapshots), "data_files": head.number("total-data-files"),
        "delete_files": head.number("total-delete-files"), "bytes": head.number("total-files-size"),
    }


def rows_of_theirs(bench, worker, catalog, rows):
    """Waits until so many rows are in the table of the Apache sink; returns what was seen at each commit."""
    seen, asked = [], [time.monotonic()]

    def commit():
        head = bench.catalog.head(catalog)
        if head is not None and (not seen or seen[-1][0] is not head):
            seen.append((head, worker.cpu()))
        if time.monotonic() - asked[0] > 5:
            asked[0] = time.monotonic()
            worker.must_work(catalog)
        return seen and seen[-1][0].rows() >= rows

    until("all rows are in the table of the Apache sink", 600, commit, 0.02, [worker.process])
    return seen


def measure_theirs(bench, worker, catalog, before, after):
    load, began, cpu, broker = load_average(), time.time(), worker.cpu(), bench.kafka.cpu()
    seen = [(head, at) for head, at in rows_of_theirs(bench, worker, catalog, after) if head.rows() > before]
    head, at_end = seen[-1]
    if head.rows() != after:
        raise Failed("%d rows are in the table of the Apache sink, not %d" % (head.rows(), after))
    # Cold and whole, or warm from its first commit on, which has few rows left where the first commit took most: what is better for it.
    rates = [(after - before) / max(at_end - cpu, 0.01)]
    if len(seen) > 1:
        rates.append((after - seen[0][0].rows()) / max(at_end - seen[0][1], 0.01))
    return {
        "rows": after - before, "seconds": head.at - began, "cpu_seconds": at_end - cpu, "rows_per_cpu_second": max(rates),
        "rows_per_cpu_second_of_all_and_from_first_commit": rates, "peak_rss_mib": worker.peak(), "broker_cpu_seconds": bench.kafka.cpu() - broker,
        "records_in_files": head.rows(), **files(head), "load_before": load,
    }


def tell(report, what, ours, theirs):
    report.more("sink", what, "rows per CPU-second", ours["rows_per_cpu_second"], theirs["rows_per_cpu_second"])
    report.less("sink", what, "peak MiB", ours["peak_rss_mib"], theirs["peak_rss_mib"])
    report.plain("sink", what, "data files", ours["data_files"], theirs["data_files"])
    report.plain("sink", what, "delete files", ours["delete_files"], theirs["delete_files"])
    report.less("sink", what, "MB of files", ours["bytes"] / 1e6, theirs["bytes"] / 1e6)
    report.keep("sink", what, ours, theirs)
