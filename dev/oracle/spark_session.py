"""Spark sessions with Iceberg JDBC catalogs."""

import glob
import os
import sys


def spark_session(warehouse, catalog_db, catalog_name="lake", create=False):
    """A local session whose catalog `catalog_name` is the given SQLite file. With `create` the catalog's tables are made."""
    catalog = "spark.sql.catalog." + catalog_name
    return session_with(
        {
            catalog: "org.apache.iceberg.spark.SparkCatalog",
            catalog + ".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            catalog + ".uri": "jdbc:sqlite:" + os.path.abspath(catalog_db),
            catalog + ".warehouse": os.path.abspath(warehouse),
            catalog + ".jdbc.schema-version": "V1",
            catalog + ".jdbc.init-catalog-tables": "true" if create else "false",
            catalog + ".cache-enabled": "false",
        }
    )


def session_with(catalogs, drivers=()):
    """A local session with these settings of catalogs; `drivers` are jars besides Iceberg's and the driver of SQLite."""
    from pyspark.sql import SparkSession

    jars = glob.glob(os.path.join(sys.prefix, "jars", "*.jar")) + list(drivers)
    settings = {
        "spark.jars": ",".join(jars),
        # Iceberg finds the driver through java.sql.DriverManager, which looks only at the system class path.
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.driver.maxResultSize": "0",
        # A session lives for seconds: it ends before the better compilers have earned their time back.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.adaptive.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.catalogImplementation": "in-memory",
        **catalogs,
    }
    builder = SparkSession.builder.master("local[2]").appName("oracle")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
