//! Rows as Trino reads them.

use super::engine::{Engine, Rows};
use super::trino_columns::batch;
use crate::config::MirrorConfig;
use crate::error::{Error, ErrorKind, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use iceberg_writer::Table;
use std::time::Duration;
use trino_client::{Client, Query};

/// A Trino server with a catalog that is the mirror's.
pub(super) struct Trino {
    client: Client,
    /// For the first contact: an address that is wrong is told at once.
    contact: Client,
    url: String,
    catalog: String,
    /// The mirror's catalog, for messages.
    mirror: String,
}

impl Trino {
    /// # Errors
    /// [`ErrorKind::Configuration`]: no server is named, or what is said of it cannot be used.
    pub(super) fn of(config: &MirrorConfig) -> Result<Self> {
        let Some(trino) = &config.trino else {
            return Err(Error::configuration(
                "no Trino server is named, and --engine trino needs one\n  → write into the configuration: [trino] url = \"http://127.0.0.1:8080\"\n  → or on the command line: --set trino.url=http://127.0.0.1:8080",
            ));
        };
        let mut client = Client::builder(&trino.url).user(&trino.user).source("lakehouse verify");
        let password = trino.password.needed()?;
        if !password.is_empty() && !trino.url.to_ascii_lowercase().starts_with("https:") {
            return Err(Error::configuration(
                "[trino] \"password\" would be sent over http, where others can read it\n  → write an https address into \"url\", or leave the password out",
            ));
        }
        if !password.is_empty() {
            client = client.password(password);
        }
        if let Some(file) = &trino.root_certificates {
            client = client.root_certificates(file);
        }
        let unusable = |e: trino_client::Error| Error::configuration(format!("[trino] {e}")).with_source(e);
        Ok(Self {
            contact: client.clone().retry_for(Duration::ZERO).build().map_err(unusable)?,
            client: client.build().map_err(unusable)?,
            url: trino.url.clone(),
            catalog: trino.catalog.clone(),
            mirror: config.sink.catalog_address.to_string(),
        })
    }
}

#[async_trait]
impl Engine for Trino {
    async fn ready(&self) -> Result<()> {
        let catalogs =
            async { self.contact.query("SELECT catalog_name FROM system.metadata.catalogs").await?.collect::<(String,)>().await };
        let mut catalogs = catalogs.await.map_err(|e| failed("its own list of catalogs", e))?;
        catalogs.sort();
        if catalogs.iter().any(|(name,)| *name == self.catalog) {
            return Ok(());
        }
        let names: Vec<&str> = catalogs.iter().map(|(name,)| name.as_str()).collect();
        Err(Error::configuration(format!(
            "Trino at {} has no catalog {}; it has {}\n  → name the one that reads {}: [trino] catalog = \"...\"",
            self.url,
            self.catalog,
            names.join(", "),
            self.mirror
        )))
    }

    async fn open(&self, table: &Table) -> Result<Box<dyn Rows>> {
        let Some(snapshot) = table.head() else { return Ok(Box::new(NoRows)) };
        let id = snapshot.snapshot_id();
        let schema = table.arrow_schema_at(id)?;
        let columns: Vec<String> = schema.fields().iter().map(|field| quoted(field.name())).collect();
        let name = table.name();
        let doing = format!("the table {}.{name} at snapshot {id}", self.catalog);
        let sql = format!(
            "SELECT {} FROM {}.{}.{} FOR VERSION AS OF {id}",
            columns.join(", "),
            quoted(&self.catalog),
            quoted(&name.namespace),
            quoted(&name.name)
        );
        let query = self.client.query(sql).await.map_err(|e| {
            let failed = failed(&doing, e);
            let hint =
                format!("does its catalog {} read {}, under the catalog name that the mirror has?", self.catalog, self.mirror);
            Error::new(failed.kind(), format!("{failed}\n  → {hint}")).with_source(failed)
        })?;
        Ok(Box::new(TrinoRows { query, schema, doing }))
    }
}

struct NoRows;

#[async_trait]
impl Rows for NoRows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }
}

struct TrinoRows {
    query: Query,
    schema: SchemaRef,
    doing: String,
}

#[async_trait]
impl Rows for TrinoRows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self.query.next_page().await.map_err(|e| failed(&self.doing, e))? {
            Some(page) => batch(&page, &self.schema).map(Some),
            None => Ok(None),
        }
    }
}

/// A failure of Trino or on the way to it, below what it was asked for.
fn failed(doing: &str, e: trino_client::Error) -> Error {
    let said = e.to_string().replace('\n', "\n  ");
    Error::new(ErrorKind::Unavailable, format!("Trino cannot read {doing}\n  {said}")).with_source(e)
}

/// A name as Trino's SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
