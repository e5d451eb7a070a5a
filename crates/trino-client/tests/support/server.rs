//! A real Trino by the project's script, with TLS and passwords, for all tests.

use serde::Deserialize;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use trino_client::{Client, ClientBuilder};

#[derive(Deserialize)]
pub struct Trino {
    pub url: String,
    pub https_url: String,
    pub ca: PathBuf,
    pub user: String,
    pub password: String,
}

/// The server; the first test that asks for it starts it.
pub fn trino() -> &'static Trino {
    static SERVER: OnceLock<Trino> = OnceLock::new();
    SERVER.get_or_init(|| {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../dev/trino");
        let output = Command::new(script).args(["start", "tls", "--tls", "--json"]).output().unwrap();
        assert!(output.status.success(), "trino: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

impl Trino {
    pub fn builder(&self) -> ClientBuilder {
        let builder = Client::builder(&self.https_url).user(&self.user).password(&self.password).root_certificates(&self.ca);
        builder.catalog("tpch").schema("tiny")
    }

    pub fn client(&self) -> Client {
        self.builder().build().unwrap()
    }
}
