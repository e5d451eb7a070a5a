//! Answers that are none.

use crate::support::scripted::{QUERY, Reply, Server, ended, page, pages};
use crate::support::until;
use trino_client::{Error, ErrorKind};

/// The error of a query whose second answer is this one.
async fn second(answer: impl Fn(&crate::support::scripted::Request) -> Reply + Send + Sync + 'static) -> (Error, Server) {
    let server = Server::start(move |request, _| match (request.method.as_str(), request.page()) {
        ("DELETE", _) => ended(),
        (_, 1) => answer(request),
        _ => pages(request, 1),
    })
    .await;
    let mut query = server.client().largest_page(100_000).build().unwrap().query("SELECT").await.unwrap();
    let error = query.next().await.unwrap_err();
    assert_eq!(error.query_id(), Some(QUERY));
    (error, server)
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_its_place_and_the_query_is_ended() {
    for (rows, words) in [
        ("[[1],[\"x\"]]", "in row 2 of a page, column n integer: it is no value of the column's type"),
        ("[[2147483648]]", "in row 1 of a page, column n integer: it is no value of the column's type"),
        ("[[1.5]]", "column n integer: it is no value of the column's type"),
        ("[[[1]]]", "column n integer: a single value was expected"),
        ("[[1,2]]", "in row 1 of a page: a row has more values than there are columns"),
        ("[[]]", "column n integer: a value was expected"),
        ("{}", "in row 1 of a page: a page is an array of rows"),
        ("[1]", "in row 1 of a page: a row is an array of values"),
    ] {
        let (error, server) = second(rows_of(rows)).await;
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(words), "{error}");
        until("the query is ended", || server.count("DELETE 2") == 1).await;
    }
}

fn rows_of(rows: &'static str) -> impl Fn(&crate::support::scripted::Request) -> Reply {
    move |request| Reply::Json(page(request, rows, Some(2)))
}

#[tokio::test]
async fn text_that_is_no_answer_is_told() {
    for (text, words) in [
        ("", "it is no JSON, line 1 column 0"),
        ("<html>", "it is no JSON, line 1 column 1"),
        ("{\"id\":1}", "its JSON has another form, line 1 column 7"),
        ("{}", "its JSON has another form, line 1 column 2"),
        ("[]", "its JSON has another form"),
        ("{\"id\":\"x\",\"data\":[[1],[2]", "it is no JSON"),
    ] {
        let (error, server) = second(move |_| Reply::Json(text.to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains(words), "{error}");
        until("the query is ended", || server.count("DELETE 1") == 1).await;
    }
}

#[tokio::test]
async fn rows_before_their_columns_are_told() {
    let server = Server::start(|request, _| {
        if request.method == "DELETE" {
            return ended();
        }
        Reply::Json(page(request, "[[1]]", Some(1)).replace(r#""columns":[{"name":"n","type":"integer"}],"#, ""))
    })
    .await;
    let error = server.client().build().unwrap().query("SELECT").await.unwrap_err();
    assert!(error.to_string().contains("there are rows before their columns"), "{error}");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_not_taken() {
    let rows = format!("[{}[1]]", "[1],".repeat(50_000));
    let (error, server) = second(move |request| Reply::Json(page(request, &rows, Some(2)))).await;
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("a page is larger than 0 MiB, the most that is taken\n  → select fewer"), "{error}");
    until("the query is ended", || server.count("DELETE 1") == 1).await;
    assert_eq!(server.count("GET 1"), 1, "another try would end in the same way");
}

#[tokio::test]
async fn a_query_that_the_server_has_forgotten_is_gone() {
    for code in [404, 410] {
        let (error, server) = second(move |_| Reply::Status(code, Vec::new(), "Query not found".to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Gone);
        assert!(error.to_string().contains("it says: Query not found\n  → it was started again"), "{error}");
        assert_eq!(server.seen(), ["POST 0", "GET 1"]);
    }
}

#[tokio::test]
async fn another_server_than_trino_is_told() {
    for (code, kind, words) in [
        (401, ErrorKind::Authentication, "does not let this user in\n  it says: no\n  → give a user and, over https, a password"),
        (403, ErrorKind::Authentication, "refuses\n  it says: no\n  → if it wants a login"),
        (404, ErrorKind::Protocol, "does not answer as Trino does\n  it says: no"),
        (500, ErrorKind::Protocol, "does not answer as Trino does\n  it says: no"),
        (204, ErrorKind::Protocol, "does not answer as Trino does\n  it says: 204 No Content"),
    ] {
        let server =
            Server::start(move |_, _| Reply::Status(code, Vec::new(), if code == 204 { String::new() } else { "no".to_owned() }))
                .await;
        let error = server.client().build().unwrap().query("SELECT").await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(server.seen(), ["POST 0"]);
    }
}

#[tokio::test]
async fn a_page_for_people_is_not_repeated() {
    let html = || vec![("content-type", "text/html; charset=utf-8".to_owned())];
    let server = Server::start(move |_, _| Reply::Status(500, html(), "<html>Oops</html>".to_owned())).await;
    let error = server.client().build().unwrap().query("SELECT").await.unwrap_err().to_string();
    assert!(error.contains("it says: 500 Internal Server Error") && !error.contains("Oops"), "{error}");
}

#[tokio::test]
async fn types_that_are_not_known_are_their_json() {
    let columns = r#""columns":[{"name":"a","type":"HyperLogLog"},{"name":"b","type":"geo(metry"}]"#;
    let server = Server::start(move |request, _| {
        let one = page(request, r#"[["AgwB", {"a": [1, "]"]}],[null,-1.5e3]]"#, None);
        Reply::Json(one.replace(r#""columns":[{"name":"n","type":"integer"}]"#, columns))
    })
    .await;
    let mut query = server.client().build().unwrap().query("SELECT").await.unwrap();
    let page = query.next_page().await.unwrap().unwrap();
    let texts: Vec<Vec<String>> = page.rows().map(|row| row.values().map(|v| v.to_string()).collect()).collect();
    assert_eq!(texts, [["\"AgwB\"", r#"{"a": [1, "]"]}"#], ["NULL", "-1.5e3"]]);
}
