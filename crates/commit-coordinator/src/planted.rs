//! Known protocol bugs. Without the feature `planted-bugs` nothing of them is in the program: [`Planted`] is empty and all
//! questions are answered `false` at compile time.

#[cfg(feature = "planted-bugs")]
/// A mistake that somebody could make in this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Bug {
    /// A delta whose `from` is below the checkpoint is committed.
    StaleCheckSkipped,
    /// After a conflict the same change is put onto the new head without asking the rule again.
    RetryWithoutRecheck,
    /// An unknown outcome is taken for a failure: the same change is committed again without looking for the first.
    UnknownTakenForFailure,
    /// One snapshot holds two spans of one log partition.
    TwoSpansInOneSnapshot,
    /// A barrier is committed although not all log partitions are at it, or some are beyond it.
    BarrierNotWaitedFor,
    /// A barrier that keeps rows is committed from below, as only one that removes them may be.
    KeepingBarrierFromBelow,
    /// Files of an attempt with an unknown outcome are deleted.
    FilesDeletedAfterUnknown,
    /// A span is written without reading the progress records first.
    CutWithoutProgress,
    /// A rewrite is committed although files that it replaces are gone.
    RewriteOfGoneFiles,
    /// Rewritten files take the sequence number of their commit: deletes that came meanwhile do not reach them.
    RewriteAtNewSequence,
}

/// Which bug is planted.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planted(pub Option<Bug>);

/// Deletes files, for the bug that does.
#[cfg(feature = "planted-bugs")]
pub type Discard<F> = Box<dyn Fn(&F) + Send + Sync>;

/// Which bug is planted: none.
#[cfg(not(feature = "planted-bugs"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Planted {}

#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($planted:expr, $bug:ident) => {
        $planted.0 == Some($crate::planted::Bug::$bug)
    };
}

#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($planted:expr, $bug:ident) => {{
        let _: $crate::planted::Planted = $planted;
        false
    }};
}

pub(crate) use planted;
