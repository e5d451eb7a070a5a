//! The stages, in order, on one server.

use crate::freshness;
use crate::report::{Figure, Report};
use crate::worker::{Outcome, Task, measure};
use crate::{Plan, report};
use harness::process::load_average;
use harness::server::{Kind, Server};
use harness::{Result, repository};
use std::path::PathBuf;

/// Runs them all; prints the table and writes the figures.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    std::fs::create_dir_all(&plan.out)?;
    let server = Server::start(Kind::Mysql, "bench", true, &[])?;
    let bench = Bench { plan, server, profile: std::env::var("BENCH_PROFILE").ok() };
    let mut report = Report::new(plan.quick, &bench.server.info.version);
    let ended = bench.all(&mut report).await;
    bench.server.remove()?;
    ended?;
    report::write(&report, &plan.out)
}

struct Bench<'a> {
    plan: &'a Plan,
    server: Server,
    /// A command in front of each measured process, `perf record -g -o FILE` for one.
    profile: Option<String>,
}

impl Bench<'_> {
    async fn all(&self, report: &mut Report) -> Result<()> {
        let n = self.plan.changes;
        if self.plan.wants("inserts") {
            self.load(1_000)?;
            // The thousand rows are in the table, so that what follows is a stream behind a snapshot.
            self.step("inserts", "source", "initial").await?;
            self.step("inserts", "sink", "initial").await?;
            self.server.sql(&format!("USE bench; CALL inserts({n});"))?;
            let inserted = self.figure(report, "stream inserts to log", "inserts", "source", None).await?;
            self.figure(report, "sink inserts, log to Iceberg", "inserts", "sink", Some(inserted)).await?;
            // Half inserts, half updates, in turns.
            let turn = 1_000;
            let turns = n / turn / 2;
            let both = format!("CALL inserts({turn}); CALL updates({turn});");
            self.server.sql(&format!("USE bench;\n{}", vec![both; usize::try_from(turns)?].join("\n")))?;
            let mixed = self.figure(report, "stream mixed (50 % updates) to log", "inserts", "source", None).await?;
            self.figure(report, "sink mixed (50 % updates), log to Iceberg", "inserts", "sink", Some(mixed)).await?;
        }
        if self.plan.wants("snapshot") {
            self.load(self.plan.table_rows)?;
            let rows = self.figure(report, "snapshot to log", "backlog", "source", None).await?;
            self.figure(report, "sink snapshot, log to Iceberg", "backlog", "sink", Some(rows)).await?;
            self.figure(report, "pipe snapshot, server to Iceberg", "pipe", "both", None).await?;
            self.server.sql(&format!("USE bench; CALL backlog({n});"))?;
            let rows = self.figure(report, "stream backlog to log", "backlog", "source", None).await?;
            self.figure(report, "sink backlog, log to Iceberg", "backlog", "sink", Some(rows)).await?;
            self.figure(report, "pipe backlog, server to committed", "pipe", "both", None).await?;
        }
        if self.plan.wants("fresh") {
            self.load(2_000)?;
            report.freshness = Some(freshness::run(self.plan, &self.server).await?);
        }
        Ok(())
    }

    /// Makes the table anew.
    fn load(&self, rows: u64) -> Result<()> {
        eprintln!("making a table of {rows} rows");
        let text = std::fs::read_to_string(repository().join("dev/load.sql"))?;
        self.server.sql(&format!("SET @rows = {rows};\n{text}")).map(drop)
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.plan.out.join("data").join(name)
    }

    /// One run of a mirror or a half.
    async fn step(&self, folder: &str, halves: &str, snapshot_mode: &str) -> Result<Outcome> {
        let folder = self.folder(folder);
        std::fs::create_dir_all(&folder)?;
        let task = Task {
            halves: halves.to_owned(),
            port: self.server.info.port,
            snapshot_mode: snapshot_mode.to_owned(),
            folder: folder.to_string_lossy().into_owned(),
        };
        measure(&task, self.profile.as_deref()).await
    }

    /// A run that counts; `rows` if it is not the process that knows them. Returns the rows.
    async fn figure(&self, report: &mut Report, name: &str, folder: &str, halves: &str, rows: Option<u64>) -> Result<u64> {
        eprintln!("measuring: {name}");
        let load = load_average();
        let mut outcome = self.step(folder, halves, "initial").await?;
        outcome.rows = rows.unwrap_or(outcome.rows);
        let rows = outcome.rows;
        let figure = Figure::new(name, &outcome, load);
        eprintln!("  {}", figure.line());
        report.figures.push(figure);
        Ok(rows)
    }
}
