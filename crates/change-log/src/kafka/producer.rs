//! Appending: one Kafka transaction for each of ours.

use super::KafkaLog;
use super::client::{Context, kind_of};
use super::clients::lock;
use super::native::{Heard, set_token, take_events};
use super::token_endpoint::Token;
use super::tokens::LogIn;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{Append, Appended, Producer, Transaction};
use crate::records::{Headers, RecordRef};
use async_trait::async_trait;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// The bytes that Kafka adds to a record, at most, besides those of its headers.
const RECORD_OVERHEAD: usize = 128;
/// The bytes that Kafka's form of a header may have more than ours: a bit more in each of its two lengths.
const HEADER_OVERHEAD: usize = 2;
/// How long it is waited for a delivery report at once.
const REPORT_WAIT: Duration = Duration::from_millis(100);
/// How long it is waited for room among the records that have not been sent yet.
const ROOM_WAIT: Duration = Duration::from_millis(10);

type Transactional = BaseProducer<Reports>;

/// Appends under one transactional id.
pub(super) struct KafkaProducer {
    /// Ended by the thread that serves the log's clients, which has it too: that blocks. So it goes before `log`.
    inner: Arc<Mutex<Inner>>,
    log: KafkaLog,
    id: String,
}

/// What appends, on a thread that may block.
pub(super) struct Inner {
    /// Shared with the list of those that take a new token: a transaction that waits for one must get it.
    producer: Arc<Transactional>,
    /// When its transaction began, by the clock that stands still while the machine sleeps and by the one that does not, and how long it
    /// may take.
    began: Instant,
    began_at: SystemTime,
    allowed: Duration,
    /// Bytes that are sent at once.
    batch_bytes: usize,
    /// Why it cannot append any more.
    broken: Option<(ErrorKind, String)>,
}

/// What became of the records of each part of a transaction.
#[derive(Clone)]
struct Reports {
    context: Context,
    parts: Arc<Mutex<Vec<Delivered>>>,
}

#[derive(Debug, Clone, Copy)]
struct Delivered {
    first: i64,
    last: i64,
    count: usize,
    failed: Option<Code>,
}

impl Delivered {
    const NONE: Self = Self { first: i64::MAX, last: -1, count: 0, failed: None };
}

impl LogIn for Transactional {
    fn log_in(&self, token: &Token) -> std::result::Result<(), Code> {
        set_token(self.client(), token)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    /// Reports are [taken](Inner::take_reports) beside the binding, which polls at a producer's end alone: then nobody waits for any.
    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}

fn report(parts: &mut [Delivered], part: usize, outcome: std::result::Result<i64, Code>) {
    let Some(delivered) = parts.get_mut(part) else { return };
    match outcome {
        Ok(offset) => {
            delivered.count += 1;
            delivered.first = delivered.first.min(offset);
            delivered.last = delivered.last.max(offset);
        }
        Err(code) => delivered.failed = Some(code),
    }
}

impl Reports {
    fn begin(&self, parts: usize) {
        *lock(&self.parts) = vec![Delivered::NONE; parts];
    }

    fn take(&self) -> Vec<Delivered> {
        std::mem::take(&mut *lock(&self.parts))
    }
}

impl KafkaProducer {
    /// Fences whoever had this id before; its open transaction is aborted when this returns.
    pub(super) async fn open(log: KafkaLog, id: &str) -> Result<Self> {
        let config = log.shared.config.producer(id);
        let timeout = log.shared.config.request_timeout.max(log.shared.config.transaction_timeout);
        let doing = format!("cannot take over as the producer {id}");
        let (clients, allowed) = (Arc::clone(&log.shared.clients), log.shared.config.transaction_timeout);
        let batch_bytes = log.shared.config.batch_bytes();
        let opened = log.blocking(move || {
            let reports = Reports { context: clients.context(), parts: Arc::default() };
            let producer = Arc::new(
                Transactional::from_config_and_context(&config, reports.clone()).map_err(|e| reports.context.wrap(&doing, e))?,
            );
            clients.log_in_with(&producer, timeout)?;
            producer.init_transactions(timeout).map_err(|e| reports.context.wrap(&doing, e))?;
            let inner = Arc::new(Mutex::new(Inner {
                producer,
                began: Instant::now(),
                began_at: SystemTime::now(),
                allowed,
                batch_bytes,
                broken: None,
            }));
            clients.add_producer(Arc::clone(&inner));
            Ok::<_, Error>(inner)
        });
        Ok(Self { inner: opened.await??, log, id: id.to_owned() })
    }

    /// The partitions that a transaction names, with the ends of those where nothing goes. They are asked before it begins, so that an
    /// error of theirs means that nothing of it was kept.
    async fn ends_before(&self, transaction: &Transaction) -> Result<Vec<(String, i32, i64)>> {
        let mut ends: Vec<(String, i32, i64)> = Vec::new();
        for Append { topic, partition, .. } in &transaction.appends {
            if ends.iter().any(|end| end.0 == *topic && end.1 == *partition) {
                continue;
            }
            let mut parts = transaction.appends.iter().filter(|a| a.topic == *topic && a.partition == *partition);
            // Where something goes the end is known once it has gone.
            let end = match parts.all(|a| a.records.is_empty()) {
                true => self.log.watermarks(topic, *partition, false).await?.next,
                false => 0,
            };
            ends.push((topic.clone(), *partition, end));
        }
        Ok(ends)
    }

    /// Refuses what the cluster would refuse in the middle of the transaction, or after it.
    async fn check(&self, transaction: &Transaction) -> Result<()> {
        for append in &transaction.appends {
            let topic = self.log.known_topic(&append.topic).await?;
            if !(0..topic.info.partitions).contains(&append.partition) {
                return Err(Error::unknown_partition(&append.topic, append.partition, topic.info.partitions));
            }
            // Not even all of them together are too large: there is no need to look at each. A key may be a value as well.
            let fit = 2 * append.records.bytes() + RECORD_OVERHEAD <= topic.max_message_bytes;
            if fit && !topic.needs_keys {
                continue;
            }
            for record in &append.records {
                if topic.needs_keys && record.key.is_none() {
                    return Err(Error::keyless(&append.topic).at_partition(&append.topic, append.partition));
                }
                let bytes = size_of(&record) + HEADER_OVERHEAD * record.headers.len();
                if bytes > topic.max_message_bytes {
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!(
                            "a record of {bytes} bytes does not go into {}, which takes {}: raise the topic's max.message.bytes (key: {})",
                            append.topic,
                            topic.max_message_bytes,
                            shown(record.key)
                        ),
                    )
                    .at_partition(&append.topic, append.partition));
                }
            }
        }
        Ok(())
    }
}

/// The bytes that a record has in Kafka, at most, but for [`HEADER_OVERHEAD`].
fn size_of(record: &RecordRef<'_>) -> usize {
    let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    len(record.key) + len(record.value) + record.headers.encoded().len() + RECORD_OVERHEAD
}

/// The beginning of a key, for a message.
fn shown(key: Option<&[u8]>) -> String {
    let Some(key) = key else { return "none".to_owned() };
    let text = String::from_utf8_lossy(key.get(..key.len().min(200)).unwrap_or_default());
    if key.len() > 200 { format!("{text}...") } else { text.into_owned() }
}

#[async_trait]
impl Producer for KafkaProducer {
    async fn append(&mut self, transaction: Transaction) -> Result<Appended> {
        self.check(&transaction).await?;
        let ends = self.ends_before(&transaction).await?;
        let (inner, log, id) = (Arc::clone(&self.inner), self.log.clone(), self.id.clone());
        let appended = self.log.blocking(move || {
            let mut inner = lock(&inner);
            inner.append(&log, &id, &transaction, ends)
        });
        Ok(Appended { next_offsets: appended.await?? })
    }
}

/// librdkafka's list of the headers of a record, copied for as long as the next records have the same.
#[derive(Default)]
struct SharedHeaders<'a> {
    of: Headers<'a>,
    list: Option<OwnedHeaders>,
}

impl<'a> SharedHeaders<'a> {
    fn of(&mut self, headers: Headers<'a>) -> Result<Option<OwnedHeaders>> {
        if headers != self.of {
            if let Some((name, _)) = headers.iter().find(|(name, _)| name.contains('\0')) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "the header {name:?} cannot be written: its name has a zero byte, with which Kafka's client ends names"
                    ),
                ));
            }
            let make = |list: OwnedHeaders, (key, value)| list.insert(Header { key, value: Some(value) });
            self.of = headers;
            self.list = (!headers.is_empty()).then(|| headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), make));
        }
        Ok(self.list.clone())
    }
}

impl Inner {
    /// Hears what the client says of itself while nothing is appended.
    pub(super) fn serve(&self) {
        self.take_reports(Duration::ZERO);
    }

    /// All of it, or an error and nothing; blocks. Returns where the partitions are afterwards; `ends` has it for those where nothing goes.
    fn append(
        &mut self,
        log: &KafkaLog,
        id: &str,
        transaction: &Transaction,
        mut ends: Vec<(String, i32, i64)>,
    ) -> Result<Vec<(String, i32, i64)>> {
        if let Some((kind, message)) = &self.broken {
            return Err(Error::new(*kind, message.clone()));
        }
        if transaction.appends.iter().all(|a| a.records.is_empty()) {
            return Ok(ends);
        }
        (self.began, self.began_at) = (Instant::now(), SystemTime::now());
        let deadline = self.began + self.allowed;
        self.producer.context().begin(transaction.appends.len());
        if let Err(e) = self.producer.begin_transaction() {
            return Err(self.give_up(id, e));
        }
        let sent = self.send(transaction, deadline).and_then(|()| self.delivered(log, transaction, &mut ends));
        if let Err(e) = sent {
            return Err(self.abort(id, e));
        }
        cdc_failpoint::hit("kafka-before-commit");
        loop {
            match self.producer.commit_transaction(remaining(deadline)) {
                Ok(()) => break,
                Err(KafkaError::Transaction(e)) if e.is_retriable() && Instant::now() < deadline => {}
                Err(e) => {
                    let aborts = matches!(&e, KafkaError::Transaction(e) if e.txn_requires_abort());
                    if aborts {
                        let why = self.producer.context().context.wrap("the transaction cannot be committed", e);
                        return Err(self.abort(id, why));
                    }
                    return Err(self.give_up(id, e));
                }
            }
        }
        Ok(ends)
    }

    /// Sends all records, as much at once as makes one batch.
    ///
    /// librdkafka has one batch of a partition on its way at a time, of a producer that is idempotent; while another one waits, its thread
    /// spins until the first is answered.
    fn send(&self, transaction: &Transaction, deadline: Instant) -> Result<()> {
        let mut batch = 0_usize;
        for (part, Append { topic, partition, records, .. }) in transaction.appends.iter().enumerate() {
            let mut headers = SharedHeaders::default();
            for record in records {
                let bytes = size_of(&record);
                if batch > 0 && batch + bytes > self.batch_bytes {
                    self.flush(transaction, deadline)?;
                    batch = 0;
                }
                batch += bytes;
                let mut next = BaseRecord::with_opaque_to(topic, part).partition(*partition).timestamp(record.timestamp_ms);
                (next.key, next.payload) = (record.key, record.value);
                next.headers = headers.of(record.headers).map_err(|e| e.at_partition(topic, *partition))?;
                loop {
                    match self.producer.send(next) {
                        Ok(()) => break,
                        Err((KafkaError::MessageProduction(Code::QueueFull), again)) if Instant::now() < deadline => {
                            next = again;
                            self.take_reports(ROOM_WAIT);
                        }
                        Err((e @ KafkaError::MessageProduction(Code::QueueFull), _)) => {
                            return Err(self.out_of_time(transaction, e));
                        }
                        Err((e, _)) => {
                            let doing = format!("cannot append to {topic}/{partition}");
                            return Err(self.producer.context().context.wrap(&doing, e).at_partition(topic, *partition));
                        }
                    }
                }
            }
        }
        self.flush(transaction, deadline)
    }

    /// Waits until all that was sent has arrived. It goes when it has lingered: to have it flushed would wake the client's threads at
    /// each look.
    fn flush(&self, transaction: &Transaction, deadline: Instant) -> Result<()> {
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(self.out_of_time(transaction, KafkaError::Flush(Code::OperationTimedOut)));
            }
            self.take_reports(REPORT_WAIT);
        }
        Ok(())
    }

    /// Takes the delivery reports that are there, or, if there is none, waits so long for the next.
    fn take_reports(&self, wait: Duration) {
        let mut parts = lock(&self.producer.context().parts);
        take_events(self.producer.client(), wait, |heard| {
            if let Heard::Delivered(part, outcome) = heard {
                report(&mut parts, part, outcome);
            }
        });
    }

    /// The records did not get to the brokers in time.
    fn out_of_time(&self, transaction: &Transaction, e: KafkaError) -> Error {
        let context = &self.producer.context().context;
        let seconds = self.allowed.as_secs_f64();
        if context.had_trouble_since(self.began) {
            return context.wrap(&format!("the brokers did not take the records within {seconds} s (transaction.timeout.ms)"), e);
        }
        let records: usize = transaction.appends.iter().map(|a| a.records.len()).sum();
        let bytes: usize = transaction.appends.iter().map(|a| a.records.bytes()).sum();
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "the brokers did not take the {records} records ({bytes} bytes) of a transaction within {seconds} s, and the connections are not at fault: raise transaction.timeout.ms, or have smaller transactions (transaction.max.bytes)"
            ),
        )
        .with_source(e)
    }

    /// Looks whether all records are where they should be, and where the partitions that they went to are now.
    fn delivered(&self, log: &KafkaLog, transaction: &Transaction, ends: &mut [(String, i32, i64)]) -> Result<()> {
        let reports = self.producer.context().take();
        for (topic, partition, end) in ends.iter_mut() {
            let (topic, partition) = (topic.as_str(), *partition);
            let parts = || transaction.appends.iter().zip(&reports).filter(|(a, _)| a.topic == topic && a.partition == partition);
            let records: usize = parts().map(|(a, _)| a.records.len()).sum();
            let expected = parts().find_map(|(a, _)| a.first_offset);
            if let Some(code) = parts().find_map(|(_, d)| d.failed) {
                if code == Code::MessageTimedOut {
                    return Err(self
                        .out_of_time(transaction, KafkaError::MessageProduction(code))
                        .at_partition(topic, partition));
                }
                let doing = format!("cannot append to {topic}/{partition}");
                return Err(self.producer.context().context.failure(&doing, code).at_partition(topic, partition));
            }
            if records == 0 {
                continue;
            }
            let delivered: usize = parts().map(|(_, d)| d.count).sum();
            let first = parts().map(|(_, d)| d.first).min().unwrap_or(-1);
            let last = parts().map(|(_, d)| d.last).max().unwrap_or(-1);
            if delivered != records {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "of {records} records for {topic}/{partition} the brokers have confirmed {delivered}, and nothing was kept: append them again"
                    ),
                )
                .at_partition(topic, partition));
            }
            let count = i64::try_from(records).unwrap_or(i64::MAX);
            let (first, next) = if first < 0 || last < first {
                // A broker that was asked twice does not say again where the records are.
                let timeout = log.shared.config.request_timeout;
                let asked = log.shared.clients.admin.inner().fetch_watermarks(topic, partition, timeout);
                let (_, next) = asked.map_err(|e| {
                    let doing = format!("cannot ask for the end of {topic}/{partition}");
                    self.producer.context().context.wrap(&doing, e).at_partition(topic, partition)
                })?;
                (next.saturating_sub(count), next)
            } else {
                (first, last.saturating_add(1))
            };
            if let Some(expected) = expected {
                if first != expected {
                    return Err(Error::unexpected_offset(topic, partition, expected, first));
                }
                // Someone else's are among them.
                if next - first != count {
                    return Err(Error::unexpected_offset(topic, partition, first.saturating_add(count), next));
                }
            }
            *end = next.saturating_add(1); // behind the marker
        }
        Ok(())
    }

    /// Nothing of the transaction is kept; says why. If that cannot be reached, this producer is done for.
    fn abort(&mut self, id: &str, why: Error) -> Error {
        if why.kind() == ErrorKind::Fenced {
            return self.fenced(id, why);
        }
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.take_reports(REPORT_WAIT);
        }
        loop {
            match self.producer.abort_transaction(remaining(deadline)) {
                Ok(()) => return why,
                Err(KafkaError::Transaction(e)) if e.is_retriable() && Instant::now() < deadline => {}
                Err(e) => {
                    let code = e.rdkafka_error_code().unwrap_or(Code::Fail);
                    if kind_of(code) == ErrorKind::Fenced {
                        return self.fenced(id, why);
                    }
                    tracing::warn!(error = %e, "a transaction could not be aborted; the cluster does it when its time is over");
                    self.broken = Some((ErrorKind::Unavailable, format!("the producer {id} has failed ({why}): take a new one")));
                    return why;
                }
            }
        }
    }

    /// The cluster takes no more from it: there is a newer one, or it has ended a transaction that took too long, which looks the same.
    fn fenced(&mut self, id: &str, why: Error) -> Error {
        let took = self.began.elapsed().max(self.began_at.elapsed().unwrap_or_default());
        if took >= self.allowed {
            let message = format!(
                "a transaction of {id} took longer than {} s and was aborted by the cluster: take a new producer; if that goes on, raise transaction.timeout.ms, or have smaller transactions (transaction.max.bytes)",
                self.allowed.as_secs_f64()
            );
            self.broken = Some((ErrorKind::Unavailable, message.clone()));
            return Error::new(ErrorKind::Unavailable, message).with_source(why);
        }
        let error = Error::fenced(id).with_source(why);
        self.broken = Some((ErrorKind::Fenced, error.to_string()));
        error
    }

    /// The outcome is not known, or nothing more can be appended.
    fn give_up(&mut self, id: &str, e: KafkaError) -> Error {
        let doing = format!(
            "the outcome of a transaction of {id} is not known (it had {} s, transaction.timeout.ms)",
            self.allowed.as_secs_f64()
        );
        let why = self.producer.context().context.wrap(&doing, e);
        if why.kind() == ErrorKind::Fenced {
            return self.fenced(id, why);
        }
        self.broken = Some((ErrorKind::Unavailable, format!("the producer {id} has failed ({why}): take a new one")));
        Error::new(ErrorKind::Unavailable, why.to_string()).with_source(why)
    }
}

fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}
