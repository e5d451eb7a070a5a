//! Reading one partition: librdkafka fetches ahead into the partition's queue; a cursor takes what is there, keeps it as blocks until it
//! is read, and knows where the partition ended last.

use super::client::{Reader, kind_of_read};
use super::clients::lock;
use super::native::{Event, Filled, Message, PartitionQueue, TAKE};
use crate::block::{Block, pick};
use crate::builder::RecordsBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Fetched;
use crate::records::Records;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Bytes of a record before the first one was seen, and the least that one takes in librdkafka's queue.
const UNKNOWN_RECORD: usize = 512;

/// The reading of one partition, shared by all who read it. They are served best if they read one after the other, from where the last
/// one stopped; from elsewhere is a seek.
///
/// There is one for a partition of this name, whatever topic has the name: librdkafka has one queue for them all, which only the holder of
/// `state` touches. What belongs to a topic that has gone is told by its generation.
pub(super) struct Cursor {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Bytes after which no more is taken from the queue before it was read.
    room: usize,
    pub(super) filled: Arc<Filled>,
    /// What [`held`](Self::held) found last.
    held: AtomicUsize,
    /// When it was read or waited for last.
    used: Mutex<Instant>,
    pub(super) known: watch::Sender<Known>,
    pub(super) state: tokio::sync::Mutex<State>,
}

/// What is known of a partition, to be waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Counts the topics of this name, as far as they were noticed.
    pub(super) generation: u64,
    /// The highest offset of this generation that can be read.
    pub(super) readable: i64,
}

/// Where a cursor is.
#[derive(Default)]
pub(super) struct State {
    /// The generation of all that follows.
    generation: u64,
    /// What librdkafka has fetched; none before the first read.
    queue: Option<PartitionQueue>,
    /// The queue goes on at `next`; not so before the first read, and after an error.
    placed: bool,
    /// Taken from the queue and not read yet.
    ahead: VecDeque<Block>,
    /// Offset from which the queue goes on, behind `ahead`.
    pub(super) next: i64,
    /// Everything before `next` was taken, and there was no more.
    ended: bool,
    headers: bool,
    /// Bytes that the next block is expected to hold: as the last one did, and a bit more.
    block_bytes: usize,
    /// Bytes of a record of the last block, on the average.
    record_bytes: usize,
}

impl Cursor {
    pub(super) fn new(topic: &str, partition: i32, room: usize) -> Self {
        Self {
            topic: topic.to_owned(),
            partition,
            room,
            used: Mutex::new(Instant::now()),
            filled: Arc::default(),
            held: AtomicUsize::new(0),
            known: watch::Sender::new(Known { generation: 0, readable: -1 }),
            state: tokio::sync::Mutex::default(),
        }
    }

    /// Bytes that were fetched and that nobody has read yet, as far as they can be reckoned: in librdkafka's queue records are counted, and
    /// taken to be as large as those before them. While somebody else is at it, what was found last.
    pub(super) fn held(&self) -> usize {
        if !self.filled.holds.load(Ordering::Relaxed) {
            return 0;
        }
        if let Ok(state) = self.state.try_lock() {
            self.held.store(state.held_bytes(), Ordering::Relaxed);
        }
        self.held.load(Ordering::Relaxed).max(1)
    }

    pub(super) fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }

    pub(super) fn used(&self) -> Instant {
        *lock(&self.used)
    }

    /// Nobody has read it for so long, or waits for it.
    pub(super) fn is_idle(&self, after: Duration) -> bool {
        self.known.receiver_count() == 0 && self.used().elapsed() >= after
    }

    pub(super) fn generation(&self) -> u64 {
        self.known.borrow().generation
    }

    /// The topic is gone, or another one has its name: nothing that was known holds any more, and who waits or reads is told.
    pub(super) fn begin_generation(&self) {
        self.known.send_modify(|known| *known = Known { generation: known.generation + 1, readable: -1 });
        self.filled.notify.notify_waiters();
    }

    /// True if a read from here goes on with what was read or fetched ahead.
    pub(super) fn is_at(&self, state: &State, from: i64) -> bool {
        self.is_placed(state) && (state.first_ahead()..=state.next).contains(&from)
    }

    /// True once it was somewhere in the topic that is there now, and nothing has gone wrong since.
    pub(super) fn is_placed(&self, state: &State) -> bool {
        state.placed && state.generation == self.generation()
    }

    /// Takes what the queue has, as far as there is room for it. True if that was something.
    pub(super) fn fill(&self, state: &mut State) -> Result<bool> {
        let mut something = false;
        // What a topic has left behind that is gone is nobody's.
        if !self.is_placed(state) {
            return Ok(false);
        }
        self.filled.holds.store(false, Ordering::Relaxed);
        let mut drained = false;
        while state.ahead_bytes() < self.room {
            let Some(queue) = &state.queue else { break };
            let mut builder = RecordsBuilder::new();
            builder.arena().reserve(state.block_bytes);
            let mut filling =
                Filling { builder, built: state.next, next: state.next, ended: state.ended, headers: state.headers };
            let taken = queue.take(|event| match event {
                Event::Record(message) => filling.record(self, &message),
                Event::End(at) => {
                    filling.next = filling.next.max(at);
                    filling.ended = true;
                    Ok(())
                }
                Event::Failed(code) => Err(self.failed(code, filling.next)),
            });
            let Filling { builder, next, ended, .. } = filling;
            if !builder.is_empty() {
                let records = builder.len();
                let block = builder.into_block(state.next)?;
                state.block_bytes = block.arena.len() + block.arena.len() / 16;
                state.record_bytes = block.encoded_len() / records.max(1);
                state.ahead.push_back(block);
            }
            (state.next, state.ended) = (next, ended);
            self.known.send_if_modified(|known| {
                let news = known.generation == state.generation && known.readable < next;
                if news {
                    known.readable = next;
                }
                news
            });
            let taken = match taken {
                Ok(taken) => taken,
                Err(e) => {
                    state.displace();
                    return Err(e);
                }
            };
            something |= taken > 0;
            drained = taken < TAKE;
            if drained {
                break;
            }
        }
        if !drained || !state.ahead.is_empty() {
            self.filled.holds.store(true, Ordering::Relaxed);
        }
        self.held.store(state.held_bytes(), Ordering::Relaxed);
        Ok(something)
    }

    fn failed(&self, code: Code, next: i64) -> Error {
        let (topic, partition) = (&self.topic, self.partition);
        match kind_of_read(code) {
            ErrorKind::UnknownTopic => Error::unknown_topic(topic),
            ErrorKind::OffsetOutOfRange => Error::new(
                ErrorKind::OffsetOutOfRange,
                format!(
                    "offset {next} is not in {topic}/{partition} any more: records were removed before they were read, so what was to apply them must be built anew"
                ),
            )
            .at_offset(next),
            ErrorKind::Corrupt => Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the broker's bytes of {topic}/{partition} from offset {next} on are not those that were written ({code}): make another replica the leader, and repair the disk of this one"
                ),
            )
            .at_offset(next),
            kind => Error::new(kind, format!("cannot read {topic}/{partition} at offset {next}: {code}: look into the cluster's own log")),
        }
        .at_partition(topic, partition)
    }
}

impl State {
    /// The reader fetches the partition, as far as is known here.
    pub(super) fn is_assigned(&self) -> bool {
        self.queue.is_some()
    }

    fn first_ahead(&self) -> i64 {
        self.ahead.front().map_or(self.next, |block| block.base)
    }

    fn ahead_bytes(&self) -> usize {
        self.ahead.iter().map(Block::encoded_len).sum()
    }

    fn held_bytes(&self) -> usize {
        let queued = self.queue.as_ref().map_or(0, PartitionQueue::len);
        self.ahead_bytes() + queued * self.record_bytes.max(UNKNOWN_RECORD)
    }

    /// True if everything before this offset was read, and nothing behind it was fetched.
    pub(super) fn is_read_up_to(&self, offset: i64) -> bool {
        self.ahead.is_empty() && self.next >= offset
    }

    /// The next read begins anew, from where it says.
    pub(super) fn displace(&mut self) {
        self.placed = false;
        self.ahead.clear();
    }

    /// Lets go of what lies before this offset, which makes room for what the queue has.
    pub(super) fn pass(&mut self, from: i64) {
        while self.ahead.front().is_some_and(|block| block.next_offset() <= from) {
            self.ahead.pop_front();
        }
    }

    /// What there is from here on, if there is something, or if it is known that there is nothing.
    pub(super) fn read(&self, from: i64, max_bytes: usize) -> Option<Fetched> {
        let picked = pick(self.ahead.iter(), from, max_bytes);
        let last = self.ahead.back().map_or(from, Block::next_offset);
        // Behind the last record there may be offsets without any: they are passed over with it.
        let next_offset = if picked.next >= last { self.next } else { picked.next };
        let at_end = self.ended && next_offset == self.next;
        if picked.blocks.is_empty() && next_offset <= from && !at_end {
            return None;
        }
        Some(Fetched { records: Records::from_blocks(picked.blocks), next_offset, at_end })
    }
}

/// A block that is being taken from the queue.
struct Filling {
    builder: RecordsBuilder,
    /// Behind the last record of the block, from where the next one's gap is counted. The end of the partition moves `next` alone.
    built: i64,
    next: i64,
    ended: bool,
    headers: bool,
}

impl Filling {
    fn record(&mut self, cursor: &Cursor, message: &Message<'_>) -> Result<()> {
        let offset = message.offset();
        if offset < self.next {
            // Fetched before a seek: what lies before the place that was asked for is not asked for.
            return Ok(());
        }
        let headers = if self.headers {
            let mut list: Vec<(&str, &[u8])> = Vec::new();
            if !message.headers(|name, value| list.push((name, value))) {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "a header's name of {}/{} at offset {offset} is not UTF-8: whoever wrote it must write it anew",
                        cursor.topic, cursor.partition
                    ),
                )
                .at_partition(&cursor.topic, cursor.partition)
                .at_offset(offset));
            }
            self.builder.headers(&list)?
        } else {
            crate::HeaderSet::NONE
        };
        let gap = offset - self.built;
        self.builder.push_after_gap(gap, message.key(), message.value(), headers, message.timestamp_ms())?;
        (self.built, self.next) = (offset + 1, offset + 1);
        self.ended = false;
        Ok(())
    }
}

/// Has the reader fetch the partition no more, and frees what it has fetched.
pub(super) fn unassign(reader: &Reader, cursor: &Cursor, state: &mut State) {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&cursor.topic, cursor.partition);
    // No error if it is not assigned.
    reader.incremental_unassign(&list).ok();
    if let Some(queue) = &state.queue {
        // librdkafka keeps what is of no use any more until somebody comes for it.
        while queue.take(|_| Ok(())).is_ok_and(|taken| taken > 0) {}
    }
    // With the queue goes the word of what comes into it.
    *state = State::default();
    cursor.filled.holds.store(false, Ordering::Relaxed);
}

/// Has the reader fetch the partition of this generation from this offset on, and not from where it was.
pub(super) fn assign(
    reader: &Arc<Reader>,
    cursor: &Cursor,
    state: &mut State,
    generation: u64,
    from: i64,
    headers: bool,
) -> Result<()> {
    let (topic, partition) = (cursor.topic.as_str(), cursor.partition);
    let wrap = |e| reader.context().wrap(&format!("cannot read {topic}/{partition}"), e).at_partition(topic, partition);
    // What was fetched from the old place librdkafka drops.
    unassign(reader, cursor, state);
    // A partition that nobody was assigned to may have been another one to librdkafka, with another queue. Split off before the first
    // record can come, so that none goes elsewhere.
    let queue = PartitionQueue::split(reader, topic, partition, Arc::clone(&cursor.filled))
        .ok_or_else(|| Error::unknown_topic(topic).at_partition(topic, partition))?;
    state.queue = Some(queue);
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(topic, partition);
    list.set_partition_offset(topic, partition, Offset::Offset(from)).map_err(wrap)?;
    reader.incremental_assign(&list).map_err(wrap)?;
    (state.generation, state.next, state.headers, state.placed) = (generation, from, headers, true);
    Ok(())
}
