#![doc = include_str!("../README.md")]

/// A place that a test can name.
#[cfg(not(feature = "enabled"))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

#[cfg(feature = "enabled")]
mod enabled;
#[cfg(feature = "enabled")]
pub use enabled::hit;
