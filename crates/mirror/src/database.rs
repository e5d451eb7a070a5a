//! The database side of a mirror before it runs: the URL of `init`, what tables there are, the preflight.

mod check;
mod discovery;
mod url;

pub use check::{Check, check};
pub use discovery::{Discovery, FoundTable, PASSWORD_VARIABLE, discover};
pub use url::DatabaseUrl;

use crate::config::SourceConfig;
use crate::error::Result;
use cdc_core::{ColumnFilter, TableFilter};
use mysql_source::{MysqlSourceConfig, SnapshotMode, TlsMode};

/// Row changes that the source hands on at once, unless one transaction has more. As events they take up to ten mebibytes, and
/// an append of that size costs less for its flush than for its bytes.
const BATCH_ROWS: usize = 8_192;

impl SourceConfig {
    /// The source's own configuration.
    pub(crate) fn to_mysql(&self) -> Result<MysqlSourceConfig> {
        let tables = TableFilter::new(
            self.database_include.as_deref(),
            self.database_exclude.as_deref(),
            self.table_include.as_deref(),
            self.table_exclude.as_deref(),
        )?;
        let mut builder = MysqlSourceConfig::builder(&self.hostname)
            .port(self.port)
            .user(&self.user)
            .password(self.password.expose())
            .tls(TlsMode::parse(&self.ssl_mode)?)
            .tables(tables)
            .columns(ColumnFilter::default())
            .snapshot_mode(SnapshotMode::parse(&self.snapshot_mode)?)
            .chunk_rows(self.snapshot_fetch_size as usize)
            .snapshot_threads(self.snapshot_max_threads)
            .memory_bytes(self.memory_budget)
            .batch_rows(BATCH_ROWS)
            .max_transaction_bytes(self.transaction_max_bytes)
            .connect_timeout(self.connect_timeout)
            .reconnect_limit(self.reconnect_limit);
        if let Some(id) = self.server_id {
            builder = builder.server_id(id);
        }
        if let Some(ca) = &self.ssl_ca {
            builder = builder.tls_ca(ca);
        }
        Ok(builder.build()?)
    }
}
