//! Passwords and certificates of a real server.

use crate::support::server::trino;
use std::time::Duration;
use trino_client::{Client, ErrorKind};

#[tokio::test]
async fn a_password_over_tls_lets_the_user_in() {
    let found = trino().client().query("SELECT current_user").await.unwrap().collect::<(String,)>().await.unwrap();
    assert_eq!(found, [("alice".to_owned(),)]);
}

#[tokio::test]
async fn a_wrong_password_and_none_are_refused() {
    let server = trino();
    for (builder, said) in [
        (server.builder().password("wrong"), "it says: Access Denied: Invalid credentials\n  → check user and password"),
        (
            Client::builder(&server.https_url).root_certificates(&server.ca).user("alice"),
            "give a user and, over https, a password",
        ),
    ] {
        let error = builder.build().unwrap().query("SELECT 1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
        let text = error.to_string();
        assert!(text.starts_with(&format!("Trino at {} does not let this user in\n", server.https_url)), "{text}");
        assert!(text.ends_with(said), "{text}");
        assert!(!format!("{error:?}").contains("wrong"));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_at_once() {
    let server = trino();
    let client = Client::builder(&server.https_url)
        .user("alice")
        .password(&server.password)
        .retry_for(Duration::from_secs(600))
        .build()
        .unwrap();
    let error = client.query("SELECT 1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error
            .to_string()
            .contains("invalid peer certificate: UnknownIssuer\n  → is the certificate of an authority of your own?"),
        "{error}"
    );
    assert!(!error.to_string().contains("tried"), "{error}");
}

#[tokio::test]
async fn a_password_does_not_go_over_http_unless_it_is_allowed_and_then_the_server_refuses() {
    let server = trino();
    let builder = Client::builder(&server.url).user("alice").password(&server.password);
    assert_eq!(builder.clone().build().unwrap_err().kind(), ErrorKind::Configuration);
    let error = builder.allow_password_over_http().build().unwrap().query("SELECT 1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(
        error
            .to_string()
            .contains("Authentication over HTTP is not enabled\n  → if it wants a login: that works over https only"),
        "{error}"
    );
}

#[tokio::test]
async fn tls_to_a_port_without_it_is_told() {
    let server = trino();
    let client =
        Client::builder(server.url.replace("http:", "https:")).user("alice").retry_for(Duration::from_secs(600)).build().unwrap();
    let error = client.query("SELECT 1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("→ "), "{error}");
}
