//! A durable, partitioned, transactional log of change events: in memory and in local segment files
