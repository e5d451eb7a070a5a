//! The one thread that writes. It takes all transactions that wait, writes them at once, flushes once, makes them readable, answers.

use super::Shared;
use super::directory::{Directory, io_error};
use super::frame::{self, BlockEntry, Kind};
use super::index::{BlockRef, Contents};
use super::recover::{Head, create_segment};
use super::state::{PartitionId, State, encode_producer, encode_topic};
use super::vectored::write_all_at;
use crate::block::{Block, PREFIX};
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Appended, TopicInfo, TopicSpec, check_existing};
use crate::prepare::PreparedAppend;
use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The most that is written before a flush, unless one transaction is larger.
const GROUP_BYTES: u64 = 32 << 20;
/// How often retention is looked at when nothing else happens.
const IDLE: Duration = Duration::from_secs(60);

pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Append(AppendRequest),
    CreateTopic { name: String, spec: TopicSpec, reply: Reply<TopicInfo> },
    DeleteTopic { name: String, reply: Reply<()> },
    Producer { id: String, reply: Reply<u64> },
    Retain { reply: Option<Reply<()>> },
    Stop,
}

#[derive(Debug)]
pub(super) struct AppendRequest {
    pub(super) id: Arc<str>,
    pub(super) epoch: u64,
    pub(super) appends: Vec<PreparedAppend>,
    pub(super) reply: Reply<Appended>,
}

impl AppendRequest {
    /// What the frame takes in the file.
    fn encoded_len(&self) -> u64 {
        let blocks = self.appends.iter().flat_map(|a| &a.blocks);
        frame::FIXED as u64 + blocks.map(|b| (frame::ENTRY + b.block.encoded_len()) as u64).sum::<u64>()
    }
}

/// A frame that is to be written.
struct OutFrame {
    header: Vec<u8>,
    blocks: Vec<OutBlock>,
}

struct OutBlock {
    id: PartitionId,
    block: Block,
    prefix: [u8; PREFIX],
    crc: u32,
}

impl OutFrame {
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let blocks = self.blocks.iter().flat_map(|b| [&b.prefix[..], &b.block.table, &b.block.headers, &b.block.arena]);
        std::iter::once(self.header.as_slice()).chain(blocks).filter(|part| !part.is_empty())
    }
}

/// A transaction with its place in every partition.
struct Placed {
    blocks: Vec<OutBlock>,
    ends: Vec<(String, i32, i64)>,
}

pub(super) struct Writer {
    pub(super) directory: Directory,
    pub(super) shared: Arc<Shared>,
    pub(super) commands: Receiver<Command>,
    pub(super) deferred: VecDeque<Command>,
    pub(super) first_sequence: u64,
    pub(super) next_sequence: u64,
    pub(super) newest_ms: i64,
    /// The last frame says that all before it has been flushed.
    pub(super) marked: bool,
    /// Why nothing can be written any more.
    pub(super) failed: Option<String>,
}

pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

impl Writer {
    pub(super) fn run(mut self) {
        self.mark();
        loop {
            let command = match self.deferred.pop_front() {
                Some(command) => command,
                None => match self.commands.recv_timeout(IDLE) {
                    Ok(command) => command,
                    Err(RecvTimeoutError::Timeout) => Command::Retain { reply: None },
                    Err(RecvTimeoutError::Disconnected) => Command::Stop,
                },
            };
            match command {
                Command::Append(first) => self.append_group(first),
                Command::CreateTopic { name, spec, reply } => answer(reply, self.create_topic(&name, spec)),
                Command::DeleteTopic { name, reply } => answer(reply, self.delete_topic(&name)),
                Command::Producer { id, reply } => answer(reply, self.new_producer(&id)),
                Command::Retain { reply } => {
                    self.retain();
                    if let Some(reply) = reply {
                        answer(reply, Ok(()));
                    }
                }
                Command::Stop => break,
            }
        }
        self.mark();
    }

    fn append_group(&mut self, first: AppendRequest) {
        let mut bytes = first.encoded_len();
        if let Err(e) = self.make_room(bytes) {
            return answer(first.reply, Err(e));
        }
        let room = self.shared.config.segment_bytes.saturating_sub(self.shared.state().active.len).min(GROUP_BYTES);
        let mut requests = vec![first];
        while bytes < room
            && let Ok(command) = self.commands.try_recv()
        {
            match command {
                Command::Append(next) if bytes + next.encoded_len() <= room => {
                    bytes += next.encoded_len();
                    requests.push(next);
                }
                other => {
                    self.deferred.push_back(other);
                    break;
                }
            }
        }
        let mut frames = Vec::with_capacity(requests.len());
        let mut answers = Vec::with_capacity(requests.len());
        {
            let state = self.shared.state();
            let mut nexts = HashMap::new();
            for request in requests {
                match place(&state, &mut nexts, &request.id, request.epoch, request.appends) {
                    Ok(placed) => {
                        if !placed.blocks.is_empty() {
                            frames.push((Kind::Transaction, payload(&placed.blocks), placed.blocks));
                        }
                        answers.push((request.reply, Appended { next_offsets: placed.ends }));
                    }
                    Err(e) => answer(request.reply, Err(e)),
                }
            }
        }
        match self.write(frames, |_| {}) {
            Ok(()) => answers.into_iter().for_each(|(reply, appended)| answer(reply, Ok(appended))),
            Err(e) => answers.into_iter().for_each(|(reply, _)| answer(reply, Err(again(&e)))),
        }
    }

    fn create_topic(&mut self, name: &str, spec: TopicSpec) -> Result<TopicInfo> {
        let number = {
            let state = self.shared.state();
            if let Some(topic) = state.topics.get(name) {
                check_existing(&topic.info, spec)?;
                return Ok(topic.info.clone());
            }
            state.next_number()
        };
        if number == u32::MAX {
            return Err(Error::new(ErrorKind::Invalid, "the log has had as many topics as it can: make a new one").at_topic(name));
        }
        let id = Uuid::new_v4().to_string();
        let info = TopicInfo { name: name.to_owned(), id, partitions: spec.partitions, compacted: spec.compacted };
        let mut payload = Vec::new();
        encode_topic(&mut payload, number, &info);
        self.make_room((frame::FIXED + payload.len()) as u64)?;
        let offsets = (0..spec.partitions).map(|_| (0, 0)).collect();
        self.write(vec![(Kind::TopicCreated, payload, Vec::new())], |state| state.add_topic(number, info.clone(), offsets))?;
        Ok(info)
    }

    fn delete_topic(&mut self, name: &str) -> Result<()> {
        let number = self.shared.state().topic(name)?.number;
        self.make_room(frame::FIXED as u64 + 4)?;
        let payload = number.to_le_bytes().to_vec();
        self.write(vec![(Kind::TopicDeleted, payload, Vec::new())], |state| {
            state.remove_topic(number);
        })?;
        self.retain();
        Ok(())
    }

    fn new_producer(&mut self, id: &str) -> Result<u64> {
        let epoch = self.shared.state().epochs.get(id).copied().unwrap_or(0) + 1;
        let payload = encode_producer(id, epoch);
        self.make_room((frame::FIXED + payload.len()) as u64)?;
        self.write(vec![(Kind::Producer, payload, Vec::new())], |state| {
            state.epochs.insert(id.to_owned(), epoch);
        })?;
        Ok(epoch)
    }

    /// Says in the file that all before is durable, so that damage to it cannot be taken for a torn tail. Failing is no harm.
    fn mark(&mut self) {
        if self.marked || self.failed.is_some() {
            return;
        }
        match self.write(vec![(Kind::Marker, Vec::new(), Vec::new())], |_| {}) {
            Ok(()) => self.marked = true,
            Err(error) => tracing::warn!(log = %self.directory.path().display(), %error, "cannot mark the end of the log"),
        }
    }

    /// Begins the next segment if so many bytes do not fit into this one.
    fn make_room(&mut self, bytes: u64) -> Result<()> {
        self.check_usable()?;
        let len = self.shared.state().active.len;
        let holds_more_than_its_head = self.next_sequence > self.first_sequence + 1;
        if holds_more_than_its_head && len.saturating_add(bytes) > self.shared.config.segment_bytes {
            self.roll()?;
            self.retain();
        }
        Ok(())
    }

    fn roll(&mut self) -> Result<()> {
        let now = now_ms();
        let shared = Arc::clone(&self.shared);
        let dir = self.directory.path();
        // What the head holds is copied under the lock and written without it: readers go on meanwhile.
        let before = now.saturating_sub(i64::try_from(shared.config.retention_ms).unwrap_or(i64::MAX));
        let head = {
            let mut state = shared.state();
            for p in state.topics.values_mut().flat_map(|t| &mut t.partitions) {
                if let Some(compacted) = &mut p.compacted {
                    compacted.forget_tombstones(before);
                }
            }
            Head::of(&state, shared.seed)?
        };
        let created = create_segment(dir, &head, self.next_sequence, now, shared.seed);
        let next = created.inspect_err(|e| {
            if e.kind() != ErrorKind::DiskFull {
                self.failed = Some(e.to_string());
            }
        })?;
        cdc_failpoint::hit("log-after-roll");
        let active = shared.state().active.clone();
        let contents = Contents {
            path: PathBuf::clone(&active.path),
            len: active.len,
            first_sequence: self.first_sequence,
            next_sequence: self.next_sequence,
            newest_ms: self.newest_ms,
            blocks: active.blocks,
            seed: shared.seed,
        };
        let sealed = Arc::new(contents.seal());
        let mut state = shared.state();
        state.sealed.push_back(sealed);
        state.active = next;
        drop(state);
        self.first_sequence = self.next_sequence;
        self.next_sequence += 1;
        self.newest_ms = now;
        self.marked = false;
        Ok(())
    }

    fn check_usable(&self) -> Result<()> {
        match &self.failed {
            None => Ok(()),
            Some(why) => Err(Error::new(
                ErrorKind::Io,
                format!("the log takes nothing since an earlier failure ({why}): find its cause, then open the log again"),
            )),
        }
    }

    /// Writes and flushes frames, then makes them readable together with `and_then`. On failure nothing of them is kept.
    fn write(&mut self, frames: Vec<(Kind, Vec<u8>, Vec<OutBlock>)>, and_then: impl FnOnce(&mut State)) -> Result<()> {
        self.check_usable()?;
        if frames.is_empty() {
            return Ok(());
        }
        let (file, path, durable) = {
            let state = self.shared.state();
            (Arc::clone(&state.active.file), Arc::clone(&state.active.path), state.active.len)
        };
        let now = now_ms();
        let mut sequence = self.next_sequence;
        let mut out = Vec::with_capacity(frames.len());
        for (kind, payload, blocks) in frames {
            let body_len = blocks.iter().map(|b| b.block.encoded_len() as u64).sum();
            let header = frame::encode(kind, sequence, durable, now, &payload, body_len, self.shared.seed);
            out.push(OutFrame { header, blocks });
            sequence += 1;
        }
        let mut parts: Vec<IoSlice<'_>> = out.iter().flat_map(OutFrame::parts).map(IoSlice::new).collect();
        let bytes: u64 = parts.iter().map(|p| p.len() as u64).sum();
        let written = write_all_at(&file, &mut parts, durable).and_then(|()| {
            cdc_failpoint::hit("log-after-write");
            file.sync_data()
        });
        if let Err(e) = written {
            let error = io_error("cannot append to", &path, e);
            // What is cut off need not be known to be written or not: after this the file is as it was.
            let restored = file.set_len(durable).and_then(|()| file.sync_data());
            if let Err(e) = restored {
                self.failed = Some(format!("{error}; and the file could not be cut back: {e}"));
            } else if error.kind() != ErrorKind::DiskFull {
                self.failed = Some(error.to_string());
            }
            return Err(error);
        }
        drop(parts);
        cdc_failpoint::hit("log-after-sync");
        self.publish(out, durable, bytes, and_then);
        self.next_sequence = sequence;
        self.newest_ms = now;
        self.marked = false;
        Ok(())
    }

    fn publish(&self, frames: Vec<OutFrame>, start: u64, bytes: u64, and_then: impl FnOnce(&mut State)) {
        let mut state = self.shared.state();
        let mut position = start;
        state.active.len = start + bytes;
        for frame in frames {
            position += frame.header.len() as u64;
            for OutBlock { id, block, crc, .. } in frame.blocks {
                let len = block.encoded_len();
                let place = BlockRef { base: block.base, count: block.count, len: len as u32, position, crc };
                position += len as u64;
                let Some(p) = state.by_id_mut(id) else { continue };
                p.next.send_replace(place.next());
                if let Some(compacted) = &mut p.compacted {
                    compacted.apply(&block);
                } else {
                    state.active.blocks.entry(id).or_default().push(place);
                    state.cache.push(id, block);
                }
            }
        }
        and_then(&mut state);
    }
}

/// Gives a transaction its offsets, after those of the transactions of its group; `nexts` is changed only if all of it is right.
fn place(
    state: &State,
    nexts: &mut HashMap<PartitionId, i64>,
    transactional_id: &str,
    epoch: u64,
    appends: Vec<PreparedAppend>,
) -> Result<Placed> {
    if state.epochs.get(transactional_id) != Some(&epoch) {
        return Err(Error::fenced(transactional_id));
    }
    for a in &appends {
        let (id, p) = state.partition(&a.topic, a.partition)?;
        a.check(p.compacted.is_some(), nexts.get(&id).copied().unwrap_or_else(|| p.next()))?;
    }
    let mut placed = Placed { blocks: Vec::new(), ends: Vec::new() };
    for a in appends {
        let (id, p) = state.partition(&a.topic, a.partition)?;
        let next = nexts.entry(id).or_insert_with(|| p.next());
        for b in a.blocks {
            let block = Block { base: *next, ..b.block };
            *next = block.next_offset();
            placed.blocks.push(OutBlock { id, prefix: block.prefix(), block, crc: b.crc });
        }
        match placed.ends.iter_mut().find(|e| e.0 == a.topic && e.1 == a.partition) {
            Some(end) => end.2 = *next,
            None => placed.ends.push((a.topic, a.partition, *next)),
        }
    }
    Ok(placed)
}

fn payload(blocks: &[OutBlock]) -> Vec<u8> {
    let mut out = Vec::with_capacity(blocks.len() * frame::ENTRY);
    for b in blocks {
        let len = b.block.encoded_len() as u32;
        BlockEntry { topic: b.id.0, partition: b.id.1, base: b.block.base, count: b.block.count, len, crc: b.crc }.put(&mut out);
    }
    out
}

/// The same error for each of a group.
fn again(e: &Error) -> Error {
    Error::new(e.kind(), e.to_string())
}

/// Whoever asked may be gone; what was done stays done.
fn answer<T>(reply: Reply<T>, result: Result<T>) {
    let _ = reply.send(result);
}
