use crate::block::{Block, pick};
use crate::compacted::Compacted;
use crate::error::{Error, Result};
use crate::log::{
    Appended, ChangeLog, Fetched, LogIdentity, OffsetRange, Producer, TopicInfo, TopicSpec, Transaction, check_existing,
    check_topic, check_transactional_id,
};
use crate::prepare::{PreparedAppend, prepare};
use crate::records::Records;
use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use uuid::Uuid;

/// A change log in memory: the whole contract but durability beyond the process.
///
/// Released records go at once. Clones are the same log.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    identity: LogIdentity,
    /// Bytes of records that were not released, in topics that are not compacted.
    held: watch::Sender<usize>,
    /// An append waits while so many bytes are held.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<String, Topic>,
    epochs: HashMap<String, u64>,
}

#[derive(Debug)]
struct Topic {
    info: TopicInfo,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    first: i64,
    next: watch::Sender<i64>,
    blocks: VecDeque<Block>,
    compacted: Option<Compacted>,
}

impl Partition {
    fn next(&self) -> i64 {
        *self.next.borrow()
    }
}

impl State {
    fn topic(&self, name: &str) -> Result<&Topic> {
        self.topics.get(name).ok_or_else(|| Error::unknown_topic(name))
    }

    fn partition(&self, name: &str, partition: i32) -> Result<&Partition> {
        let topic = self.topic(name)?;
        let found = usize::try_from(partition).ok().and_then(|i| topic.partitions.get(i));
        found.ok_or_else(|| Error::unknown_partition(name, partition, topic.partitions.len()))
    }

    fn partition_mut(&mut self, name: &str, partition: i32) -> Result<&mut Partition> {
        let topic = self.topics.get_mut(name).ok_or_else(|| Error::unknown_topic(name))?;
        let partitions = topic.partitions.len();
        let found = usize::try_from(partition).ok().and_then(|i| topic.partitions.get_mut(i));
        found.ok_or_else(|| Error::unknown_partition(name, partition, partitions))
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// A new, empty log with an identity of its own.
    pub fn new() -> Self {
        Self::bounded(usize::MAX)
    }

    /// A log that makes who appends wait for who reads: an append begins once the records that were not released are fewer than
    /// `bytes`, and then goes in whole. Compacted topics do not count.
    pub fn bounded(bytes: usize) -> Self {
        let identity = LogIdentity::new(Uuid::new_v4().to_string());
        let held = watch::Sender::new(0);
        Self { inner: Arc::new(Inner { identity, held, limit: bytes, state: Mutex::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ChangeLog for MemoryLog {
    fn identity(&self) -> &LogIdentity {
        &self.inner.identity
    }

    async fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo> {
        check_topic(name, spec)?;
        let mut state = self.state();
        if let Some(topic) = state.topics.get(name) {
            check_existing(&topic.info, spec)?;
            return Ok(topic.info.clone());
        }
        let info = TopicInfo {
            name: name.to_owned(),
            id: Uuid::new_v4().to_string(),
            partitions: spec.partitions,
            compacted: spec.compacted,
        };
        let partition = |_| Partition {
            first: 0,
            next: watch::Sender::new(0),
            blocks: VecDeque::new(),
            compacted: spec.compacted.then(Compacted::default),
        };
        let partitions = (0..spec.partitions).map(partition).collect();
        state.topics.insert(name.to_owned(), Topic { info: info.clone(), partitions });
        Ok(info)
    }

    async fn topic(&self, name: &str) -> Result<Option<TopicInfo>> {
        Ok(self.state().topics.get(name).map(|t| t.info.clone()))
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        Ok(self.state().topics.values().map(|t| t.info.clone()).collect())
    }

    async fn delete_topic(&self, name: &str) -> Result<()> {
        let removed = self.state().topics.remove(name).ok_or_else(|| Error::unknown_topic(name))?;
        let bytes: usize = removed.partitions.iter().flat_map(|p| &p.blocks).map(Block::encoded_len).sum();
        self.inner.held.send_modify(|held| *held -= bytes);
        Ok(())
    }

    async fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        check_transactional_id(transactional_id)?;
        let mut state = self.state();
        let epoch = state.epochs.entry(transactional_id.to_owned()).or_default();
        *epoch += 1;
        Ok(Box::new(MemoryProducer { log: self.clone(), id: transactional_id.to_owned(), epoch: *epoch }))
    }

    async fn offsets(&self, topic: &str, partition: i32) -> Result<OffsetRange> {
        let state = self.state();
        let p = state.partition(topic, partition)?;
        Ok(OffsetRange { first: p.first, next: p.next() })
    }

    async fn read(&self, topic: &str, partition: i32, from: i64, max_bytes: usize) -> Result<Fetched> {
        let state = self.state();
        let p = state.partition(topic, partition)?;
        let next = p.next();
        if from < p.first || from > next {
            return Err(Error::out_of_range(topic, partition, from, p.first, next));
        }
        if let Some(compacted) = &p.compacted {
            let (records, next_offset) = compacted.read(from, next, max_bytes)?;
            return Ok(Fetched { records, next_offset, at_end: next_offset == next });
        }
        let start = p.blocks.partition_point(|b| b.next_offset() <= from);
        let picked = pick(p.blocks.range(start..), from, max_bytes);
        Ok(Fetched { records: Records::from_blocks(picked.blocks), next_offset: picked.next, at_end: picked.next == next })
    }

    async fn wait(&self, topic: &str, partition: i32, beyond: i64) -> Result<()> {
        let mut next = self.state().partition(topic, partition)?.next.subscribe();
        next.wait_for(|&n| n > beyond).await.map(drop).map_err(|_| Error::unknown_topic(topic))
    }

    async fn release(&self, topic: &str, partition: i32, applied: i64) -> Result<()> {
        let mut state = self.state();
        let p = state.partition_mut(topic, partition)?;
        let next = p.next();
        if applied > next {
            return Err(Error::out_of_range(topic, partition, applied, p.first, next));
        }
        let mut bytes = 0;
        while let Some(block) = p.blocks.front()
            && block.next_offset() <= applied
        {
            p.first = block.next_offset();
            bytes += block.encoded_len();
            p.blocks.pop_front();
        }
        self.inner.held.send_modify(|held| *held -= bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryProducer {
    log: MemoryLog,
    id: String,
    epoch: u64,
}

impl MemoryProducer {
    fn append_now(&self, appends: Vec<PreparedAppend>) -> Result<Appended> {
        let mut state = self.log.state();
        if state.epochs.get(&self.id) != Some(&self.epoch) {
            return Err(Error::fenced(&self.id));
        }
        for a in &appends {
            let p = state.partition(&a.topic, a.partition)?;
            a.check(p.compacted.is_some(), p.next())?;
        }
        let mut ends: Vec<(String, i32, i64)> = Vec::new();
        // Readers take the same lock, so that the parts become readable together; waiters are woken under it.
        for a in appends {
            let p = state.partition_mut(&a.topic, a.partition)?;
            let mut next = p.next();
            for prepared in a.blocks {
                let block = Block { base: next, ..prepared.block };
                next = block.next_offset();
                match &mut p.compacted {
                    Some(compacted) => compacted.apply(&block),
                    None => {
                        self.log.inner.held.send_modify(|held| *held += block.encoded_len());
                        p.blocks.push_back(block);
                    }
                }
            }
            p.next.send_replace(next);
            match ends.iter_mut().find(|e| e.0 == a.topic && e.1 == a.partition) {
                Some(end) => end.2 = next,
                None => ends.push((a.topic, a.partition, next)),
            }
        }
        Ok(Appended { next_offsets: ends })
    }
}

#[async_trait]
impl Producer for MemoryProducer {
    async fn append(&mut self, transaction: Transaction) -> Result<Appended> {
        let limit = self.log.inner.limit;
        // The sender is ours, so that there is no error.
        drop(self.log.inner.held.subscribe().wait_for(|held| *held < limit).await);
        self.append_now(prepare(transaction, None)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::{Append, HeaderSet, RecordsBuilder};

    async fn append(producer: &mut Box<dyn Producer>, bytes: usize) -> Appended {
        let mut builder = RecordsBuilder::new();
        builder.push(None, Some(&vec![b'x'; bytes]), HeaderSet::NONE, 0).unwrap();
        producer.append(Transaction { appends: vec![Append::new("t", 0, builder.finish())] }).await.unwrap()
    }

    #[tokio::test]
    async fn an_append_to_a_bounded_log_waits_until_enough_was_released() {
        let log = MemoryLog::bounded(1000);
        log.create_topic("t", TopicSpec::new()).await.unwrap();
        let mut producer = log.producer("p").await.unwrap();
        append(&mut producer, 900).await;
        append(&mut producer, 5000).await;
        let waiting = tokio::spawn(async move { append(&mut producer, 1).await });
        tokio::task::yield_now().await;
        log.release("t", 0, 1).await.unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && log.offsets("t", 0).await.unwrap().next == 2, "5000 bytes are held still");
        log.release("t", 0, 2).await.unwrap();
        assert_eq!(waiting.await.unwrap().next_offsets, [("t".to_owned(), 0, 3)]);
    }
}
