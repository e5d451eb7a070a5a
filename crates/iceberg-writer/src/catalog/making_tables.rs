//! Making a catalog's tables on a server, beside others who make the same (Java, PyIceberg, a second mirror), or without the right to.

use super::Reach;
use super::server::{Failure, ServerUse, Session};
use super::sql::LATER_COLUMNS;
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeSet;

/// How often it is looked what is there. Each table and column is made once, by whomever.
const LOOKS: u32 = 10;

/// Why tables or a column were not made.
pub(super) enum Unmade {
    /// Somebody else makes them at this moment.
    Meanwhile(Error),
    /// This user may not.
    Forbidden(Error),
    Failed(Error),
}

/// The columns of the three tables that are there, as table and column.
pub(super) type Columns = BTreeSet<(String, String)>;

/// Looks for the tables and, for writing, makes those that are missing. True if `iceberg_tables` tells tables from views.
pub(super) async fn make_tables<S: Session>(session: &mut S, use_of: &ServerUse) -> Result<bool> {
    let at = &use_of.address;
    let mut last = None;
    for _ in 0..LOOKS {
        let there = session.columns().await.map_err(Failure::into_error)?;
        let has = |table: &str, column: &str| there.contains(&(table.to_owned(), column.to_owned()));
        let has_type = has("iceberg_tables", "iceberg_type");
        if use_of.reach == Reach::Read {
            return if has("iceberg_tables", "metadata_location") { Ok(has_type) } else { Err(super::no_tables(at)) };
        }
        let create = S::DIALECT.create();
        let is_there = |table: &str| there.iter().any(|(name, _)| name == table);
        let tables: Vec<&str> = create.iter().filter(|(table, _)| !is_there(table)).map(|(_, sql)| sql.as_str()).collect();
        let columns: Vec<&str> = LATER_COLUMNS.iter().filter(|(t, c, _)| !has(t, c)).map(|(_, _, sql)| *sql).collect();
        let made = match (tables.is_empty(), columns.is_empty()) {
            (true, true) => return session.check(use_of).await.map(|()| has_type),
            (true, false) => session.make(&columns).await,
            (false, _) => session.make(&tables).await,
        };
        match made {
            Ok(()) => {}
            Err(Unmade::Meanwhile(e)) => last = Some(e),
            // PyIceberg's table, which somebody else owns, does without the column.
            Err(Unmade::Forbidden(e)) if tables.is_empty() && has("cdc_expired_files", "sequence") => {
                tracing::info!(catalog = %at, error = %e, "iceberg_tables stays without the column iceberg_type");
                return session.check(use_of).await.map(|()| false);
            }
            Err(Unmade::Forbidden(e)) => {
                let message = format!(
                    "cannot make the tables of the catalog {at}: {e}; {}, or make iceberg_tables, iceberg_namespace_properties and cdc_expired_files for the user",
                    S::GRANT
                );
                return Err(Error::new(ErrorKind::NotWritable, message).with_source(e));
            }
            Err(Unmade::Failed(e)) => return Err(e),
        }
    }
    Err(last.unwrap_or_else(|| {
        let message = format!("the tables of the catalog {at} were made, and this user does not see them; GRANT SELECT on them");
        Error::new(ErrorKind::NotWritable, message)
    }))
}
