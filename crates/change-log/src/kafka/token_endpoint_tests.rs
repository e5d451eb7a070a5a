#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

const SECRET: &str = "s3cret+/&";

fn settings(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let base = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "OAUTHBEARER"),
        (URL, "https://idp.example:8443/token?key=k3y"),
        (CLIENT_ID, "me"),
        (CLIENT_SECRET, SECRET),
    ];
    let all = base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    all.collect()
}

fn endpoint(more: &[(&str, &str)]) -> TokenEndpoint {
    TokenEndpoint::from_settings(&settings(more)).unwrap().unwrap()
}

/// A JWT with these claims, signed by nobody.
fn jwt(claims: &str) -> String {
    format!("e30.{}.c2lnbmVk", URL_SAFE_NO_PAD.encode(claims))
}

fn read(answer: &str) -> Result<Token> {
    endpoint(&[]).read(answer.as_bytes(), SystemTime::now())
}

fn life(token: &Token) -> u64 {
    token.expires.duration_since(token.asked).unwrap().as_secs()
}

#[test]
fn an_endpoint_is_asked_only_where_the_mechanism_is_that_of_tokens() {
    for other in [
        ("security.protocol", "SSL"),
        ("security.protocol", ""),
        ("sasl.mechanism", "PLAIN"),
        // librdkafka's own, for trials.
        (URL, ""),
    ] {
        let settings = settings(&[other, (UNSIGNED, if other.0 == URL { "true" } else { "" })]);
        assert!(TokenEndpoint::from_settings(&settings).unwrap().is_none(), "{other:?}");
    }
    let mut other_name = settings(&[("sasl.mechanisms", "oauthbearer"), ("security.protocol", "sasl_plaintext")]);
    other_name.remove("sasl.mechanism");
    assert!(TokenEndpoint::from_settings(&other_name).unwrap().is_some());
    assert!(TokenEndpoint::from_settings(&settings(&[(UNSIGNED, "false"), (METHOD, "OIDC")])).unwrap().is_some());
}

#[test]
fn settings_that_are_missing_or_contradict_each_other_are_named() {
    for (set, said) in [
        ((URL, ""), "needs the address where tokens are had"),
        ((URL, "idp/token"), "cannot be used"),
        ((URL, "file:///token"), "begins neither with https://"),
        ((URL, "https://me:s3cret@idp/token"), "holds a user"),
        ((CLIENT_ID, ""), CLIENT_ID),
        ((CLIENT_ID, "api://me"), HEADER_URLENCODE),
        ((CLIENT_SECRET, ""), CLIENT_SECRET),
        ((UNSIGNED, "true"), "contradict each other"),
        ((METHOD, "default"), "contradict each other"),
        ((METHOD, "other"), "is not known"),
        ((GRANT, "urn:ietf:params:oauth:grant-type:jwt-bearer"), "signed assertions are not supported"),
        (("sasl.oauthbearer.assertion.private.key.pem", SECRET), "signed assertions are not supported"),
        ((HEADER_URLENCODE, "yes"), HEADER_URLENCODE),
        ((EXTENSIONS, "pool"), "which has no value"),
        ((EXTENSIONS, "pool-1=x"), "which cannot be a name"),
        ((EXTENSIONS, "auth=x"), "which cannot be a name"),
        ((EXTENSIONS, "pool=ü"), "other characters"),
    ] {
        let e = TokenEndpoint::from_settings(&settings(&[set])).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{set:?}");
        assert!(e.to_string().contains(said), "{set:?}: {e}");
        assert!(!e.to_string().contains("s3cret"), "{e}");
    }
    let e = TokenEndpoint::from_settings(&settings(&[(CA_LOCATION, "/ca.pem"), (CA_PEM, "x")])).unwrap_err();
    assert!(e.to_string().contains(CA_LOCATION) && e.to_string().contains(CA_PEM), "{e}");
}

#[test]
fn a_token_lives_as_long_as_the_answer_says_and_else_as_long_as_it_says_itself() {
    let token = jwt(r#"{"sub":"alice","exp":9999999999}"#);
    let read_token = read(&format!(r#"{{"access_token":"{token}","expires_in":300}}"#)).unwrap();
    assert_eq!((read_token.value.to_str().unwrap(), read_token.principal.to_str().unwrap()), (token.as_str(), "alice"));
    assert_eq!(life(&read_token), 300);
    let renewed = read_token.renew_at().duration_since(read_token.asked).unwrap();
    assert_eq!(renewed, Duration::from_secs(240));
    // Some write the number as a text.
    assert_eq!(life(&read(&format!(r#"{{"access_token":"{token}","expires_in":"60"}}"#)).unwrap()), 60);
    let in_an_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
    let own = jwt(&format!(r#"{{"sub":"bob","exp":{in_an_hour}}}"#));
    // Of two times the sooner one counts, unless it is over: the clock here may be wrong.
    assert!(life(&read(&format!(r#"{{"access_token":"{own}","expires_in":7200}}"#)).unwrap()) <= 3600);
    let past = jwt(r#"{"exp":1000000000}"#);
    assert_eq!(life(&read(&format!(r#"{{"access_token":"{past}","expires_in":60}}"#)).unwrap()), 60);
    let own = read(&format!(r#"{{"id_token":"{own}"}}"#)).unwrap();
    assert_eq!((own.expires_ms(), own.principal.to_str().unwrap()), (in_an_hour as i64 * 1000, "bob"));
    // Neither the largest number nor the largest time is too much.
    for endless in [r#""expires_in":1e300"#, r#""expires_in":99999999999999"#] {
        let token = read(&format!(r#"{{"access_token":"{token}",{endless}}}"#)).unwrap();
        assert_eq!(life(&token), LONGEST_LIFE.as_secs());
    }
    // One that only the endpoint understands.
    let opaque = read(r#"{"access_token":"0123.abc","expires_in":60}"#).unwrap();
    assert_eq!(opaque.principal.to_str().unwrap(), "me");
}

#[test]
fn an_answer_without_a_token_is_told_without_its_words() {
    let secret = jwt(r#"{"sub":"s3cret"}"#);
    for (answer, said) in [
        ("<html>".to_owned(), "is not JSON"),
        (r#"{"token":"s3cret"}"#.to_owned(), "has no access_token"),
        (r#"{"access_token":["s3cret"]}"#.to_owned(), "has no access_token"),
        (r#"{"access_token":"","expires_in":1}"#.to_owned(), "has no access_token"),
        (r#"{"access_token":"s3cret\u0001auth=x","expires_in":1}"#.to_owned(), "characters that no token has"),
        (format!(r#"{{"access_token":"{secret}"}}"#), "does not say how long"),
        (format!(r#"{{"access_token":"{secret}","expires_in":-1}}"#), "does not say how long"),
        (format!(r#"{{"access_token":"{secret}","expires_in":"soon"}}"#), "does not say how long"),
    ] {
        let e = read(&answer).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{answer}");
        assert!(e.to_string().contains(said) && e.to_string().contains("https://idp.example:8443/token"), "{e}");
        assert!(!e.to_string().contains("s3cret") && !e.to_string().contains(&secret), "{e}");
    }
    let old = read(&format!(r#"{{"access_token":"{}"}}"#, jwt(r#"{"exp":1000000000}"#))).unwrap_err();
    assert!(old.kind() == ErrorKind::Unavailable && old.to_string().contains("compare the clocks"), "{old}");
}

#[test]
fn a_refusal_says_what_to_correct_and_a_trouble_that_passes_is_one() {
    let refusal = |status: u16, body: &str| {
        endpoint(&[]).refusal(StatusCode::from_u16(status).unwrap(), Some("https://other/x?s3cret"), body.as_bytes())
    };
    for (status, body, kind, said) in [
        (
            401,
            r#"{"error":"invalid_client"}"#,
            ErrorKind::Denied,
            "(401 Unauthorized: invalid_client): correct sasl.oauthbearer.client.id and",
        ),
        (400, r#"{"error":"invalid_scope"}"#, ErrorKind::Denied, "correct sasl.oauthbearer.scope"),
        (400, r#"{"error":"unauthorized_client"}"#, ErrorKind::Denied, "allow this client the grant client_credentials"),
        (404, "<html>s3cret+/&</html>", ErrorKind::Denied, "(404 Not Found): correct sasl.oauthbearer.token.endpoint.url"),
        (302, "", ErrorKind::Denied, "it points to https://other, where the secret is not sent"),
        (403, "[1]", ErrorKind::Denied, "(403 Forbidden): correct sasl.oauthbearer.client.id"),
        (429, "", ErrorKind::Unavailable, "gives no token now"),
        (503, r#"{"error":"temporarily_unavailable"}"#, ErrorKind::Unavailable, "temporarily_unavailable"),
    ] {
        let e = refusal(status, body);
        assert_eq!(e.kind(), kind, "{status}");
        let e = e.to_string();
        assert!(e.contains(said) && e.contains("https://idp.example:8443/token"), "{status}: {e}");
        assert!(!e.contains("s3cret") && !e.contains("k3y"), "{e}");
    }
    let long = format!(r#"{{"error":"invalid_client","error_description":"no {SECRET}\r\n\u001b[31m{}"}}"#, "x".repeat(5000));
    let said = refusal(401, &long).to_string();
    assert!(said.contains("no (hidden)   [31mxxx") && said.len() < 800, "{said}");
}

#[test]
fn id_and_secret_are_encoded_as_in_a_form_where_that_is_asked_for() {
    let endpoint = endpoint(&[(HEADER_URLENCODE, "True")]);
    assert!(endpoint.header_urlencode);
    assert_eq!(endpoint.form_encoded("a b:c+d/ü"), "a+b%3Ac%2Bd%2F%C3%BC");
}

#[test]
fn extensions_are_names_and_values_in_turn() {
    let extensions = endpoint(&[(EXTENSIONS, "logicalCluster=lkc-1, identityPoolId = pool=1 ,")]).extensions;
    let texts: Vec<&str> = extensions.iter().map(|text| text.to_str().unwrap()).collect();
    assert_eq!(texts, ["logicalCluster", "lkc-1", "identityPoolId", "pool=1"]);
}

#[test]
fn neither_an_endpoint_nor_a_token_shows_what_is_secret() {
    let endpoint = endpoint(&[]);
    assert_eq!(format!("{endpoint:?}"), "TokenEndpoint(https://idp.example:8443/token)");
    let token = read(r#"{"access_token":"s3cret","expires_in":60}"#).unwrap();
    assert!(!format!("{token:?}").contains("s3cret"), "{token:?}");
}

#[test]
fn authorities_that_cannot_be_used_are_refused_with_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let path = |path: &std::path::Path| path.display().to_string();
    for (name, value, said) in [
        (CA_LOCATION, "/nowhere/ca.pem".to_owned(), "/nowhere/ca.pem: "),
        (CA_LOCATION, path(&empty), "there is no certificate"),
        (CA_LOCATION, path(dir.path()), "there is no certificate"),
        (CA_PEM, "nothing".to_owned(), "there is no certificate"),
        (CA_PEM, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "cannot be used"),
    ] {
        let e = endpoint(&[(name, &value)]).connector(Duration::from_secs(1)).unwrap_err();
        assert!(e.kind() == ErrorKind::Invalid && e.to_string().contains(said), "{value}: {e}");
    }
    // Those of the system.
    endpoint(&[]).connector(Duration::from_secs(1)).unwrap();
}
