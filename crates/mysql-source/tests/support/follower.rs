use super::copy::TableCopy;
use super::{Copy, Server, config};
use mysql_source::{MysqlSource, MysqlSourceConfig, MysqlSourceConfigBuilder};

/// A source that follows one database, and the copy that is made from what it yields.
pub struct Follower {
    server: Server,
    database: String,
    config: MysqlSourceConfig,
    source: MysqlSource,
    pub copy: Copy,
}

impl Follower {
    /// Starts a source of all tables of the database.
    pub async fn start(
        server: &Server,
        database: &str,
        configure: impl FnOnce(MysqlSourceConfigBuilder) -> MysqlSourceConfigBuilder,
    ) -> Self {
        let config = configure(config(server, database)).build().unwrap();
        let source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        Self { server: server.clone(), database: database.to_owned(), config, source, copy: Copy::default() }
    }

    /// Starts it, and waits until it has everything.
    pub async fn caught_up(server: &Server, database: &str) -> Self {
        let mut follower = Self::start(server, database, |config| config).await;
        follower.catch_up().await;
        follower
    }

    /// Starts another source where this one is.
    pub async fn restart(&mut self) {
        self.source = MysqlSource::start(self.config.clone(), self.copy.state.clone()).await.unwrap();
    }

    /// Takes in everything that is committed by now.
    pub async fn catch_up(&mut self) {
        self.copy.catch_up(&mut self.source, &self.config).await;
    }

    pub async fn until(&mut self, what: &str, done: impl Fn(&Copy) -> bool) {
        self.copy.until(&mut self.source, what, done).await;
    }

    /// Every table equals the server's own SELECT.
    pub async fn assert_equals(&self) {
        self.copy.assert_equals(&self.server, &self.database).await;
    }

    pub fn table(&self, table: &str) -> &TableCopy {
        self.copy.table(&self.database, table)
    }
}
