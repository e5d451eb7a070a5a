"""Reads Iceberg tables with Spark and Iceberg's Java library, and prints every row in the form of rows.py."""

import os
import sys
from decimal import Decimal

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from rows import arguments, catalog, double, write_table  # noqa: E402
from spark_session import spark_session  # noqa: E402


def plan(field):
    """(SQL expressions that carry the column to Python as text, function from those texts to the canonical one)."""
    column, kind = quote(field.name), field.dataType.typeName()
    if kind in ("byte", "short", "integer", "long", "boolean", "string", "date"):
        return ["CAST(%s AS STRING)" % column], lambda text: text
    if kind == "decimal":
        return ["CAST(%s AS STRING)" % column], lambda text: format(Decimal(text), "f")
    if kind in ("float", "double"):
        return ["CAST(CAST(%s AS DOUBLE) AS STRING)" % column], double
    if kind in ("timestamp", "timestamp_ntz"):
        return ["CAST(%s AS STRING)" % column], microseconds
    if kind == "binary":
        return ["HEX(%s)" % column], lambda text: text
    if kind == "struct" and field.dataType.fieldNames() == ["wkb", "srid"]:
        return ["HEX(%s.wkb)" % column, "CAST(COALESCE(%s.srid, 0) AS STRING)" % column], lambda wkb, srid: srid + ":" + wkb
    if kind == "array" and field.dataType.elementType.typeName() in ("float", "double"):
        joined = "CONCAT_WS(',', TRANSFORM(%s, x -> CAST(CAST(x AS DOUBLE) AS STRING)))" % column
        # CONCAT_WS makes '' of a null array.
        return ["IF(%s IS NULL, NULL, %s)" % (column, joined)], floats
    raise SystemExit("error: no canonical text for column %s of type %s" % (field.name, field.dataType.simpleString()))


def quote(name):
    return "`%s`" % name.replace("`", "``")


def floats(text):
    return "[%s]" % ",".join(map(double, text.split(",") if text else []))


def microseconds(text):
    seconds, _, fraction = text.partition(".")
    return seconds + "." + fraction.ljust(6, "0")


def read(session, catalog_name, table, out):
    path = ".".join(quote(part) for part in [catalog_name] + table.split("."))
    frame = session.table(path)
    snapshots = session.sql("SELECT snapshot_id FROM %s.refs WHERE name = 'main'" % path).collect()
    expressions, plans = [], []
    for field in frame.schema.fields:
        columns, text = plan(field)
        expressions.extend(columns)
        plans.append((len(columns), text))
    rows = []
    for record in frame.selectExpr(*("%s AS c%d" % (e, i) for i, e in enumerate(expressions))).toLocalIterator():
        row, at = [], 0
        for width, text in plans:
            values = record[at : at + width]
            at += width
            row.append(None if values[0] is None else text(*values))
        rows.append(row)
    columns = [[field.name, field.dataType.simpleString()] for field in frame.schema.fields]
    write_table(out, table, snapshots[0][0] if snapshots else None, columns, rows)


def main():
    args = arguments()
    tables = catalog(args)
    # Spark writes to stdout now and then; only rows may.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session = spark_session(args.warehouse, args.catalog_db, args.catalog_name)
    try:
        for table in tables:
            read(session, args.catalog_name, table, out)
    finally:
        session.stop()
    out.close()


if __name__ == "__main__":
    main()
