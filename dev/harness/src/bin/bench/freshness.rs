//! How long a change takes from the source's COMMIT to a reader of the table, and what the process uses at rest.

use crate::Plan;
use crate::report::Freshness;
use crate::worker::config;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt;
use harness::Result;
use harness::binary::{Lakehouse, end};
use harness::process::{Usage, load_average};
use harness::server::Server;
use iceberg_writer::{Catalog, CatalogConfig, Table, TableName};
use mysql_async::prelude::Queryable;
use std::path::Path;
use std::time::{Duration, Instant};

/// Changes a second.
const RATE: u64 = 1_000;
/// Rows that are updated in turns: four seconds pass before a row's turn comes again.
const ROWS: u64 = 2_000;
/// New rows have keys from here on.
const NEW_KEYS: u64 = 1_000_000;
/// How often the observer looks at the catalog.
const POLL: Duration = Duration::from_millis(5);
/// How long the mirror may take to catch up before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts `lakehouse run`, makes changes (one an UPDATE, one an INSERT, each its own transaction), and reads every new head.
pub(crate) async fn run(plan: &Plan, server: &Server) -> Result<Freshness> {
    let folder = plan.out.join("data").join("fresh");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("mirror.toml"), configuration(server.info.port))?;
    let mut child = Lakehouse::beside_this(&folder)?.spawn(&["run"], &folder.join("mirror.log"), &[])?;
    let pid = child.id().ok_or("lakehouse run has ended at once\n  → see mirror.log")?;
    let measured = measure(plan, server, &folder, pid).await;
    let ended = end(&mut child, Duration::from_secs(10)).await;
    let measured = measured?;
    ended?;
    Ok(measured)
}

fn configuration(port: u16) -> String {
    format!(
        "[source]\n\"database.hostname\" = \"127.0.0.1\"\n\"database.port\" = {port}\n\"database.user\" = \"mirror\"\n\"database.password\" = \"mirror\"\n\"topic.prefix\" = \"mirror\"\n\"table.include.list\" = \"bench\\\\.orders\"\n"
    )
}

async fn measure(plan: &Plan, server: &Server, folder: &Path, pid: u32) -> Result<Freshness> {
    eprintln!("measuring: freshness");
    let load_before = load_average();
    let mut table = first_rows(&config(server.info.port, folder)).await?;
    let count = RATE * plan.fresh_seconds;
    let before = Usage::of(pid)?;
    let began = Instant::now();
    let writer = tokio::spawn(write(server.clone(), count, began));
    let mut seen: Vec<Option<Instant>> = vec![None; usize::try_from(count)?];
    let (mut newest, mut heads) = (0, 0);
    while newest < count {
        if began.elapsed() > Duration::from_secs(plan.fresh_seconds) + PATIENCE {
            return Err(format!("change {newest} of {count} was the last to arrive within {PATIENCE:?}").into());
        }
        tokio::time::sleep(POLL).await;
        let now = table.refresh().await?;
        if now.metadata_location() == table.metadata_location() {
            continue;
        }
        table = now;
        heads += 1;
        let marks = marks(&table).await?;
        let at = Instant::now();
        for mark in marks.into_iter().filter(|mark| *mark > 0 && *mark <= count) {
            newest = newest.max(mark);
            if let Some(first) = seen.get_mut(usize::try_from(mark - 1)?) {
                first.get_or_insert(at);
            }
        }
    }
    let after = Usage::of(pid)?;
    let took = began.elapsed();
    let committed = writer.await??;
    let written = committed.last().map_or(took, |last| *last - began);
    let mut delays: Vec<f64> = committed
        .iter()
        .zip(&seen)
        .filter_map(|(committed, seen)| Some((*seen)?.saturating_duration_since(*committed).as_secs_f64() * 1e3))
        .collect();
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays.get(((delays.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(f64::NAN);
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    // Two commits' time for what is still to be tidied up, then silence.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (idle_began, idle_before) = (Instant::now(), Usage::of(pid)?);
    tokio::time::sleep(Duration::from_secs(plan.idle_seconds)).await;
    let idle = Usage::of(pid)?;
    let idle_cpu = idle.cpu.saturating_sub(idle_before.cpu).as_secs_f64();
    Ok(Freshness {
        changes: committed.len(),
        changes_per_second: committed.len() as f64 / written.as_secs_f64(),
        replaced_unseen: seen.iter().filter(|s| s.is_none()).count(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
        commits_seen: heads,
        cpu_us_per_change: cpu * 1e6 / count as f64,
        cpu_percent: 100.0 * cpu / took.as_secs_f64(),
        rss_mib: after.peak_rss_kib as f64 / 1024.0,
        idle_cpu_percent: 100.0 * idle_cpu / idle_began.elapsed().as_secs_f64(),
        idle_rss_mib: idle.rss_kib as f64 / 1024.0,
        load_before,
    })
}

/// Waits until the table is there with all the rows it began with.
async fn first_rows(config: &mirror::MirrorConfig) -> Result<Table> {
    let began = Instant::now();
    let sink = &config.sink;
    let name = TableName::new("bench", "orders");
    while began.elapsed() < PATIENCE {
        if sink.catalog_address.sqlite_path().is_some_and(|path| path.exists()) {
            let settings = CatalogConfig { name: sink.catalog.clone(), ..CatalogConfig::default() };
            let catalog = Catalog::open(&sink.catalog_address, sink.warehouse.to_string_lossy(), settings).await?;
            if let Some(table) = catalog.load_table(&name).await?
                && marks(&table).await?.len() as u64 == ROWS
            {
                return Ok(table);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("the first {ROWS} rows were not in the table within {PATIENCE:?}\n  → see mirror.log").into())
}

/// The column `qty` of every row, in which each change leaves its number.
async fn marks(table: &Table) -> Result<Vec<u64>> {
    let mut marks = Vec::new();
    let rows = table.scan().with_columns(["qty"]).stream();
    futures::pin_mut!(rows);
    while let Some(batch) = rows.try_next().await? {
        let column = batch.column(0).as_primitive_opt::<Int64Type>().ok_or("the column qty is not of 64 bits")?;
        marks.extend(column.iter().flatten().map(|mark| mark.saturating_sub(MARKS_FROM).max(0) as u64));
    }
    Ok(marks)
}

/// Changes are numbered from here, above whatever the table began with.
const MARKS_FROM: i64 = 1_000;

/// Makes the changes, evenly over time; returns when each COMMIT had returned.
async fn write(server: Server, count: u64, began: Instant) -> Result<Vec<Instant>> {
    let mut connection = server.connect().await?;
    let update = connection.prep("UPDATE bench.orders SET qty = ? WHERE id = ?").await?;
    let insert = connection
        .prep("INSERT INTO bench.orders (id, customer_id, status, amount, qty, email, is_paid, created_at) VALUES (?, 1, 'new', 9.90, ?, 'new@example.com', 0, NOW(6))")
        .await?;
    let mut committed = Vec::with_capacity(usize::try_from(count)?);
    for number in 1..=count {
        let due = began + Duration::from_micros(number * 1_000_000 / RATE);
        if let Some(early) = due.checked_duration_since(Instant::now()).filter(|early| *early > Duration::from_millis(1)) {
            tokio::time::sleep(early).await;
        }
        let mark = number + MARKS_FROM.unsigned_abs();
        if number % 2 == 0 {
            connection.exec_drop(&insert, (NEW_KEYS + number, mark)).await?;
        } else {
            connection.exec_drop(&update, (mark, 1 + number / 2 % ROWS)).await?;
        }
        committed.push(Instant::now());
    }
    connection.disconnect().await?;
    Ok(committed)
}
