//! Whoever has the address of a page can read it: it is shown nowhere. Nor is a password.

use crate::support::scripted::{Reply, SLUG, Server, ended, page, pages};
use std::error::Error as _;
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use trino_client::Error;

const PASSWORD: &str = "correct horse";

/// All that an error tells anyone.
fn everything(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}");
    let mut source = error.source();
    while let Some(e) = source {
        write!(text, "\n{e}\n{e:?}").unwrap();
        source = e.source();
    }
    text
}

fn hides(text: &str) {
    for secret in [SLUG, "correct", "horse", "bWU6Y29ycmVjdCBob3JzZQ"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

#[tokio::test]
async fn the_address_of_a_page_is_in_no_error() {
    type Answer = fn(&crate::support::scripted::Request) -> Reply;
    let answers: [Answer; 9] = [
        |_| Reply::Close,
        |_| Reply::Silence,
        |_| Reply::Cut("{\"id\":\"x\"}".to_owned()),
        |request| Reply::Status(404, Vec::new(), format!("there is no {} here", request.path)),
        |request| Reply::Status(500, Vec::new(), format!("error in {}", request.path)),
        |request| Reply::Status(302, vec![("location", format!("http://127.0.0.1:1{}", request.path))], String::new()),
        |request| Reply::Json(format!("{{\"id\":\"x\",\"nextUri\":{{\"a\":\"{}\"}}}}", request.path)),
        |request| Reply::Json(format!("{{\"id\":\"x\",\"updateCount\":\"{}\"}}", request.path)),
        |request| Reply::Json(format!("{{\"id\":\"x\",\"nextUri\":\"http://127.0.0.1:1{}\"}}", request.path)),
    ];
    for answer in answers {
        let server = Server::start(move |request, _| match (request.method.as_str(), request.page()) {
            ("DELETE", _) => answer(request),
            (_, 1) => answer(request),
            _ => pages(request, 1),
        })
        .await;
        let builder = server.client().password(PASSWORD).allow_password_over_http();
        let client = builder.retry_for(Duration::ZERO).answer_timeout(Duration::from_millis(100)).build().unwrap();
        let mut query = client.query("SELECT").await.unwrap();
        hides(&format!("{query:?} {client:?}"));
        hides(&everything(&query.next().await.unwrap_err()));
        if let Err(error) = query.cancel().await {
            hides(&everything(&error));
        }
    }
}

#[tokio::test]
async fn neither_query_nor_login_go_to_another_server() {
    let other = Server::start(|request, _| pages(request, 1)).await;
    let there = other.url.clone();
    let server = Server::start(move |request, _| match request.method.as_str() {
        "DELETE" => ended(),
        _ => Reply::Json(
            page(request, "null", Some(1))
                .replace(&format!("http://{}/v1", request.header("host").concat()), &format!("{there}/v1")),
        ),
    })
    .await;
    let client = server.client().password(PASSWORD).allow_password_over_http().build().unwrap();
    let error = client.query("SELECT").await.unwrap_err();
    assert!(error.to_string().contains(&format!("says that the next page is at {}, where neither", other.url)), "{error}");
    let there = other.url.clone();
    let server =
        Server::start(move |_, _| Reply::Status(307, vec![("location", format!("{there}/v1/statement"))], String::new())).await;
    let client = server.client().password(PASSWORD).allow_password_over_http().build().unwrap();
    let error = client.query("SELECT").await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("{} points to {}\n  → use that address", server.url, other.url)), "{error}");
    assert_eq!(server.requests()[0].header("authorization"), ["Basic bWU6Y29ycmVjdCBob3JzZQ=="]);
    assert!(other.requests().is_empty());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_address_of_a_page_is_in_no_log() {
    let log = Log::default();
    let writer = log.clone();
    // For all tests: what is logged of any of them must not hold it.
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).init();
    let server = Server::start(|request, before| match (request.method.as_str(), request.page()) {
        ("DELETE", _) => Reply::Status(500, Vec::new(), format!("cannot end {}", request.path)),
        (_, 1) if before < 2 => Reply::Close,
        _ => pages(request, 100),
    })
    .await;
    let client = server.client().password(PASSWORD).allow_password_over_http().build().unwrap();
    let mut query = client.query("SELECT").await.unwrap();
    assert!(query.next().await.unwrap().is_some());
    query.cancel().await.unwrap_err();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("a request is made again") && log.contains("cannot end /v1/statement/executing/"), "{log}");
    hides(&log);
}
