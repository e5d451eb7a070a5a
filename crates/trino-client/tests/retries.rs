//! What is asked for again, and what never is.

use crate::support::scripted::{Reply, Server, ended, pages};
use std::time::Duration;
use trino_client::{Client, ErrorKind};

fn status(code: u16) -> Reply {
    Reply::Status(code, Vec::new(), "busy".to_owned())
}

fn busy(code: u16, seconds: u64) -> Reply {
    Reply::Status(code, vec![("retry-after", seconds.to_string())], String::new())
}

async fn numbers(client: &Client) -> Vec<i64> {
    let rows = client.query("SELECT n").await.unwrap().collect::<(i64,)>().await.unwrap();
    rows.into_iter().map(|(n,)| n).collect()
}

#[tokio::test]
async fn a_page_that_does_not_come_is_asked_for_again_at_the_same_address() {
    let server = Server::start(|request, before| match (request.page(), before) {
        (1, 0) => busy(429, 0),
        (1, 1) => status(502),
        (1, 2) => status(503),
        (1, 3) => status(504),
        (2, 0) => Reply::Close,
        (2, 1) => Reply::Cut("{\"id\":\"a page that is not all there\"}".to_owned()),
        _ => pages(request, 3),
    })
    .await;
    assert_eq!(numbers(&server.client().build().unwrap()).await, [1, 2, 3]);
    assert_eq!(server.seen(), ["POST 0", "GET 1", "GET 1", "GET 1", "GET 1", "GET 1", "GET 2", "GET 2", "GET 2", "GET 3"]);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_asked_again() {
    let server = Server::start(|request, before| match (request.page(), before) {
        (1, 0) => Reply::Silence,
        _ => pages(request, 1),
    })
    .await;
    assert_eq!(numbers(&server.client().answer_timeout(Duration::from_millis(100)).build().unwrap()).await, [1]);
    assert_eq!(server.count("GET 1"), 2);
}

#[tokio::test]
async fn a_statement_that_was_certainly_refused_is_sent_again() {
    let server = Server::start(|request, before| match (request.method.as_str(), before) {
        ("POST", 0) => status(429),
        ("POST", 1) => busy(503, 0),
        _ => pages(request, 1),
    })
    .await;
    assert_eq!(numbers(&server.client().build().unwrap()).await, [1]);
    assert_eq!(server.count("POST 0"), 3);
}

#[tokio::test]
async fn a_statement_that_may_have_been_accepted_is_never_sent_again() {
    let replies: [fn() -> Reply; 6] = [
        || status(502),
        || status(503),
        || status(504),
        || Reply::Close,
        || Reply::Cut("{\"id\":\"an answer that is not all there\"}".to_owned()),
        || Reply::Silence,
    ];
    for reply in replies {
        let server = Server::start(move |_, _| reply()).await;
        let client = server.client().answer_timeout(Duration::from_millis(100)).build().unwrap();
        let error = client.query("INSERT").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            error.to_string().contains("→ the statement may have been accepted and may run: it is not sent again"),
            "{error}"
        );
        assert_eq!(server.seen(), ["POST 0"], "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_until_the_time_is_over() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = |time| Client::builder(&url).user("me").retry_for(time).build().unwrap();
    let error = client(Duration::from_millis(200)).query("SELECT").await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("no answer from Trino at {url}\n  ")) && error.contains("(tried "), "{error}");
    assert!(error.ends_with("\n  → is the server up, and is the address right?"), "{error}");
    let error = client(Duration::ZERO).query("SELECT").await.unwrap_err().to_string();
    assert!(!error.contains("tried"), "{error}");
}

#[tokio::test]
async fn a_page_that_never_comes_is_an_error_that_says_how_often_it_was_tried_and_ends_the_query() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "GET" => status(503),
        "DELETE" => ended(),
        _ => pages(request, 1),
    })
    .await;
    let client = server.client().retry_for(Duration::from_millis(300)).build().unwrap();
    let mut query = client.query("SELECT").await.unwrap();
    let error = query.next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("it says 503 Service Unavailable (tried "), "{error}");
    assert!(server.count("GET 1") > 2);
    query.cancel().await.unwrap();
    assert_eq!(server.count("DELETE 1"), 1);
}

#[tokio::test]
async fn a_server_that_asks_for_more_time_than_there_is_is_not_waited_for() {
    let server = Server::start(|_, _| busy(429, 3600)).await;
    let error = server.client().build().unwrap().query("SELECT").await.unwrap_err();
    assert!(error.to_string().contains("it says 429 Too Many Requests\n  it asks to come back in 3600 s"), "{error}");
    assert_eq!(server.seen(), ["POST 0"]);
}
