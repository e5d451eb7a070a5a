//! The database side of a mirror before it runs: the URL of `init`, what tables there are, the preflight.

mod check;
mod discovery;
mod names;
mod url;

pub use check::{Check, check};
pub use discovery::{Discovery, FoundTable, PASSWORD_VARIABLE, discover};
pub(crate) use names::{colliding, leave_all_but_one_out};
pub use url::DatabaseUrl;

use crate::config::SourceConfig;
use crate::error::{Error, Result};
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
        )
        .map_err(|e| self.explain_lists(e))?;
        let mut builder = MysqlSourceConfig::builder(&self.hostname)
            .port(self.port)
            .user(&self.user)
            .password(self.password.needed()?)
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

    /// What is wrong with an expression of the lists. One with a comma was cut there, and is not shown as it was written.
    fn explain_lists(&self, e: cdc_core::Error) -> Error {
        let lists = [&self.database_include, &self.database_exclude, &self.table_include, &self.table_exclude];
        let way_on = match lists.into_iter().flatten().any(|list| list.contains(',')) {
            true => "\n  → a comma separates expressions: write \\, for one that belongs to an expression, as in a{1\\,3}",
            false => "",
        };
        Error::configuration(format!("{e}{way_on}")).with_source(e)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use crate::config::{MirrorConfig, Secret};

    #[test]
    fn an_expression_that_was_cut_at_a_comma_is_explained() {
        let mut config = MirrorConfig::new("h", 1, "u", Secret::default(), "".as_ref());
        let mut refused = |list: &str| {
            config.source.table_include = Some(list.to_owned());
            config.source.to_mysql().unwrap_err()
        };
        let e = refused("d\\.a{1,3}");
        assert!(e.to_string().contains("→ a comma separates expressions: write \\, ") && e.exit_code() == 2, "{e}");
        assert!(!refused("d\\.(a").to_string().contains("a comma separates expressions"));
    }
}
