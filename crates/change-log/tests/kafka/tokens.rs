//! Tokens of a token endpoint (SASL OAUTHBEARER): one for all clients of a log, renewed while it is used, and every way in which
//! there is none.

use crate::cluster::Cluster;
use crate::security::{append_and_read, at};
use change_log::{
    Append, ChangeLog, Error, ErrorKind, HeaderSet, KafkaLog, KafkaLogConfig, RecordsBuilder, TopicSpec, Transaction,
};
use std::time::{Duration, Instant};

const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const SECRET: &str = "sasl.oauthbearer.client.secret";

/// The secured cluster and its token endpoint, which one test has for itself: its address is one that no other test asks.
struct Endpoint {
    tls: serde_json::Value,
    query: String,
}

impl Endpoint {
    /// `query` tells the endpoint what to do.
    fn of_its_own(query: &str) -> Self {
        let info = Cluster::start_described("tls", &["--tls"]);
        Self { tls: info["tls"].clone(), query: format!("{query}&for={}", uuid::Uuid::new_v4()) }
    }

    fn text(&self, name: &str) -> &str {
        self.tls[name].as_str().unwrap()
    }

    fn url(&self) -> String {
        format!("{}?{}", self.text("token_endpoint"), self.query)
    }

    /// A client that has tokens of this address, unless `other` says otherwise.
    fn client(&self, other: &[(&str, &str)]) -> KafkaLogConfig {
        self.client_of("oidc", other)
    }

    fn client_of(&self, listener: &str, other: &[(&str, &str)]) -> KafkaLogConfig {
        let url = self.url();
        let settings = [
            ("security.protocol", "sasl_ssl"),
            ("ssl.ca.location", self.text("ca")),
            ("sasl.mechanism", "OAUTHBEARER"),
            (URL, &url),
            ("sasl.oauthbearer.client.id", self.text("user")),
            (SECRET, self.text("password")),
            ("sasl.oauthbearer.scope", "kafka"),
            ("sasl.oauthbearer.extensions", "logicalCluster=lkc,pool=p 1"),
        ];
        at(self.text(listener), &[&settings[..], other].concat())
    }

    /// How often it was asked.
    fn requests(&self) -> usize {
        std::fs::read_to_string(self.text("token_log")).unwrap().matches(&self.query).count()
    }

    /// The error of a client that gets no token; nothing that is secret is in it.
    async fn refused(&self, other: &[(&str, &str)]) -> Error {
        let config = self.client(other);
        let e = KafkaLog::open(config.clone()).await.err().expect("there is a token");
        let said = format!("{e} {e:?} {config:?}");
        assert!(!said.contains(self.text("password")) && !said.contains("a wrong secret"), "{said}");
        e
    }
}

fn transaction(topic: &str, n: usize) -> Transaction {
    let mut records = RecordsBuilder::new();
    records.push(Some(b"k"), Some(n.to_string().as_bytes()), HeaderSet::NONE, 7).unwrap();
    Transaction { appends: vec![Append::new(topic, 0, records.finish())] }
}

/// The first values of a topic, so many.
async fn values(log: &KafkaLog, topic: &str, count: usize) -> Vec<String> {
    let (mut from, mut out) = (0, Vec::new());
    while out.len() < count {
        log.wait(topic, 0, from).await.unwrap();
        let fetched = log.read(topic, 0, from, 1 << 20).await.unwrap();
        out.extend(fetched.records.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()));
        from = fetched.next_offset;
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_endpoint_lets_all_clients_of_a_log_in() {
    let endpoint = Endpoint::of_its_own("");
    let mut config = endpoint.client(&[]);
    // With a group there is one client more.
    config.group_id = Some("tokens".to_owned());
    append_and_read(config).await.unwrap();
    assert_eq!(endpoint.requests(), 1, "each client has asked for itself");

    let encrypted = Endpoint::of_its_own("");
    let url = format!("{}?{}", encrypted.text("token_endpoint_https"), encrypted.query);
    append_and_read(encrypted.client(&[(URL, &url), ("https.ca.location", encrypted.text("ca"))])).await.unwrap();
    let ca = std::fs::read_to_string(encrypted.text("ca")).unwrap();
    append_and_read(encrypted.client(&[(URL, &url), ("https.ca.pem", &ca), ("sasl.oauthbearer.header.urlencode", "true")]))
        .await
        .unwrap();
    assert_eq!(encrypted.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_while_its_tokens_expire_one_after_the_other() {
    // The broker ends a connection whose token has expired and that has not logged in anew.
    let endpoint = Endpoint::of_its_own("expires_in=8");
    let log = KafkaLog::open(endpoint.client(&[])).await.unwrap();
    let topic = format!("tokens.{}", uuid::Uuid::new_v4());
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(90);
    let mut appended = Vec::new();
    while endpoint.requests() < 4 {
        assert!(Instant::now() < deadline, "the token was asked for {} times", endpoint.requests());
        producer.append(transaction(&topic, appended.len())).await.unwrap();
        appended.push(appended.len().to_string());
        log.wait(&topic, 0, log.offsets(&topic, 0).await.unwrap().next - 2).await.unwrap();
    }
    assert_eq!(values(&log, &topic, appended.len()).await, appended);
    // A producer that comes late logs in with the token of now.
    log.producer(&topic).await.unwrap().append(transaction(&topic, appended.len())).await.unwrap();
    appended.push(appended.len().to_string());
    assert_eq!(values(&log, &topic, appended.len()).await, appended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_token_cannot_be_renewed_waits_for_the_endpoint_and_is_not_denied() {
    let endpoint = Endpoint::of_its_own("expires_in=8&answers=1");
    let mut config = endpoint.client(&[]);
    config.request_timeout = Duration::from_secs(4);
    let log = KafkaLog::open(config).await.unwrap();
    let id = format!("tokens.{}", uuid::Uuid::new_v4());
    let deadline = Instant::now() + Duration::from_secs(90);
    let e = loop {
        assert!(Instant::now() < deadline, "an expired token is as good as another");
        if let Err(e) = log.producer(&id).await.map(drop) {
            break e;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains(endpoint.text("token_endpoint")) && e.to_string().contains("503"), "{e}");
    let e = log.topics().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains(endpoint.text("token_endpoint")) && e.to_string().contains("503"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gets_no_token_is_told_by_which_endpoint_and_what_to_correct() {
    let endpoint = Endpoint::of_its_own("");
    let at_this = endpoint.text("token_endpoint");
    let e = endpoint.refused(&[(SECRET, "a wrong secret")]).await;
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
    for said in [
        at_this,
        "invalid_client: no such client, or another secret",
        "correct sasl.oauthbearer.client.id and sasl.oauthbearer.client.secret",
    ] {
        assert!(e.to_string().contains(said), "{e}");
    }
    let e = endpoint.refused(&[("sasl.oauthbearer.scope", "other")]).await;
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
    assert!(e.to_string().contains("the only scope is kafka): correct sasl.oauthbearer.scope"), "{e}");
    let elsewhere = at_this.replace("/token", "/elsewhere");
    let e = endpoint.refused(&[(URL, &elsewhere)]).await;
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
    assert!(e.to_string().contains(&elsewhere), "{e}");

    // The certificate is of an authority that the system does not know.
    let encrypted = endpoint.text("token_endpoint_https");
    let e = endpoint.refused(&[(URL, encrypted)]).await;
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
    assert!(e.to_string().contains(encrypted) && e.to_string().contains("https.ca.location"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_brokers_do_not_take_is_a_refusal_of_theirs() {
    let endpoint = Endpoint::of_its_own("");
    // This listener takes unsigned tokens alone.
    let e = KafkaLog::open(endpoint.client_of("sasl_ssl", &[])).await.err().expect("any token is taken");
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
    assert!(e.to_string().contains("check the credentials") && !e.to_string().contains(endpoint.text("token_endpoint")), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_is_asked_again_until_the_time_is_over() {
    let endpoint = Endpoint::of_its_own("");
    // A port on which nobody listens, since it was free a moment ago.
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("http://{away}/token");
    let mut config = endpoint.client(&[(URL, &away)]);
    config.request_timeout = Duration::from_secs(2);
    let opened = tokio::time::timeout(Duration::from_secs(60), KafkaLog::open(config)).await.expect("in time");
    let e = opened.err().expect("there is no endpoint");
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains(&away) && e.to_string().contains("cannot be reached"), "{e}");

    // One that is there and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = format!("http://{}/token", silent.local_addr().unwrap());
    let mut config = endpoint.client(&[(URL, &silent_at)]);
    config.request_timeout = Duration::from_secs(2);
    let opened = tokio::time::timeout(Duration::from_secs(60), KafkaLog::open(config)).await.expect("in time");
    let e = opened.err().expect("there is no answer");
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains(&silent_at), "{e}");
}
