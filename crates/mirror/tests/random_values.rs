//! Random values in random columns of every type: each is written by SQL, brought by the snapshot and by the stream, and read back by
//! two engines that share no code with the mirror: DuckDB, and Trino, whose texts must be those of the source.
//!
//! `SEED=...` repeats a run, `CASES=200` makes so many tables on each server instead of a dozen (then Spark reads them, too), `ONLY=mysql` takes one server.

mod charsets;
mod columns;
mod json;
mod literals;
mod readings;
mod shapes;
mod table;

use crate::support::trino::TrinoCatalog;
use crate::support::{Fixture, both, caught_up, seed, start, stop};
use charsets::CHARSETS;
use columns::Server;
use mirror::Mirror;
use mysql_async::prelude::Queryable;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use table::Table;

/// Columns of each table beside its key.
const COLUMNS: usize = 8;
/// Values of each column that the snapshot brings; the stream brings them once more.
const ROWS: usize = 16;
/// Tables on each server, if `CASES` does not say another number.
const TABLES: usize = 12;
/// Differences that a failure shows.
const SHOWN: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn random_values_of_every_type_are_read_by_other_engines_as_they_were_written() {
    let seed = seed();
    let cases = std::env::var("CASES").ok().map(|text| text.parse().unwrap());
    both("random", async |mut f| {
        let mut rng = StdRng::seed_from_u64(seed);
        // So that the default of a column may be any value of it.
        f.sql(&["SET sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'", "SET foreign_key_checks = 1"]).await;
        let server = server(&mut f).await;
        let mut tables = Table::all(&mut rng, &server, cases.unwrap_or(TABLES));
        for table in &mut tables {
            f.sql(&[&table.create()]).await;
            table.write_rows(&mut f, &mut rng, ROWS).await;
        }
        let mut config = f.config();
        // So that values of the keys become the ends of chunks.
        config.source.snapshot_fetch_size = 5;
        let mirror = start(config).await;
        arrived(&mirror, &tables, &f).await;
        for table in &mut tables {
            table.repeat_rows(&mut f).await;
        }
        arrived(&mirror, &tables, &f).await;
        let trino = TrinoCatalog::of(&f).await;
        assert_equal(&mut f, &trino, &tables, "the snapshot and inserts").await;
        // Nothing was deleted yet: DuckDB's reader is sure of such tables.
        assert_equal_by(&f, "duckdb", &tables).await;
        for table in &mut tables {
            table.change_rows(&mut f, &mut rng).await;
        }
        arrived(&mirror, &tables, &f).await;
        assert_equal(&mut f, &trino, &tables, "updates and deletes").await;
        if cases.is_some() {
            assert_equal_by(&f, "spark", &tables).await;
        }
        stop(mirror).await;
        trino.drop().await;
    })
    .await;
}

/// What the server has.
async fn server(f: &mut Fixture) -> Server {
    let named: Vec<String> = f.admin.query("SELECT character_set_name FROM information_schema.character_sets").await.unwrap();
    let charsets = CHARSETS.iter().filter(|charset| named.iter().any(|name| name == charset.name)).collect();
    Server { is_mysql: f.server.is_mysql(), charsets }
}

/// Waits until the mirror has everything, and no table has stopped.
async fn arrived(mirror: &Mirror, tables: &[Table], f: &Fixture) {
    caught_up(mirror).await;
    let status = mirror.status();
    let stopped: Vec<String> = status
        .stopped()
        .map(|(name, message)| {
            let table = tables.iter().find(|table| f.name(&table.name) == name).unwrap();
            format!("{message}\n{};\n{}", table.create(), table.values_of_columns_in(message))
        })
        .collect();
    assert!(stopped.is_empty(), "{} on {}: {}", f.database, f.server.kind, stopped.join("\n"));
}

/// A program that shares nothing with the mirror's code finds all tables equal.
async fn assert_equal_by(f: &Fixture, engine: &str, tables: &[Table]) {
    let Err(message) = f.oracle(engine, &[]).await else { return };
    let named = |table: &&Table| message.contains(&format!("  {}: ", table.name));
    let tables: Vec<String> =
        tables.iter().filter(named).map(|t| format!("{};\n{}", t.create(), t.values_of_columns_in(&message))).collect();
    panic!("{} on {}: {message}\n{}", f.database, f.server.kind, tables.join("\n"));
}

/// Trino's text of every value is the source's.
async fn assert_equal(f: &mut Fixture, trino: &TrinoCatalog, tables: &[Table], after: &str) {
    let mut differences = Vec::new();
    for table in tables {
        let source = table.at_source(f).await;
        let mirrored: BTreeMap<u32, _> = {
            let select: Vec<String> = table.columns.iter().map(columns::Column::in_trino).collect();
            let sql = format!("SELECT CAST(id AS varchar), {} FROM {}", select.join(", "), trino.table(f, &table.name));
            let rows = trino.rows(&sql).await;
            let count = rows.len();
            let by_id: BTreeMap<u32, _> =
                rows.into_iter().map(|mut row| (row.remove(0).unwrap().parse().unwrap(), row)).collect();
            assert_eq!(by_id.len(), count, "{}: an id is there twice", f.name(&table.name));
            by_id
        };
        assert_eq!(
            source.keys().collect::<BTreeSet<_>>(),
            table.rows.keys().collect::<BTreeSet<_>>(),
            "{}: the test has not written what it thinks",
            f.name(&table.name)
        );
        for id in source.keys().chain(mirrored.keys()).collect::<BTreeSet<_>>() {
            match (source.get(id), mirrored.get(id)) {
                (Some(there), Some(here)) => {
                    let values = table.columns.iter().zip(there).zip(here).enumerate();
                    let unequal = values.filter(|(_, ((_, there), here))| there != here);
                    differences.extend(unequal.map(|(i, ((column, there), here))| {
                        let literal = table.literal(*id, i);
                        format!(
                            "{}, row {id}: {} {}\n  written as {literal:.300}\n  the source has {}\n  Trino has      {}",
                            table.name,
                            column.name,
                            column.declaration,
                            shown(there, here),
                            shown(here, there)
                        )
                    }));
                }
                (there, _) => {
                    let side = if there.is_some() { "only in the source" } else { "only in the mirror" };
                    differences.push(format!("{}: the row {id} is {side}\n  {};", table.name, table.create()));
                }
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} on {}, after {after}: {} values differ\n{}",
        f.database,
        f.server.kind,
        differences.len(),
        differences[..differences.len().min(SHOWN)].join("\n")
    );
}

/// A text, from a little before the place where the other one is different.
fn shown(text: &Option<String>, other: &Option<String>) -> String {
    let Some(text) = text else { return "NULL".to_owned() };
    let other = other.as_deref().unwrap_or_default();
    let same = text.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    // Even, so that pairs of hexadecimal digits stay together. All these texts are ASCII.
    let from = same.saturating_sub(20) / 2 * 2;
    let to = text.len().min(from + 200);
    format!("{:?} from its byte {from} of {}", &text[from..to], text.len())
}
