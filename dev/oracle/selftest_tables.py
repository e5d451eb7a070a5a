"""Makes, with Spark, the Iceberg tables that dev/oracle/selftest.sql makes in a database."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from spark_session import spark_session  # noqa: E402

POINT = "0101000000000000000000F03F0000000000000040"
LINE = "01020000000200000000000000000000000000000000000000000000000000F03F000000000000F03F"

spark = spark_session(sys.argv[1], sys.argv[2], create=True)
spark.sql("CREATE NAMESPACE lake.oracle")
spark.sql("CREATE TABLE lake.oracle.plain (id INT NOT NULL, name STRING) USING iceberg")
spark.sql(
    "INSERT INTO lake.oracle.plain VALUES (1, 'one'), (2, 'two'), (3, NULL), (4, 'tab\\tand\\nnewline and \\\\ and NULL'), "
    "(5, 'NULL'), (6, '日本語 😀')"
)
spark.sql("CREATE TABLE lake.oracle.pairs (a INT, b STRING) USING iceberg")
spark.sql("INSERT INTO lake.oracle.pairs VALUES (1, 'x'), (1, 'x'), (NULL, NULL)")
spark.sql(
    """CREATE TABLE lake.oracle.edges (
    id BIGINT NOT NULL, tiny INT, zf BIGINT, ub DECIMAL(20, 0), d0 DECIMAL(10, 0), d DECIMAL(20, 6), d65 STRING, f FLOAT,
    db DOUBLE, b1 BOOLEAN, b12 BINARY, c STRING, bin BINARY, vb BINARY, dt DATE, tm BIGINT, ts TIMESTAMP, dtm TIMESTAMP_NTZ,
    y INT, e STRING, s STRING, j STRING, g STRUCT<wkb: BINARY, srid: INT>, zero DATE NOT NULL) USING iceberg"""
)
spark.sql(
    """INSERT INTO lake.oracle.edges VALUES
    (1, -128, 42, 18446744073709551615, -9999999999, 0.000001BD,
     '12345678901234567890123456789012345.123456789012345678901234567890', CAST(1.1 AS FLOAT), 1e308D, true, X'0108', 'Zoë',
     X'01000000', X'00FF', DATE '9999-12-31', -3020398000001, TIMESTAMP '2038-01-19 03:14:07.999',
     TIMESTAMP_NTZ '1000-01-01 00:00:00.000001', 2155, 'b,c', 'x,y', '{"a": 1}', named_struct('wkb', X'%s', 'srid', NULL),
     DATE '2024-02-29'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, DATE '1970-01-01'),
    (3, 127, 0, 0, 0, -12345678901234.000100BD, '0.000000000000000000000000000000', CAST('-0.0' AS FLOAT),
     2.2250738585072014E-308D, false, X'0000', '', X'00000000', X'', DATE '1000-01-01', 500000,
     TIMESTAMP '1970-01-01 00:00:01', TIMESTAMP_NTZ '9999-12-31 23:59:59.999999', 1901, 'a', '', '',
     named_struct('wkb', X'%s', 'srid', 4326), DATE '1000-01-01'),
    (4, NULL, NULL, NULL, NULL, NULL, NULL, CAST('-1.17549435E-38' AS FLOAT), -2.2250738585072014E-308D, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL, NULL, TIMESTAMP_NTZ '0000-01-02 03:04:05.5', NULL, NULL, NULL, NULL, NULL, DATE '0000-02-29')"""
    % (POINT, LINE)
)
spark.stop()
