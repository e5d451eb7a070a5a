//! A table as it was at one version of its metadata, held in memory between commits.

use crate::catalog::{Catalog, TableName};
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::schema::arrow_schema;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, ManifestFile, ManifestList, SchemaRef, SnapshotRef, SnapshotReference, TableMetadata, TableMetadataRef,
};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize};

/// A table at one version of its metadata. Cheap to clone; never changes: a commit returns the next one.
///
/// The metadata, the references and the head's manifest list stay in memory, so that a commit reads nothing.
#[derive(Clone)]
pub struct Table(pub(crate) Arc<State>);

pub(crate) struct State {
    pub catalog: Catalog,
    pub name: TableName,
    pub metadata: TableMetadataRef,
    /// Where the metadata lies: the very version that a commit replaces.
    pub location: String,
    /// The iceberg crate keeps these to itself.
    pub refs: BTreeMap<String, SnapshotReference>,
    /// The manifest list of the head.
    pub manifests: Arc<Vec<ManifestFile>>,
    /// What small manifests of the head list, where this process wrote them: so that merging them reads nothing.
    pub recent: Recent,
    pub rhythm: Arc<Rhythm>,
}

/// Files by the path of the manifest that lists them.
pub(crate) type Recent = BTreeMap<String, Arc<Vec<DataFile>>>;

/// When the chores of a table were done last; shared by all versions of the table in this process.
#[derive(Debug, Default)]
pub(crate) struct Rhythm {
    pub commits: AtomicU64,
    pub swept_ms: AtomicI64,
    pub orphans_ms: AtomicI64,
    /// A sweep is under way.
    pub sweeping: AtomicBool,
    /// Rewrites that are under way: as long as there are any, no orphans are looked for.
    pub rewrites: AtomicUsize,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("name", &self.0.name)
            .field("location", &self.0.location)
            .field("head", &self.0.metadata.current_snapshot_id())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct References {
    #[serde(default)]
    refs: HashMap<String, SnapshotReference>,
}

impl Table {
    pub(crate) fn fresh(catalog: Catalog, name: TableName, metadata: TableMetadata, location: String) -> Self {
        Self(Arc::new(State {
            catalog,
            name,
            metadata: Arc::new(metadata),
            location,
            refs: BTreeMap::new(),
            manifests: Arc::default(),
            recent: Recent::new(),
            rhythm: Arc::default(),
        }))
    }

    pub(crate) async fn read(catalog: Catalog, name: TableName, location: String) -> Result<Self> {
        let bytes = read_file(catalog.file_io(), &location).await.map_err(|e| {
            let hint = if e.kind() == ErrorKind::NotFound {
                "; the catalog names it, so it was deleted or moved behind the catalog's back: restore it"
            } else {
                ""
            };
            Error::new(e.kind(), format!("cannot load table {name}: {e}{hint}")).with_source(e)
        })?;
        let (metadata, references) =
            parse(catalog.file_io(), &location, &bytes).await.map_err(|e| corrupt(&name, &location, e.as_ref()))?;
        let manifests = match metadata.current_snapshot() {
            Some(head) => read_manifest_list(catalog.file_io(), &metadata, head).await?,
            None => Vec::new(),
        };
        Ok(Self(Arc::new(State {
            catalog,
            name,
            metadata: Arc::new(metadata),
            location,
            refs: references.refs.into_iter().collect(),
            manifests: Arc::new(manifests),
            recent: Recent::new(),
            rhythm: Arc::default(),
        })))
    }

    /// The newest version of this table; this one, if nothing was committed since.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: it was dropped. [`ErrorKind::ForeignTable`]: dropped and made anew under this name.
    pub async fn refresh(&self) -> Result<Self> {
        let s = &self.0;
        let Some(at) = s.catalog.pointer(&s.name).await? else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "table {} is no longer in the catalog: it was dropped or renamed; restore it, or take a new snapshot",
                    s.name
                ),
            ));
        };
        if at == s.location {
            return Ok(self.clone());
        }
        let new = Self::read(s.catalog.clone(), s.name.clone(), at).await?;
        if new.0.metadata.uuid() != s.metadata.uuid() {
            return Err(Error::new(
                ErrorKind::ForeignTable,
                format!(
                    "table {} was dropped and made anew: its UUID is {}, and {} was expected; take a new snapshot into an empty table",
                    s.name,
                    new.0.metadata.uuid(),
                    s.metadata.uuid()
                ),
            ));
        }
        let State { catalog, name, metadata, location, refs, manifests, .. } = &*new.0;
        Ok(Self(Arc::new(State {
            catalog: catalog.clone(),
            name: name.clone(),
            metadata: Arc::clone(metadata),
            location: location.clone(),
            refs: refs.clone(),
            manifests: Arc::clone(manifests),
            recent: Recent::new(),
            rhythm: Arc::clone(&s.rhythm),
        })))
    }

    /// Its name.
    pub fn name(&self) -> &TableName {
        &self.0.name
    }

    /// The catalog that it is in.
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Where this version's metadata lies: equal for equal versions.
    pub fn metadata_location(&self) -> &str {
        &self.0.location
    }

    /// The metadata of this version.
    pub fn metadata(&self) -> &TableMetadataRef {
        &self.0.metadata
    }

    /// Its identity over all versions.
    pub fn uuid(&self) -> uuid::Uuid {
        self.0.metadata.uuid()
    }

    /// The columns of this version.
    pub fn schema(&self) -> &SchemaRef {
        self.0.metadata.current_schema()
    }

    /// The Arrow schema in which a scan yields rows.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`]: a column of a type that is not read here (made by another engine).
    pub fn arrow_schema(&self) -> Result<arrow_schema::SchemaRef> {
        arrow_schema(self.schema())
    }

    /// The Arrow schema of a snapshot: the columns that the table had then.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: there is no such snapshot (any more). [`ErrorKind::Unsupported`] as of [`arrow_schema`](Self::arrow_schema).
    pub fn arrow_schema_at(&self, snapshot_id: i64) -> Result<arrow_schema::SchemaRef> {
        arrow_schema(&crate::scan::resolve(self, Some(snapshot_id))?.1)
    }

    /// The newest snapshot of the main branch.
    pub fn head(&self) -> Option<&SnapshotRef> {
        self.0.metadata.current_snapshot()
    }

    /// The snapshot of a branch or tag.
    pub fn reference(&self, name: &str) -> Option<&SnapshotRef> {
        self.0.refs.get(name).and_then(|r| self.0.metadata.snapshot_by_id(r.snapshot_id))
    }

    /// Names of all branches and tags.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.0.refs.keys().map(String::as_str)
    }

    /// True if the head has live data files.
    pub fn has_rows(&self) -> bool {
        self.0
            .manifests
            .iter()
            .any(|m| m.content == iceberg::spec::ManifestContentType::Data && (m.has_added_files() || m.has_existing_files()))
    }

    pub(crate) fn file_io(&self) -> &FileIO {
        self.0.catalog.file_io()
    }
}

/// Metadata and references; of a compressed file, which another engine wrote, the iceberg crate has the decoder.
async fn parse(io: &FileIO, location: &str, bytes: &Bytes) -> Result<(TableMetadata, References), BoxError> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let metadata = TableMetadata::read_from(io, location).await?;
        let references = serde_json::from_slice(&serde_json::to_vec(&metadata)?)?;
        return Ok((metadata, references));
    }
    Ok((serde_json::from_slice(bytes)?, serde_json::from_slice(bytes)?))
}

fn corrupt(name: &TableName, location: &str, e: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "cannot load table {name}: {location} is no table metadata ({e}); restore it from a copy, or point the catalog at an older version"
        ),
    )
}

pub(crate) async fn read_file(io: &FileIO, location: &str) -> Result<Bytes> {
    let input = io.new_input(location).map_err(|e| Error::iceberg(format!("opening {location}"), e))?;
    input.read().await.map_err(|e| Error::iceberg(format!("reading {location}"), e))
}

pub(crate) async fn read_manifest_list(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot: &SnapshotRef,
) -> Result<Vec<ManifestFile>> {
    read_list_at(io, metadata, snapshot.manifest_list()).await
}

pub(crate) async fn read_list_at(io: &FileIO, metadata: &TableMetadata, location: &str) -> Result<Vec<ManifestFile>> {
    let bytes = read_file(io, location).await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())
        .map_err(|e| Error::iceberg(format!("reading the manifest list {location}"), e))?;
    Ok(list.consume_entries().into_iter().collect())
}
