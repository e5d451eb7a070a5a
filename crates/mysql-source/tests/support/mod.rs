//! Real servers, and a copy of their tables that is made from nothing but what a source yields.

mod copy;
mod follower;
mod server;

pub use copy::Copy;
pub use follower::Follower;
pub use server::{Server, both, run};

use cdc_core::TableFilter;
use mysql_source::{MysqlSourceConfig, MysqlSourceConfigBuilder};
use std::time::Duration;

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A source of all tables of one database, as the user that has the three grants alone.
pub fn config(server: &Server, database: &str) -> MysqlSourceConfigBuilder {
    MysqlSourceConfig::builder("127.0.0.1")
        .port(server.port)
        .user("mirror")
        .password("mirror")
        .tables(TableFilter::new(Some(database), None, None, None).unwrap())
        .heartbeat(Duration::from_millis(200))
        .idle_position_interval(Duration::from_millis(100))
}

/// A number that is new in each run, printed, or the one of `SEED`.
pub fn seed() -> u64 {
    let seed = match std::env::var("SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    };
    eprintln!("SEED={seed}");
    seed
}

/// Waits until `done` gives something.
pub async fn poll<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = done().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The sessions that the server sends its log to as the user of the mirror.
pub async fn dumps(admin: &mut mysql_async::Conn) -> Vec<u64> {
    let sql = "SELECT id FROM information_schema.processlist WHERE user = 'mirror' AND command LIKE 'Binlog%'";
    mysql_async::prelude::Queryable::query(admin, sql).await.unwrap()
}
