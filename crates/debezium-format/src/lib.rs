#![doc = include_str!("../README.md")]

mod base64_text;
mod columns;
mod config;
mod connect_schema;
mod decimal;
mod decode;
mod encode;
mod error;
mod event;
mod general;
mod number_text;
mod plan;
mod reader;
mod scan;
mod string_text;
mod time_text;
mod value_text;
mod wire;

pub use config::{BigintUnsigned, Connector, Converter, DecimalMode, DecoderConfig, EncoderConfig, Profile};
pub use decode::{Decoded, DecodedBatch, Decoder};
pub use encode::{DEBEZIUM_VERSION, Encoder};
pub use error::{Error, ErrorKind, Result};
pub use event::{ContextHeaders, EncodedEvent, EventSink, KeyChange, Record, RecordList};
