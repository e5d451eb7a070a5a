"""What must be true of the log after any number of kills: every change of the source is in it, once, in order.

Known from outside: the row changes that the workload made of each key, numbered 1, 2, 3, ... in the row's column `v`; the rows
that were there before the mirror started (they have v = 1); the rows that the database has at the end. The first change of the
workload comes after the mirror's first position, so nothing of it may be missing.

For a table with a key, over its topic in the order of offsets, for each key with n = its last number (of a row that was there
before: 1, else 0) and whether it is there:

  c   the key was not there, and v = n + 1
  u   the key was there, before.v = n and after.v = n + 1
  d   the key was there, before.v = n; the next record of the topic is its tombstone
  r   (a row read by the snapshot; n stays) v is at least n, and more than n if the stream has deleted the key before: never
      older than what the log holds. It may be ahead: the changes in between must then still come. Once per key and generation
  truncate barrier (it is in the progress topic, with its offset): no key is there any more; n stays

At the end each n is what the workload counted, for deleted keys too: a change that is missing, doubled or out of order breaks
the row of numbers of its key. And replaying the topic into an empty map (r, c, u: put; d: remove; barrier: clear) gives exactly
the keys and versions that the database has.

Offsets follow one another without a gap; in Kafka (`gaps`) there are some, for the ends of transactions and for aborted ones: there the rows
of numbers alone say that nothing is missing.

For the table without a key, whose rows are numbered by `n`: after the last barrier each row of the database is there exactly once,
as c or r; no record is an update or a delete; no number comes twice between two barriers.
"""

import json


class Broken(Exception):
    """A rule does not hold."""


def barriers(progress, database, table):
    """The offsets of the barriers that empty the table, from the records of the progress topic."""
    found = []
    for record in progress:
        barrier = (record["value"] or {}).get("barrier")
        if barrier and barrier["table"] == {"database": database, "table": table} and barrier["kind"] in ("truncate", "recreate"):
            found.append(barrier["at"]["0"])
    return sorted(found)


class KeyedTable:
    """The rules for one table with a key."""

    def __init__(self, name, key, first, at_barriers, gaps):
        self.name, self.key, self.barriers, self.gaps = name, key, list(at_barriers), gaps
        self.n = dict(first)
        self.there = set(first)
        self.replayed = {}
        self.read = set()
        self.counts = dict.fromkeys("crud", 0)
        self.ahead = 0
        self.next_offset = 0
        self.tombstone_of = None

    def fail(self, record, why):
        raise Broken("%s, offset %d: %s\n  %s" % (self.name, record["offset"], why, json.dumps(record, ensure_ascii=False)[:1500]))

    def take(self, record):
        offset = record["offset"]
        if offset < self.next_offset or (offset > self.next_offset and not self.gaps):
            self.fail(record, "offset %d was expected: the test needs the whole log" % self.next_offset)
        self.next_offset = offset + 1
        while self.barriers and self.barriers[0] <= offset:
            self.barriers.pop(0)
            self.pass_barrier()
        event = record["value"]
        key = tuple(record["key"][column] for column in self.key)
        if (event is None) != (self.tombstone_of is not None) or (event is None and key != self.tombstone_of):
            self.fail(record, "a delete without its tombstone, or a tombstone without its delete (%r)" % (self.tombstone_of,))
        self.tombstone_of = None
        if event is None:
            return
        op, before, after = event["op"], event["before"], event["after"]
        for image in (before, after):
            if image is not None and tuple(image[column] for column in self.key) != key:
                self.fail(record, "the key of the record is not that of the row")
        self.counts[op] += 1
        n, there = self.n.get(key, 0), key in self.there
        if op == "r":
            if key in self.read:
                self.fail(record, "the snapshot has read this row twice")
            if after["v"] < n or (after["v"] == n and not there):
                self.fail(record, "the row is older than the log, which has %d%s" % (n, "" if there else " and its delete"))
            self.read.add(key)
            self.ahead += after["v"] > n
        elif op == "c":
            if there or after["v"] != n + 1:
                note = " and the row is there" if there else ""
                self.fail(record, "an insert with v = %d, where the log has %d%s" % (after["v"], n, note))
            self.there.add(key)
            self.n[key] = n + 1
        elif op == "u":
            if not there or before["v"] != n or after["v"] != n + 1:
                self.fail(record, "an update from v = %d to %d, where the log has %d" % (before["v"], after["v"], n))
            self.n[key] = n + 1
        elif op == "d":
            if not there or before["v"] != n:
                self.fail(record, "a delete of v = %d, where the log has %d" % (before["v"], n))
            self.there.remove(key)
            self.tombstone_of = key
        else:
            self.fail(record, "an operation that is not expected")
        if op == "d":
            self.replayed.pop(key, None)
        else:
            self.replayed[key] = after["v"]

    def pass_barrier(self):
        self.there.clear()
        self.replayed.clear()
        self.read.clear()

    def end(self, counted, in_database):
        """`counted`: the workload's number of each key that ever was; `in_database`: {key: v} of the rows that are there."""
        while self.barriers:
            self.barriers.pop(0)
            self.pass_barrier()
        if self.tombstone_of is not None:
            raise Broken("%s: the log ends between a delete and its tombstone" % self.name)
        keys = counted.keys() | self.n.keys()
        wrong = [(key, counted.get(key), self.n.get(key)) for key in keys if counted.get(key) != self.n.get(key)]
        if wrong:
            raise Broken(
                "%s: of %d keys the last change is not in the log, or not the last; key, changes made, changes in the log: %r"
                % (self.name, len(wrong), sorted(wrong, key=repr)[:10])
            )
        for what, found in (("replaying the log", self.replayed), ("the changes alone", {k: self.n[k] for k in self.there})):
            if found != in_database:
                lost = sorted(in_database.keys() - found.keys(), key=repr)
                extra = sorted(found.keys() - in_database.keys(), key=repr)
                other = sorted((k for k in found.keys() & in_database.keys() if found[k] != in_database[k]), key=repr)
                raise Broken(
                    "%s: %s does not give the database's rows: missing %d %r, too many %d %r, another version %d %r"
                    % (self.name, what, len(lost), lost[:5], len(extra), extra[:5], len(other), other[:5])
                )


class KeylessTable:
    """The rules for the table without a key."""

    def __init__(self, name, at_barriers, gaps):
        self.name, self.barriers, self.gaps = name, list(at_barriers), gaps
        self.rows = set()
        self.counts = dict.fromkeys("crud", 0)
        self.generations = 1
        self.next_offset = 0

    def take(self, record):
        offset = record["offset"]
        if offset < self.next_offset or (offset > self.next_offset and not self.gaps):
            raise Broken("%s: offset %d, where %d was expected" % (self.name, offset, self.next_offset))
        self.next_offset = offset + 1
        while self.barriers and self.barriers[0] <= record["offset"]:
            self.barriers.pop(0)
            self.pass_barrier()
        event = record["value"]
        op = event["op"] if event else None
        if op not in ("c", "r"):
            raise Broken("%s, offset %d: an operation that is not expected: %r" % (self.name, record["offset"], op))
        self.counts[op] += 1
        if event["after"]["n"] in self.rows:
            raise Broken("%s, offset %d: row %d is in the log twice" % (self.name, record["offset"], event["after"]["n"]))
        self.rows.add(event["after"]["n"])

    def pass_barrier(self):
        self.rows.clear()
        self.generations += 1

    def end(self, in_database):
        while self.barriers:
            self.barriers.pop(0)
            self.pass_barrier()
        if self.rows != in_database:
            lost, extra = sorted(in_database - self.rows), sorted(self.rows - in_database)
            raise Broken("%s: missing %d rows %r, too many %d %r" % (self.name, len(lost), lost[:5], len(extra), extra[:5]))
