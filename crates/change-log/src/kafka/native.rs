//! The calls of librdkafka that its Rust binding does not offer: reading one partition's queue in batches, with the offsets at which
//! it ends; waiting for a producer's delivery reports; the identities of topics; and giving a client its token.
//!
//! The binding's own queue yields a message at a time and drops the offset of an end-of-partition event, without which a reader cannot
//! know that it is behind a transaction's marker; its poll goes on until its time is over, however much has come to a producer, and
//! spins for the last millisecond; and it has no `DescribeTopics`, the only call that tells a topic from another of its name. A token it takes
//! from a callback alone, which comes only to clients that are polled, and without extensions.

#![allow(unsafe_code, reason = "C calls; each block says why it holds")]

use super::client::{Context, Reader};
use super::token_endpoint::Token;
use crate::error::Result;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafka;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Events that are taken from a queue at once.
pub(super) const TAKE: usize = 512;

/// What the queue of a partition holds.
pub(super) enum Event<'a> {
    Record(Message<'a>),
    /// There is nothing more for now: the next record will have this offset or a higher one.
    End(i64),
    Failed(RDKafkaErrorCode),
}

/// A record as librdkafka holds it.
pub(super) struct Message<'a>(&'a c::rd_kafka_message_t);

impl<'a> Message<'a> {
    pub(super) fn offset(&self) -> i64 {
        self.0.offset
    }

    pub(super) fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka sets pointer and length together, and keeps the bytes until the message is destroyed.
        unsafe { bytes(self.0.key, self.0.key_len) }
    }

    pub(super) fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.0.payload, self.0.len) }
    }

    pub(super) fn timestamp_ms(&self) -> i64 {
        // SAFETY: the message is valid; the type is not asked for.
        unsafe { c::rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    /// Calls with each header. False if a name is no UTF-8, which no client of ours writes.
    pub(super) fn headers(&self, mut each: impl FnMut(&'a str, &'a [u8])) -> bool {
        let mut list = ptr::null_mut();
        // SAFETY: the message is valid; the list belongs to it.
        if unsafe { c::rd_kafka_message_headers(self.0, &raw mut list) } != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return true;
        }
        for at in 0.. {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the list is valid, and the out pointers are written before they are read.
            let found = unsafe { c::rd_kafka_header_get_all(list, at, &raw mut name, &raw mut value, &raw mut len) };
            if found != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: a name is a C string, and both live as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, len).unwrap_or_default()) };
            let Ok(name) = name.to_str() else { return false };
            each(name, value);
        }
        true
    }
}

/// # Safety
/// The pointer is null or points to so many bytes, which live for `'a`.
unsafe fn bytes<'a>(at: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len) })
}

/// What a queue tells of itself.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// Notified whenever it was empty and is no more.
    pub(super) notify: Notify,
    /// Something has come since this was taken back.
    pub(super) holds: AtomicBool,
}

/// The queue of one partition that a [`Reader`] is assigned to: split off its main queue, so that each partition is read at its own
/// pace.
pub(super) struct PartitionQueue {
    queue: NonNull<c::rd_kafka_queue_t>,
    /// What the callback is given: one strong count of it is the queue's.
    filled: *const Filled,
    /// The client, which must outlive its queues.
    _reader: Arc<Reader>,
}

// SAFETY: librdkafka's queues may be used from any thread; the pointers are owned, and freed once.
unsafe impl Send for PartitionQueue {}
// SAFETY: as above; a queue has its own lock.
unsafe impl Sync for PartitionQueue {}

/// librdkafka calls this under the queue's lock: it must not wait, and does not.
unsafe extern "C" fn queue_filled(_: *mut RDKafka, filled: *mut c_void) {
    // SAFETY: the pointer is the queue's own count of the `Filled`, given back only when the callback is taken away.
    let filled = unsafe { &*filled.cast::<Filled>() };
    filled.holds.store(true, Ordering::Relaxed);
    filled.notify.notify_waiters();
}

impl PartitionQueue {
    /// Splits it off; `filled` hears what comes.
    pub(super) fn split(reader: &Arc<Reader>, topic: &str, partition: i32, filled: Arc<Filled>) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let client = reader.client().native_ptr();
        // SAFETY: the client is alive; the topic is a C string that the call copies.
        let queue = NonNull::new(unsafe { c::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) })?;
        let filled = Arc::into_raw(filled);
        // SAFETY: the queue is ours until it is destroyed; the callback's pointer lives until it is taken away in `drop`.
        unsafe {
            c::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            c::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(queue_filled), filled.cast_mut().cast());
        }
        Some(Self { queue, filled, _reader: Arc::clone(reader) })
    }

    /// Events that are there.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is valid.
        unsafe { c::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// Takes at most [`TAKE`] events that are there; never waits. Returns how many there were: fewer mean that it is empty now.
    pub(super) fn take(&self, mut each: impl FnMut(Event<'_>) -> Result<()>) -> Result<usize> {
        let mut messages: [*mut c::rd_kafka_message_t; TAKE] = [ptr::null_mut(); TAKE];
        // SAFETY: the array has room for so many pointers.
        let taken = unsafe { c::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages.as_mut_ptr(), TAKE) };
        let taken = usize::try_from(taken).unwrap_or(0);
        let mut outcome = Ok(());
        for &message in messages.iter().take(taken) {
            // SAFETY: librdkafka returned this many valid messages; each is used here alone, and destroyed once.
            unsafe {
                let seen = &*message;
                if outcome.is_ok() {
                    outcome = each(match seen.err {
                        c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Event::Record(Message(seen)),
                        c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Event::End(seen.offset),
                        other => Event::Failed(other.into()),
                    });
                }
                c::rd_kafka_message_destroy(message);
            }
        }
        outcome.map(|()| taken)
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: taken away under the queue's lock, after which the callback is not running and never called again; then the
        // count and the queue are given back, once.
        unsafe {
            c::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            c::rd_kafka_queue_destroy(self.queue.as_ptr());
            drop(Arc::from_raw(self.filled));
        }
    }
}

/// What comes to a client and not to the queue of a partition.
pub(super) enum Heard {
    /// What became of the record that was sent with this number: the offset that it got, or why it got none.
    Delivered(usize, std::result::Result<i64, RDKafkaErrorCode>),
    /// A record of a partition that has no queue of its own.
    Stray,
    /// The consumer group could not be told.
    NotCommitted(RDKafkaErrorCode),
}

/// Takes what a client that answers to nobody's poll has to say, and gives it to its context: it would be kept for ever. Never waits.
pub(super) fn hear(client: &Client<Context>) {
    take_events(client, Duration::ZERO, |_| {});
}

/// Waits until a client has something to say, at most so long (whole milliseconds), and takes all that it says then. Its errors and its
/// log go to its context.
pub(super) fn take_events<C: ClientContext>(client: &Client<C>, wait: Duration, mut each: impl FnMut(Heard)) {
    let mut wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive for the call; the queue and each event are destroyed once, and what an event hands out is used before.
    // A consumer's main queue is forwarded to the one that it is polled by.
    unsafe {
        let queue = c::rd_kafka_queue_get_main(client.native_ptr());
        loop {
            let event = c::rd_kafka_queue_poll(queue, wait_ms);
            if event.is_null() {
                break;
            }
            wait_ms = 0;
            match c::rd_kafka_event_type(event) {
                c::RD_KAFKA_EVENT_DR => {
                    while let Some(message) = c::rd_kafka_event_message_next(event).as_ref() {
                        let outcome = match message.err {
                            c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(message.offset),
                            other => Err(other.into()),
                        };
                        each(Heard::Delivered(message._private.addr(), outcome));
                    }
                }
                c::RD_KAFKA_EVENT_FETCH => each(Heard::Stray),
                c::RD_KAFKA_EVENT_OFFSET_COMMIT => match c::rd_kafka_event_error(event) {
                    c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                    other => each(Heard::NotCommitted(other.into())),
                },
                c::RD_KAFKA_EVENT_ERROR => {
                    let reason = CStr::from_ptr(c::rd_kafka_event_error_string(event)).to_string_lossy();
                    client.context().error(KafkaError::Global(c::rd_kafka_event_error(event).into()), reason.trim());
                }
                _ => {
                    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                    // Zero: it is a line of the log, and so is an error of a client that has not asked for errors.
                    if c::rd_kafka_event_log(event, &raw mut facility, &raw mut text, &raw mut level) == 0 {
                        let (facility, text) =
                            (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(text).to_string_lossy());
                        client.context().log(log_level(level), facility.trim(), text.trim());
                    }
                }
            }
            c::rd_kafka_event_destroy(event);
        }
        c::rd_kafka_queue_destroy(queue);
    }
}

/// Gives a client the token that it logs in with (SASL OAUTHBEARER) from now on. Never waits.
pub(super) fn set_token<C: ClientContext>(client: &Client<C>, token: &Token) -> std::result::Result<(), RDKafkaErrorCode> {
    let mut extensions: Vec<*const c_char> = token.extensions.iter().map(|text| text.as_ptr()).collect();
    // What it says is not looked at: the token may be in it.
    let mut text: [c_char; 512] = [0; 512];
    // SAFETY: the client is alive for the call, which may come from any thread; all texts are C strings that outlive it, and are copied;
    // both lengths are those of what they go with.
    let code = unsafe {
        c::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.value.as_ptr(),
            token.expires_ms(),
            token.principal.as_ptr(),
            extensions.as_mut_ptr(),
            extensions.len(),
            text.as_mut_ptr(),
            text.len(),
        )
    };
    match code {
        c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        other => Err(other.into()),
    }
}

/// By syslog's numbers.
fn log_level(level: i32) -> RDKafkaLogLevel {
    match level {
        0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// A topic as `DescribeTopics` tells of it.
pub(super) struct Described {
    pub(super) name: String,
    /// The topic's UUID, in Kafka's own base64 form.
    pub(super) id: String,
    pub(super) partitions: i32,
    /// All partitions have a leader.
    pub(super) led: bool,
    /// The copies of the partition that has fewest.
    pub(super) replicas: usize,
}

/// Asks the cluster for these topics. Blocks for as long as `timeout`. A topic that is not there is left out; a topic that
/// cannot be described is the error.
pub(super) fn describe_topics(
    client: &Client<Context>,
    names: &[String],
    timeout: Duration,
) -> std::result::Result<Vec<Described>, RDKafkaErrorCode> {
    let client = client.native_ptr();
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(name.as_str()).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the caller's client is alive for the call. Everything that is made here is destroyed here, also on the way out with an error; what a
    // result hands out belongs to its event, and is copied before the event is destroyed.
    unsafe {
        let queue = c::rd_kafka_queue_new(client);
        let topics = c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = c::rd_kafka_AdminOptions_new(client, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut text: [c_char; 128] = [0; 128];
        c::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text.as_mut_ptr(), text.len());
        c::rd_kafka_DescribeTopics(client, topics, options, queue);
        // The request's own time-out ends it; a little later is only for the case that it does not.
        let event = c::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(5_000));
        let described = if event.is_null() { Err(RDKafkaErrorCode::OperationTimedOut) } else { read_described(event) };
        if !event.is_null() {
            c::rd_kafka_event_destroy(event);
        }
        c::rd_kafka_AdminOptions_destroy(options);
        c::rd_kafka_TopicCollection_destroy(topics);
        c::rd_kafka_queue_destroy(queue);
        described
    }
}

/// # Safety
/// The event is a valid one.
unsafe fn read_described(event: *mut c::rd_kafka_event_t) -> std::result::Result<Vec<Described>, RDKafkaErrorCode> {
    // SAFETY: the event is valid for the whole function, and so is all that it hands out.
    unsafe {
        let error = c::rd_kafka_event_error(event);
        if error != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        let result = c::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let mut count = 0;
        let topics = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut out = Vec::with_capacity(count);
        for at in 0..count {
            let topic = *topics.add(at);
            let error = c::rd_kafka_TopicDescription_error(topic);
            match RDKafkaErrorCode::from(c::rd_kafka_error_code(error)) {
                RDKafkaErrorCode::NoError => {}
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => continue,
                other => return Err(other),
            }
            let mut partitions = 0;
            let infos = c::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
            let led = (0..partitions).all(|p| {
                let leader = c::rd_kafka_TopicPartitionInfo_leader(*infos.add(p));
                !leader.is_null() && c::rd_kafka_Node_id(leader) >= 0
            });
            let replicas = |p| {
                let mut count = 0;
                c::rd_kafka_TopicPartitionInfo_replicas(*infos.add(p), &raw mut count);
                count
            };
            let id = c::rd_kafka_Uuid_base64str(c::rd_kafka_TopicDescription_topic_id(topic));
            out.push(Described {
                name: CStr::from_ptr(c::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned(),
                id: CStr::from_ptr(id).to_string_lossy().into_owned(),
                partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
                led,
                replicas: (0..partitions).map(replicas).min().unwrap_or(0),
            });
        }
        Ok(out)
    }
}
