//! `lakehouse log`.

use super::read_config;
use crate::arguments::LogArgs;
use mirror::{LogRange, LogTopic, LogView, Result};
use mirror_cli::Options;
use mirror_cli::text_table::{TextTable, counted, grouped};
use mirror_cli::{Outcome, output};
use std::io::{ErrorKind, Write};

pub(crate) async fn run(options: &Options, args: &LogArgs) -> Result<Outcome> {
    let log = LogView::open(&read_config(options)?).await?;
    let Some(topic) = &args.topic else {
        let topics = log.topics().await?;
        if options.json {
            output::print_json(&serde_json::json!({ "topics": topics }))?;
        } else {
            output::print(&render(&topics))?;
        }
        return Ok(Outcome::Done);
    };
    let mut range = LogRange::default();
    range.partition = args.partition;
    range.from = args.from;
    range.limit = args.limit.unwrap_or(u64::MAX);
    range.headers = args.headers;
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout());
    let printed = log.print(topic, range, &mut out).await;
    let nothing = matches!(printed, Ok(0));
    match printed.map(|_| out.flush()) {
        Ok(Ok(())) => {
            if nothing && !options.quiet && range.limit > 0 {
                say_where_it_ends(&log, topic, range).await?;
            }
            Ok(Outcome::Done)
        }
        // Whoever read the records has seen enough: `lakehouse log orders | head`.
        Ok(Err(e)) if e.kind() == ErrorKind::BrokenPipe => Ok(Outcome::Done),
        Err(e) if is_broken_pipe(&e) => Ok(Outcome::Done),
        Ok(Err(e)) => Err(mirror::Error::new(mirror::ErrorKind::Unavailable, format!("the records cannot be written out: {e}"))),
        Err(e) => Err(e),
    }
}

/// Why nothing was printed.
async fn say_where_it_ends(log: &LogView, topic: &str, range: LogRange) -> Result<()> {
    let topics = log.topics().await?;
    let partitions = topics.iter().filter(|t| t.topic == topic).flat_map(|t| &t.partitions);
    if let Some(kept) = partitions.filter(|p| p.partition == range.partition).find(|p| range.from >= p.next) {
        let first = if kept.first < kept.next { format!("; the first record is {}", kept.first) } else { String::new() };
        output::say(&format!("note: no record: the next one of {topic} will be at offset {}{first}\n", kept.next));
    }
    Ok(())
}

fn is_broken_pipe(e: &mirror::Error) -> bool {
    let cause = std::error::Error::source(e).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

fn render(topics: &[LogTopic]) -> String {
    let mut table = TextTable::new(&["topic", ">partition", ">first", ">next", "keeps"]);
    for t in topics {
        let keeps = if t.compacted { "the newest of each key" } else { "all, until applied and retained" };
        for p in &t.partitions {
            table.row([
                t.topic.clone(),
                p.partition.to_string(),
                grouped(u64::try_from(p.first).unwrap_or(0)),
                grouped(u64::try_from(p.next).unwrap_or(0)),
                keeps.to_owned(),
            ]);
        }
    }
    format!("{}; lakehouse log TOPIC prints the records\n{}", counted(topics.len() as u64, "topic"), table.render())
}
