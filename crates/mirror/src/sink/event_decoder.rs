//! The decoder of a table's events under one schema version, whoever wrote them.

use crate::config::EventFormat;
use crate::error::BoxError;
use crate::progress_topic::TableProgress;
use debezium_format::{Decoder, DecoderConfig, EventSchema, Layout};
use std::sync::Arc;

/// The column in which the transformation `ExtractNewRecordState` says that a row is gone.
const DELETED: &str = "__deleted";

/// A decoder, and what else must be known of the events.
pub(super) struct EventDecoder {
    pub(super) decoder: Decoder,
    /// The schema that each event carries, where no progress topic tells it.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "only tables of a Kafka Connect sink are compared with it"))]
    pub(super) carried: Option<Arc<EventSchema>>,
    /// Rows come without an envelope, and nothing else says that one is gone.
    pub(super) tombstones_delete: bool,
}

impl EventDecoder {
    /// The decoder of this version.
    ///
    /// # Errors
    /// The version is not known, or no decoder can be made for it.
    pub(super) async fn of_version(table: &TableProgress, version: u32, format: EventFormat) -> Result<Self, BoxError> {
        let known = table.schemas.get(&version);
        let known = known.ok_or_else(|| format!("the progress topic has no schema version {version} of the table"))?;
        let schema = Arc::new(known.schema.clone());
        let Some(found) = &table.event_schemas else {
            let events = format.or_recorded(&known.format).map_err(|unknown| {
                format!("its events are written with {unknown}, which this version cannot read: use a newer one")
            })?;
            let decoder = Decoder::new(schema, DecoderConfig::new(events.converter, events.profile))?;
            return Ok(Self { decoder, carried: None, tombstones_delete: false });
        };
        let carried = found.of_version(version).await.ok_or_else(|| format!("no event of version {version} was seen"))?;
        let tombstones_delete = carried.layout() == Layout::Flat && carried.columns().iter().all(|c| c.name != DELETED);
        Ok(Self { decoder: Decoder::for_events(schema, &carried)?, carried: Some(carried), tombstones_delete })
    }
}
