//! An HTTP server that answers as a test says: for what a real Trino never does, or not when a test wants it.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The part of an address that nobody may see.
pub const SLUG: &str = "y1234567890abcdef";
pub const QUERY: &str = "20261130_000000_00001_abcde";

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The page that is asked for; 0 is the statement itself.
    pub fn page(&self) -> usize {
        self.path.rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}

pub enum Reply {
    /// 200, and a JSON document.
    Json(String),
    /// Another status, headers and a text.
    Status(u16, Vec<(&'static str, String)>, String),
    /// 200 and headers.
    With(Vec<(&'static str, String)>, String),
    /// The connection ends before the answer.
    Close,
    /// The connection ends in the middle of this answer.
    Cut(String),
    /// Nothing, for as long as the client waits.
    Silence,
}

pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` gets a request, and how often the same was made before.
    pub async fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&seen), Arc::clone(&answer)));
            }
        });
        Self { url, requests }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Method and page of each request: `POST 0`, `GET 1`.
    pub fn seen(&self) -> Vec<String> {
        self.requests().iter().map(|r| format!("{} {}", r.method, r.page())).collect()
    }

    pub fn count(&self, what: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == what).count()
    }

    pub fn client(&self) -> trino_client::ClientBuilder {
        trino_client::Client::builder(&self.url).user("me")
    }
}

/// A page of a query with one column of integers. `rows` is JSON; `next` the page that follows.
pub fn page(request: &Request, rows: &str, next: Option<usize>) -> String {
    let host = request.header("host").concat();
    let next =
        next.map(|n| format!(r#""nextUri":"http://{host}/v1/statement/executing/{QUERY}/{SLUG}/{n}","#)).unwrap_or_default();
    format!(
        r#"{{"id":"{QUERY}","infoUri":"http://{host}/ui",{next}"columns":[{{"name":"n","type":"integer"}}],"data":{rows},"stats":{{"state":"RUNNING"}},"warnings":[]}}"#
    )
}

/// Pages 1 to `last` with one row each, which holds the page's number; page 0 has none.
pub fn pages(request: &Request, last: usize) -> Reply {
    let n = request.page();
    let rows = if n == 0 { "null".to_owned() } else { format!("[[{n}]]") };
    Reply::Json(page(request, &rows, (n < last).then_some(n + 1)))
}

/// What a Trino answers to the end of a query.
pub fn ended() -> Reply {
    Reply::Status(204, Vec::new(), String::new())
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<Request>>>,
    answer: Arc<impl Fn(&Request, usize) -> Reply + Send + Sync + 'static>,
) {
    let mut read = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut read).await {
        let before = {
            let mut seen = seen.lock().unwrap();
            let same = |r: &&Request| (&r.method, &r.path) == (&request.method, &request.path);
            let before = seen.iter().filter(same).count();
            seen.push(request.clone());
            before
        };
        let (status, headers, body, cut) = match answer(&request, before) {
            Reply::Json(body) => (200, vec![("content-type", "application/json".to_owned())], body, false),
            Reply::With(headers, body) => (200, headers, body, false),
            Reply::Status(status, headers, body) => (status, headers, body, false),
            Reply::Cut(body) => (200, Vec::new(), body, true),
            Reply::Close => return,
            Reply::Silence => {
                // Until the client gives up and closes the connection.
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
        };
        let mut head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let sent = if cut { &body[..body.len() / 2] } else { &body };
        if stream.write_all(format!("{head}\r\n{sent}").as_bytes()).await.is_err() || cut {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Request> {
    loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let mut first = lines.next().unwrap().split(' ');
            let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length =
                headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse::<usize>().unwrap());
            if read.len() >= end + 4 + length {
                let body = String::from_utf8(read[end + 4..end + 4 + length].to_vec()).unwrap();
                read.drain(..end + 4 + length);
                return Some(Request { method, path, headers, body });
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => read.extend_from_slice(&buffer[..n]),
            _ => return None,
        }
    }
}
