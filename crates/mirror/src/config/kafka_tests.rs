#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use crate::config::Program;
use crate::config::document::Document;
use std::path::PathBuf;

const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"s3cret\";";

fn settings(text: &str) -> Result<Settings> {
    let document =
        Document::parse(format!("bootstrap.servers=h:1\n{text}").as_bytes(), "w.properties", "properties", PathBuf::new())?;
    Settings::assemble(vec![document], &[], Program::CdcSource)
}

fn read(text: &str) -> Result<KafkaLogConfig> {
    cluster(&settings(text)?, "shop")
}

/// What the client is given, by librdkafka's names.
fn client(text: &str) -> BTreeMap<String, String> {
    read(text).unwrap().client_settings().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn refused(text: &str) -> String {
    let said = read(text).unwrap_err();
    assert_eq!(said.exit_code(), 2);
    let said = said.to_string();
    assert!(!said.contains("s3cret"), "{said}");
    said
}

#[test]
fn a_login_module_is_a_user_and_a_password() {
    let given = client(&format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={SCRAM}"));
    assert_eq!(given["security.protocol"], "sasl_plaintext");
    assert_eq!(given["sasl.mechanism"], "SCRAM-SHA-512");
    assert_eq!((given["sasl.username"].as_str(), given["sasl.password"].as_str()), ("alice", "s3cret"));
    let own = client("security.protocol=sasl_plaintext\nsasl.mechanisms=PLAIN\nsasl.username=bob\nsasl.password=b\\u0020c");
    assert_eq!((own["sasl.username"].as_str(), own["sasl.password"].as_str()), ("bob", "b c"));
    // Without SASL in the protocol Java does not look at it.
    assert_eq!(client(&format!("sasl.mechanism=GSSAPI\nsasl.jaas.config={SCRAM}")).get("sasl.username"), None);
}

#[test]
fn what_cannot_log_in_is_refused_with_the_way_on() {
    let sasl = |rest: &str| refused(&format!("security.protocol=SASL_PLAINTEXT\n{rest}"));
    assert!(sasl("").contains("\"sasl.mechanism\" = \"GSSAPI\", Kerberos, which is not built in"));
    assert!(sasl("sasl.mechanism=AWS_MSK_IAM").contains("a Java class of Amazon's"));
    assert!(sasl("sasl.mechanism=PLAIN").contains("needs a user and a password\n  → by \"sasl.jaas.config\""));
    assert!(sasl(&format!("sasl.mechanism=PLAIN\nsasl.jaas.config={SCRAM}")).contains("ScramLoginModule does not go with"));
    let cut = &SCRAM[..SCRAM.len() - 2];
    assert!(sasl(&format!("sasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={cut}")).contains("a quoted value does not end"));
    let krb = "sasl.mechanism=PLAIN\nsasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required keyTab=\"s3cret\";";
    assert!(sasl(krb).contains("Krb5LoginModule is not known"));
    assert!(sasl("sasl.kerberos.service.name=kafka").contains("Kerberos is not built in"));
    assert!(sasl("sasl.mechanism=OAUTHBEARER").contains("needs \"sasl.oauthbearer.token.endpoint.url\""));
    assert!(refused("security.protocol=TLS").contains("\"PLAINTEXT\" or \"SSL\" or"));
}

#[test]
fn an_unsigned_token_is_made_of_the_claims_of_java() {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";
    // The client that is built here may have no OpenSSL, which tokens need: what it would be given is looked at before it is asked.
    let s = settings(&format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.jaas.config={module} unsecuredLoginStringClaim_sub=\"alice\" unsecuredLoginLifetimeSeconds=\"60\";"
    ))
    .unwrap();
    let mut given = Client(BTreeMap::new());
    sasl(&s, &mut given).unwrap();
    assert_eq!(given.0["enable.sasl.oauthbearer.unsecure.jwt"], "true");
    assert_eq!(given.0["sasl.oauthbearer.config"], "lifeSeconds=60 principal=alice");
}

#[test]
fn a_token_endpoint_is_asked_with_what_the_module_or_the_keys_say() {
    let s = settings(
        "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=https://idp/token\nsasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler\nsasl.jaas.config=a.OAuthBearerLoginModule required clientId=\"me\" clientSecret=\"s3cret\" scope=\"kafka\" extension_pool=\"p1\";",
    )
    .unwrap();
    let mut given = Client(BTreeMap::from([("sasl.oauthbearer.token.endpoint.url", "https://idp/token".to_owned())]));
    sasl(&s, &mut given).unwrap();
    let given: Vec<(&str, &str)> = given.0.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(
        given,
        [
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.client.id", "me"),
            ("sasl.oauthbearer.client.secret", "s3cret"),
            ("sasl.oauthbearer.extensions", "pool=p1"),
            ("sasl.oauthbearer.scope", "kafka"),
            ("sasl.oauthbearer.token.endpoint.url", "https://idp/token"),
        ]
    );
}

#[test]
fn the_authorities_of_a_token_endpoint_are_found_beside_the_file_that_names_them() {
    const OAUTH: &str =
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=https://idp/token";
    for (set, name, expected) in [
        ("https.ca.location=ca.pem", "https.ca.location", "/etc/mirror/ca.pem"),
        ("https.ca.location=/ca.pem", "https.ca.location", "/ca.pem"),
        ("https.ca.location=probe", "https.ca.location", "probe"),
        (
            "https.ca.pem=-----BEGIN CERTIFICATE----- QUJD -----END CERTIFICATE-----",
            "https.ca.pem",
            "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        ),
    ] {
        let text = format!("bootstrap.servers=h:1\n{OAUTH}\n{set}");
        let document = Document::parse(text.as_bytes(), "w.properties", "properties", PathBuf::from("/etc/mirror")).unwrap();
        let s = Settings::assemble(vec![document], &[], Program::CdcSource).unwrap();
        let mut given = Client(s.client().map(|(name, value)| (name, value.needed().unwrap().to_owned())).collect());
        sasl(&s, &mut given).unwrap();
        assert_eq!(given.0[name], expected);
    }
}

#[test]
fn what_a_token_endpoint_cannot_be_asked_with_is_refused_by_name() {
    let sasl = |rest: &str| {
        refused(&format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.token.endpoint.url=https://idp/token\n{rest}"
        ))
    };
    assert!(sasl("").contains("\"sasl.oauthbearer.client.id\": set it"));
    let login = "sasl.jaas.config=a.OAuthBearerLoginModule required clientId=\"me\" clientSecret=\"s3cret\";\n";
    let both = sasl(&format!("{login}enable.sasl.oauthbearer.unsecure.jwt=true"));
    assert!(both.contains("contradict each other") && both.contains("unsecure.jwt"), "{both}");
    for assertion in [
        "sasl.oauthbearer.assertion.file=/a.jwt",
        "sasl.oauthbearer.assertion.private.key.pem=s3cret",
        "sasl.oauthbearer.assertion.claim.iss=me",
        "sasl.oauthbearer.grant.type=urn:ietf:params:oauth:grant-type:jwt-bearer",
        "sasl.oauthbearer.jwt.retriever.class=org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever",
    ] {
        let said = sasl(&format!("{login}{assertion}"));
        let (name, _) = assertion.split_once('=').unwrap();
        assert!(said.contains(name) && said.contains("signed assertions are not supported"), "{said}");
    }
}

#[test]
fn stores_of_java_are_files_of_pem_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let pem = path("all.pem", b"-----BEGIN CERTIFICATE-----\n");
    let jks = path("trust.jks", b"\xfe\xed\xfe\xed\0\0\0\x02");
    let s = settings(&format!(
        "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={pem}\nssl.keystore.type=PEM\nssl.keystore.location={pem}\nssl.key.password=s3cret\nssl.truststore.password=x\nssl.endpoint.identification.algorithm="
    ))
    .unwrap();
    assert_eq!(s.notes, ["\"ssl.truststore.password\" is not needed and ignored: a PEM file of certificates has no password"]);
    let mut given = Client(BTreeMap::new());
    tls(&s, &mut given).unwrap();
    let given: Vec<(&str, &str)> = given.0.iter().map(|(k, v)| (*k, v.as_str())).collect();
    assert_eq!(
        given,
        [
            ("ssl.ca.location", pem.as_str()),
            ("ssl.certificate.location", pem.as_str()),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("ssl.key.location", pem.as_str()),
        ]
    );
    let said = refused(&format!("security.protocol=SSL\nssl.truststore.location={jks}"));
    assert!(said.contains("a Java keystore (JKS)") && said.contains("keytool -list -rfc -keystore"), "{said}");
}

#[test]
fn certificates_in_a_value_get_their_lines_back() {
    let one_line = "-----BEGIN CERTIFICATE----- QUJD REVG -----END CERTIFICATE----- -----BEGIN CERTIFICATE-----R0g=-----END CERTIFICATE-----";
    assert_eq!(
        lines(one_line),
        "-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nR0g=\n-----END CERTIFICATE-----\n"
    );
    let many = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n";
    assert_eq!(lines(many), many);
    assert_eq!(lines("no pem"), "no pem");
}

#[test]
fn topics_are_made_with_the_settings_of_topic_creation_default() {
    let cluster = read(
        "topic.creation.default.replication.factor=3\ntopic.creation.default.partitions=1\ntopic.creation.default.retention.ms=-1\ntopic.creation.default.min.insync.replicas=2\nmax.request.size=100000000\nrequest.timeout.ms=5000\ntransaction.timeout.ms=9000",
    )
    .unwrap();
    assert_eq!(cluster.replication_factor, Some(3));
    let made: Vec<(&str, &str)> = cluster.topic_settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(made, [("min.insync.replicas", "2"), ("retention.ms", "-1")]);
    assert_eq!(cluster.max_message_bytes, 100_000_000);
    assert_eq!((cluster.request_timeout.as_secs(), cluster.transaction_timeout.as_secs()), (5, 9));
    assert_eq!(read("topic.creation.default.replication.factor=-1").unwrap().replication_factor, None);
    assert!(refused("topic.creation.default.partitions=3").contains("a table's changes are in one partition"));
    assert!(refused("topic.creation.default.cleanup.policy=compact").contains("has not all changes"));
    assert!(refused("topic.creation.groups=big").contains("topics are made alike"));
}

#[test]
fn a_setting_of_a_connector_wins_over_its_workers_and_that_over_a_plain_one() {
    let text =
        "client.id=plain\nproducer.override.client.id=connector\nproducer.client.id=worker\nconsumer.override.client.id=other";
    assert_eq!(client(text)["client.id"], "connector");
    assert_eq!(client("producer.client.id=worker\nclient.id=plain")["client.id"], "worker");
    let notes = settings(text).unwrap().notes;
    assert_eq!(
        notes,
        ["\"consumer.override.client.id\" is not needed and ignored: one client does it all, set up as the one for records"]
    );
}

#[test]
fn what_the_log_promises_cannot_be_set_otherwise() {
    for (set, said) in [
        ("acks=1", "must survive the loss of a broker"),
        ("producer.override.enable.idempotence=false", "must be there once"),
        ("isolation.level=read_uncommitted", "that was aborted must not be read"),
        ("transactional.id=mine", "it is the source's own"),
        ("auto.offset.reset=latest", "begins with the first record"),
    ] {
        assert!(refused(set).contains(said), "{set}");
    }
    read("acks=all\nenable.idempotence=true\nauto.offset.reset=earliest").unwrap();
}

#[test]
fn an_unknown_or_unusable_client_setting_is_named_with_the_nearest() {
    assert!(refused("producer.override.compresion.type=lz4").contains("did you mean \"producer.override.compression.type\"?"));
    assert!(refused("ssl.truststore.locaton=x").contains("did you mean \"ssl.truststore.location\"?"));
    let said = refused("compression.type=brotli");
    assert!(said.starts_with("[log] the Kafka client refuses \"compression.type\""), "{said}");
    assert_eq!(client("compression.type=ZSTD")["compression.type"], "zstd");
}

#[test]
fn secrets_are_in_no_form_of_the_configuration() {
    let cluster =
        read(&format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\nsasl.jaas.config={SCRAM}")).unwrap();
    assert!(!format!("{cluster:?}").contains("s3cret"));
}
