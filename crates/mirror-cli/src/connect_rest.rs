//! What a service answers over HTTP: its metrics, whether it is well, and the calls of Kafka Connect's REST interface for status, pause,
//! resume and restart (Kafka's documentation, "Connect: REST API").

use crate::service::{State, Wish};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mirror::MirrorStatus;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// A running mirror says how it is several times a second; one that has not for so long hangs.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// A service as Kafka Connect would see it: a connector with one task.
pub(crate) struct Connector {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) worker: String,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) status: watch::Receiver<MirrorStatus>,
    pub(crate) wishes: mpsc::Sender<Wish>,
}

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, connector: Arc<Connector>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connector = Arc::clone(&connector);
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let connector = Arc::clone(&connector);
                async move { Ok::<_, Infallible>(connector.answer(request.method(), request.uri().path()).await) }
            });
            let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            if let Err(e) = served {
                tracing::debug!(error = %e, "a connection has ended early");
            }
        });
    }
}

type Answer = Response<Full<Bytes>>;

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

fn document(status: StatusCode, body: &Value) -> Answer {
    text(status, "application/json", body.to_string())
}

fn refused(status: StatusCode, message: &str) -> Answer {
    document(status, &json!({ "error_code": status.as_u16(), "message": message }))
}

impl Connector {
    async fn answer(&self, method: &Method, path: &str) -> Answer {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match (method, parts.as_slice()) {
            (&Method::GET, ["metrics"]) => self.metrics(),
            (&Method::GET, ["health"]) => self.health(),
            (&Method::GET, ["ready"]) => self.ready(),
            (&Method::GET, []) => document(StatusCode::OK, &json!({ "version": env!("CARGO_PKG_VERSION"), "commit": null })),
            (&Method::GET, ["connectors"]) => document(StatusCode::OK, &json!([self.name])),
            (_, ["connectors", name, ..]) if *name != self.name => {
                refused(StatusCode::NOT_FOUND, &format!("Connector {name} not found: this service is {}", self.name))
            }
            (&Method::GET, ["connectors", _]) => document(
                StatusCode::OK,
                &json!({ "name": self.name, "config": {}, "tasks": [{ "connector": self.name, "task": 0 }], "type": self.kind }),
            ),
            (&Method::GET, ["connectors", _, "status"]) => document(StatusCode::OK, &self.status()),
            (&Method::GET, ["connectors", _, "tasks", "0", "status"]) => document(StatusCode::OK, &self.task()),
            (&Method::PUT, ["connectors", _, "pause" | "stop"]) => self.wish(Wish::Pause, StatusCode::ACCEPTED).await,
            (&Method::PUT, ["connectors", _, "resume"]) => self.wish(Wish::Resume, StatusCode::ACCEPTED).await,
            (&Method::POST, ["connectors", _, "restart"] | ["connectors", _, "tasks", "0", "restart"]) => {
                self.wish(Wish::Restart, StatusCode::NO_CONTENT).await
            }
            (_, ["metrics" | "health" | "ready"] | ["connectors", ..]) => {
                refused(StatusCode::METHOD_NOT_ALLOWED, "there is such a path, but not for this method or in this form")
            }
            _ => refused(StatusCode::NOT_FOUND, "there are /metrics, /health, /ready and /connectors"),
        }
    }

    async fn wish(&self, wish: Wish, done: StatusCode) -> Answer {
        match self.wishes.send(wish).await {
            Ok(()) => text(done, "application/json", ""),
            Err(_) => refused(StatusCode::SERVICE_UNAVAILABLE, "the service is ending"),
        }
    }

    fn word(&self) -> &'static str {
        match *self.state.borrow() {
            State::Starting => "UNASSIGNED",
            State::Running => "RUNNING",
            State::Paused => "PAUSED",
        }
    }

    /// The task has failed if one of its tables has stopped; the others go on.
    fn task(&self) -> Value {
        let stopped: Vec<String> =
            self.status.borrow().stopped().map(|(table, message)| format!("{table} has stopped: {message}")).collect();
        let mut task = json!({ "id": 0, "state": self.word(), "worker_id": self.worker });
        if !stopped.is_empty() {
            task["state"] = "FAILED".into();
            task["trace"] = stopped.join("\n").into();
        }
        task
    }

    fn status(&self) -> Value {
        json!({
            "name": self.name,
            "connector": { "state": self.word(), "worker_id": self.worker },
            "tasks": [self.task()],
            "type": self.kind,
        })
    }

    fn metrics(&self) -> Answer {
        let paused = *self.state.borrow() == State::Paused;
        let mut body = mirror::metrics(&self.status.borrow());
        body.push_str("# HELP mirror_paused Whether the service was asked to pause.\n# TYPE mirror_paused gauge\n");
        body.push_str(if paused { "mirror_paused 1\n" } else { "mirror_paused 0\n" });
        text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body)
    }

    /// Alive: it starts, runs or is paused, and what runs has said so lately.
    fn health(&self) -> Answer {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let told = self.status.borrow().updated_ms;
        let silent = now.saturating_sub(told) > i64::try_from(SILENT_FOR.as_millis()).unwrap_or(i64::MAX);
        if *self.state.borrow() == State::Running && told > 0 && silent {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "the mirror has not said for 30 s how it is");
        }
        document(StatusCode::OK, &json!({ "state": self.word() }))
    }

    /// Ready: it runs, and every table that it has goes on.
    fn ready(&self) -> Answer {
        if *self.state.borrow() != State::Running {
            return document(StatusCode::SERVICE_UNAVAILABLE, &json!({ "state": self.word() }));
        }
        let status = self.status.borrow();
        let stopped: Vec<&str> = status.stopped().map(|(table, _)| table).collect();
        let code = if stopped.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        document(code, &json!({ "state": self.word(), "stopped": stopped }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use http_body_util::BodyExt;
    use mirror::TableStatus;

    /// A sink named `shop` in this state, and what is wished of it.
    fn sink(state: State, status: MirrorStatus) -> (Connector, mpsc::Receiver<Wish>) {
        let (wishes, wished) = mpsc::channel(4);
        let (state, status) = (watch::Sender::new(state).subscribe(), watch::Sender::new(status).subscribe());
        (Connector { name: "shop".to_owned(), kind: "sink", worker: "127.0.0.1:8084".to_owned(), state, status, wishes }, wished)
    }

    async fn ask(connector: &Connector, method: Method, path: &str) -> (u16, String) {
        let answer = connector.answer(&method, path).await;
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_table_that_has_stopped_makes_the_task_failed_and_the_service_not_ready_but_alive() {
        let mut status = MirrorStatus::default();
        status.tables.insert("shop.a".to_owned(), TableStatus::default());
        let (well, _wished) = sink(State::Running, status.clone());
        assert_eq!(ask(&well, Method::GET, "/ready").await, (200, r#"{"state":"RUNNING","stopped":[]}"#.to_owned()));
        status.tables.insert("shop.b".to_owned(), TableStatus { stopped: Some("a float".to_owned()), ..TableStatus::default() });
        let (ill, _wished) = sink(State::Running, status);
        assert_eq!(ask(&ill, Method::GET, "/ready").await.0, 503);
        assert_eq!(ask(&ill, Method::GET, "/health").await.0, 200);
        let (code, said) = ask(&ill, Method::GET, "/connectors/shop/status").await;
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &said["connector"]["state"], &said["type"]), (200, &json!("RUNNING"), &json!("sink")));
        assert_eq!(
            (&said["tasks"][0]["state"], &said["tasks"][0]["trace"]),
            (&json!("FAILED"), &json!("shop.b has stopped: a float"))
        );
    }

    #[tokio::test]
    async fn the_calls_of_kafka_connect_are_wishes_and_others_are_refused_as_it_does() {
        let (connector, mut wished) = sink(State::Paused, MirrorStatus::default());
        for (method, path, code, wish) in [
            (Method::PUT, "/connectors/shop/pause", 202, Wish::Pause),
            (Method::PUT, "/connectors/shop/resume", 202, Wish::Resume),
            (Method::POST, "/connectors/shop/restart", 204, Wish::Restart),
            (Method::POST, "/connectors/shop/tasks/0/restart", 204, Wish::Restart),
        ] {
            assert_eq!(ask(&connector, method, path).await.0, code, "{path}");
            assert_eq!(wished.try_recv().unwrap(), wish, "{path}");
        }
        for (method, path, code) in [
            (Method::GET, "/connectors/other/status", 404),
            (Method::DELETE, "/connectors/shop", 405),
            (Method::POST, "/metrics", 405),
            (Method::GET, "/elsewhere", 404),
        ] {
            let (answered, said) = ask(&connector, method, path).await;
            assert_eq!(
                (answered, serde_json::from_str::<Value>(&said).unwrap()["error_code"].clone()),
                (code, json!(code)),
                "{path}"
            );
        }
        assert!(wished.try_recv().is_err(), "what is refused is no wish");
        assert_eq!(ask(&connector, Method::GET, "/ready").await, (503, r#"{"state":"PAUSED"}"#.to_owned()));
        assert!(ask(&connector, Method::GET, "/metrics").await.1.contains("\nmirror_paused 1\n"));
    }
}
