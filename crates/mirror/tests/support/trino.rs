//! A real Trino, with a catalog that reads a mirror's tables.

use super::Fixture;
use super::server::dev;
use mirror::{MirrorConfig, Secret, TrinoConfig};
use std::process::Command;
use trino_client::Client;

/// A catalog in the Trino that all tests share.
pub struct TrinoCatalog {
    client: Client,
    url: String,
    name: String,
}

impl TrinoCatalog {
    /// One that reads the mirror's SQLite catalog as Java does.
    pub async fn of(f: &Fixture) -> Self {
        let output = Command::new(dev("trino")).args(["start", "shared", "--json"]).output().unwrap();
        assert!(output.status.success(), "trino: {}", String::from_utf8_lossy(&output.stderr));
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let url = info["url"].as_str().unwrap().to_owned();
        let client = Client::builder(&url).user("test").build().unwrap();
        let name = format!("{}_{}", f.database, f.server.kind);
        let sink = f.config().sink;
        client.execute(format!("DROP CATALOG IF EXISTS {name}")).await.unwrap();
        let sql = format!(
            r#"CREATE CATALOG {name} USING iceberg WITH (
                "iceberg.catalog.type" = 'jdbc', "iceberg.jdbc-catalog.driver-class" = 'org.sqlite.JDBC',
                "iceberg.jdbc-catalog.connection-url" = 'jdbc:sqlite:{}', "iceberg.jdbc-catalog.catalog-name" = '{}',
                "iceberg.jdbc-catalog.default-warehouse-dir" = 'file://{}',
                "fs.native-local.enabled" = 'true', "local.location" = '/')"#,
            sink.catalog_address.sqlite_path().unwrap().display(),
            sink.catalog,
            sink.warehouse.display()
        );
        client.execute(sql).await.unwrap();
        Self { client, url, name }
    }

    /// The mirror's configuration, with this server and catalog.
    pub fn named_in(&self, mut config: MirrorConfig) -> MirrorConfig {
        config.trino = Some(TrinoConfig {
            url: self.url.clone(),
            user: "test".to_owned(),
            password: Secret::default(),
            catalog: self.name.clone(),
            root_certificates: None,
        });
        config
    }

    /// The rows of a query whose columns are all texts.
    pub async fn rows(&self, sql: &str) -> Vec<super::Row> {
        let mut query = self.client.query(sql).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let mut rows = Vec::new();
        while let Some(row) = query.next().await.unwrap_or_else(|e| panic!("{sql}\n{e}")) {
            rows.push((0..row.columns().len()).map(|i| row.get::<Option<String>>(i).unwrap()).collect());
        }
        rows
    }

    /// The name under which Trino has a table.
    pub fn table(&self, f: &Fixture, table: &str) -> String {
        format!("{}.\"{}\".\"{table}\"", self.name, f.database)
    }

    pub async fn drop(self) {
        self.client.execute(format!("DROP CATALOG {}", self.name)).await.unwrap();
    }
}
