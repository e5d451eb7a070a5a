//! The directory of a log: its lock, its identity, the names of its files.

use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoKind, Read, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

const FORMAT: u32 = 1;
const LOCK: &str = "lock";
const META: &str = "meta.json";

/// A directory that this process has to itself until it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    id: Uuid,
    lock: File,
}

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    format: u32,
    id: Uuid,
}

impl Directory {
    /// Makes the directory if needed, locks it, reads or writes its identity.
    pub(super) fn open(path: &Path) -> Result<Self> {
        create(path)?;
        let lock = lock(path)?;
        let meta_path = path.join(META);
        let id = match fs::read(&meta_path) {
            Ok(bytes) => read_meta(&meta_path, &bytes)?,
            Err(e) if e.kind() == IoKind::NotFound => {
                if let Some((_, segment)) = segments(path)?.first() {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        format!(
                            "{} is missing, but {} is there: bring back the whole directory, or use an empty one and read the source again",
                            meta_path.display(),
                            segment.display()
                        ),
                    ));
                }
                let meta = Meta { format: FORMAT, id: Uuid::new_v4() };
                let bytes = serde_json::to_vec(&meta)
                    .map_err(|e| Error::new(ErrorKind::Other, "cannot write the log's identity").with_source(e))?;
                replace(&meta_path, &bytes).map_err(|e| io_error("cannot write", &meta_path, e))?;
                sync(path)?;
                meta.id
            }
            Err(e) => return Err(io_error("cannot read", &meta_path, e)),
        };
        Ok(Self { path: path.to_owned(), id, lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// What check sums of this log start from.
    pub(super) fn seed(&self) -> u32 {
        crc32fast::hash(self.id.as_bytes())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is just being started has it as well until it runs its program.
        let _ = rustix::fs::flock(&self.lock, rustix::fs::FlockOperation::Unlock);
    }
}

/// Makes the directory and those above it; their names are on the disk before anything in it is.
fn create(path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).collect();
    fs::create_dir_all(path).map_err(|e| io_error("cannot make the directory of the log", path, e))?;
    for parent in missing.iter().filter_map(|p| p.parent()) {
        sync(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(())
}

fn read_meta(path: &Path, bytes: &[u8]) -> Result<Uuid> {
    let meta: Meta = serde_json::from_slice(bytes).map_err(|e| {
        Error::new(
            ErrorKind::Corrupt,
            format!("{} does not hold a log's identity: bring back the whole directory, or use an empty one and read the source again", path.display()),
        )
        .with_source(e)
    })?;
    if meta.format != FORMAT {
        return Err(Error::new(
            ErrorKind::Other,
            format!(
                "{} is of format {}, this version reads {FORMAT}: use the version that wrote it",
                path.display(),
                meta.format
            ),
        ));
    }
    Ok(meta.id)
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| io_error("cannot open", &path, e))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let holder = match file.read_to_string(&mut pid) {
                Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
                _ => "another process".to_owned(),
            };
            return Err(Error::new(
                ErrorKind::InUse,
                format!(
                    "the log in {} is in use by {holder}: end it first, or give this one a directory of its own",
                    dir.display()
                ),
            ));
        }
        Err(e) => return Err(io_error("cannot lock", &path, e.into())),
    }
    // The pid is for messages only: the lock is what counts, and a full disk must not keep a log from being opened.
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "cannot note the process id in the lock file");
    }
    Ok(file)
}

/// Segment files by their first sequence number. Left-overs of writes that never ended are removed.
pub(super) fn segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let failed = |e| io_error("cannot list", dir, e);
    let mut out = Vec::new();
    let mut indexes = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let sequence = path.file_stem().and_then(|s| s.to_str()).filter(|s| s.len() == 20).and_then(|s| s.parse::<u64>().ok());
        match (path.extension().and_then(|e| e.to_str()), sequence) {
            (Some("log"), Some(n)) => out.push((n, path)),
            (Some("index"), Some(n)) => indexes.push((n, path)),
            (Some("tmp"), _) => fs::remove_file(&path).map_err(|e| io_error("cannot remove", &path, e))?,
            _ => {}
        }
    }
    out.sort();
    for (n, path) in indexes {
        if out.binary_search_by_key(&n, |s| s.0).is_err() {
            fs::remove_file(&path).map_err(|e| io_error("cannot remove", &path, e))?;
        }
    }
    Ok(out)
}

pub(super) fn segment_path(dir: &Path, first_sequence: u64) -> PathBuf {
    dir.join(format!("{first_sequence:020}.log"))
}

/// Writes a file under another name, flushes it and gives it its name.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    let written = File::create(&tmp).and_then(|mut f| {
        f.write_all(bytes)?;
        f.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&tmp, path));
    if renamed.is_err() {
        // A left-over is removed at the next opening as well.
        let _ = fs::remove_file(&tmp);
    }
    renamed
}

/// Makes names in a directory durable.
pub(super) fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| io_error("cannot flush the directory", dir, e))
}

/// The error of a failed operation on a file; a full disk, an exhausted quota and a limit on file size are [`ErrorKind::DiskFull`].
pub(super) fn io_error(what: &str, path: &Path, error: io::Error) -> Error {
    let (kind, next) = match error.kind() {
        IoKind::StorageFull | IoKind::QuotaExceeded | IoKind::FileTooLarge => (ErrorKind::DiskFull, "make room, then try again"),
        IoKind::PermissionDenied => (ErrorKind::Io, "give this user the right to read and write there"),
        _ => (ErrorKind::Io, "look at the disk and the system's log"),
    };
    Error::new(kind, format!("{what} {}: {error}: {next}", path.display())).with_source(error)
}

pub(super) fn corrupt(path: &Path, position: u64, what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "{} is damaged at byte {position}: {what}. Nothing is skipped: bring back the file, or use an empty directory and read the source again",
            path.display()
        ),
    )
}
