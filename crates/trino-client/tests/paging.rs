//! Pages of a scripted server.

use crate::support::scripted::{self, Reply, SLUG, Server, ended, page, pages};
use crate::support::until;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use trino_client::{ErrorKind, Value};

#[tokio::test]
async fn pages_are_followed_until_there_is_no_next_one() {
    let server = Server::start(|request, _| match request.page() {
        // Columns may be there before rows are, and pages may have none.
        0 => Reply::Json(scripted::page(request, "null", Some(1)).replace(r#""columns":[{"name":"n","type":"integer"}],"#, "")),
        1 => Reply::Json(page(request, "null", Some(2))),
        2 => Reply::Json(page(request, "[[1],[2]]", Some(3))),
        3 => Reply::Json(page(request, "[]", Some(4))),
        4 => Reply::Json(page(request, "[[null]]", Some(5))),
        _ => Reply::Json(page(request, "null", None).replace("\"warnings\":[]", r#""updateType":"INSERT","updateCount":3,"warnings":[{"warningCode":{"code":1,"name":"OLD"},"message":"an old function"}]"#)),
    })
    .await;
    let mut query = server.client().build().unwrap().query("SELECT n").await.unwrap();
    assert_eq!((query.id(), query.columns()[0].name()), (scripted::QUERY, "n"));
    let mut seen = Vec::new();
    while let Some(page) = query.next_page().await.unwrap() {
        seen.push(page.rows().map(|row| row.get::<Option<i32>>("n").unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(seen, [vec![Some(1), Some(2)], vec![None]]);
    let done = query.finish().await.unwrap();
    assert_eq!((done.update_type.as_deref(), done.update_count), (Some("INSERT"), Some(3)));
    assert_eq!((done.warnings[0].name.as_str(), done.warnings[0].message.as_str()), ("OLD", "an old function"));
    assert_eq!(server.seen(), ["POST 0", "GET 1", "GET 2", "GET 3", "GET 4", "GET 5"]);
    assert_eq!(server.requests()[0].body, "SELECT n");
}

#[tokio::test]
async fn rows_and_pages_of_one_query_can_be_taken_in_turn() {
    let server = Server::start(|request, _| match request.page() {
        0 => Reply::Json(page(request, "[[1],[2],[3]]", Some(1))),
        _ => Reply::Json(page(request, "[[4]]", None)),
    })
    .await;
    let mut query = server.client().build().unwrap().query("SELECT n").await.unwrap();
    assert_eq!(query.next().await.unwrap().unwrap().get::<i64>(0).unwrap(), 1);
    let rest = query.next_page().await.unwrap().unwrap();
    assert_eq!((rest.len(), rest.value(0, 0), rest.value(2, 0), rest.value(0, 1)), (2, Some(Value::Integer(2)), None, None));
    assert_eq!(rest.row(1).unwrap().values().collect::<Vec<_>>(), [Value::Integer(3)]);
    assert_eq!(format!("{:?}", query.next().await.unwrap().unwrap()), "{\"n\": Integer(4)}");
    assert!(query.next().await.unwrap().is_none() && query.next().await.unwrap().is_none());
}

#[tokio::test]
async fn one_page_is_asked_for_ahead_and_no_more() {
    let taken = Arc::new(AtomicUsize::new(0));
    let (counter, ahead) = (Arc::clone(&taken), Arc::new(AtomicUsize::new(0)));
    let most = Arc::clone(&ahead);
    let server = Server::start(move |request, _| {
        most.fetch_max(request.page().saturating_sub(counter.load(Ordering::SeqCst)), Ordering::SeqCst);
        pages(request, 20)
    })
    .await;
    let mut query = server.client().build().unwrap().query("SELECT n").await.unwrap();
    for n in 1..=20 {
        // The page is there before it is asked for.
        until("the next page is asked for ahead", || server.count(&format!("GET {n}")) == 1).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        taken.fetch_add(1, Ordering::SeqCst);
        assert_eq!(query.next_page().await.unwrap().unwrap().value(0, 0), Some(Value::Integer(n)));
    }
    assert_eq!(ahead.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_a_page_sets_holds_for_the_next_statement() {
    let server = Server::start(|request, _| match request.page() {
        0 => Reply::With(vec![("x-trino-set-catalog", "lake".to_owned())], page(request, "null", Some(1))),
        1 => Reply::With(
            vec![("x-trino-set-session", "a=1%2C2".to_owned()), ("x-trino-set-session", "b=x".to_owned())],
            page(request, "[[1]]", Some(2)),
        ),
        _ => Reply::With(vec![("x-trino-clear-session", "b".to_owned())], page(request, "null", None)),
    })
    .await;
    let client = server.client().schema("s").client_tag("t1").client_tag("t2").time_zone("UTC").build().unwrap();
    assert_eq!(client.execute("SET ...").await.unwrap().rows, 1);
    let session = client.session();
    assert_eq!(
        (session.catalog(), session.schema(), session.property("a"), session.property("b")),
        (Some("lake"), Some("s"), Some("1,2"), None)
    );
    client.execute("SELECT").await.unwrap();
    client.new_session().execute("SELECT").await.unwrap();
    let posts: Vec<_> = server.requests().into_iter().filter(|r| r.method == "POST").collect();
    assert_eq!(posts[0].header("x-trino-catalog"), Vec::<&str>::new());
    assert_eq!((posts[0].header("x-trino-client-tags"), posts[0].header("x-trino-time-zone")), (vec!["t1,t2"], vec!["UTC"]));
    assert_eq!((posts[1].header("x-trino-catalog"), posts[1].header("x-trino-session")), (vec!["lake"], vec!["a=1%2C2"]));
    assert_eq!((posts[2].header("x-trino-catalog"), posts[2].header("x-trino-session")), (vec![], vec![]));
    assert!(posts[0].header("x-trino-client-capabilities")[0].contains("PARAMETRIC_DATETIME"));
}

#[tokio::test]
async fn a_statement_that_fails_after_rows_gives_the_rows_and_then_the_error() {
    let server = Server::start(|request, _| match request.page() {
        0 => Reply::Json(page(request, "[[1]]", Some(1))),
        _ => Reply::Json(page(request, "null", None).replace("\"stats\"", r#""error":{"message":"Division by zero","errorCode":8,"errorName":"DIVISION_BY_ZERO","errorType":"USER_ERROR"},"stats""#)),
    })
    .await;
    let mut query = server.client().build().unwrap().query("SELECT 1/0").await.unwrap();
    assert!(query.next().await.unwrap().is_some());
    let error = query.next().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.server().unwrap().name(), error.query_id()),
        (ErrorKind::Statement, "DIVISION_BY_ZERO", Some(scripted::QUERY))
    );
    assert!(query.next().await.unwrap().is_none(), "nothing follows an error");
}

#[tokio::test]
async fn a_server_below_a_path_is_asked_there() {
    let server = Server::start(|request, _| if request.method == "DELETE" { ended() } else { pages(request, 0) }).await;
    let client = trino_client::Client::builder(format!("{}/gate/way", server.url)).user("me").build().unwrap();
    client.execute("SELECT").await.unwrap();
    assert_eq!(server.requests()[0].path, "/gate/way/v1/statement");
    assert!(!server.requests()[0].path.contains(SLUG));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let client = trino_client::Client::builder("http://127.0.0.1:1").user("me").build().unwrap();
    let mut query = Box::pin(client.query("SELECT 1"));
    let polled = query.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let std::task::Poll::Ready(Err(error)) = polled else { panic!("it waits") };
    assert!(error.to_string().starts_with("a query runs on a Tokio runtime"), "{error}");
}
