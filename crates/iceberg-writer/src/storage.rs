//! Files of tables on a local disk.

use crate::error::{Error, ErrorKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether written files survive a power cut, or only a crash of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Durability {
    /// Each file is flushed to the disk before it gets its name, and its folder after: nothing that a commit names can be missing.
    #[default]
    Disk,
    /// Nothing is flushed: for tests and throw-away tables.
    Process,
}

/// A local folder as Iceberg storage.
///
/// Locations are `file:///absolute/path` (what other engines understand) or absolute paths. A file appears whole or not at
/// all: it is written under another name beside its place, flushed, renamed, and the folder is flushed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LocalStorage {
    durability: Durability,
    #[serde(default)]
    folders_by_caller: bool,
}

impl LocalStorage {
    /// Storage with this durability.
    pub fn new(durability: Durability) -> Self {
        Self { durability, folders_by_caller: false }
    }
}

/// Makes [`LocalStorage`] for an `iceberg::io::FileIO`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LocalStorageFactory {
    /// Of all files.
    pub durability: Durability,
    /// Folders are not flushed after each file: the caller flushes them once, before it names the files anywhere.
    #[serde(default)]
    pub folders_by_caller: bool,
}

#[typetag::serde(name = "iceberg-writer-local")]
impl StorageFactory for LocalStorageFactory {
    fn build(&self, _config: &StorageConfig) -> iceberg::Result<Arc<dyn Storage>> {
        Ok(Arc::new(LocalStorage { durability: self.durability, folders_by_caller: self.folders_by_caller }))
    }
}

/// The path of a location.
pub(crate) fn local_path(location: &str) -> iceberg::Result<PathBuf> {
    let path = location.strip_prefix("file://").or_else(|| location.strip_prefix("file:")).unwrap_or(location);
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    Err(wrap(Error::new(
        ErrorKind::Unsupported,
        format!("{location} is not on a local disk: locations begin with file:/// or are absolute paths"),
    )))
}

fn wrap(e: Error) -> iceberg::Error {
    let kind = match e.kind() {
        ErrorKind::Unsupported => iceberg::ErrorKind::FeatureUnsupported,
        _ => iceberg::ErrorKind::Unexpected,
    };
    iceberg::Error::new(kind, e.to_string()).with_source(e)
}

fn failed(doing: &str, path: &Path, e: io::Error) -> iceberg::Error {
    wrap(io_error(doing, path, e))
}

/// An I/O error as one of ours, with what to do next.
pub(crate) fn io_error(doing: &str, path: &Path, e: io::Error) -> Error {
    let at = path.display();
    let (kind, message) = match e.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, format!("cannot {doing} {at}: there is no such file or folder")),
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::NotWritable, format!("cannot {doing} {at}: permission denied; give this user access to the folder"))
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::NotWritable, format!("cannot {doing} {at}: the file system is read-only; mount it for writing"))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::DiskFull, format!("cannot {doing} {at}: no space is left; free some and start again, nothing is lost"))
        }
        _ => (ErrorKind::Io, format!("cannot {doing} {at}: {e}")),
    };
    Error::new(kind, message).with_source(e)
}

/// Bytes that this user may still write where a location lies; `None` if nobody can tell.
pub(crate) async fn free_bytes(location: String) -> Option<u64> {
    let free = tokio::task::spawn_blocking(move || {
        let disk = rustix::fs::statvfs(&local_path(&location).ok()?).ok()?;
        disk.f_bavail.checked_mul(disk.f_frsize)
    });
    free.await.ok().flatten()
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> iceberg::Result<T> + Send + 'static) -> iceberg::Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .map_err(|e| iceberg::Error::new(iceberg::ErrorKind::Unexpected, "a file operation was cut off").with_source(e))?
}

/// A file being written, under its temporary name.
struct Pending {
    file: File,
    temporary: PathBuf,
    place: PathBuf,
    storage: LocalStorage,
    named: bool,
}

impl Pending {
    fn create(place: PathBuf, storage: LocalStorage) -> iceberg::Result<Self> {
        let folder = place.parent().unwrap_or(Path::new("/"));
        let name = place.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = folder.join(format!(".{name}.{}.part", uuid::Uuid::new_v4().simple()));
        let file = match File::create_new(&temporary) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_folders(folder, storage.durability)?;
                File::create_new(&temporary)
            }
            other => other,
        }
        .map_err(|e| failed("create", &temporary, e))?;
        Ok(Self { file, temporary, place, storage, named: false })
    }

    fn write(&mut self, bytes: &[u8]) -> iceberg::Result<()> {
        self.file.write_all(bytes).map_err(|e| failed("write", &self.place, e))
    }

    fn finish(mut self) -> iceberg::Result<()> {
        if self.storage.durability == Durability::Disk {
            self.file.sync_data().map_err(|e| failed("flush", &self.place, e))?;
        }
        fs::rename(&self.temporary, &self.place).map_err(|e| failed("write", &self.place, e))?;
        self.named = true;
        if self.storage.durability == Durability::Disk
            && !self.storage.folders_by_caller
            && let Some(folder) = self.place.parent()
        {
            sync_folder(folder)?;
        }
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.named {
            // Best effort: the name begins with a dot and ends with .part, so no reader takes it for a table's file.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Files of a folder that were last written before this time, milliseconds since the Unix epoch; none if there is no such folder.
pub(crate) async fn files_older_than(location: String, before_ms: i64) -> crate::Result<Vec<String>> {
    let listed = blocking(move || {
        let folder = local_path(&location)?;
        let list = |e| failed("list", &folder, e);
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(list)?,
        };
        let mut old = Vec::new();
        for entry in entries {
            let entry = entry.map_err(list)?;
            let metadata = match entry.metadata() {
                // It was deleted, or has got its name, meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(list)?,
            };
            let written = metadata.modified().map_err(list)?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            if metadata.is_file() && i64::try_from(written.as_millis()).is_ok_and(|ms| ms < before_ms) {
                old.push(format!("{location}/{}", entry.file_name().to_string_lossy()));
            }
        }
        Ok(old)
    });
    listed.await.map_err(|e| Error::iceberg("looking for orphaned files", e))
}

/// Flushes folders, so that the names of the files in them survive a power cut.
pub(crate) async fn sync_folders(locations: Vec<String>) -> crate::Result<()> {
    let flushed = blocking(move || locations.iter().try_for_each(|l| sync_folder(&local_path(l)?))).await;
    flushed.map_err(|e| Error::iceberg("flushing a table's folders", e))
}

fn sync_folder(folder: &Path) -> iceberg::Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("flush", folder, e))
}

/// Makes a folder and those above it; their names are on the disk before anything in it is.
pub(crate) fn create_folders(folder: &Path, durability: Durability) -> iceberg::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists()).collect();
    fs::create_dir_all(folder).map_err(|e| failed("create", folder, e))?;
    if durability == Durability::Disk {
        for parent in missing.iter().filter_map(|f| f.parent()) {
            sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
    }
    Ok(())
}

/// Small files (manifests, lists, metadata) are one file operation: nothing is written before so many bytes are there.
const BUFFER: usize = 1 << 20;

struct LocalWriter {
    place: PathBuf,
    storage: LocalStorage,
    buffer: Vec<u8>,
    pending: Option<Pending>,
    closed: bool,
}

impl LocalWriter {
    async fn flush(&mut self, last: bool) -> iceberg::Result<()> {
        let (pending, buffer) = (self.pending.take(), std::mem::take(&mut self.buffer));
        let (place, storage) = (self.place.clone(), self.storage.clone());
        self.pending = blocking(move || {
            let mut pending = match pending {
                Some(pending) => pending,
                None => Pending::create(place, storage)?,
            };
            pending.write(&buffer)?;
            if last {
                pending.finish()?;
                return Ok(None);
            }
            Ok(Some(pending))
        })
        .await?;
        Ok(())
    }
}

#[async_trait]
impl FileWrite for LocalWriter {
    async fn write(&mut self, bs: Bytes) -> iceberg::Result<()> {
        if self.closed {
            return Err(closed());
        }
        self.buffer.extend_from_slice(&bs);
        if self.buffer.len() < BUFFER {
            return Ok(());
        }
        // Closed until the write is known to have worked: a file with a hole must never get its name.
        self.closed = true;
        self.flush(false).await?;
        self.closed = false;
        Ok(())
    }

    async fn close(&mut self) -> iceberg::Result<()> {
        if std::mem::replace(&mut self.closed, true) {
            return Err(closed());
        }
        self.flush(true).await
    }
}

fn closed() -> iceberg::Error {
    iceberg::Error::new(iceberg::ErrorKind::Unexpected, "the file is closed, or an earlier write of it failed")
}

struct LocalReader {
    file: Arc<File>,
    path: Arc<PathBuf>,
}

#[async_trait]
impl FileRead for LocalReader {
    async fn read(&self, range: Range<u64>) -> iceberg::Result<Bytes> {
        let (file, path) = (Arc::clone(&self.file), Arc::clone(&self.path));
        blocking(move || {
            let length = usize::try_from(range.end.saturating_sub(range.start))
                .map_err(|e| failed("read", &path, io::Error::new(io::ErrorKind::InvalidInput, e)))?;
            let size = file.metadata().map_err(|e| failed("read", &path, e))?.len();
            if range.end > size {
                return Err(wrap(Error::new(
                    ErrorKind::Corrupt,
                    format!("{} is cut short: it has {size} bytes, and byte {} is wanted", path.display(), range.end),
                )));
            }
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, range.start).map_err(|e| failed("read", &path, e))?;
            Ok(Bytes::from(bytes))
        })
        .await
    }
}

#[async_trait]
#[typetag::serde(name = "iceberg-writer-local")]
impl Storage for LocalStorage {
    async fn exists(&self, path: &str) -> iceberg::Result<bool> {
        let path = local_path(path)?;
        blocking(move || path.try_exists().map_err(|e| failed("look for", &path, e))).await
    }

    async fn metadata(&self, path: &str) -> iceberg::Result<FileMetadata> {
        let path = local_path(path)?;
        blocking(move || Ok(FileMetadata { size: fs::metadata(&path).map_err(|e| failed("read", &path, e))?.len() })).await
    }

    async fn read(&self, path: &str) -> iceberg::Result<Bytes> {
        let path = local_path(path)?;
        blocking(move || fs::read(&path).map(Bytes::from).map_err(|e| failed("read", &path, e))).await
    }

    async fn reader(&self, path: &str) -> iceberg::Result<Box<dyn FileRead>> {
        let path = local_path(path)?;
        blocking(move || {
            let file = File::open(&path).map_err(|e| failed("open", &path, e))?;
            Ok(Box::new(LocalReader { file: Arc::new(file), path: Arc::new(path) }) as Box<dyn FileRead>)
        })
        .await
    }

    async fn write(&self, path: &str, bs: Bytes) -> iceberg::Result<()> {
        let (path, storage) = (local_path(path)?, self.clone());
        blocking(move || {
            let mut pending = Pending::create(path, storage)?;
            pending.write(&bs)?;
            pending.finish()
        })
        .await
    }

    async fn writer(&self, path: &str) -> iceberg::Result<Box<dyn FileWrite>> {
        Ok(Box::new(LocalWriter {
            place: local_path(path)?,
            storage: self.clone(),
            buffer: Vec::new(),
            pending: None,
            closed: false,
        }))
    }

    async fn delete(&self, path: &str) -> iceberg::Result<()> {
        let path = local_path(path)?;
        blocking(move || match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path, e)),
            _ => Ok(()),
        })
        .await
    }

    async fn delete_prefix(&self, path: &str) -> iceberg::Result<()> {
        let path = local_path(path)?;
        blocking(move || match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path, e)),
            _ => Ok(()),
        })
        .await
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> iceberg::Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> iceberg::Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> iceberg::Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[tokio::test]
    async fn a_file_appears_whole_with_its_folders_and_reads_back() {
        let dir = folder();
        let storage = LocalStorage::new(Durability::Disk);
        let location = format!("file://{}/a/b/f.bin", dir.path().display());
        let mut w = storage.writer(&location).await.unwrap();
        w.write(Bytes::from_static(b"hello ")).await.unwrap();
        assert!(!storage.exists(&location).await.unwrap());
        w.write(Bytes::from_static(b"world")).await.unwrap();
        w.close().await.unwrap();
        assert_eq!(storage.read(&location).await.unwrap(), Bytes::from_static(b"hello world"));
        assert_eq!(storage.reader(&location).await.unwrap().read(6..11).await.unwrap(), Bytes::from_static(b"world"));
        assert_eq!(storage.metadata(&location).await.unwrap().size, 11);
        assert!(w.close().await.is_err());
    }

    #[tokio::test]
    async fn a_writer_that_is_dropped_leaves_nothing() {
        let dir = folder();
        let storage = LocalStorage::default();
        let mut w = storage.writer(&format!("{}/f", dir.path().display())).await.unwrap();
        w.write(Bytes::from(vec![7; BUFFER])).await.unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "written under another name");
        drop(w);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_missing_file_and_a_short_file_say_so() {
        let dir = folder();
        let storage = LocalStorage::default();
        let at = format!("{}/f", dir.path().display());
        let e = Error::iceberg("reading", storage.read(&at).await.unwrap_err());
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert!(e.to_string().contains("no such file"), "{e}");
        storage.write(&at, Bytes::from_static(b"abc")).await.unwrap();
        let e = Error::iceberg("reading", storage.reader(&at).await.unwrap().read(1..9).await.unwrap_err());
        assert_eq!((e.kind(), e.to_string().contains("cut short")), (ErrorKind::Corrupt, true), "{e}");
    }

    #[test]
    fn a_full_disk_and_a_forbidden_folder_are_told_apart() {
        let full = io_error("write", Path::new("/w/f"), io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.kind(), ErrorKind::DiskFull);
        assert!(full.to_string().contains("no space is left"));
        let denied = io_error("create", Path::new("/w/f"), io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(denied.kind(), ErrorKind::NotWritable);
    }

    #[test]
    fn other_schemes_are_refused() {
        assert!(local_path("s3://bucket/x").is_err());
        assert_eq!(local_path("file:///a/b").unwrap(), PathBuf::from("/a/b"));
        assert_eq!(local_path("file:/a/b").unwrap(), PathBuf::from("/a/b"));
    }
}
