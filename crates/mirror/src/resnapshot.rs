//! Tables that are to be read again: asked for while the mirror stands still, done when it starts.

use crate::config::MirrorConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::log_view::open_at_rest;
use crate::progress_topic::{TableProgress, progress_records};
use crate::status::{MirrorStatus, StatusFile, TablePhase};
use crate::{capture::Fenced, catalog_view};
use cdc_core::{Progress, ProgressKey, SourcePosition, StopReason, TableId, TableStop, TopicRouter};
use change_log::{Append, Transaction};
use serde::Serialize;
use std::collections::BTreeSet;

const STOP_FIRST: &str = "stop the mirror first, and start it again afterwards";

/// Which tables are to be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadAgain {
    /// All that were captured. The binary log is gone on with at its present end, also that of another server.
    All,
    /// Those that have stopped and are still there; all, if the server's binary log does not go on where the mirror stopped.
    OnlyNeeded,
    /// These, as `database.table`, in any case of letters.
    Tables(Vec<String>),
}

/// What is read again when the mirror starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Resnapshot {
    /// The tables, each with the reason.
    pub tables: Vec<TableToRead>,
    /// Why the place in the binary log is given up, if it is: several lines.
    pub position_given_up: Option<String>,
}

/// A table of a [`Resnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableToRead {
    /// Its name on the source, as `database.table`.
    pub table: String,
    /// Why it had stopped, if it had: several lines.
    pub stopped: Option<String>,
    /// Rows in the data files of the mirror's table now; `None` if it is not in the catalog.
    pub records: Option<u64>,
}

/// Has tables read again: all their rows, behind a barrier that removes those of before.
///
/// The wish is kept in the log, and done by the next start, however often that is interrupted. The mirror must not be running. A log on
/// Kafka does not tell: a source that runs on another machine is fenced, and ends.
///
/// # Errors
/// [`ErrorKind::Configuration`]: a table that is not captured, or a log in memory. [`ErrorKind::Unavailable`]: a mirror that runs, no
/// log yet, and with [`ReadAgain::OnlyNeeded`] a server that cannot be asked. After an error nothing was changed.
pub async fn resnapshot(config: &MirrorConfig, which: &ReadAgain) -> Result<Resnapshot> {
    #[cfg(feature = "kafka")]
    if let crate::config::LogKind::Kafka { .. } = config.log.kind {
        refuse_beside_running(config)?;
    }
    let log = open_at_rest(config, STOP_FIRST).await?;
    let router = TopicRouter::new(&config.source.topic_prefix);
    let topic = router.progress_topic();
    let mut fenced = Fenced::open(log, router).await?;
    let state = &fenced.state;
    if state.tables.is_empty() {
        let message = "nothing was captured yet: the first start reads every table\n  → lakehouse run";
        return Err(Error::new(ErrorKind::Unavailable, message));
    }
    let lost = match (&state.position, which) {
        (Some(position), ReadAgain::OnlyNeeded) => why_not_to_go_on(config, position).await?,
        _ => None,
    };
    // A table that was dropped is read when it is there again.
    let there = |t: &TableProgress| t.stop.as_ref().is_none_or(|s| s.reason != StopReason::Dropped);
    let status = StatusFile::of(&config.log.kind).map(|file| file.read().map(|status| (file, status))).transpose()?;
    // The commits of a table are stopped by what is in the log or in the table: only the last run has said so.
    let commits_stopped = |id: &TableId| {
        let last = status.as_ref().and_then(|(_, status)| status.as_ref()?.tables.get(&id.to_string()));
        last.filter(|t| t.stays_stopped && !t.dropped).and_then(|t| t.stopped.clone())
    };
    let wanted: BTreeSet<TableId> = match which {
        ReadAgain::Tables(names) => named(names, state.tables.keys())?,
        ReadAgain::OnlyNeeded if lost.is_none() => {
            let stopped = |(id, t): &(&TableId, &TableProgress)| t.stop.is_some() || commits_stopped(id).is_some();
            state.tables.iter().filter(stopped).filter(|(_, t)| there(t)).map(|(id, _)| id.clone()).collect()
        }
        _ => state.tables.iter().filter(|(_, t)| there(t)).map(|(id, _)| id.clone()).collect(),
    };
    let all = *which == ReadAgain::All || lost.is_some();
    let mut found = Resnapshot { tables: Vec::new(), position_given_up: lost };
    let catalog = catalog_view::open_existing(config).await?;
    let mut progress = Vec::new();
    for id in &wanted {
        let stopped = state.tables.get(id).and_then(|t| t.stop.as_ref());
        // How many records there are is worth nothing but a look: a table that cannot be read may be named for just that.
        let table = match &catalog {
            Some(catalog) => catalog.load_table(&crate::sink::mirrored_name(id)).await.ok().flatten(),
            None => None,
        };
        found.tables.push(TableToRead {
            table: id.to_string(),
            stopped: match stopped {
                Some(stop) => (stop.reason != StopReason::ReadAgain).then(|| stop.message.clone()),
                None => commits_stopped(id),
            },
            records: table.as_ref().map(catalog_view::records),
        });
        let stop = Progress::Stop(TableStop {
            table: id.clone(),
            reason: StopReason::ReadAgain,
            message: format!("{id} is to be read again\n  → lakehouse run does it"),
            position: state.position.clone().unwrap_or_default(),
        });
        progress.push((stop.key(), Some(stop)));
    }
    if let Some(catalog) = catalog {
        catalog.close().await;
    }
    if all {
        progress.push((ProgressKey::Position, None));
    }
    if !progress.is_empty() {
        let records = progress_records(&progress)?;
        let appends = vec![Append::new(topic, 0, records)];
        fenced.producer.append(Transaction { appends }).await?;
    }
    if let Some((file, Some(status))) = status {
        show_in_status(&file, status, &found);
    }
    Ok(found)
}

/// Nothing but its status file tells of a mirror whose log has no lock. Asked before its source is fenced.
#[cfg(feature = "kafka")]
fn refuse_beside_running(config: &MirrorConfig) -> Result<()> {
    let status = StatusFile::of(&config.log.kind).map(|file| file.read()).transpose()?.flatten();
    match status.filter(crate::catalog_view::is_running) {
        Some(running) => {
            Err(Error::new(ErrorKind::Unavailable, format!("the mirror is running (process {})\n  → {STOP_FIRST}", running.pid)))
        }
        None => Ok(()),
    }
}

/// Why the source cannot go on at this position, if it cannot.
async fn why_not_to_go_on(config: &MirrorConfig, position: &SourcePosition) -> Result<Option<String>> {
    match mysql_source::check_position(&config.source.to_mysql()?, position).await {
        Ok(()) => Ok(None),
        Err(e) if e.kind() == cdc_core::ErrorKind::Unsafe => Ok(Some(e.to_string())),
        Err(e) => Err(e.into()),
    }
}

fn named<'a>(names: &[String], known: impl Iterator<Item = &'a TableId> + Clone) -> Result<BTreeSet<TableId>> {
    let find = |name: &String| {
        let found = known.clone().find(|id| id.to_string().eq_ignore_ascii_case(name));
        found.cloned().ok_or_else(|| {
            let there: Vec<String> = known.clone().map(TableId::to_string).collect();
            Error::configuration(format!("{name} is not captured\n  → write database.table; there are {}", there.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

/// The status of a mirror that does not run tells what its next start does. It is done also if this cannot be written.
fn show_in_status(file: &StatusFile, mut status: MirrorStatus, found: &Resnapshot) {
    for TableToRead { table, .. } in &found.tables {
        if let Some(entry) = status.tables.get_mut(table) {
            (entry.phase, entry.stopped) = (TablePhase::Waiting, None);
            (entry.stays_stopped, entry.dropped) = (false, false);
        }
    }
    if let Err(e) = file.write(&status) {
        tracing::warn!(error = %e, "the status file is not up to date");
    }
}
