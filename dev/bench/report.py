"""Figures of both sides: printed, kept as JSON, written into docs/performance.md."""

import json
import os
import platform
import re
import time

THEIRS = {
    "source": "Debezium", "kafka": "Debezium", "sink": "Apache sink", "pipe": "the pair", "fresh": "the pair", "load": "Debezium",
}
TITLES = {
    "source": "Source: events made and dropped", "kafka": "Source: into Kafka", "sink": "Sink: the same topic",
    "pipe": "Whole pipe: from an empty mirror to all rows", "fresh": "Freshness at 1,000 changes a second",
    "load": "Load put on the source",
}
BEGIN, END = "<!-- compared: written by dev/bench/run --docs -->", "<!-- compared: end -->"


class Report:
    """What one run has found, part by part."""

    def __init__(self, quick, versions):
        self.data = {
            "quick": quick, "date": time.strftime("%Y-%m-%d"), "processors": len(os.sched_getaffinity(0)), "processor": processor(),
            "kernel": platform.release(), "versions": versions, "parts": {},
        }

    def part(self, name):
        return self.data["parts"].setdefault(name, {"rows": [], "runs": {}})

    def add(self, part, what, unit, ours, theirs, ratio):
        self.part(part)["rows"].append({"what": what, "unit": unit, "ours": ours, "theirs": theirs, "ratio": ratio})

    def more(self, part, what, unit, ours, theirs):
        """A figure of which more is better."""
        self.add(part, what, unit, ours, theirs, ours / theirs if ours is not None and theirs else None)

    def less(self, part, what, unit, ours, theirs):
        """A figure of which less is better."""
        self.add(part, what, unit, ours, theirs, theirs / ours if theirs is not None and ours else None)

    def plain(self, part, what, unit, ours, theirs):
        """A figure that is neither."""
        self.add(part, what, unit, ours, theirs, None)

    def keep(self, part, what, ours, theirs):
        """All that was measured, for who wants to look closer."""
        self.part(part)["runs"][what] = {"ours": ours, "theirs": theirs}

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.data, file, indent=1)
            file.write("\n")


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 100 or value == int(value):
        return format(round(value), ",d")
    return "%.1f" % value if abs(value) >= 10 else "%.2f" % value


def times(ratio):
    return "" if ratio is None else "%.1f x" % ratio if ratio < 100 else "%.0f x" % ratio


def lines(part, rows):
    head = ["", "", "ours", THEIRS[part], "ratio"]
    body, last = [], None
    for row in rows:
        what = "" if row["what"] == last else row["what"]
        last = row["what"]
        body.append([what, row["unit"], number(row["ours"]), number(row["theirs"]), times(row["ratio"])])
    return [head, *body]


def text(data):
    """An aligned table for each part."""
    out = []
    for part, found in data["parts"].items():
        table = lines(part, found["rows"])
        widths = [max(len(row[n]) for row in table) for n in range(5)]
        out.append(TITLES[part])
        for row in table:
            cells = [c.ljust(w) if n < 2 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths))]
            out.append("  " + "  ".join(cells).rstrip())
        out.append("")
    return "\n".join(out)


def markdown(data):
    versions = data["versions"]
    out = [
        "%s, %d of its processors (%s), %s. A ratio above 1 is in our favour."
        % (data["date"], data["processors"], data["processor"], ", ".join("%s %s" % pair for pair in versions.items())),
        "",
    ]
    for part, found in data["parts"].items():
        table = lines(part, found["rows"])
        out += ["**%s**" % TITLES[part], "", "| %s |" % " | ".join(table[0]), "|---|---|---:|---:|---:|"]
        out += ["| %s |" % " | ".join(row) for row in table[1:]]
        out.append("")
    return "\n".join(out)


def write_docs(data, path):
    """Replaces the tables of the document at `path`."""
    if data["quick"]:
        raise ValueError("figures of --quick are for trying the scripts, not for the docs: run it without")
    with open(path, encoding="utf-8") as file:
        document = file.read()
    marked = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.S)
    if not marked.search(document):
        raise ValueError("%s has no place for the tables: two lines, %s and %s" % (path, BEGIN, END))
    tables = "%s\n%s%s" % (BEGIN, markdown(data), END)
    with open(path, "w", encoding="utf-8") as file:
        file.write(marked.sub(lambda _: tables, document))
