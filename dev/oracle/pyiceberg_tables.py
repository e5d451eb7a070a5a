"""What PyIceberg does with the tables of a SQL catalog: a command in, a line of JSON out.

  pyiceberg_tables.py URI CATALOG-NAME WAREHOUSE

  {"do": "list"}                                         {"rows": [["namespace.table"], ...]}
  {"do": "read", "table": T}                             {"rows": [[id, data], ...]}, sorted
  {"do": "create", "table": T}                           a table (id int not null, data string), and its namespace
  {"do": "append", "table": T, "rows": [[id, data], ...]}
  {"do": "drop", "table": T}
"""

import json
import os
import sys


def main():
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.schema import Schema
    from pyiceberg.types import IntegerType, NestedField, StringType

    uri, name, warehouse = sys.argv[1:4]
    catalog = SqlCatalog(name, uri=uri, warehouse=warehouse)
    columns = Schema(
        NestedField(1, "id", IntegerType(), required=True), NestedField(2, "data", StringType(), required=False)
    )
    shape = pa.schema([pa.field("id", pa.int32(), nullable=False), pa.field("data", pa.string())])

    def do(command):
        what, table = command["do"], tuple(command.get("table", []))
        if what == "list":
            return sorted([".".join(t)] for n in catalog.list_namespaces() for t in catalog.list_tables(n))
        if what == "create":
            catalog.create_namespace_if_not_exists(table[:-1])
            catalog.create_table(table, columns)
        elif what == "append":
            rows = [{"id": i, "data": d} for i, d in command["rows"]]
            catalog.load_table(table).append(pa.Table.from_pylist(rows, schema=shape))
        elif what == "drop":
            catalog.drop_table(table)
        elif what == "read":
            return sorted([r["id"], r["data"]] for r in catalog.load_table(table).scan().to_arrow().to_pylist())
        else:
            raise ValueError(what)
        return []

    for line in sys.stdin:
        try:
            answer = {"rows": do(json.loads(line))}
        except Exception as e:  # noqa: BLE001 the test is told
            answer = {"error": "%s: %s" % (type(e).__name__, e)}
        print(json.dumps(answer, ensure_ascii=False), file=out, flush=True)


if __name__ == "__main__":
    main()
