//! Named points at which a test kills the process, to show that nothing is lost or doubled there; see [`cdc_failpoint`].
//!
//! The points of this crate: `worker-before-finish`, `worker-before-offer`, `worker-after-offer`, `worker-after-receipt`,
//! `coordinator-before-swap`, `coordinator-after-swap`, `coordinator-after-answer`.

pub use cdc_failpoint::hit;
