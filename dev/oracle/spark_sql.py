"""Runs SQL in one Spark session with several Iceberg JDBC catalogs: a line of SQL in, a line of JSON (the rows, or the error) out.

  spark_sql.py CATALOGS [DRIVER.jar]...

CATALOGS is a JSON object: {name: {"uri": ..., "user": ..., "password": ..., "warehouse": ...}}.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from spark_session import session_with  # noqa: E402


def settings(name, catalog):
    prefix = "spark.sql.catalog." + name
    return {
        prefix: "org.apache.iceberg.spark.SparkCatalog",
        prefix + ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
        prefix + ".uri": catalog["uri"],
        prefix + ".jdbc.user": catalog["user"],
        prefix + ".jdbc.password": catalog["password"],
        prefix + ".jdbc.schema-version": "V1",
        prefix + ".warehouse": catalog["warehouse"],
        prefix + ".cache-enabled": "false",
    }


def main():
    # Spark writes to stdout now and then; only answers may.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    catalogs = json.loads(sys.argv[1])
    session = session_with({k: v for name, c in catalogs.items() for k, v in settings(name, c).items()}, sys.argv[2:])
    for line in sys.stdin:
        try:
            rows = [[None if v is None else str(v) for v in row] for row in session.sql(line).collect()]
            answer = {"rows": rows}
        except Exception as e:  # noqa: BLE001 the test is told
            answer = {"error": str(e)}
        print(json.dumps(answer, ensure_ascii=False), file=out, flush=True)
    session.stop()


if __name__ == "__main__":
    main()
