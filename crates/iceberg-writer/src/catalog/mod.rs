//! The catalog: which tables there are, and where the newest metadata of each lies.

mod sql;
mod sqlite;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::iceberg_schema;
use crate::storage::{Durability, LocalStorageFactory, local_path, sync_folders};
use crate::table::Table;
use crate::upkeep::Upkeep;
use cdc_core::TableSchema;
use iceberg::io::{FileIO, FileIOBuilder};
use iceberg::spec::{FormatVersion, PartitionSpec, Schema, SortOrder, TableMetadata, TableMetadataBuilder};
use sqlx::SqlitePool;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name of a table in the catalog.
///
/// The namespace is one string; other engines read a dot in it as a step down.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The namespace.
    pub namespace: String,
    /// The table.
    pub name: String,
}

impl TableName {
    /// A table's name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

/// How a catalog is used by this process.
#[derive(Debug, Clone)]
pub struct CatalogConfig {
    /// The catalog's name: other engines must be given the same. `lake` unless told.
    pub name: String,
    /// How long to wait for another process that holds the database locked. 10 s unless told.
    pub busy_timeout: Duration,
    /// Whether commits survive a power cut. They do unless told.
    pub durability: Durability,
    /// What commits do besides committing.
    pub upkeep: Upkeep,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            name: "lake".to_owned(),
            busy_timeout: Duration::from_secs(10),
            durability: Durability::Disk,
            upkeep: Upkeep::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// What a new table is besides its columns.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// Where its files lie; below the warehouse unless told.
    pub location: Option<String>,
    /// More table properties, or other values of those that are set here.
    pub properties: BTreeMap<String, String>,
}

/// Iceberg tables listed in a SQLite database, as Iceberg Java's `JdbcCatalog` (schema V1) lists them. Cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Shared>);

struct Shared {
    config: CatalogConfig,
    path: PathBuf,
    warehouse: String,
    pool: SqlitePool,
    /// SQLite has one writer; waiting here is fair and does not poll.
    writer: tokio::sync::Mutex<()>,
    file_io: FileIO,
    #[cfg(test)]
    fault: std::sync::Mutex<Option<Fault>>,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("path", &self.0.path).field("warehouse", &self.0.warehouse).finish_non_exhaustive()
    }
}

/// How a swap may be lost, for tests.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The swap happens, the answer is lost.
    LostAnswer,
    /// The swap does not happen, and nobody knows.
    LostRequest,
}

/// A file that is to be deleted later.
#[derive(Debug, Clone)]
pub(crate) struct Expired {
    pub path: String,
    pub kind: ExpiredKind,
    pub due_ms: i64,
    /// Of a manifest list: its snapshot's sequence number, if the snapshot was an ancestor of the head when it expired.
    pub sequence: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExpiredKind {
    /// A metadata file that left the metadata log.
    Metadata,
    /// The manifest list of an expired snapshot; its manifests may be unused.
    Snapshot,
    /// The same, and a later snapshot removed files: data and delete files may be unused too.
    Removal,
}

impl ExpiredKind {
    fn text(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Snapshot => "snapshot",
            Self::Removal => "removal",
        }
    }
}

/// The result of asking for a swap.
pub(crate) enum Swap {
    Done,
    /// The pointer was not where it was expected: nothing changed.
    Moved,
    /// It failed, and certainly changed nothing.
    Failed(Error),
    /// It failed after it was sent.
    Unknown(Error),
}

impl Catalog {
    /// Opens (or makes) the catalog in this SQLite file; tables are made below `warehouse`, a folder or `file:///` location.
    ///
    /// # Errors
    /// The file is locked, read-only, damaged or cannot be made: [`ErrorKind::Busy`], `NotWritable`, `Corrupt`, `DiskFull`, `Io`.
    pub async fn open_sqlite(path: impl AsRef<Path>, warehouse: impl AsRef<str>, config: CatalogConfig) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let pool = sqlite::open(&path, config.busy_timeout, config.durability == Durability::Disk).await?;
        Self::with_pool(path, warehouse.as_ref(), config, pool)
    }

    /// Opens the catalog in this SQLite file for reading: nothing is made or changed, also where this user could not. What would change
    /// it fails with [`ErrorKind::NotWritable`].
    ///
    /// # Errors
    /// There is no file: [`ErrorKind::NotFound`]; it is locked, damaged or cannot be read: [`ErrorKind::Busy`], `Corrupt`, `Io`,
    /// `NotWritable` (a catalog whose last writer was killed must be opened by one that may write, once).
    pub async fn open_sqlite_read_only(
        path: impl AsRef<Path>,
        warehouse: impl AsRef<str>,
        config: CatalogConfig,
    ) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let pool = sqlite::open_read_only(&path, config.busy_timeout).await?;
        Self::with_pool(path, warehouse.as_ref(), config, pool)
    }

    fn with_pool(path: PathBuf, warehouse: &str, config: CatalogConfig, pool: SqlitePool) -> Result<Self> {
        let folder = local_path_or_relative(warehouse)?;
        let file_io =
            FileIOBuilder::new(Arc::new(LocalStorageFactory { durability: config.durability, folders_by_caller: true })).build();
        Ok(Self(Arc::new(Shared {
            config,
            path,
            warehouse: format!("file://{}", folder.display()).trim_end_matches('/').to_owned(),
            pool,
            writer: tokio::sync::Mutex::new(()),
            file_io,
            #[cfg(test)]
            fault: std::sync::Mutex::new(None),
        })))
    }

    /// Closes the database's connections, those of clones too, and waits until they are closed: the file is then no longer written, its
    /// write-ahead log is merged. Dropping the last clone does the same without anyone knowing when. Later calls fail.
    pub async fn close(&self) {
        self.0.pool.close().await;
        // A connection that was on its way back when the pool was closed is in it now, and open.
        while self.0.pool.size() > 0 {
            self.0.pool.close().await;
        }
    }

    /// The catalog's name.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// The warehouse, as a `file:///` location.
    pub fn warehouse(&self) -> &str {
        &self.0.warehouse
    }

    /// Makes a namespace; nothing happens if it exists.
    pub async fn create_namespace(&self, namespace: &str) -> Result<()> {
        let _one = self.0.writer.lock().await;
        let exists: Option<i64> = sqlx::query_scalar(sql::NAMESPACE_EXISTS)
            .bind(self.name())
            .bind(namespace)
            .bind(self.name())
            .bind(namespace)
            .fetch_optional(&self.0.pool)
            .await
            .map_err(|e| self.sqlite("read", e))?;
        if exists.is_none() {
            sqlx::query(sql::INSERT_NAMESPACE)
                .bind(self.name())
                .bind(namespace)
                .execute(&self.0.pool)
                .await
                .map_err(|e| self.sqlite("write", e))?;
        }
        Ok(())
    }

    /// All namespaces, sorted.
    pub async fn namespaces(&self) -> Result<Vec<String>> {
        sqlx::query_scalar(sql::LIST_NAMESPACES)
            .bind(self.name())
            .bind(self.name())
            .fetch_all(&self.0.pool)
            .await
            .map_err(|e| self.sqlite("read", e))
    }

    /// All tables, sorted.
    pub async fn tables(&self) -> Result<Vec<TableName>> {
        let rows: Vec<(String, String)> = sqlx::query_as(sql::LIST_TABLES)
            .bind(self.name())
            .fetch_all(&self.0.pool)
            .await
            .map_err(|e| self.sqlite("read", e))?;
        Ok(rows.into_iter().map(|(namespace, name)| TableName { namespace, name }).collect())
    }

    /// Makes a table with the columns and key of `schema`: format v2, unpartitioned, zstd; its namespace too, if missing.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`]; [`ErrorKind::Schema`] names the column that Iceberg cannot have. What a failure leaves
    /// behind is a metadata file that nobody names.
    pub async fn create_table(&self, name: &TableName, schema: &TableSchema, options: TableOptions) -> Result<Table> {
        let columns = iceberg_schema(schema)?;
        let location = match options.location {
            Some(location) => location,
            None => format!("{}/{}/{}", self.0.warehouse, path_segment(&name.namespace), path_segment(&name.name)),
        };
        let mut properties = HashMap::from(
            [
                ("write.format.default", "parquet"),
                ("write.parquet.compression-codec", "zstd"),
                ("write.delete.mode", "merge-on-read"),
                ("write.update.mode", "merge-on-read"),
                ("write.merge.mode", "merge-on-read"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        properties.insert("write.metadata.previous-versions-max".to_owned(), self.0.config.upkeep.metadata_versions.to_string());
        if let Some(comment) = &schema.comment {
            properties.insert("comment".to_owned(), comment.clone());
        }
        properties.extend(options.properties);
        let metadata = fresh_metadata(columns, location, properties)
            .map_err(|e| Error::iceberg(format!("making the metadata of {name}"), e))?;

        let at = iceberg::MetadataLocation::new_with_metadata(metadata.location(), &metadata);
        metadata
            .write_to(&self.0.file_io, &at)
            .await
            .map_err(|e| Error::iceberg(format!("writing the metadata of {name}"), e))?;
        self.sync_folders(vec![format!("{}/metadata", metadata.location())]).await?;
        self.create_namespace(&name.namespace).await?;
        let at = at.to_string();
        let inserted = {
            let _one = self.0.writer.lock().await;
            sqlx::query(sql::INSERT_TABLE)
                .bind(self.name())
                .bind(&name.namespace)
                .bind(&name.name)
                .bind(&at)
                .execute(&self.0.pool)
                .await
                .map_err(|e| self.sqlite("write", e))?
                .rows_affected()
        };
        if inserted == 0 {
            self.delete_quietly(&at).await;
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("table {name} exists already in the catalog {}; load it instead", self.0.path.display()),
            ));
        }
        Ok(Table::fresh(self.clone(), name.clone(), metadata, at))
    }

    /// The table under this name, read now; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`]: a metadata file that cannot be read as such; [`ErrorKind::NotFound`]: one that is missing.
    pub async fn load_table(&self, name: &TableName) -> Result<Option<Table>> {
        match self.pointer(name).await? {
            Some(at) => Table::read(self.clone(), name.clone(), at).await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes the table out of the catalog; its files stay. True if it was there.
    pub async fn drop_table(&self, name: &TableName) -> Result<bool> {
        let _one = self.0.writer.lock().await;
        let done = sqlx::query(sql::DROP_TABLE)
            .bind(self.name())
            .bind(&name.namespace)
            .bind(&name.name)
            .execute(&self.0.pool)
            .await
            .map_err(|e| self.sqlite("write", e))?;
        Ok(done.rows_affected() > 0)
    }

    /// Before a file is named by the catalog, its own name must be on the disk.
    pub(crate) async fn sync_folders(&self, locations: Vec<String>) -> Result<()> {
        match self.0.config.durability {
            Durability::Disk => sync_folders(locations).await,
            Durability::Process => Ok(()),
        }
    }

    pub(crate) fn file_io(&self) -> &FileIO {
        &self.0.file_io
    }

    pub(crate) fn upkeep(&self) -> &Upkeep {
        &self.0.config.upkeep
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.0.config.clock.now_ms()
    }

    pub(crate) async fn delete_quietly(&self, path: &str) {
        if let Err(e) = self.0.file_io.delete(path).await {
            tracing::warn!(path, error = %e, "a file that nobody names could not be deleted");
        }
    }

    pub(crate) async fn pointer(&self, name: &TableName) -> Result<Option<String>> {
        let at: Option<Option<String>> = sqlx::query_scalar(sql::POINTER)
            .bind(self.name())
            .bind(&name.namespace)
            .bind(&name.name)
            .fetch_optional(&self.0.pool)
            .await
            .map_err(|e| self.sqlite("read", e))?;
        Ok(at.flatten())
    }

    /// Moves the pointer from `from` to `to`, if it is at `from`, and lists the files that go with it; one transaction.
    pub(crate) async fn swap(&self, name: &TableName, uuid: &str, from: &str, to: &str, expired: &[Expired]) -> Swap {
        let _one = self.0.writer.lock().await;
        let mut tx = match self.0.pool.begin_with("BEGIN IMMEDIATE").await {
            Ok(tx) => tx,
            Err(e) => return Swap::Failed(self.sqlite("write", e)),
        };
        let swapped = sqlx::query(sql::SWAP)
            .bind(to)
            .bind(from)
            .bind(self.name())
            .bind(&name.namespace)
            .bind(&name.name)
            .bind(from)
            .execute(&mut *tx)
            .await;
        match swapped {
            Ok(done) if done.rows_affected() == 1 => {}
            Ok(_) => return Swap::Moved,
            Err(e) => return Swap::Failed(self.sqlite("write", e)),
        }
        for files in expired.chunks(sql::ROWS_AT_ONCE) {
            let text = sql::insert_expired(files.len());
            let mut insert = sqlx::query(&text);
            for file in files {
                insert = insert
                    .bind(self.name())
                    .bind(uuid)
                    .bind(file.due_ms)
                    .bind(&file.path)
                    .bind(file.kind.text())
                    .bind(file.sequence);
            }
            if let Err(e) = insert.execute(&mut *tx).await {
                return Swap::Failed(self.sqlite("write", e));
            }
        }
        #[cfg(test)]
        let fault = self.0.fault.lock().ok().and_then(|mut f| f.take());
        #[cfg(test)]
        if matches!(fault, Some(Fault::LostRequest)) {
            return Swap::Unknown(Error::new(ErrorKind::Io, "the request was lost (test)"));
        }
        cdc_failpoint::hit("catalog-before-commit");
        let committed = tx.commit().await;
        cdc_failpoint::hit("catalog-after-commit");
        match committed {
            #[cfg(test)]
            Ok(()) if matches!(fault, Some(Fault::LostAnswer)) => {
                Swap::Unknown(Error::new(ErrorKind::Io, "the answer was lost (test)"))
            }
            Ok(()) => Swap::Done,
            Err(e) if sqlite::certainly_not_applied(&e) => Swap::Failed(self.sqlite("write", e)),
            Err(e) => Swap::Unknown(self.sqlite("write", e)),
        }
    }

    #[cfg(test)]
    pub(crate) fn break_next_swap(&self, fault: Fault) {
        if let Ok(mut f) = self.0.fault.lock() {
            *f = Some(fault);
        }
    }

    /// Metadata files that are due, oldest first.
    pub(crate) async fn due_metadata(&self, uuid: &str, now_ms: i64, limit: i64) -> Result<Vec<Expired>> {
        let kind = ExpiredKind::Metadata;
        let paths: Vec<String> = sqlx::query_scalar(sql::DUE)
            .bind(self.name())
            .bind(uuid)
            .bind(kind.text())
            .bind(now_ms)
            .bind(limit)
            .fetch_all(&self.0.pool)
            .await
            .map_err(|e| self.sqlite("read", e))?;
        Ok(paths.into_iter().map(|path| Expired { path, kind, due_ms: now_ms, sequence: None }).collect())
    }

    /// The manifest lists of all expired snapshots, due or not.
    pub(crate) async fn expired_lists(&self, uuid: &str) -> Result<Vec<Expired>> {
        let mut lists = Vec::new();
        for kind in [ExpiredKind::Snapshot, ExpiredKind::Removal] {
            let rows: Vec<(String, i64, Option<i64>)> = sqlx::query_as(sql::ALL_OF_KIND)
                .bind(self.name())
                .bind(uuid)
                .bind(kind.text())
                .fetch_all(&self.0.pool)
                .await
                .map_err(|e| self.sqlite("read", e))?;
            lists.extend(rows.into_iter().map(|(path, due_ms, sequence)| Expired { path, kind, due_ms, sequence }));
        }
        Ok(lists)
    }

    pub(crate) async fn forget_files(&self, uuid: &str, files: &[Expired]) -> Result<()> {
        let _one = self.0.writer.lock().await;
        let mut tx = self.0.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|e| self.sqlite("write", e))?;
        for file in files {
            sqlx::query(sql::DELETE_EXPIRED)
                .bind(self.name())
                .bind(uuid)
                .bind(&file.path)
                .execute(&mut *tx)
                .await
                .map_err(|e| self.sqlite("write", e))?;
        }
        tx.commit().await.map_err(|e| self.sqlite("write", e))
    }

    fn sqlite(&self, doing: &str, e: sqlx::Error) -> Error {
        sqlite::describe(doing, &self.0.path, e)
    }
}

/// Metadata of a new table that keeps the field ids as they are: the builder numbers a new table's columns itself, so it is
/// given none at first.
fn fresh_metadata(columns: Schema, location: String, properties: HashMap<String, String>) -> iceberg::Result<TableMetadata> {
    let empty = Schema::builder().build()?;
    let first = TableMetadataBuilder::new(
        empty,
        PartitionSpec::unpartition_spec().into_unbound(),
        SortOrder::unsorted_order(),
        location,
        FormatVersion::V2,
        properties,
    )?;
    let empty_id = 0;
    Ok(first.add_current_schema(columns)?.remove_schemas(&[empty_id])?.build()?.metadata)
}

fn local_path_or_relative(warehouse: &str) -> Result<PathBuf> {
    if warehouse.contains("://") || warehouse.starts_with("file:") {
        return local_path(warehouse).map_err(|e| Error::iceberg("the warehouse", e));
    }
    std::path::absolute(warehouse).map_err(|e| crate::storage::io_error("find the warehouse", Path::new(warehouse), e))
}

/// Bytes of a name in a path at most: file systems allow 255.
const LONGEST_SEGMENT: usize = 200;

/// A name as one step of a path: letters that a URI or a shell could take for something else are written `~` and two hex digits. The
/// end of one that would be too long is a fingerprint of the whole.
fn path_segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (i, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => out.push(char::from(byte)),
            b'.' if i > 0 => out.push('.'),
            other => out.push_str(&format!("~{other:02x}")),
        }
    }
    if out.len() > LONGEST_SEGMENT {
        let whole = foldhash::quality::FixedState::with_seed(0).hash_one(name);
        out.truncate(LONGEST_SEGMENT - 18);
        out.push_str(&format!("~~{whole:016x}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::path_segment;

    #[test]
    fn odd_names_become_one_harmless_step_of_a_path() {
        assert_eq!(path_segment("orders_2-b.c"), "orders_2-b.c");
        assert_eq!(path_segment("../a b"), "~2e.~2fa~20b");
        assert_eq!(path_segment("ü~"), "~c3~bc~7e");
        let long = |end: &str| path_segment(&("表".repeat(60) + end));
        assert!(long("a").len() == 200 && long("a") != long("b"), "{}", long("a"));
    }
}
