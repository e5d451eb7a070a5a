#![doc = include_str!("../README.md")]

mod answer;
mod backoff;
mod client;
mod decimal;
mod error;
mod from_value;
mod page;
mod query;
mod scan;
mod session;
mod temporal;
mod transport;
mod types;
mod value;
mod values;

pub use client::{Client, ClientBuilder};
pub use decimal::Decimal;
pub use error::{BoxError, Error, ErrorKind, Position, Result, ServerError, ServerErrorType};
pub use from_value::{FromRow, FromValue, Mismatch};
pub use page::{Column, ColumnIndex, Page, Row};
pub use query::{Executed, Query, Warning};
pub use session::Session;
pub use temporal::{Date, IntervalDayToSecond, IntervalYearToMonth, Time, TimeWithTimeZone, Timestamp, TimestampWithTimeZone};
pub use types::{RowField, TrinoType, TypeError};
pub use value::{Array, InvalidUuid, Map, Record, Uuid, Value};
