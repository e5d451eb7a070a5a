//! The ways in: TLS with and without a client certificate, every SASL mechanism, and what is refused.

use crate::cluster::Cluster;
use change_log::{Append, ChangeLog, ErrorKind, HeaderSet, KafkaLog, KafkaLogConfig, RecordsBuilder, TopicSpec, Transaction};
use std::time::Duration;

/// Appends and reads one record as this client.
pub async fn append_and_read(config: KafkaLogConfig) -> change_log::Result<()> {
    let log = KafkaLog::open(config).await?;
    let topic = format!("security.{}", uuid::Uuid::new_v4());
    log.create_topic(&topic, TopicSpec::new()).await?;
    let mut records = RecordsBuilder::new();
    records.push(Some(b"k"), Some(b"v"), HeaderSet::NONE, 7)?;
    log.producer(&topic).await?.append(Transaction { appends: vec![Append::new(&topic, 0, records.finish())] }).await?;
    log.wait(&topic, 0, 0).await?;
    assert_eq!(log.read(&topic, 0, 0, 100).await?.records.iter().map(|r| r.value).collect::<Vec<_>>(), [Some(&b"v"[..])]);
    Ok(())
}

pub fn at(servers: &str, settings: &[(&str, &str)]) -> KafkaLogConfig {
    let mut config = KafkaLogConfig::new(servers);
    config.request_timeout = Duration::from_secs(8);
    // The record is one of 1970.
    config.topic_settings.insert("retention.ms".to_owned(), "-1".to_owned());
    settings.iter().fold(config, |config, (name, value)| config.set(*name, *value))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_works_and_whoever_has_no_right_to_it_is_refused() {
    let info = Cluster::start_described("tls", &["--tls"]);
    let tls = &info["tls"];
    let text = |name: &str| tls[name].as_str().unwrap_or_else(|| panic!("no {name} in {tls}"));
    let (ca, user, password) = (text("ca"), text("user"), text("password"));
    let (ssl, sasl_ssl, sasl_plaintext) = (text("ssl"), text("sasl_ssl"), text("sasl_plaintext"));
    let certificate = [("ssl.certificate.location", text("client_certificate")), ("ssl.key.location", text("client_key"))];
    let encrypted = [("security.protocol", "ssl"), ("ssl.ca.location", ca)];
    append_and_read(at(ssl, &[&encrypted[..], &certificate].concat())).await.unwrap();
    let e = append_and_read(at(ssl, &encrypted)).await.expect_err("no client certificate");
    assert!(matches!(e.kind(), ErrorKind::Denied | ErrorKind::Unavailable), "{e}");
    let e =
        append_and_read(at(ssl, &[&[("security.protocol", "ssl")][..], &certificate].concat())).await.expect_err("an unknown CA");
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
    assert!(e.to_string().contains("certificate"), "{e}");

    for (protocol, servers) in [("sasl_ssl", sasl_ssl), ("sasl_plaintext", sasl_plaintext)] {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let login = |password| {
                [
                    ("security.protocol", protocol),
                    ("ssl.ca.location", ca),
                    ("sasl.mechanism", mechanism),
                    ("sasl.username", user),
                    ("sasl.password", password),
                ]
            };
            append_and_read(at(servers, &login(password))).await.unwrap_or_else(|e| panic!("{mechanism} over {protocol}: {e}"));
            let e = append_and_read(at(servers, &login("a wrong secret"))).await.expect_err("a wrong password");
            assert_eq!(e.kind(), ErrorKind::Denied, "{mechanism} over {protocol}: {e}");
            let said = format!("{e} {e:?} {:?}", at(servers, &login("a wrong secret")));
            assert!(!said.contains("a wrong secret"), "{said}");
        }
    }

    // A token that the client makes for itself, which only a listener for trials takes.
    let unsigned = [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", ca),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=mirror"),
    ];
    append_and_read(at(sasl_ssl, &unsigned)).await.unwrap();
    let e = append_and_read(at(text("oidc"), &unsigned)).await.expect_err("an unsigned token");
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
}
