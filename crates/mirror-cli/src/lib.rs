#![doc = include_str!("../README.md")]

mod connect_rest;
pub mod event_output;
mod interrupt;
mod options;
mod outcome;
pub mod output;
mod progress;
pub mod service;
pub mod text_table;

pub use interrupt::Interrupt;
pub use options::{LogFormat, Options};
pub use outcome::{Outcome, main};
pub use progress::Progress;
