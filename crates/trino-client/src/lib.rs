#![doc = include_str!("../README.md")]

mod types;

pub use types::{RowField, TrinoType, TypeError};
