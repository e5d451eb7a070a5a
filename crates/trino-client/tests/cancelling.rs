//! Queries that nobody wants any more are ended.

use crate::support::scripted::{Reply, Server, ended, page, pages};
use crate::support::until;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trino_client::ErrorKind;

/// A server whose second page never comes.
async fn slow() -> Server {
    Server::start(|request, _| match (request.method.as_str(), request.page()) {
        ("DELETE", _) => ended(),
        (_, 2) => Reply::Silence,
        _ => pages(request, 3),
    })
    .await
}

#[tokio::test]
async fn a_query_that_is_dropped_is_ended_at_its_newest_page() {
    let server = slow().await;
    let mut query = server.client().build().unwrap().query("SELECT").await.unwrap();
    assert!(query.next().await.unwrap().is_some());
    until("the page that never comes is asked for", || server.count("GET 2") == 1).await;
    drop(query);
    until("the query is ended", || server.count("DELETE 2") == 1).await;
}

#[tokio::test]
async fn a_query_that_nobody_takes_rows_from_is_ended_when_it_is_dropped() {
    let server = Server::start(|request, _| if request.method == "DELETE" { ended() } else { pages(request, 100) }).await;
    let query = server.client().build().unwrap().query("SELECT").await.unwrap();
    until("a page is read ahead", || server.count("GET 1") == 1).await;
    drop(query);
    until("the query is ended", || server.seen().iter().any(|seen| seen.starts_with("DELETE"))).await;
    assert_eq!(server.seen(), ["POST 0", "GET 1", "DELETE 2"]);
}

#[tokio::test]
async fn a_start_that_is_no_longer_waited_for_leaves_no_query() {
    let released = std::sync::Arc::new(AtomicBool::new(false));
    let gate = std::sync::Arc::clone(&released);
    let server = Server::start(move |request, _| match request.method.as_str() {
        "DELETE" => ended(),
        "POST" => {
            while !gate.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Reply::Json(page(request, "null", Some(1)))
        }
        _ => Reply::Silence,
    });
    // The server blocks its thread while it holds the statement back.
    let runtime =
        std::thread::spawn(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap())
            .join()
            .unwrap();
    let server = runtime.spawn(server).await.unwrap();
    let client = server.client().build().unwrap();
    let waiting = tokio::spawn(async move { client.query("SELECT").await.map(|_| ()) });
    until("the statement is sent", || server.count("POST 0") == 1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    released.store(true, Ordering::SeqCst);
    until("the query is ended", || server.count("DELETE 1") == 1).await;
    runtime.shutdown_background();
}

#[tokio::test]
async fn cancelling_waits_until_the_server_has_said_so() {
    let server = slow().await;
    let query = server.client().build().unwrap().query("SELECT").await.unwrap();
    query.cancel().await.unwrap();
    assert_eq!(server.seen().iter().filter(|seen| seen.starts_with("DELETE")).count(), 1);
}

#[tokio::test]
async fn a_query_that_has_ended_is_left_as_it_is() {
    let server = Server::start(|request, _| pages(request, 1)).await;
    let mut query = server.client().build().unwrap().query("SELECT").await.unwrap();
    while query.next_page().await.unwrap().is_some() {}
    query.cancel().await.unwrap();
    assert_eq!(server.seen(), ["POST 0", "GET 1"]);
}

#[tokio::test]
async fn a_query_that_cannot_be_ended_is_told() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "DELETE" => Reply::Status(500, Vec::new(), "it hangs".to_owned()),
        _ => pages(request, 100),
    })
    .await;
    let query = server.client().build().unwrap().query("SELECT").await.unwrap();
    let error = query.cancel().await.unwrap_err().to_string();
    assert!(error.starts_with("query 20261130_000000_00001_abcde could not be ended and may run on\n"), "{error}");
    assert!(error.contains("it says: it hangs"), "{error}");
}

#[tokio::test]
async fn a_page_that_is_waited_for_in_vain_is_not_lost() {
    let open = std::sync::Arc::new(AtomicBool::new(false));
    let gate = std::sync::Arc::clone(&open);
    let server = Server::start(move |request, _| match request.page() {
        2 if !gate.load(Ordering::SeqCst) => Reply::Silence,
        _ => pages(request, 3),
    })
    .await;
    let client = server.client().answer_timeout(Duration::from_millis(50)).build().unwrap();
    let mut query = client.query("SELECT").await.unwrap();
    let mut seen = vec![query.next().await.unwrap().unwrap().get::<i32>(0).unwrap()];
    tokio::select! {
        biased;
        _ = query.next() => panic!("there is no page"),
        () = until("it was asked for", || server.count("GET 2") > 1) => open.store(true, Ordering::SeqCst),
    }
    while let Some(row) = query.next().await.unwrap() {
        seen.push(row.get(0).unwrap());
    }
    assert_eq!(seen, [1, 2, 3]);
}

#[test]
fn a_runtime_that_ends_is_told_from_the_end_of_the_rows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut query = runtime.block_on(async {
        let server = Server::start(|request, _| pages(request, 100)).await;
        server.client().build().unwrap().query("SELECT").await.unwrap()
    });
    runtime.shutdown_background();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async {
        loop {
            match query.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it looks like the end"),
                Err(e) => return e,
            }
        }
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}
