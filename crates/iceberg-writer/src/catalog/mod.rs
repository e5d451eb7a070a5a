//! The catalog: which tables there are, and where the newest metadata of each lies.

mod address;
mod database;
#[cfg(any(feature = "mysql-catalog", feature = "postgres-catalog"))]
mod making_tables;
#[cfg(feature = "mysql-catalog")]
mod mysql;
#[cfg(feature = "postgres-catalog")]
mod postgres;
#[cfg(any(feature = "mysql-catalog", feature = "postgres-catalog"))]
mod server;
mod sql;
mod sqlite;

pub use address::CatalogAddress;

use address::{Place, ServerAddress, ServerKind};
use database::{Cell, Database, Outcome, Statement, Transaction, Value};
use sql::{Dialect, Texts};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::iceberg_schema;
use crate::storage::{Durability, LocalStorageFactory, local_path, sync_folders};
use crate::table::Table;
use crate::upkeep::Upkeep;
use cdc_core::TableSchema;
use iceberg::io::{FileIO, FileIOBuilder};
use iceberg::spec::{FormatVersion, PartitionSpec, Schema, SortOrder, TableMetadata, TableMetadataBuilder};
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// How long to wait for another process that holds the database locked, for a statement on a server, and for a server that was
    /// lost. 10 s unless told.
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

/// Iceberg tables listed in a SQL database, as Iceberg Java's `JdbcCatalog` lists them (both versions of its tables: V1, and V0 without a
/// column that tells tables from views, which PyIceberg makes). Cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Shared>);

struct Shared {
    config: CatalogConfig,
    address: CatalogAddress,
    warehouse: String,
    database: Arc<dyn Database>,
    texts: Texts,
    file_io: FileIO,
    #[cfg(test)]
    fault: std::sync::Mutex<Option<Fault>>,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("address", &self.0.address)
            .field("warehouse", &self.0.warehouse)
            .field("database", &self.0.database)
            .finish_non_exhaustive()
    }
}

/// What a catalog is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Nothing is made or changed.
    Read,
    /// What is missing is made.
    Write,
}

/// A database that was opened.
struct Opened {
    database: Arc<dyn Database>,
    dialect: Dialect,
    /// Whether its `iceberg_tables` has the column that tells tables from views.
    has_type: bool,
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
    /// Opens the catalog at this address, making its tables if they are missing; Iceberg tables are made below `warehouse`, a folder or
    /// `file:///` location.
    ///
    /// A table that PyIceberg made gets the column that tells tables from views, as Iceberg Java adds it; if this user may not
    /// add it, the catalog is used without.
    ///
    /// # Errors
    /// Of a file as [`open_sqlite`](Self::open_sqlite). Of a server: [`ErrorKind::Unreachable`] (it cannot be reached, or refuses user, password or
    /// database), `NotWritable` (tables are missing and may not be made), `Busy`, `Invalid` (no user), `Unsupported` (a crate feature that was left out, or tables
    /// without transactions).
    pub async fn open(address: &CatalogAddress, warehouse: impl AsRef<str>, config: CatalogConfig) -> Result<Self> {
        Self::open_for(Reach::Write, address, warehouse.as_ref(), config).await
    }

    /// Opens the catalog at this address for reading: nothing is made or changed. What would change it fails with
    /// [`ErrorKind::NotWritable`].
    ///
    /// # Errors
    /// As [`open`](Self::open); there are no tables of a catalog: [`ErrorKind::NotFound`].
    pub async fn open_read_only(address: &CatalogAddress, warehouse: impl AsRef<str>, config: CatalogConfig) -> Result<Self> {
        Self::open_for(Reach::Read, address, warehouse.as_ref(), config).await
    }

    /// Opens (or makes) the catalog in this SQLite file; tables are made below `warehouse`, a folder or `file:///` location.
    ///
    /// # Errors
    /// The file is locked, read-only, damaged or cannot be made: [`ErrorKind::Busy`], `NotWritable`, `Corrupt`, `DiskFull`, `Io`.
    pub async fn open_sqlite(path: impl AsRef<Path>, warehouse: impl AsRef<str>, config: CatalogConfig) -> Result<Self> {
        Self::open(&CatalogAddress::sqlite(path.as_ref()), warehouse, config).await
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
        Self::open_read_only(&CatalogAddress::sqlite(path.as_ref()), warehouse, config).await
    }

    async fn open_for(reach: Reach, address: &CatalogAddress, warehouse: &str, config: CatalogConfig) -> Result<Self> {
        let folder = local_path_or_relative(warehouse)?;
        let Opened { database, dialect, has_type } = match &address.0 {
            Place::Sqlite(path) => sqlite::open(path, reach, &config).await?,
            Place::Server(server) => open_server(server, reach, &config).await?,
        };
        let file_io =
            FileIOBuilder::new(Arc::new(LocalStorageFactory { durability: config.durability, folders_by_caller: true })).build();
        Ok(Self(Arc::new(Shared {
            config,
            address: address.clone(),
            warehouse: format!("file://{}", folder.display()).trim_end_matches('/').to_owned(),
            database,
            texts: Texts::new(dialect, has_type),
            file_io,
            #[cfg(test)]
            fault: std::sync::Mutex::new(None),
        })))
    }

    /// Closes the database's connections, those of clones too, and waits until they are closed: a file is then no longer written, its
    /// write-ahead log is merged. Dropping the last clone does the same without anyone knowing when. Later calls fail.
    pub async fn close(&self) {
        self.0.database.close().await;
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
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`]: on MySQL, in tables that others made, one that differs in the case of letters only.
    pub async fn create_namespace(&self, namespace: &str) -> Result<()> {
        let insert = || Transaction {
            statements: vec![Statement {
                text: &self.0.texts.insert_namespace,
                values: vec![Value::Text(self.name()), Value::Text(namespace)],
                one_row: false,
            }],
            is_swap: false,
        };
        if self.has_namespace(namespace).await? {
            return Ok(());
        }
        match self.0.database.transact(&insert()).await {
            Outcome::Done | Outcome::Unmet | Outcome::Unknown(_) => {}
            Outcome::Failed(e) => return Err(e),
        }
        if self.has_namespace(namespace).await? {
            return Ok(());
        }
        Err(self.taken(&format!("namespace {namespace}")))
    }

    async fn has_namespace(&self, namespace: &str) -> Result<bool> {
        let values = [Value::Text(self.name()), Value::Text(namespace)];
        Ok(!self.0.database.rows(&self.0.texts.namespace_exists, &values).await?.is_empty())
    }

    /// All namespaces, sorted.
    pub async fn namespaces(&self) -> Result<Vec<String>> {
        let rows = self.0.database.rows(&self.0.texts.list_namespaces, &[Value::Text(self.name())]).await?;
        let names: BTreeSet<String> = rows.into_iter().flatten().filter_map(Cell::text).collect();
        Ok(names.into_iter().collect())
    }

    /// All tables, sorted.
    pub async fn tables(&self) -> Result<Vec<TableName>> {
        let rows = self.0.database.rows(&self.0.texts.list_tables, &[Value::Text(self.name())]).await?;
        let name = |row: Vec<Cell>| {
            let mut row = row.into_iter().filter_map(Cell::text);
            Some(TableName { namespace: row.next()?, name: row.next()? })
        };
        let mut names: Vec<TableName> = rows.into_iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// What is said when the database has no room for a name that is not there.
    fn taken(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::AlreadyExists,
            format!(
                "{what} cannot be made in the catalog {}: a view has this name, or the database takes another name for the same because its tables were made with a \
                 collation that leaves case or spaces out of account; use another name, or ALTER TABLE ... CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                self.0.address
            ),
        )
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
        let insert = Transaction {
            statements: vec![Statement {
                text: &self.0.texts.insert_table,
                values: [self.name(), &name.namespace, &name.name, &at].map(Value::Text).to_vec(),
                one_row: true,
            }],
            is_swap: false,
        };
        let mut inserted = self.0.database.transact(&insert).await;
        if matches!(inserted, Outcome::Unknown(_)) {
            // Once more: it comes to the same, since there is one row of this name, and the location in it tells whose it is.
            inserted = self.0.database.transact(&insert).await;
        }
        match inserted {
            Outcome::Done => {}
            Outcome::Failed(e) | Outcome::Unknown(e) => return Err(e),
            Outcome::Unmet => {
                let there = self.pointer(name).await?;
                if there.as_ref() != Some(&at) {
                    self.delete_quietly(&at).await;
                    return Err(match there {
                        Some(_) => Error::new(
                            ErrorKind::AlreadyExists,
                            format!("table {name} exists already in the catalog {}; load it instead", self.0.address),
                        ),
                        None => self.taken(&format!("table {name}")),
                    });
                }
            }
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
    ///
    /// # Errors
    /// Of the database. If its answer was lost the table may be gone: list the tables.
    pub async fn drop_table(&self, name: &TableName) -> Result<bool> {
        let delete = Transaction {
            statements: vec![Statement {
                text: &self.0.texts.drop_table,
                values: [self.name(), &name.namespace, &name.name].map(Value::Text).to_vec(),
                one_row: true,
            }],
            is_swap: false,
        };
        match self.0.database.transact(&delete).await {
            Outcome::Done => Ok(true),
            Outcome::Unmet => Ok(false),
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
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
        let values = [self.name(), &name.namespace, &name.name].map(Value::Text);
        let rows = self.0.database.rows(&self.0.texts.pointer, &values).await?;
        Ok(rows.into_iter().flatten().next().and_then(Cell::text))
    }

    /// Moves the pointer from `from` to `to`, if it is at `from`, and lists the files that go with it; one transaction.
    pub(crate) async fn swap(&self, name: &TableName, uuid: &str, from: &str, to: &str, expired: &[Expired]) -> Swap {
        let texts = &self.0.texts;
        let chunks: Vec<(sql::Text, &[Expired])> =
            expired.chunks(sql::ROWS_AT_ONCE).map(|files| (texts.insert_expired(files.len()), files)).collect();
        let mut statements = vec![Statement {
            text: &texts.swap,
            values: [self.name(), &name.namespace, &name.name, to, from].map(Value::Text).to_vec(),
            one_row: true,
        }];
        statements.extend(chunks.iter().map(|(text, files)| {
            let mut values = vec![Value::Text(self.name()), Value::Text(uuid)];
            for file in *files {
                values.extend([Value::Long(file.due_ms), Value::Text(&file.path), Value::Text(file.kind.text())]);
                values.push(Value::LongOrNull(file.sequence));
            }
            Statement { text, values, one_row: false }
        }));
        #[cfg(test)]
        let fault = self.0.fault.lock().ok().and_then(|mut f| f.take());
        #[cfg(test)]
        if matches!(fault, Some(Fault::LostRequest)) {
            return Swap::Unknown(Error::new(ErrorKind::Io, "the request was lost (test)"));
        }
        match self.0.database.transact(&Transaction { statements, is_swap: true }).await {
            #[cfg(test)]
            Outcome::Done if matches!(fault, Some(Fault::LostAnswer)) => {
                Swap::Unknown(Error::new(ErrorKind::Io, "the answer was lost (test)"))
            }
            Outcome::Done => Swap::Done,
            Outcome::Unmet => Swap::Moved,
            Outcome::Failed(e) => Swap::Failed(e),
            Outcome::Unknown(e) => Swap::Unknown(e),
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
        let texts = [self.name(), uuid, kind.text()].map(Value::Text);
        let values = [&texts[..], &[Value::Long(now_ms), Value::Long(limit)]].concat();
        let rows = self.0.database.rows(&self.0.texts.due, &values).await?;
        let paths = rows.into_iter().flatten().filter_map(Cell::text);
        Ok(paths.map(|path| Expired { path, kind, due_ms: now_ms, sequence: None }).collect())
    }

    /// The manifest lists of all expired snapshots, due or not.
    pub(crate) async fn expired_lists(&self, uuid: &str) -> Result<Vec<Expired>> {
        let mut lists = Vec::new();
        for kind in [ExpiredKind::Snapshot, ExpiredKind::Removal] {
            let values = [self.name(), uuid, kind.text()].map(Value::Text);
            let rows = self.0.database.rows(&self.0.texts.all_of_kind, &values).await?;
            lists.extend(rows.into_iter().filter_map(|row| {
                let [path, due, sequence] = <[Cell; 3]>::try_from(row).ok()?;
                Some(Expired { path: path.text()?, kind, due_ms: due.long()?, sequence: sequence.long() })
            }));
        }
        Ok(lists)
    }

    pub(crate) async fn forget_files(&self, uuid: &str, files: &[Expired]) -> Result<()> {
        let statements = files
            .iter()
            .map(|file| Statement {
                text: &self.0.texts.delete_expired,
                values: [self.name(), uuid, &file.path].map(Value::Text).to_vec(),
                one_row: false,
            })
            .collect();
        match self.0.database.transact(&Transaction { statements, is_swap: false }).await {
            Outcome::Done | Outcome::Unmet => Ok(()),
            // They are deleted again, which does nothing.
            Outcome::Failed(e) | Outcome::Unknown(e) => Err(e),
        }
    }
}

async fn open_server(server: &ServerAddress, reach: Reach, config: &CatalogConfig) -> Result<Opened> {
    #[cfg(any(feature = "mysql-catalog", feature = "postgres-catalog"))]
    let use_of = server::ServerUse::new(server.clone(), reach, config);
    #[cfg(not(any(feature = "mysql-catalog", feature = "postgres-catalog")))]
    let _ = (reach, config);
    match server.kind {
        #[cfg(feature = "postgres-catalog")]
        ServerKind::Postgres => server::Server::<postgres::PostgresSession>::open(use_of).await,
        #[cfg(not(feature = "postgres-catalog"))]
        ServerKind::Postgres => Err(left_out(server, "postgres-catalog")),
        #[cfg(feature = "mysql-catalog")]
        ServerKind::Mysql | ServerKind::Mariadb => server::Server::<mysql::MysqlSession>::open(use_of).await,
        #[cfg(not(feature = "mysql-catalog"))]
        ServerKind::Mysql | ServerKind::Mariadb => Err(left_out(server, "mysql-catalog")),
    }
}

#[cfg(not(all(feature = "mysql-catalog", feature = "postgres-catalog")))]
fn left_out(server: &ServerAddress, feature: &str) -> Error {
    let message =
        format!("the catalog {server} cannot be opened: this program was built without the feature {feature} of iceberg-writer");
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(any(feature = "mysql-catalog", feature = "postgres-catalog"))]
fn no_user(server: &ServerAddress) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("no user is given for the catalog {server}; give user and password beside the address"),
    )
}

fn no_tables(at: &dyn fmt::Display) -> Error {
    let message = format!("there is no catalog in {at}: no table iceberg_tables; the first start of a mirror makes it");
    Error::new(ErrorKind::NotFound, message)
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
