//! The encoder's output as records of the log, without a copy.

use change_log::{HeaderSet, RecordsBuilder};
use debezium_format::{ContextHeaders, EncodedEvent, EventSink};

/// Writes events into a [`RecordsBuilder`].
pub(crate) struct EventRecords<'a> {
    records: &'a mut RecordsBuilder,
    context: Option<HeaderSet>,
    failure: Option<change_log::Error>,
}

impl<'a> EventRecords<'a> {
    pub(crate) fn new(records: &'a mut RecordsBuilder) -> Self {
        Self { records, context: None, failure: None }
    }

    /// The first record that the log could not take, if there was one. Must be asked after encoding.
    pub(crate) fn finish(self) -> Result<(), change_log::Error> {
        self.failure.map_or(Ok(()), Err)
    }

    fn context(&mut self, headers: &ContextHeaders) -> Result<HeaderSet, change_log::Error> {
        if let Some(context) = self.context {
            return Ok(context);
        }
        let list: Vec<(&str, &[u8])> = headers.iter().collect();
        let context = self.records.headers(&list)?;
        self.context = Some(context);
        Ok(context)
    }
}

impl EventSink for EventRecords<'_> {
    fn arena(&mut self) -> &mut Vec<u8> {
        self.records.arena()
    }

    fn may_break(&mut self) {
        self.records.may_break();
    }

    fn commit(&mut self, event: EncodedEvent<'_>) {
        if self.failure.is_some() {
            return;
        }
        let committed = self.context(event.context).and_then(|context| {
            let headers = match &event.key_change {
                None => context,
                Some((change, range)) => {
                    let value = self.records.arena().get(range.clone()).unwrap_or_default().to_vec();
                    let mut list: Vec<(&str, &[u8])> = vec![(change.header(), &value)];
                    list.extend(event.context.iter());
                    self.records.headers(&list)?
                }
            };
            self.records.commit(event.key, event.value, headers, event.timestamp_ms)
        });
        self.failure = committed.err();
    }
}
