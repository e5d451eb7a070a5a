//! `lakehouse tables`.

use super::read_config;
use mirror::Result;
use mirror_cli::Options;
use mirror_cli::text_table::{TextTable, bytes, counted, grouped};
use mirror_cli::{Outcome, output};

pub(crate) async fn run(options: &Options) -> Result<Outcome> {
    let config = read_config(options)?;
    let tables = mirror::catalog_tables(&config).await?;
    if options.json {
        output::print_json(&serde_json::json!({ "catalog": config.sink.catalog, "tables": tables }))?;
        return Ok(Outcome::Done);
    }
    let mut out = TextTable::new(&[
        "table",
        ">records",
        ">deletes",
        ">data files",
        ">delete files",
        ">size",
        ">snapshots",
        "columns",
        "location",
    ]);
    for t in &tables {
        out.row([
            t.name.clone(),
            grouped(t.records),
            grouped(t.deletes),
            grouped(t.data_files),
            grouped(t.delete_files),
            bytes(t.size_bytes),
            grouped(t.snapshots),
            t.columns.to_string(),
            t.location.clone(),
        ]);
    }
    let body = if out.is_empty() { "next: lakehouse run\n".to_owned() } else { out.render() };
    output::print(&format!("catalog {}: {}\n{body}", config.sink.catalog, counted(tables.len() as u64, "table")))?;
    Ok(Outcome::Done)
}
