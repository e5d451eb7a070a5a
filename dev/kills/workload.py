"""The changes of dev/kill-test: five tables, and transactions of a seeded random stream, with a model of what they leave.

Each row carries `v`, the number of changes that its key has had: an insert, an update and the arrival of a moved key add one, a
delete leaves it, and a key that comes back goes on where it was. So the changes of a key are 1, 2, 3, ... for ever, and one
that is lost or doubled anywhere shows as a number that is missing or there twice.

The model needs no answer from the server: the client stops at the first statement that fails, and then the test fails.
"""

import subprocess
import threading

TABLES = ("single", "composite", "named", "wide", "journal")
KEYS = {"single": ("id",), "composite": ("region", "num"), "named": ("name",), "wide": ("id",), "journal": ()}
COLUMNS = {
    "single": ("amount", "note"), "composite": ("at", "payload"), "named": ("score", "mood"),
    "wide": tuple("b t s m i l d f g da ti dt ts y c x bi bl e st".split()),
}  # fmt: skip
NULLABLE = {"note", "payload", "score", "mood"} | set(COLUMNS["wide"])
RANGES = {
    "t": (-128, 127), "s": (0, 65535), "m": (-(2**23), 2**23 - 1), "i": (0, 2**32 - 1), "l": (0, 2**64 - 1), "y": (1901, 2155),
}  # fmt: skip
CHOICES = {
    "b": "01", "f": ("1.5", "-0.25", "3e30", "0.1"), "e": ("'a'", "'b'", "'ü'"), "st": ("''", "'x'", "'x,z'", "'y'"),
    "mood": ("'bad'", "'fair'", "'good'"),
}  # fmt: skip
REGIONS = ("AF", "AM", "AS", "EU", "OC")

SCHEMA = """
CREATE TABLE single (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL, amount DECIMAL(12,2) NOT NULL, note VARCHAR(200));
CREATE TABLE composite (region CHAR(2) NOT NULL, num INT UNSIGNED NOT NULL, v INT NOT NULL, at DATETIME(6) NOT NULL,
  payload VARBINARY(60), PRIMARY KEY (region, num));
CREATE TABLE named (name VARCHAR(40) NOT NULL PRIMARY KEY, v INT NOT NULL, score DOUBLE, mood ENUM('bad','fair','good'));
CREATE TABLE wide (id INT NOT NULL PRIMARY KEY, v INT NOT NULL, b BOOLEAN, t TINYINT, s SMALLINT UNSIGNED, m MEDIUMINT,
  i INT UNSIGNED, l BIGINT UNSIGNED, d DECIMAL(30,10), f FLOAT, g DOUBLE, da DATE, ti TIME(3), dt DATETIME(6),
  ts TIMESTAMP(3) NULL, y YEAR, c CHAR(10), x TEXT, bi BINARY(8), bl BLOB, e ENUM('a','b','ü'), st SET('x','y','z'));
CREATE TABLE journal (n BIGINT NOT NULL, at TIMESTAMP(6) NOT NULL, text VARCHAR(80));
"""


class Table:
    """What is in a table, and how often each key has been changed."""

    def __init__(self, name):
        self.name = name
        self.v = {}  # of every key that ever was
        self.first = {}  # what the rows had before the stream
        self.alive = []
        self.place = {}

    def add(self, key):
        self.v[key] = self.v.get(key, 0) + 1
        self.place[key] = len(self.alive)
        self.alive.append(key)
        return self.v[key]

    def remove(self, key):
        at, last = self.place.pop(key), self.alive.pop()
        if last != key:
            self.alive[at], self.place[last] = last, at

    def empty(self):
        self.alive, self.place = [], {}


class Workload:
    """Makes SQL, and knows what the database holds once it has run."""

    def __init__(self, rng, rows):
        self.rng, self.rows = rng, rows
        self.tables = {name: Table(name) for name in TABLES if KEYS[name]}
        self.journal = 0
        self.extra = 0  # columns that were added to `single`
        self.done = 0

    # --- values

    def text(self, longest):
        length = self.rng.randrange(longest)
        return "'%s'" % "".join(self.rng.choice("abcdefgh 0123456789äß€𝄞_%") for _ in range(length))

    def bytes(self, longest):
        return "X'%s'" % self.rng.randbytes(self.rng.randrange(longest)).hex()

    def date(self):
        return "%04d-%02d-%02d" % (self.rng.randint(1971, 2037), self.rng.randint(1, 12), self.rng.randint(1, 28))

    def clock(self, digits):
        r = self.rng
        return "%02d:%02d:%02d.%0*d" % (r.randrange(24), r.randrange(60), r.randrange(60), digits, r.randrange(10**digits))

    def moment(self, digits):
        return "'%s %s'" % (self.date(), self.clock(digits))

    def value(self, name):
        """SQL for a column of this name (a name means the same in all tables)."""
        r = self.rng
        if name in NULLABLE and r.random() < 0.1:
            return "NULL"
        if name == "amount":
            return "%d.%02d" % (r.randrange(10**9), r.randrange(100))
        if name in ("at", "dt", "ts"):
            return self.moment(3 if name == "ts" else 6)
        if name in RANGES:
            return str(r.randint(*RANGES[name]))
        if name in CHOICES:
            return r.choice(CHOICES[name])
        if name in ("payload", "bi", "bl"):
            return self.bytes(9 if name == "bi" else 60)
        if name == "d":
            return "%d.%010d" % (r.randint(-(10**19), 10**19), r.randrange(10**10))
        if name in ("score", "g"):
            return repr(r.uniform(-1e300, 1e300))
        if name == "da":
            return "'%s'" % self.date()
        if name == "ti":
            return "'%s%s'" % (r.choice(("", "-")), self.clock(3))
        if name == "c":
            return "'%s'" % self.text(10).strip(" '")
        return self.text(40)

    def columns(self, table):
        """Some columns besides key and `v`, the necessary ones among them."""
        found = list(COLUMNS[table])
        if table == "single":
            found += ["extra%d" % n for n in range(1, self.extra + 1)]
        needed = [name for name in found if name not in NULLABLE and not name.startswith("extra")]
        others = [name for name in found if name not in needed]
        return needed + self.rng.sample(others, min(len(others), 5))

    # --- keys

    def fresh_key(self, table):
        """A key that is not there: new, or one that was there before."""
        model = self.tables[table]
        while True:
            n = self.rng.randrange(1, self.rows * 2)
            if table == "composite":
                key = (self.rng.choice(REGIONS), n // len(REGIONS) + 1)
            elif table == "named":
                key = ("k%d" % n,)
                if (key[0].upper(),) in model.place:
                    continue
            else:
                key = (n,)
            if key not in model.place:
                return key

    def where(self, table, key):
        return " AND ".join("%s = %s" % (column, literal(value)) for column, value in zip(KEYS[table], key))

    # --- statements; each returns (SQL, row changes)

    def insert(self, table, count):
        if table == "journal":
            rows = []
            for _ in range(count):
                self.journal += 1
                rows.append("(%d, %s, %s)" % (self.journal, self.moment(6), self.text(40)))
            return "INSERT INTO journal (n, at, text) VALUES %s;" % ", ".join(rows), count
        model = self.tables[table]
        columns = self.columns(table)
        rows = [self.row(model, self.fresh_key(table), columns) for _ in range(count)]
        names = list(KEYS[table]) + ["v"] + columns
        return "INSERT INTO %s (%s) VALUES %s;" % (table, ", ".join(names), ", ".join(rows)), count

    def row(self, model, key, columns):
        cells = [literal(value) for value in key] + [str(model.add(key))] + [self.value(column) for column in columns]
        return "(%s)" % ", ".join(cells)

    def update(self, table, count):
        model = self.tables[table]
        keys = self.rng.sample(model.alive, min(count, len(model.alive)))
        for key in keys:
            model.v[key] += 1
        sets = ["v = v + 1"] + ["%s = %s" % (column, self.value(column)) for column in self.columns(table)]
        return "UPDATE %s SET %s WHERE %s;" % (table, ", ".join(sets), self.among(table, keys)), len(keys)

    def among(self, table, keys):
        columns = KEYS[table]
        left = columns[0] if len(columns) == 1 else "(%s)" % ", ".join(columns)
        rows = [literal(key[0]) if len(key) == 1 else "(%s)" % ", ".join(map(literal, key)) for key in keys]
        return "%s IN (%s)" % (left, ", ".join(rows))

    def delete(self, table, count):
        model = self.tables[table]
        keys = self.rng.sample(model.alive, min(count, len(model.alive)))
        for key in keys:
            model.remove(key)
        return "DELETE FROM %s WHERE %s;" % (table, self.among(table, keys)), len(keys)

    def move(self, table):
        """An UPDATE of the key: to a free one, or (a letter's case) to one that is the same for the server's collation."""
        model = self.tables[table]
        old = self.rng.choice(model.alive)
        new = (old[0].swapcase(),) if table == "named" and self.rng.random() < 0.5 else self.fresh_key(table)
        model.remove(old)
        version = model.add(new)
        sets = ["%s = %s" % (column, literal(value)) for column, value in zip(KEYS[table], new)] + ["v = %d" % version]
        return "UPDATE %s SET %s WHERE %s;" % (table, ", ".join(sets), self.where(table, old)), 1

    def replace(self, table):
        """A delete, and the same key again in the same transaction."""
        model = self.tables[table]
        key = self.rng.choice(model.alive)
        model.remove(key)
        columns = self.columns(table)
        names = ", ".join(list(KEYS[table]) + ["v"] + columns)
        row = self.row(model, key, columns)
        return "DELETE FROM %s WHERE %s; INSERT INTO %s (%s) VALUES %s;" % (table, self.where(table, key), table, names, row), 2

    def preload(self):
        """The rows that are there before the mirror is: all have had one change."""
        for table in TABLES:
            left = self.rows
            while left > 0:
                count = min(left, 1000)
                yield self.insert(table, count)[0]
                left -= count
        for model in self.tables.values():
            model.first = dict(model.v)

    def statement(self, most):
        r = self.rng
        table = r.choice(TABLES)
        count = r.randint(1, most)
        kind = r.random()
        there = len(self.tables[table].alive) if table != "journal" else 0
        if there < 50 or (kind < 0.3 and there + count < self.rows * 3 // 2):
            return self.insert(table, min(count, self.rows // 4))
        if kind < 0.65:
            return self.update(table, count)
        if kind < 0.85:
            return self.delete(table, min(count, there // 2))
        return self.move(table) if kind < 0.95 else self.replace(table)

    def transaction(self):
        """(SQL, row changes) of one transaction, most of them small; some are undone, which the model does not see."""
        r = self.rng
        shape = r.random()
        if shape < 0.02:  # rolled back
            table = r.choice([name for name in self.tables if self.tables[name].alive] or ["journal"])
            wrong = "DELETE FROM %s WHERE v > 0 LIMIT 40;" % table if table != "journal" else "DELETE FROM journal LIMIT 1;"
            return "BEGIN; UPDATE single SET v = v + 1000 LIMIT 20; %s ROLLBACK;\n" % wrong, 0
        if shape < 0.03:
            statements, most = r.randint(1, 3), 1500
        elif shape < 0.10:
            statements, most = r.randint(1, 20), 40
        else:
            statements, most = r.randint(1, 6), 3
        found = [self.statement(most) for _ in range(statements)]
        changes = sum(count for _, count in found)
        self.done += changes
        return "BEGIN; %s COMMIT;\n" % " ".join(sql for sql, _ in found), changes

    def add_column(self):
        self.extra += 1
        return "ALTER TABLE single ADD COLUMN extra%d VARCHAR(60) NULL;\n" % self.extra

    def truncate(self):
        self.tables["composite"].empty()
        return "TRUNCATE TABLE composite;\n"


def literal(value):
    return "'%s'" % value if isinstance(value, str) else str(value)


class Writer(threading.Thread):
    """Runs a workload through the server's client, never further ahead than `allow` has said, with what is asked for in between."""

    def __init__(self, client, workload, total):
        super().__init__(daemon=True)
        self.workload, self.total = workload, total
        self.turn = threading.Condition()
        self.allowed, self.wanted, self.ended, self.failure = 0, [], False, None
        self.client = subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def allow(self, changes):
        with self.turn:
            self.allowed = max(self.allowed, min(changes, self.total))
            self.turn.notify()

    def ask(self, make):
        """Has a statement (made by a method of the workload) run as soon as may be."""
        with self.turn:
            self.wanted.append(make)
            self.turn.notify()

    def finish(self):
        """Waits until all is in the database."""
        with self.turn:
            self.allowed, self.ended = self.total, True
            self.turn.notify()
        self.join()
        if self.failure:
            raise self.failure

    def run(self):
        try:
            while True:
                with self.turn:
                    behind = lambda: self.workload.done < self.allowed  # noqa: E731
                    self.turn.wait_for(lambda: self.wanted or behind() or self.ended)
                    wanted, self.wanted = self.wanted, []
                    if not wanted and not behind():
                        break
                text = "".join(make() for make in wanted) or self.workload.transaction()[0]
                self.client.stdin.write(text.encode("utf-8"))
                self.client.stdin.flush()
            self.client.stdin.close()
        except OSError:
            pass  # the client has ended; it says why
        except Exception as error:  # told where `finish` is called
            self.failure = error
        said = self.client.stderr.read().decode("utf-8", "replace").strip()
        if self.client.wait() != 0 and not self.failure:
            self.failure = RuntimeError("the client ended with code %d: %s" % (self.client.returncode, said))
