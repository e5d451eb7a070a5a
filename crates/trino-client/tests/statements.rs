//! Statements on a real server.

use crate::support::server::trino;
use futures::StreamExt;
use trino_client::{ErrorKind, Position, ServerErrorType};

#[tokio::test]
async fn sixty_thousand_rows_come_in_many_pages() {
    let client = trino().client();
    let sql = "SELECT orderkey, linenumber, CAST(quantity AS decimal(12,2)), comment FROM lineitem";
    let mut pages = client.query(sql).await.unwrap().into_pages();
    let (mut rows, mut count, mut keys, mut cents, mut letters) = (0, 0, 0, 0, 0);
    while let Some(page) = pages.next().await {
        count += 1;
        for row in page.unwrap().rows() {
            let (key, number, quantity, comment): (i64, i32, trino_client::Decimal, &str) = row.read().unwrap();
            rows += 1;
            keys += key * i64::from(number);
            cents += quantity.unscaled();
            letters += comment.len() as i64;
        }
    }
    assert!(count > 3, "{count} pages");
    let sums =
        "SELECT count(*), sum(orderkey * linenumber), CAST(sum(quantity) AS bigint) * 100, sum(length(comment)) FROM lineitem";
    let sums: Vec<(i64, i64, i64, i64)> = client.query(sums).await.unwrap().collect().await.unwrap();
    assert_eq!(sums, [(rows, keys, i64::try_from(cents).unwrap(), letters)]);
    assert_eq!(rows, 60_175);
}

#[tokio::test]
async fn a_statement_that_fails_shows_its_line_and_the_place_in_it() {
    let client = trino().client();
    let error = client.query("SELECT name,\n\tnationkey FORM nation").await.unwrap_err();
    let server = error.server().unwrap();
    assert_eq!((server.name(), server.code(), server.error_type()), ("SYNTAX_ERROR", 1, ServerErrorType::User));
    assert_eq!(server.position(), Some(Position { line: 2, column: 17 }));
    let id = error.query_id().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "{}\n  SYNTAX_ERROR (1), an error of the statement; query {id}\n\n  2 | \tnationkey FORM nation\n      \t               ^",
            server.message()
        )
    );

    let error = client.query("SELECT *\nFROM nations").await.unwrap_err();
    let text = error.to_string();
    assert_eq!((error.kind(), error.server().unwrap().name()), (ErrorKind::Statement, "TABLE_NOT_FOUND"));
    assert!(text.starts_with("line 2:6: Table 'tpch.tiny.nations' does not exist\n  TABLE_NOT_FOUND (46)"), "{text}");
    assert!(text.ends_with("\n\n  2 | FROM nations\n           ^"), "{text}");

    let error = client.query("SELECT \u{1F600}, x FROM nation").await.unwrap_err();
    assert_eq!(error.server().unwrap().name(), "SYNTAX_ERROR");
    let error = client.query("SELECT '\u{1F600}', x FROM nation").await.unwrap_err().to_string();
    assert!(error.ends_with("\n  1 | SELECT '\u{1F600}', x FROM nation\n                  ^"), "{error}");
}

#[tokio::test]
async fn a_statement_that_fails_while_it_runs_says_why() {
    let query = trino().client().query("SELECT 1 / (nationkey - 3) FROM nation").await;
    let error = match query {
        Ok(query) => query.collect::<(i64,)>().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!((error.server().unwrap().name(), error.server().unwrap().position()), ("DIVISION_BY_ZERO", None));
    assert!(
        error.to_string().starts_with("Division by zero\n  DIVISION_BY_ZERO (8), an error of the statement; query 2"),
        "{error}"
    );
}

#[tokio::test]
async fn statements_that_write_say_how_many_rows() {
    let client = trino().builder().catalog("memory").schema("default").build().unwrap();
    client.execute("DROP TABLE IF EXISTS written").await.unwrap();
    let made = client.execute("CREATE TABLE written AS SELECT nationkey, name FROM tpch.tiny.nation").await.unwrap();
    assert_eq!((made.update_type.as_deref(), made.update_count), (Some("CREATE TABLE"), Some(25)));
    let inserted = client.execute("INSERT INTO written VALUES (100, 'x'), (101, 'y')").await.unwrap();
    assert_eq!((inserted.update_type.as_deref(), inserted.update_count), (Some("INSERT"), Some(2)));
    let read = client.execute("SELECT * FROM written").await.unwrap();
    assert_eq!((read.update_type, read.update_count, read.rows), (None, None, 27));
    let dropped = client.execute("DROP TABLE written").await.unwrap();
    assert_eq!((dropped.update_type.as_deref(), dropped.update_count), (Some("DROP TABLE"), None));
}

#[tokio::test]
async fn what_a_statement_sets_holds_for_those_after_it() {
    let client = trino().builder().time_zone("Asia/Tokyo").session_property("query_max_run_time", "3h").build().unwrap();
    let one = async |sql: &str| client.query(sql).await.unwrap().collect::<(String,)>().await.unwrap().remove(0).0;
    assert_eq!(one("SELECT current_timezone()").await, "Asia/Tokyo");
    client.execute("USE tpch.sf1").await.unwrap();
    client.execute("SET TIME ZONE 'Europe/Vienna'").await.unwrap();
    client.execute("SET SESSION query_max_run_time = '2h'").await.unwrap();
    assert_eq!(one("SELECT current_schema").await, "sf1");
    assert_eq!(one("SELECT current_timezone()").await, "Europe/Vienna");
    assert_eq!(client.session().property("query_max_run_time"), Some("2h"));
    client.execute("RESET SESSION query_max_run_time").await.unwrap();
    assert_eq!(client.session().property("query_max_run_time"), None);

    client.execute("PREPARE twice FROM SELECT CAST(? * 2 AS varchar) || ' %+&='").await.unwrap();
    assert_eq!(one("EXECUTE twice USING 21").await, "42 %+&=");
    client.execute("DEALLOCATE PREPARE twice").await.unwrap();
    assert_eq!(client.query("EXECUTE twice USING 21").await.unwrap_err().server().unwrap().name(), "NOT_FOUND");

    client.execute("START TRANSACTION READ ONLY").await.unwrap();
    assert_eq!(client.query("START TRANSACTION").await.unwrap_err().server().unwrap().name(), "NOT_SUPPORTED");
    client.execute("ROLLBACK").await.unwrap();
    client.execute("START TRANSACTION").await.unwrap();
    assert_eq!(one("SELECT 'in a transaction'").await, "in a transaction");
    client.execute("COMMIT").await.unwrap();
    client.execute("SET PATH tpch.tiny").await.unwrap();

    let fresh = client.new_session();
    assert_eq!((fresh.session().schema(), fresh.session().property("query_max_run_time")), (Some("tiny"), Some("3h")));
    let texts =
        fresh.query("SELECT current_timezone(), current_schema").await.unwrap().collect::<(String, String)>().await.unwrap();
    assert_eq!(texts, [("Asia/Tokyo".to_owned(), "tiny".to_owned())]);
}

#[tokio::test]
async fn the_server_knows_who_asks() {
    let client =
        trino().builder().source("a test").client_info("of the client").client_tag("one").client_tag("two").build().unwrap();
    let query = client.query("SELECT 1").await.unwrap();
    let sql = format!("SELECT source, \"user\" FROM system.runtime.queries WHERE query_id = '{}'", query.id());
    let found: Vec<(String, String)> = client.query(sql).await.unwrap().collect().await.unwrap();
    assert_eq!(found, [("a test".to_owned(), "alice".to_owned())]);
}
