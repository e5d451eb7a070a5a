//! A log on Kafka: the client's keys by Java's names become those of librdkafka.

use super::certificates::{Store, pem_file};
use super::jaas::LoginModule;
use super::keys::Section::{Log, Sink};
use super::settings::{Settings, unusable};
use crate::error::{Error, Result};
use change_log::KafkaLogConfig;
use std::collections::BTreeMap;
use std::time::Duration;

/// The cluster that the settings name.
pub(super) fn cluster(s: &Settings, topic_prefix: &str) -> Result<KafkaLogConfig> {
    let Some(servers) = s.text(Log, "bootstrap.servers") else {
        let next = match s.has_sections {
            true => "write host:port of one or more brokers, comma-separated",
            false => {
                "name the worker's file as well, which has them, before the connector's: -c worker.properties -c connector.json\n  → or --set bootstrap.servers=host:port"
            }
        };
        return Err(Error::configuration(format!("a log on Kafka needs \"bootstrap.servers\"\n  → {next}")));
    };
    let mut cluster = KafkaLogConfig::new(servers);
    cluster.group_id = Some(group(s, topic_prefix));
    // No header of a data record matters to a table.
    cluster.read_headers = false;
    let milliseconds = |name, default: Duration| {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        s.number(Log, name, "milliseconds", 1_000.., default).map(Duration::from_millis)
    };
    cluster.transaction_timeout = milliseconds("transaction.timeout.ms", cluster.transaction_timeout)?;
    cluster.request_timeout = milliseconds("request.timeout.ms", cluster.request_timeout)?;
    // Never below what is there without the setting: a file that is taken over has it for batches of the JVM's.
    let largest: usize = s.number(Log, "max.request.size", "a number of bytes", 1.., 0)?;
    cluster.max_message_bytes = cluster.max_message_bytes.max(largest);
    apply_topics(s, &mut cluster)?;
    let mut client = Client(BTreeMap::new());
    for (name, secret) in s.client() {
        client.set(name, secret.needed()?);
    }
    if let Some(compression) = client.0.get_mut("compression.type") {
        compression.make_ascii_lowercase();
    }
    let protocol = Protocol::read(s)?;
    client.set("security.protocol", protocol.name());
    if protocol.has_sasl() {
        sasl(s, &mut client)?;
    }
    if protocol.has_tls() {
        tls(s, &mut client)?;
    }
    for (name, value) in client.0 {
        cluster = cluster.set(name, value);
    }
    cluster.check_client().map_err(|e| Error::configuration(format!("[log] {e}")).with_source(e))?;
    Ok(cluster)
}

/// The consumer group, which Connect names after the connector.
fn group(s: &Settings, topic_prefix: &str) -> String {
    let own = s.text(Log, "group.id").or_else(|| s.text(Sink, "iceberg.connect.group-id"));
    match (own, s.text(Sink, "name").filter(|_| s.has_sink_connector)) {
        (Some(group), _) => group.to_owned(),
        (None, Some(connector)) => format!("connect-{connector}"),
        (None, None) => format!("lakehouse-mirror-{topic_prefix}"),
    }
}

/// How topics are made.
fn apply_topics(s: &Settings, cluster: &mut KafkaLogConfig) -> Result<()> {
    const COPIES: &str = "topic.creation.default.replication.factor";
    if s.text(Log, COPIES).is_some_and(|copies| copies != "-1") {
        cluster.replication_factor = Some(s.number(Log, COPIES, "a number of copies", 1..=i32::from(i16::MAX), 1)?);
    }
    for (name, value) in s.family(Log, "topic.creation.default.") {
        cluster.topic_settings.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

/// The client's settings by librdkafka's names.
struct Client(BTreeMap<&'static str, String>);

impl Client {
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// Sets what is not set by a name of librdkafka's.
    fn set_if_absent(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.entry(name).or_insert_with(|| value.into());
    }
}

/// `security.protocol`.
#[derive(Clone, Copy)]
enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    fn read(s: &Settings) -> Result<Self> {
        Ok(match s.choice(Log, "security.protocol", &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])? {
            "SSL" => Self::Ssl,
            "SASL_PLAINTEXT" => Self::SaslPlaintext,
            "SASL_SSL" => Self::SaslSsl,
            _ => Self::Plaintext,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

fn sasl(s: &Settings, client: &mut Client) -> Result<()> {
    // Java's default is GSSAPI, which has to be refused as well.
    let given = s.text(Log, "sasl.mechanism").unwrap_or("GSSAPI");
    let Some(mechanism) = MECHANISMS.into_iter().find(|known| known.eq_ignore_ascii_case(given)) else {
        let why = match given {
            "GSSAPI" => ", Kerberos, which is not built in (and is the default where \"sasl.mechanism\" is left out)",
            "AWS_MSK_IAM" => ", which is a Java class of Amazon's",
            _ => "",
        };
        return Err(Error::configuration(format!(
            "[log] \"sasl.mechanism\" = \"{given}\"{why} is not supported\n  → write \"{}\"",
            MECHANISMS.join("\" or \"")
        )));
    };
    client.set("sasl.mechanism", mechanism);
    let login = s.secret("sasl.jaas.config");
    if !login.needed()?.is_empty() {
        log_in(mechanism, login.needed()?, client)?;
    }
    let has = |client: &Client, name| client.0.get(name).is_some_and(|value| !value.is_empty());
    let needs = |what: &str| {
        Err(Error::configuration(format!(
            "[log] \"sasl.mechanism\" = \"{mechanism}\" needs {what}\n  → by \"sasl.jaas.config\" as for Java, or by \"sasl.username\" and \"sasl.password\""
        )))
    };
    if mechanism == "OAUTHBEARER" {
        let unsigned = client.0.get("enable.sasl.oauthbearer.unsecure.jwt").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if has(client, "sasl.oauthbearer.token.endpoint.url") {
            endpoint_authorities(s, client);
        } else if !unsigned {
            return Err(Error::configuration(
                "[log] \"sasl.mechanism\" = \"OAUTHBEARER\" needs \"sasl.oauthbearer.token.endpoint.url\"\n  → with clientId and clientSecret in \"sasl.jaas.config\", or \"sasl.oauthbearer.client.id\" and \"sasl.oauthbearer.client.secret\"",
            ));
        }
    } else if !has(client, "sasl.username") || !has(client, "sasl.password") {
        return needs("a user and a password");
    }
    Ok(())
}

/// Takes over what a login module says.
fn log_in(mechanism: &str, text: &str, client: &mut Client) -> Result<()> {
    let wrong = |what: &str| Error::configuration(format!("[log] \"sasl.jaas.config\" cannot be used: {what}"));
    let module = LoginModule::parse(text).map_err(|what| {
        wrong(&format!(
            "{what}\n  → write org.apache.kafka.common.security.plain.PlainLoginModule required username=\"...\" password=\"...\";"
        ))
    })?;
    let fits = match module.name() {
        "PlainLoginModule" => mechanism == "PLAIN",
        "ScramLoginModule" => mechanism.starts_with("SCRAM-"),
        "OAuthBearerLoginModule" => mechanism == "OAUTHBEARER",
        other => {
            return Err(wrong(&format!(
                "{other} is not known\n  → PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule are"
            )));
        }
    };
    if !fits {
        return Err(wrong(&format!("{} does not go with \"sasl.mechanism\" = \"{mechanism}\"", module.name())));
    }
    if mechanism == "OAUTHBEARER" {
        return bearer(&module, client).map_err(|what| wrong(&what));
    }
    for (option, value) in module.options {
        match option.as_str() {
            "username" => client.set_if_absent("sasl.username", value),
            "password" => client.set_if_absent("sasl.password", value),
            "serviceName" => {}
            other => {
                return Err(wrong(&format!("its option {other} is not supported\n  → username and password are")));
            }
        }
    }
    Ok(())
}

/// The options of `OAuthBearerLoginModule`: with a token endpoint, or unsigned for development.
fn bearer(module: &LoginModule, client: &mut Client) -> Result<(), String> {
    let mut unsigned = Vec::new();
    let mut extensions = Vec::new();
    for (option, value) in &module.options {
        match option.as_str() {
            "clientId" => client.set_if_absent("sasl.oauthbearer.client.id", value),
            "clientSecret" => client.set_if_absent("sasl.oauthbearer.client.secret", value),
            "scope" => client.set_if_absent("sasl.oauthbearer.scope", value),
            "unsecuredLoginStringClaim_sub" => unsigned.push(format!("principal={value}")),
            "unsecuredLoginPrincipalClaimName" => unsigned.push(format!("principalClaimName={value}")),
            "unsecuredLoginScopeClaimName" => unsigned.push(format!("scopeClaimName={value}")),
            "unsecuredLoginStringClaim_scope" => unsigned.push(format!("scope={value}")),
            "unsecuredLoginLifetimeSeconds" => unsigned.push(format!("lifeSeconds={value}")),
            other => match other.strip_prefix("extension_") {
                Some(name) => extensions.push(format!("{name}={value}")),
                None => {
                    return Err(format!(
                        "its option {other} is not supported\n  → clientId, clientSecret, scope, extension_* and unsecuredLogin* are"
                    ));
                }
            },
        }
    }
    if unsigned.iter().chain(&extensions).any(|part| part.contains([' ', '"', ','])) {
        return Err("a claim or an extension has a blank, a comma or a quote, which it cannot have".to_owned());
    }
    if !unsigned.is_empty() {
        unsigned.extend(extensions.into_iter().map(|e| format!("extension_{e}")));
        client.set_if_absent("enable.sasl.oauthbearer.unsecure.jwt", "true");
        client.set_if_absent("sasl.oauthbearer.config", unsigned.join(" "));
    } else if !extensions.is_empty() {
        client.set_if_absent("sasl.oauthbearer.extensions", extensions.join(","));
    }
    Ok(())
}

/// Whom the certificate of a token endpoint is to be of.
fn endpoint_authorities(s: &Settings, client: &mut Client) {
    const FILE: &str = "https.ca.location";
    // What librdkafka writes for the system's.
    if let Some(path) = client.0.get_mut(FILE).filter(|path| *path != "probe") {
        *path = s.folder(Log, FILE).join(&*path).display().to_string();
    }
    if let Some(pem) = client.0.get_mut("https.ca.pem") {
        *pem = lines(pem);
    }
}

fn tls(s: &Settings, client: &mut Client) -> Result<()> {
    match s.text(Log, "ssl.endpoint.identification.algorithm") {
        None if !s.is_set(Log, "ssl.endpoint.identification.algorithm") => {}
        None => client.set("ssl.endpoint.identification.algorithm", "none"),
        Some(given) if given.eq_ignore_ascii_case("https") => client.set("ssl.endpoint.identification.algorithm", "https"),
        Some(given) if given.eq_ignore_ascii_case("none") => client.set("ssl.endpoint.identification.algorithm", "none"),
        Some(given) => return Err(unusable(Log, "ssl.endpoint.identification.algorithm", given, "\"https\", or nothing")),
    }
    let file = |name: &'static str, declared: &'static str, store| {
        let path = s.text(Log, name).map(|path| s.folder(Log, name).join(path));
        path.map(|path| pem_file(name, path, s.text(Log, declared), store)).transpose()
    };
    if let Some(path) = file("ssl.truststore.location", "ssl.truststore.type", Store::Trust)? {
        client.set_if_absent("ssl.ca.location", path.display().to_string());
    }
    if let Some(pem) = s.text(Log, "ssl.truststore.certificates") {
        client.set_if_absent("ssl.ca.pem", lines(pem));
    }
    // The file of a key and its certificates is both for OpenSSL.
    if let Some(path) = file("ssl.keystore.location", "ssl.keystore.type", Store::Key)? {
        client.set_if_absent("ssl.certificate.location", path.display().to_string());
        client.set_if_absent("ssl.key.location", path.display().to_string());
    }
    if let Some(pem) = s.text(Log, "ssl.keystore.certificate.chain") {
        client.set_if_absent("ssl.certificate.pem", lines(pem));
    }
    let key = s.secret("ssl.keystore.key");
    if !key.needed()?.is_empty() {
        client.set_if_absent("ssl.key.pem", lines(key.needed()?));
    }
    for name in ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.crl.location"] {
        if let Some(path) = client.0.get_mut(name)
            && s.text(Log, name).is_some()
        {
            *path = s.folder(Log, name).join(&*path).display().to_string();
        }
    }
    Ok(())
}

/// PEM on one line, as Java takes it from a value, is PEM on lines for OpenSSL.
fn lines(pem: &str) -> String {
    if pem.trim().contains('\n') {
        return pem.to_owned();
    }
    let mut out = String::with_capacity(pem.len() + 64);
    let mut rest = pem.trim();
    while let Some((label, body, behind)) = block(rest) {
        out.push_str(&format!("-----BEGIN {label}-----\n"));
        for word in body.split_whitespace() {
            out.push_str(word);
            out.push('\n');
        }
        out.push_str(&format!("-----END {label}-----\n"));
        rest = behind;
    }
    if out.is_empty() { pem.to_owned() } else { out }
}

/// The first block: its label, what is between its two lines, and what follows.
fn block(text: &str) -> Option<(&str, &str, &str)> {
    let (label, rest) = text.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (body, behind) = rest.split_once("-----END ")?;
    let (_, behind) = behind.split_once("-----")?;
    Some((label, body, behind))
}

#[cfg(test)]
#[path = "kafka_tests.rs"]
mod tests;
