//! `lakehouse snapshots`.

use super::read_config;
use crate::arguments::{Global, SnapshotsArgs};
use crate::text_table::{TextTable, counted, grouped};
use crate::{Outcome, output};
use mirror::Result;

pub(crate) async fn run(global: &Global, args: &SnapshotsArgs) -> Result<Outcome> {
    let config = read_config(global)?;
    let mut snapshots = mirror::catalog_snapshots(&config, &args.table).await?;
    let all = snapshots.len();
    snapshots.truncate(args.limit);
    if global.json {
        output::print_json(&serde_json::json!({ "table": args.table, "snapshots": snapshots }))?;
        return Ok(Outcome::Done);
    }
    let mut out = TextTable::new(&[
        "snapshot",
        "committed (UTC)",
        "operation",
        ">added",
        ">deletes",
        ">total records",
        "refs",
        "source position",
    ]);
    for s in &snapshots {
        out.row([
            s.id.to_string(),
            s.committed.clone(),
            s.operation.clone(),
            grouped(s.added_records),
            grouped(s.added_deletes),
            s.total_records.map(grouped).unwrap_or_default(),
            s.refs.join(", "),
            s.source_position.clone().unwrap_or_default(),
        ]);
    }
    let shown = if snapshots.len() < all { format!(", {} of them shown (--limit)", snapshots.len()) } else { String::new() };
    output::print(&format!("{}: {}, the newest first{shown}\n{}", args.table, counted(all as u64, "snapshot"), out.render()))?;
    Ok(Outcome::Done)
}
