//! What a local log knows in memory: topics, offsets, producers, and where the records lie.

use super::cache::{Cache, LoadedSlices, Rereads};
use super::index::{BlockRef, Sealed};
use crate::codec::{Reader, put_bytes, put_varint};
use crate::compacted::Compacted;
use crate::error::{Error, Result};
use crate::log::{TopicInfo, TopicSpec};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// A partition as files name it: the topic's number, which is never given again, and the partition.
pub(super) type PartitionId = (u32, i32);

#[derive(Debug)]
pub(super) struct State {
    pub(super) topics: BTreeMap<String, Topic>,
    names: HashMap<u32, String>,
    next_number: u32,
    pub(super) epochs: HashMap<String, u64>,
    /// Oldest first.
    pub(super) sealed: VecDeque<Arc<Sealed>>,
    pub(super) active: Active,
    pub(super) cache: Cache,
    pub(super) rereads: Rereads,
    pub(super) loaded: LoadedSlices,
}

/// The segment that is appended to.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) file: Arc<File>,
    pub(super) path: Arc<PathBuf>,
    /// Its length, all of it durable.
    pub(super) len: u64,
    pub(super) blocks: HashMap<PartitionId, Vec<BlockRef>>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) number: u32,
    pub(super) info: TopicInfo,
    pub(super) partitions: Vec<Partition>,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) first: i64,
    pub(super) next: watch::Sender<i64>,
    /// Everything before is applied.
    pub(super) applied: i64,
    pub(super) compacted: Option<Compacted>,
}

impl Partition {
    fn new(compacted: bool, next: i64, applied: i64) -> Self {
        Self { first: 0, next: watch::Sender::new(next), applied, compacted: compacted.then(Compacted::default) }
    }

    pub(super) fn next(&self) -> i64 {
        *self.next.borrow()
    }
}

impl State {
    pub(super) fn new(active: Active, cache_bytes: usize) -> Self {
        Self {
            topics: BTreeMap::new(),
            names: HashMap::new(),
            next_number: 0,
            epochs: HashMap::new(),
            sealed: VecDeque::new(),
            active,
            cache: Cache::new(cache_bytes),
            rereads: Rereads::new(cache_bytes / 2),
            loaded: LoadedSlices::default(),
        }
    }

    pub(super) fn topic(&self, name: &str) -> Result<&Topic> {
        self.topics.get(name).ok_or_else(|| Error::unknown_topic(name))
    }

    pub(super) fn partition(&self, name: &str, partition: i32) -> Result<(PartitionId, &Partition)> {
        let topic = self.topic(name)?;
        let found = usize::try_from(partition).ok().and_then(|i| topic.partitions.get(i));
        let found = found.ok_or_else(|| Error::unknown_partition(name, partition, topic.partitions.len()))?;
        Ok(((topic.number, partition), found))
    }

    pub(super) fn partition_mut(&mut self, name: &str, partition: i32) -> Result<&mut Partition> {
        let topic = self.topics.get_mut(name).ok_or_else(|| Error::unknown_topic(name))?;
        let partitions = topic.partitions.len();
        let found = usize::try_from(partition).ok().and_then(|i| topic.partitions.get_mut(i));
        found.ok_or_else(|| Error::unknown_partition(name, partition, partitions))
    }

    /// `None`: the topic was deleted.
    pub(super) fn by_id(&self, (number, partition): PartitionId) -> Option<&Partition> {
        let topic = self.topics.get(self.names.get(&number)?)?;
        topic.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(super) fn by_id_mut(&mut self, (number, partition): PartitionId) -> Option<&mut Partition> {
        let topic = self.topics.get_mut(self.names.get(&number)?)?;
        topic.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    pub(super) fn next_number(&self) -> u32 {
        self.next_number
    }

    pub(super) fn add_topic(&mut self, number: u32, info: TopicInfo, offsets: Vec<(i64, i64)>) {
        let partitions = offsets.into_iter().map(|(next, applied)| Partition::new(info.compacted, next, applied)).collect();
        self.names.insert(number, info.name.clone());
        self.next_number = self.next_number.max(number.saturating_add(1));
        self.topics.insert(info.name.clone(), Topic { number, info, partitions });
    }

    /// Removes a topic with all that is remembered of its records; those who wait on it are told by the loss of the sender.
    pub(super) fn remove_topic(&mut self, number: u32) -> bool {
        let removed = self.names.remove(&number).and_then(|name| self.topics.remove(&name));
        self.active.blocks.retain(|id, _| id.0 != number);
        self.cache.remove_topic(number);
        self.rereads.remove_topic(number);
        removed.is_some()
    }

    /// After loading: a partition begins with the first block that is still there, or with the next one.
    pub(super) fn find_first_offsets(&mut self) {
        let mut firsts: HashMap<PartitionId, i64> = HashMap::new();
        for sealed in &self.sealed {
            for (&id, slice) in &sealed.slices {
                firsts.entry(id).or_insert(slice.first);
            }
        }
        for (&id, blocks) in &self.active.blocks {
            if let Some(block) = blocks.first() {
                firsts.entry(id).or_insert(block.base);
            }
        }
        for topic in self.topics.values_mut() {
            for (i, p) in topic.partitions.iter_mut().enumerate() {
                if p.compacted.is_none() {
                    p.first = firsts.get(&(topic.number, i as i32)).copied().unwrap_or_else(|| p.next());
                }
            }
        }
    }

    /// The part of a head that lists topics and producers.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, u64::from(self.next_number));
        put_varint(&mut out, self.topics.len() as u64);
        for topic in self.topics.values() {
            encode_topic(&mut out, topic.number, &topic.info);
            for p in &topic.partitions {
                put_varint(&mut out, p.next() as u64);
                put_varint(&mut out, p.applied as u64);
            }
        }
        put_varint(&mut out, self.epochs.len() as u64);
        for (id, &epoch) in &self.epochs {
            put_bytes(&mut out, id.as_bytes());
            put_varint(&mut out, epoch);
        }
        out
    }

    /// Takes over what [`encode`](Self::encode) wrote; `None` where it makes no sense.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Option<()> {
        let mut r = Reader::new(bytes);
        let next_number = u32::try_from(r.varint()?).ok()?;
        for _ in 0..r.varint()? {
            let (number, info) = decode_topic(&mut r)?;
            let mut offsets = Vec::new();
            for _ in 0..info.partitions {
                let next = i64::try_from(r.varint()?).ok()?;
                offsets.push((next, i64::try_from(r.varint()?).ok()?));
            }
            self.add_topic(number, info, offsets);
        }
        for _ in 0..r.varint()? {
            let id = r.string()?;
            self.epochs.insert(id, r.varint()?);
        }
        self.next_number = self.next_number.max(next_number);
        r.is_empty().then_some(())
    }
}

/// What a frame says of a new topic.
pub(super) fn encode_topic(out: &mut Vec<u8>, number: u32, info: &TopicInfo) {
    put_varint(out, u64::from(number));
    put_bytes(out, info.name.as_bytes());
    put_bytes(out, info.id.as_bytes());
    put_varint(out, info.partitions as u64);
    out.push(u8::from(info.compacted));
}

pub(super) fn decode_topic(r: &mut Reader<'_>) -> Option<(u32, TopicInfo)> {
    let number = u32::try_from(r.varint()?).ok()?;
    let (name, id) = (r.string()?, r.string()?);
    let spec = TopicSpec { partitions: i32::try_from(r.varint()?).ok()?, compacted: r.u8()? != 0 };
    crate::log::check_topic(&name, spec).ok()?;
    Some((number, TopicInfo { name, id, partitions: spec.partitions, compacted: spec.compacted }))
}

pub(super) fn encode_producer(id: &str, epoch: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, id.as_bytes());
    put_varint(&mut out, epoch);
    out
}

pub(super) fn decode_producer(bytes: &[u8]) -> Option<(String, u64)> {
    let mut r = Reader::new(bytes);
    let id = r.string()?;
    Some((id, r.varint()?))
}
