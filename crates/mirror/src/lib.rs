//! A live, exact mirror of a MySQL database in Apache Iceberg tables, as an embeddable library
