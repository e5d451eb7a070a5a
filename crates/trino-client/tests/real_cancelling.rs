//! Queries that nobody wants any more, as a real server sees them.

use crate::support::server::trino;
use std::time::{Duration, Instant};
use trino_client::Client;

const LONG: &str = "SELECT count(*) FROM tpch.sf1.lineitem a CROSS JOIN tpch.sf1.lineitem b";

/// A text by which the query of a test is found among those of all runs.
fn mark() -> String {
    format!("mark {}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0))
}

/// State and error of the query whose text has this mark, once it is no longer running.
async fn outcome(client: &Client, mark: &str) -> (String, Option<String>) {
    let sql = format!(
        "SELECT state, error_code FROM system.runtime.queries WHERE query LIKE '%{mark}%' AND query NOT LIKE '%runtime.queries%'"
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut found = client.query(&*sql).await.unwrap().collect::<(String, Option<String>)>().await.unwrap();
        if let Some((state, error)) = found.pop()
            && matches!(state.as_str(), "FINISHED" | "FAILED")
        {
            assert!(found.is_empty(), "one statement, one query");
            return (state, error);
        }
        assert!(Instant::now() < deadline, "the query still runs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until_it_runs(client: &Client, mark: &str) {
    let sql = format!(
        "SELECT count(*) FROM system.runtime.queries WHERE query LIKE '%{mark}%' AND query NOT LIKE '%runtime.queries%' AND state = 'RUNNING'"
    );
    let deadline = Instant::now() + Duration::from_secs(60);
    while client.query(&*sql).await.unwrap().collect::<(i64,)>().await.unwrap() != [(1,)] {
        assert!(Instant::now() < deadline, "the query does not run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn cancelled() -> (String, Option<String>) {
    ("FAILED".to_owned(), Some("USER_CANCELED".to_owned()))
}

#[tokio::test]
async fn a_query_that_is_no_longer_waited_for_is_ended() {
    let (client, mark) = (trino().client(), mark());
    let (other, sql) = (client.clone(), format!("{LONG} /* {mark} */"));
    let waiting = tokio::spawn(async move { other.query(sql).await?.finish().await });
    until_it_runs(&client, &mark).await;
    waiting.abort();
    assert_eq!(outcome(&client, &mark).await, cancelled());
}

#[tokio::test]
async fn a_query_whose_rows_are_not_all_taken_is_ended_when_it_is_dropped() {
    let (client, mark) = (trino().client(), mark());
    let mut query = client.query(format!("SELECT * FROM tpch.sf1.lineitem /* {mark} */")).await.unwrap();
    assert!(query.next().await.unwrap().is_some());
    drop(query);
    assert_eq!(outcome(&client, &mark).await, cancelled());
}

#[tokio::test]
async fn a_query_that_is_cancelled_has_ended() {
    let (client, mark) = (trino().client(), mark());
    let mut query = client.query(format!("SELECT * FROM tpch.sf1.lineitem /* {mark} */")).await.unwrap();
    assert!(query.next_page().await.unwrap().is_some());
    query.cancel().await.unwrap();
    assert_eq!(outcome(&client, &mark).await, cancelled());
}

#[tokio::test]
async fn a_query_that_somebody_else_ends_says_so() {
    let client = trino().client();
    let mut query = client.query("SELECT * FROM tpch.sf1.lineitem").await.unwrap();
    let kill = format!("CALL system.runtime.kill_query(query_id => '{}', message => 'enough')", query.id());
    client.execute(kill).await.unwrap();
    let error = loop {
        match query.next_page().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it looks like the end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.server().unwrap().name(), "ADMINISTRATIVELY_KILLED");
    assert!(error.to_string().contains("enough"), "{error}");
}
