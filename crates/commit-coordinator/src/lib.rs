//! Exactly-once commits of log spans into tables: checkpoints, the commit rule, barriers and fencing
