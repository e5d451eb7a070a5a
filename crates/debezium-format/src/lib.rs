#![doc = include_str!("../README.md")]

mod base64_text;
mod columns;
mod config;
mod connect_field;
mod connect_schema;
mod connect_type;
mod decimal;
mod decode;
mod encode;
mod error;
mod event;
mod event_schema;
mod flat;
mod general;
mod number_text;
mod plan;
mod reader;
mod scan;
mod string_text;
mod time_text;
mod value_text;
mod wire;

pub use config::{
    BigintUnsigned, BinaryMode, Connector, Converter, DecimalMode, DecoderConfig, EncoderConfig, Profile, TimePrecision,
};
pub use decode::{Decoded, DecodedBatch, Decoder};
pub use encode::{DEBEZIUM_VERSION, Encoder};
pub use error::{Error, ErrorKind, Result};
pub use event::{ContextHeaders, EncodedEvent, EventSink, KeyChange, Record, RecordList};
pub use event_schema::{EventSchema, Layout, is_truncate, schema_extent};
