//! The sink half: events in the log become commits of Iceberg tables. One worker and one coordinator per table.

#[cfg(feature = "kafka")]
mod control_events;
mod event_decoder;
mod event_schemas;
mod iceberg_table;
mod insert_certainty;
#[cfg(feature = "kafka")]
mod left_rows;
mod log;
mod maintenance;
#[cfg(feature = "kafka")]
mod predecessor;
mod progress_view;
mod span_writer;
mod table_task;

pub(crate) use event_schemas::EventSchemas;
pub(crate) use iceberg_table::feeding_topics;
pub(crate) use progress_view::ProgressFollower;
pub(crate) use table_task::{TableHandle, TableProgressReport, TableTask, mirrored_name, newest_checkpoint};
