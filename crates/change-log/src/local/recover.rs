//! Opening: from the segment files to what is known in memory.

use super::directory::{self, Directory, corrupt, io_error, segment_path};
use super::frame::{self, BlockEntry, Kind};
use super::index::{BlockRef, Sealed};
use super::read::read_block;
use super::scan::{End, Frame, Scan};
use super::state::{Active, State, decode_producer, decode_topic};
use crate::block::Block;
use crate::codec::Reader;
use crate::error::{Error, ErrorKind, Result};
use crate::prepare::block_crc;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log as it was found, and where the writer goes on.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) state: State,
    pub(super) first_sequence: u64,
    pub(super) next_sequence: u64,
    pub(super) newest_ms: i64,
    /// The last frame says that all before it had been flushed.
    pub(super) marked: bool,
}

pub(super) fn recover(directory: &Directory, cache_bytes: usize, now_ms: i64) -> Result<Recovered> {
    let mut paths = directory::segments(directory.path())?;
    let seed = directory.seed();
    let Some((first_sequence, path)) = paths.pop() else {
        return begin(directory, cache_bytes, now_ms);
    };
    let mut recovered = recover_newest(&path, first_sequence, seed, cache_bytes)?;
    let compacted: HashMap<u32, bool> = recovered.state.topics.values().map(|t| (t.number, t.info.compacted)).collect();
    let mut previous: Option<Arc<Sealed>> = None;
    for (sequence, path) in &paths {
        follows(previous.as_deref(), *sequence, path)?;
        let sealed = Sealed::open(path, *sequence, seed, |number| compacted.get(&number).copied().unwrap_or(false))?;
        let sealed = Arc::new(sealed);
        recovered.state.sealed.push_back(Arc::clone(&sealed));
        previous = Some(sealed);
    }
    follows(previous.as_deref(), first_sequence, &path)?;
    recovered.state.find_first_offsets();
    Ok(recovered)
}

fn follows(previous: Option<&Sealed>, sequence: u64, path: &Path) -> Result<()> {
    match previous {
        Some(p) if p.next_sequence != sequence => {
            Err(corrupt(path, 0, &format!("it does not follow {}: a segment between them is missing", p.path.display())))
        }
        _ => Ok(()),
    }
}

fn begin(directory: &Directory, cache_bytes: usize, now_ms: i64) -> Result<Recovered> {
    let nowhere = Active {
        file: Arc::new(File::open(directory.path()).map_err(|e| io_error("cannot open", directory.path(), e))?),
        path: Arc::new(directory.path().to_owned()),
        len: 0,
        blocks: HashMap::new(),
    };
    let mut state = State::new(nowhere, cache_bytes);
    state.active = create_segment(directory.path(), &Head::of(&state, directory.seed())?, 0, now_ms, directory.seed())?;
    Ok(Recovered { state, first_sequence: 0, next_sequence: 1, newest_ms: now_ms, marked: false })
}

fn recover_newest(path: &Path, first_sequence: u64, seed: u32, cache_bytes: usize) -> Result<Recovered> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = Arc::new(opened.map_err(|e| io_error("cannot open", path, e))?);
    let len = fs::metadata(path).map_err(|e| io_error("cannot read", path, e))?.len();
    let active = Active { file: Arc::clone(&file), path: Arc::new(path.to_owned()), len, blocks: HashMap::new() };
    let state = State::new(active, cache_bytes);
    let mut out = Recovered { state, first_sequence, next_sequence: first_sequence, newest_ms: 0, marked: false };
    let scan = Scan { file: &file, path, len, seed, first_sequence, bodies: true };
    let end = scan.frames(|frame| {
        out.next_sequence = frame.header.sequence + 1;
        out.newest_ms = out.newest_ms.max(frame.header.written_ms);
        out.marked = frame.header.kind == Kind::Marker;
        apply(&mut out.state, frame, &file, path, seed)
    })?;
    // A process that was killed may have left what it never flushed: intact, but only in the system's memory. Nobody may read it, and
    // rely on it, before it is on the disk.
    file.sync_data().map_err(|e| io_error("cannot flush", path, e))?;
    match end {
        // A segment gets its name only when its head is durable.
        End::Whole if len == 0 => return Err(corrupt(path, 0, "the file is empty")),
        End::Whole => {}
        End::Broken { position: 0, why } => return Err(corrupt(path, 0, why)),
        End::Broken { position, why } => {
            scan.refuse_damage(position, why)?;
            tracing::warn!(
                segment = %path.display(), position, bytes = len - position, why,
                "cutting what a crash left half-written at the end of the log; it was never acknowledged"
            );
            file.set_len(position).and_then(|()| file.sync_data()).map_err(|e| io_error("cannot cut", path, e))?;
            out.state.active.len = position;
        }
    }
    Ok(out)
}

/// Does again what a frame did.
fn apply(state: &mut State, frame: &Frame<'_>, file: &File, path: &Path, seed: u32) -> Result<()> {
    let at = frame.position;
    let nonsense = |what: &str| corrupt(path, at, what);
    if (frame.header.kind == Kind::Head) != (at == 0) {
        return Err(nonsense("a head is not at the beginning, or none is there"));
    }
    match frame.header.kind {
        Kind::Head => {
            let decoded = frame::split_head(frame.payload).and_then(|(bytes, _)| state.decode(bytes));
            decoded.ok_or_else(|| nonsense("the head does not make sense"))?;
            for (id, block) in frame.blocks() {
                let block = read_block(file, path, block, seed)?;
                let p = state.by_id_mut(id).and_then(|p| p.compacted.as_mut());
                p.ok_or_else(|| nonsense("records are of a topic that is not there"))?.apply(&block);
            }
        }
        Kind::Transaction => {
            for (id, block) in frame.blocks() {
                apply_block(state, id, block, file, path, seed).and_then(|known| {
                    known.ok_or_else(|| nonsense("records are of a topic that is not there, or do not follow those before"))
                })?;
            }
        }
        Kind::TopicCreated => {
            let topic = decode_topic(&mut Reader::new(frame.payload));
            let (number, info) = topic.ok_or_else(|| nonsense("a new topic does not make sense"))?;
            let offsets = (0..info.partitions).map(|_| (0, 0)).collect();
            state.add_topic(number, info, offsets);
        }
        Kind::TopicDeleted => {
            let number = Reader::new(frame.payload).u32();
            if !number.is_some_and(|n| state.remove_topic(n)) {
                return Err(nonsense("a topic is deleted that is not there"));
            }
        }
        Kind::Producer => {
            let (id, epoch) = decode_producer(frame.payload).ok_or_else(|| nonsense("a producer does not make sense"))?;
            state.epochs.insert(id, epoch);
        }
        Kind::Marker => {}
    }
    Ok(())
}

fn apply_block(state: &mut State, id: (u32, i32), block: BlockRef, file: &File, path: &Path, seed: u32) -> Result<Option<()>> {
    let Some(p) = state.by_id_mut(id) else { return Ok(None) };
    if p.next() != block.base {
        return Ok(None);
    }
    p.next.send_replace(block.next());
    match &mut p.compacted {
        Some(compacted) => compacted.apply(&read_block(file, path, block, seed)?),
        None => state.active.blocks.entry(id).or_default().push(block),
    }
    Ok(Some(()))
}

/// What the first frame of a segment holds: everything that older segments would be needed for.
#[derive(Debug)]
pub(super) struct Head {
    payload: Vec<u8>,
    blocks: Vec<Block>,
    body_len: u64,
}

impl Head {
    pub(super) fn of(state: &State, seed: u32) -> Result<Self> {
        let known = state.encode();
        let mut out = Self { payload: (known.len() as u32).to_le_bytes().to_vec(), blocks: Vec::new(), body_len: 0 };
        out.payload.extend_from_slice(&known);
        for topic in state.topics.values() {
            for (partition, p) in (0..).zip(&topic.partitions) {
                let Some(compacted) = &p.compacted else { continue };
                for block in compacted.blocks(p.next())? {
                    let (len, crc) = (block.encoded_len() as u32, block_crc(&block, seed));
                    BlockEntry { topic: topic.number, partition, base: block.base, count: block.count, len, crc }
                        .put(&mut out.payload);
                    out.body_len += u64::from(len);
                    out.blocks.push(block);
                }
            }
        }
        Ok(out)
    }
}

/// Makes a segment. It has its name only when it is durable.
pub(super) fn create_segment(dir: &Path, head: &Head, sequence: u64, now_ms: i64, seed: u32) -> Result<Active> {
    let header = frame::encode(Kind::Head, sequence, 0, now_ms, &head.payload, head.body_len, seed);
    let path: PathBuf = segment_path(dir, sequence);
    let tmp = path.with_extension("tmp");
    let written = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&tmp).and_then(|mut file| {
        file.write_all(&header)?;
        for block in &head.blocks {
            for part in [&block.prefix()[..], &block.table, &block.headers, &block.arena] {
                file.write_all(part)?;
            }
        }
        file.sync_all()?;
        fs::rename(&tmp, &path)?;
        Ok(file)
    });
    let file = written.map_err(|e| {
        // A left-over is removed at the next opening as well.
        let _ = fs::remove_file(&tmp);
        io_error("cannot write", &path, e)
    })?;
    // Never "disk full": the file has its name, so the segment before it must not be appended to any more.
    directory::sync(dir).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    let len = header.len() as u64 + head.body_len;
    Ok(Active { file: Arc::new(file), path: Arc::new(path), len, blocks: HashMap::new() })
}
