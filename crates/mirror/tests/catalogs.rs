//! A mirror whose catalog is a database on a server.

use crate::support::{Fixture, Server, caught_up, dev, start, stop};
use mirror::{CatalogAddress, VerifyOptions};
use std::process::Command;

/// An empty database of this name for a catalog, on a server of this kind.
fn catalog(kind: &'static str, server: &str, name: &str) -> (Server, CatalogAddress) {
    let server = Server::start(kind, server, &[]);
    let force = if kind == "postgres" { " WITH (FORCE)" } else { "" };
    sql(&server, "", &format!("DROP DATABASE IF EXISTS {name}{force}"));
    sql(&server, "", &format!("CREATE DATABASE {name}"));
    let scheme = if kind == "postgres" { "postgresql" } else { kind };
    let address = CatalogAddress::parse(&format!("jdbc:{scheme}://127.0.0.1:{}/{name}", server.port)).unwrap();
    (server, address.with_user("admin").with_password("admin"))
}

/// Runs a statement with the server's own client; what it prints.
fn sql(server: &Server, database: &str, statement: &str) -> String {
    let mut command = Command::new(dev(server.kind));
    command.args(["sql", &server.name]).args((!database.is_empty()).then_some(database));
    command.args(if server.kind == "postgres" { ["-At", "-c"] } else { ["-NB", "-e"] }).arg(statement);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn tables_there(server: &Server, database: &str) -> String {
    let schema = if server.kind == "postgres" { "'public'" } else { "DATABASE()" };
    sql(server, database, &format!("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {schema}"))
}

async fn mirrored_through(kind: &'static str) {
    // The source's own server can hold the catalog as well: its database is not captured.
    let name = format!("mt_catalog_{kind}");
    let (server, address) = catalog(kind, "shared", &name);
    let mut f = Fixture::new("mysql", &format!("through_{kind}")).await;
    f.catalog_address = Some(address);
    f.sql(&["CREATE TABLE Orders (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO Orders VALUES (1, 'a'), (2, 'b')"]).await;

    // To look makes nothing.
    assert_eq!(mirror::catalog_tables(&f.config()).await.unwrap(), []);
    assert_eq!(mirror::status(&f.config()).await.unwrap().tables, []);
    let checked = mirror::check(&f.config()).await.unwrap().into_iter().find(|c| c.name == "catalog").unwrap();
    assert!(checked.ok && checked.found.ends_with("the first start makes its tables"), "{checked:?}");
    assert_eq!(tables_there(&server, &name), "0");

    let mirror = f.caught_up_mirror().await;
    f.sql(&[
        "UPDATE Orders SET v = 'c' WHERE id = 1",
        "DELETE FROM Orders WHERE id = 2",
        "INSERT INTO Orders VALUES (3, 'größe 🦆')",
    ])
    .await;
    caught_up(&mirror).await;
    f.assert_equal().await;
    stop(mirror).await;
    assert_eq!(tables_there(&server, &name), "3");

    f.sql(&["ALTER TABLE Orders ADD COLUMN w INT", "INSERT INTO Orders VALUES (4, 'd', 4)"]).await;
    f.once().await;
    f.assert_equal().await;
    let tables = mirror::catalog_tables(&f.config()).await.unwrap();
    assert_eq!((tables.len(), tables[0].name.as_str()), (1, format!("mt_through_{kind}.orders").as_str()));
    assert!(mirror::catalog_snapshots(&f.config(), &tables[0].name).await.unwrap().len() >= 3);
    assert_eq!(mirror::status(&f.config()).await.unwrap().tables[0].records, Some(tables[0].records));
    let report = mirror::verify(&f.config(), &VerifyOptions::default(), &|_, _| {}).await.unwrap();
    assert!(report.tables.iter().all(|t| t.equal()) && report.tables.len() == 1, "{report:?}");

    // All rows once more, as a replacement.
    mirror::resnapshot(&f.config(), &mirror::ReadAgain::All).await.unwrap();
    f.once().await;
    f.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_keeps_its_tables_in_a_catalog_on_postgresql() {
    mirrored_through("postgres").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_keeps_its_tables_in_a_catalog_on_mysql() {
    mirrored_through("mysql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_keeps_its_tables_in_a_catalog_on_mariadb() {
    mirrored_through("mariadb").await;
}

async fn killed(kind: &'static str) {
    let (server, address) = catalog(kind, "catalog-killed", "killed");
    let mut f = Fixture::new("mysql", &format!("catalog_killed_{kind}")).await;
    f.catalog_address = Some(address);
    f.sql(&["CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)", "INSERT INTO t (v) VALUES (1)"]).await;
    let mirror = start(f.config()).await;
    caught_up(&mirror).await;
    for round in 0..3 {
        // Changes before, while it is down, and after.
        for i in 0..20 {
            f.sql(&["INSERT INTO t (v) VALUES (2)", "UPDATE t SET v = v + 1 WHERE id % 3 = 0"]).await;
            let verb = match i {
                5 => "kill9",
                // A table that begins meanwhile waits as well.
                9 => {
                    f.sql(&[&format!("CREATE TABLE u{round} (id INT PRIMARY KEY)"), &format!("INSERT INTO u{round} VALUES (1)")])
                        .await;
                    continue;
                }
                14 => "start",
                _ => continue,
            };
            let output = Command::new(dev(kind)).args([verb, &server.name]).output().unwrap();
            assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
        }
        caught_up(&mirror).await;
        f.assert_equal().await;
        eprintln!("{kind}: round {round} done");
    }
    stop(mirror).await;
    let events = f.events("t").await;
    assert_eq!(events.of('c') + events.of('r'), 61, "a change is in the log once");
    server.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_on_postgresql_that_is_killed_is_waited_for() {
    killed("postgres").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_on_mariadb_that_is_killed_is_waited_for() {
    killed("mariadb").await;
}
