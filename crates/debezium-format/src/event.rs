use std::ops::Range;

/// The headers that are the same on every record of a run: `__debezium.context.*`, each value as Connect's JSON converter writes it,
/// with its schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContextHeaders(pub(crate) Vec<(&'static str, Vec<u8>)>);

impl ContextHeaders {
    /// Name and value, in Debezium's order; empty if extended headers are off.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (*name, value.as_slice()))
    }
}

/// The two records of a changed key point to each other by a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyChange {
    /// On the delete and its tombstone: the key that the row has now.
    NewKey,
    /// On the create: the key that the row had.
    OldKey,
}

impl KeyChange {
    /// The header's name.
    pub fn header(self) -> &'static str {
        match self {
            Self::NewKey => "__debezium.newkey",
            Self::OldKey => "__debezium.oldkey",
        }
    }
}

/// One finished record. Ranges are of the sink's arena.
#[derive(Debug, Clone)]
pub struct EncodedEvent<'a> {
    /// The key; `None` for a table without one.
    pub key: Option<Range<usize>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Range<usize>>,
    /// The headers that all records have. Equal for all encoders of one configuration: intern them once.
    pub context: &'a ContextHeaders,
    /// One more header, before the others, on records of a changed key; and its value.
    pub key_change: Option<(KeyChange, Range<usize>)>,
    /// The record's time: when the source processed the change, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// Where an encoder writes: bytes first, into the arena, then the record that they make up.
pub trait EventSink {
    /// The buffer that keys, values and header values are appended to. The encoder only appends, and takes back
    /// at most what it appended since the last record.
    fn arena(&mut self) -> &mut Vec<u8>;

    /// The bytes of the given ranges are complete, and are a record. Several records may name the same bytes: a delete and its
    /// tombstone have one key, and one record's header may be another's key.
    fn commit(&mut self, event: EncodedEvent<'_>);

    /// Between two changes: no range given so far is used again, so the sink may begin another arena.
    fn may_break(&mut self) {}
}

/// A record on its own, for tests and tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// A sink that keeps each record on its own, for tests and tools. It allocates for each.
#[derive(Debug, Default)]
pub struct RecordList {
    arena: Vec<u8>,
    records: Vec<Record>,
}

impl RecordList {
    /// The records so far, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl EventSink for RecordList {
    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    fn commit(&mut self, event: EncodedEvent<'_>) {
        let bytes = |range: Range<usize>| self.arena.get(range).unwrap_or_default().to_vec();
        let first = event.key_change.map(|(change, range)| (change.header().to_owned(), bytes(range)));
        let context = event.context.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
        let headers = first.into_iter().chain(context).collect();
        self.records.push(Record {
            key: event.key.map(bytes),
            value: event.value.map(bytes),
            headers,
            timestamp_ms: event.timestamp_ms,
        });
    }
}
