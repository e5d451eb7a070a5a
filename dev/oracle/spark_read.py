"""Reads Iceberg tables with Spark and prints every row in one canonical text form, sorted.

Values, by Iceberg type:
  boolean                true, false
  int, long              decimal digits
  decimal                plain digits with the column's scale, never an exponent
  float, double          the shortest text that gives the double back (a float is widened first, which is exact)
  date                   YYYY-MM-DD
  timestamp, timestamptz YYYY-MM-DD HH:MM:SS.ffffff, the latter in UTC
  string, uuid           as it is
  binary, fixed          upper-case hex
  struct<wkb, srid>      SRID:HEX, with 0 where the srid is null
  list<float>            [a,b,...], each like a double
  null                   null
"""

import argparse
import json
import os
import sqlite3
import sys
from decimal import Decimal

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from spark_session import spark_session  # noqa: E402


def tables_of(catalog_db, catalog_name):
    """Every table that the catalog file knows, as namespace.table."""
    with sqlite3.connect("file:%s?mode=ro" % os.path.abspath(catalog_db), uri=True) as db:
        rows = db.execute(
            "SELECT table_namespace, table_name FROM iceberg_tables WHERE catalog_name = ? ORDER BY 1, 2", (catalog_name,)
        )
        return ["%s.%s" % row for row in rows]


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
        return ["IF(%s IS NULL, NULL, %s)" % (column, joined)], lambda text: "[%s]" % ",".join(map(double, text.split(",") if text else []))
    raise SystemExit("error: no canonical text for column %s of type %s" % (field.name, field.dataType.simpleString()))


def quote(name):
    return "`%s`" % name.replace("`", "``")


def double(text):
    return repr(float(text))


def microseconds(text):
    seconds, _, fraction = text.partition(".")
    return seconds + "." + fraction.ljust(6, "0")


def read(session, catalog_name, table, out):
    frame = session.table(".".join([quote(catalog_name)] + [quote(part) for part in table.split(".")]))
    snapshots = session.sql(
        "SELECT snapshot_id FROM %s.%s.refs WHERE name = 'main'"
        % (quote(catalog_name), ".".join(quote(part) for part in table.split(".")))
    ).collect()
    expressions, widths, texts = [], [], []
    for field in frame.schema.fields:
        columns, text = plan(field)
        expressions.extend(columns)
        widths.append(len(columns))
        texts.append(text)
    rows = []
    for record in frame.selectExpr(*("%s AS c%d" % (e, i) for i, e in enumerate(expressions))).toLocalIterator():
        row, at = [], 0
        for width, text in zip(widths, texts):
            values = record[at : at + width]
            at += width
            row.append(None if values[0] is None else text(*values))
        rows.append(row)
    rows.sort(key=lambda row: [(value is not None, value or "") for value in row])
    head = {
        "table": table,
        "snapshot": snapshots[0][0] if snapshots else None,
        "columns": [[field.name, field.dataType.simpleString()] for field in frame.schema.fields],
    }
    print(json.dumps(head, ensure_ascii=False), file=out)
    for row in rows:
        print(json.dumps({"table": table, "row": row}, ensure_ascii=False), file=out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("warehouse")
    parser.add_argument("catalog_db")
    parser.add_argument("--catalog-name", default="lake")
    parser.add_argument("tables", nargs="*")
    args = parser.parse_args()
    if not os.path.isfile(args.catalog_db):
        raise SystemExit("error: there is no catalog file %s" % args.catalog_db)
    # Spark writes to stdout now and then; only rows may.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    session = spark_session(args.warehouse, args.catalog_db, args.catalog_name)
    try:
        for table in args.tables or tables_of(args.catalog_db, args.catalog_name):
            read(session, args.catalog_name, table, out)
    finally:
        session.stop()
    out.close()


if __name__ == "__main__":
    main()
