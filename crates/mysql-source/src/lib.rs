//! Change-data capture from MySQL and MariaDB: lock-free snapshots and the binary log, as Arrow change batches
