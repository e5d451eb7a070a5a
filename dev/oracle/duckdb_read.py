"""Reads Iceberg tables with DuckDB's iceberg extension, and prints every row in the form of rows.py.

Its known limits: a row whose key is NULL is lost when an equality delete names another key; two data files in a row, in the
order of the manifests, of which no row is left end its scan, and the files after them are lost (seen with 1.4.4: one key updated in
three commits). Deletes cost deletes x rows.
"""

import io
import os
import sys

import duckdb
import duckdb_ext

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rows import arguments, catalog, double, write_table  # noqa: E402


def plan(name, kind):
    """(SQL expressions that carry the column to Python, function from those values to the canonical text)."""
    column, base = '"%s"' % name.replace('"', '""'), str(kind).split("(")[0]
    if base == "DATE":
        return ["epoch_us(CAST(%s AS TIMESTAMP))" % column], lambda microseconds: moment(microseconds)[:10]
    if base in ("INTEGER", "BIGINT", "BOOLEAN", "VARCHAR", "UUID"):
        return ["CAST(%s AS VARCHAR)" % column], lambda text: text
    if base == "DECIMAL":
        return [column], lambda value: format(value, "f")
    if base in ("FLOAT", "DOUBLE"):
        return ["CAST(%s AS DOUBLE)" % column], double
    if base in ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        return ["epoch_us(%s)" % column], moment
    if base == "BLOB":
        return ["hex(%s)" % column], lambda text: text
    if base == "STRUCT" and [child for child, _ in kind.children] == ["wkb", "srid"]:
        return ["hex(%s.wkb)" % column, "coalesce(%s.srid, 0)" % column], lambda wkb, srid: "%d:%s" % (srid, wkb)
    if str(kind) in ("FLOAT[]", "DOUBLE[]"):
        return ["CAST(%s AS DOUBLE[])" % column], lambda values: "[%s]" % ",".join(map(double, values))
    raise SystemExit("error: no canonical text for column %s of type %s" % (name, kind))


def moment(microseconds):
    """Python's own datetime begins with the year 1; MySQL's years begin with 0."""
    seconds, fraction = divmod(microseconds, 1000000)
    days, second = divmod(seconds, 86400)
    # Days since 0000-03-01: eras of 400 years, years that begin in March, so that a leap day is a year's last.
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month += 3 if month < 10 else -9
    year += era * 400 + (month <= 2)
    clock = "%02d:%02d:%02d.%06d" % (second // 3600, second // 60 % 60, second % 60, fraction)
    return "%04d-%02d-%02d %s" % (year, month, day, clock)


def connect():
    """DuckDB with the two extensions that came as packages; nothing is fetched at run time."""
    db = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    for folder in duckdb_ext.__path__:
        for extension in ("avro", "iceberg"):
            path = os.path.join(folder, "extensions", "v" + duckdb.__version__, "linux_amd64", extension + ".duckdb_extension")
            if os.path.exists(path):
                db.execute("LOAD '%s'" % path.replace("'", "''"))
    return db


def read(db, table, location, out):
    relation = "iceberg_scan('%s')" % location.replace("'", "''")
    described = db.sql("SELECT * FROM " + relation)
    columns = list(zip(described.columns, described.types))
    expressions, plans = [], []
    for name, kind in columns:
        parts, text = plan(name, kind)
        expressions.extend(parts)
        plans.append((len(parts), text))
    rows = []
    for record in db.execute("SELECT %s FROM %s" % (", ".join(expressions), relation)).fetchall():
        row, at = [], 0
        for width, text in plans:
            values = record[at : at + width]
            at += width
            row.append(None if values[0] is None else text(*values))
        rows.append(row)
    write_table(out, table, None, [[name, str(kind).lower()] for name, kind in columns], rows)


def main():
    args = arguments()
    db = connect()
    out = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    for table, location in catalog(args).items():
        read(db, table, location, out)
    out.flush()


if __name__ == "__main__":
    main()
