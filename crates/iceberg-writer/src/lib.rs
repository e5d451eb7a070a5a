//! Arrow change batches to Apache Iceberg: data and equality-delete files, row-delta commits, schema evolution
