//! The preflight: everything that a mirror needs, looked at before it runs.

use super::names::{colliding, leave_all_but_one_out};
use crate::catalog_view::open_existing;
use crate::config::{LogKind, MirrorConfig, SourceConfig};
use crate::error::Result;
use cdc_core::TableId;
use serde::Serialize;
use std::path::Path;

/// One requirement, what was found, and what fixes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is required.
    pub name: String,
    /// It is met.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// The statement or setting that fixes it. Where `ok`, this is advice: what was found has a consequence to know of.
    pub fix: Option<String>,
}

/// Checks every requirement of a mirror: server, grants, tables, log and warehouse folders. Changes nothing.
///
/// # Errors
/// Those of connecting; a requirement that is not met is a [`Check`], not an error.
pub async fn check(config: &MirrorConfig) -> Result<Vec<Check>> {
    let source = config.source.to_mysql()?;
    let mut checks: Vec<Check> = mysql_source::preflight(&source)
        .await?
        .into_iter()
        .map(|c| Check { name: c.name, ok: c.ok, found: c.found, fix: c.fix })
        .collect();
    let tables: Vec<TableId> = mysql_source::discover(&source).await?.into_iter().map(|t| t.table).collect();
    checks.extend(names_in_the_catalog(&config.source, &tables));
    if let LogKind::Local(dir) = &config.log.kind {
        checks.push(writable_folder("log folder", "[log] \"dir\"", dir));
    }
    let sink = &config.sink;
    checks.push(writable_folder("warehouse", "[sink] \"iceberg.catalog.warehouse\"", &sink.warehouse));
    match sink.catalog_address.sqlite_path() {
        Some(path) => {
            if let Some(dir) = path.parent().filter(|dir| *dir != sink.warehouse) {
                checks.push(writable_folder("catalog folder", "[sink] \"iceberg.catalog.uri\"", dir));
            }
        }
        None => checks.push(catalog_server(config).await),
    }
    Ok(checks)
}

/// Fails for each name in the catalog that more than one table would have.
fn names_in_the_catalog<'a>(source: &'a SourceConfig, tables: &'a [TableId]) -> impl Iterator<Item = Check> + 'a {
    colliding(tables).into_iter().map(|(name, tables)| {
        let listed = tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Check {
            name: format!("name {name} in the catalog"),
            ok: false,
            found: format!("{listed} would all be this one table: names are lower-cased there"),
            fix: Some(leave_all_but_one_out(source, &tables)),
        }
    })
}

/// Looks into the catalog's database, without making the tables of one that is new.
async fn catalog_server(config: &MirrorConfig) -> Check {
    let at = &config.sink.catalog_address;
    let (ok, found, fix) = match open_existing(config).await {
        Ok(Some(catalog)) => {
            catalog.close().await;
            (true, format!("{at} can be read"), None)
        }
        Ok(None) => (true, format!("{at} can be reached; the first start makes its tables"), None),
        Err(e) => (
            false,
            e.to_string(),
            Some(
                "see [sink] \"iceberg.catalog.uri\", \"iceberg.catalog.jdbc.user\" and \"iceberg.catalog.jdbc.password\""
                    .to_owned(),
            ),
        ),
    };
    Check { name: "catalog".to_owned(), ok, found, fix }
}

/// Looks whether a folder, or the nearest one above it that exists, can be written to, without creating anything that stays.
fn writable_folder(name: &str, setting: &str, dir: &Path) -> Check {
    let existing = dir.ancestors().find(|p| p.exists() || p.as_os_str().is_empty()).unwrap_or(dir);
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let probe = existing.join(format!(".lakehouse-check-{}", std::process::id()));
    let outcome = std::fs::write(&probe, b"probe");
    drop(std::fs::remove_file(&probe));
    let (ok, found, fix) = match outcome {
        Ok(()) => (true, format!("{} can be written to", dir.display()), None),
        Err(e) => (
            false,
            format!("{} cannot be written to: {e}", existing.display()),
            Some(format!("make it writable, or name another folder in {setting}")),
        ),
    };
    Check { name: name.to_owned(), ok, found, fix }
}
