"""What the readers of the oracle share: which tables there are, and the form in which rows are printed.

For each table one line {"table": ..., "snapshot": ..., "columns": [[name, type], ...]} and then, sorted, one line
{"table": ..., "row": [text or null, ...]} for each row. Values become text by Iceberg type:

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
from contextlib import closing


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("warehouse")
    parser.add_argument("catalog_db")
    parser.add_argument("--catalog-name", default="lake")
    parser.add_argument("tables", nargs="*")
    args = parser.parse_args()
    if not os.path.isfile(args.catalog_db):
        raise SystemExit("error: there is no catalog file %s" % args.catalog_db)
    return args


def catalog(args):
    """{namespace.table: metadata location} of the tables asked for, or of all that the catalog file knows."""
    with closing(sqlite3.connect("file:%s?mode=ro" % os.path.abspath(args.catalog_db), uri=True)) as db:
        found = dict(
            db.execute(
                "SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables "
                "WHERE catalog_name = ? ORDER BY 1",
                (args.catalog_name,),
            )
        )
    missing = [table for table in args.tables if table not in found]
    if missing:
        raise SystemExit("error: the catalog %s has no table %s" % (args.catalog_db, ", ".join(missing)))
    return {table: found[table] for table in args.tables or found}


def double(text):
    return repr(float(text))


def write_table(out, table, snapshot, columns, rows):
    print(json.dumps({"table": table, "snapshot": snapshot, "columns": columns}, ensure_ascii=False), file=out)
    for row in sorted(rows, key=lambda row: [(value is not None, value or "") for value in row]):
        print(json.dumps({"table": table, "row": row}, ensure_ascii=False), file=out)
