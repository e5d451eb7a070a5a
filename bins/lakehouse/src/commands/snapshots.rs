//! `lakehouse snapshots`.

use super::read_config;
use crate::arguments::SnapshotsArgs;
use mirror::Result;
use mirror_cli::Options;
use mirror_cli::text_table::{TextTable, counted, grouped};
use mirror_cli::{Outcome, output};

pub(crate) async fn run(options: &Options, args: &SnapshotsArgs) -> Result<Outcome> {
    let config = read_config(options)?;
    let mut snapshots = mirror::catalog_snapshots(&config, &args.table).await?;
    let all = snapshots.len();
    snapshots.truncate(args.limit);
    if options.json {
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
