//! Which segments may go.

use super::directory;
use super::index::Sealed;
use super::state::State;
use super::writer::{Writer, now_ms};
use crate::local::LocalLogConfig;
use std::fs;
use std::io::ErrorKind as IoKind;

/// The log is larger than it may be, and only records that nobody has applied are left to remove.
///
/// The log never drops them by itself. The owner decides: let the holders catch up, or give them up (mark their tables "needs
/// rebuild") and [release](crate::ChangeLog::release) them up to [`Holder::needed`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverRetention {
    /// Bytes of all segment files.
    pub bytes: u64,
    /// What `log.retention.bytes` allows.
    pub limit: u64,
    /// Who holds the segments that would have to go, by topic and partition.
    pub holders: Vec<Holder>,
}

/// A partition that holds old segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Everything before is applied.
    pub applied: i64,
    /// Would have to be applied, or given up, up to here.
    pub needed: i64,
}

/// Bytes of all segment files.
pub(super) fn total_bytes(state: &State) -> u64 {
    state.sealed.iter().map(|s| s.len).sum::<u64>() + state.active.len
}

fn is_applied(state: &State, sealed: &Sealed) -> bool {
    sealed.slices.iter().all(|(&id, slice)| state.by_id(id).is_none_or(|p| p.compacted.is_some() || p.applied >= slice.next))
}

/// True if the oldest segment may go.
pub(super) fn may_go(state: &State, config: &LocalLogConfig, now_ms: i64) -> bool {
    let Some(oldest) = state.sealed.front() else { return false };
    let age = u64::try_from(now_ms.saturating_sub(oldest.newest_ms)).unwrap_or(0);
    let too_many = config.retention_bytes > 0 && total_bytes(state) > config.retention_bytes;
    (age >= config.retention_ms || too_many) && is_applied(state, oldest)
}

pub(super) fn over_retention(state: &State, limit: u64) -> Option<OverRetention> {
    let bytes = total_bytes(state);
    if limit == 0 || bytes <= limit {
        return None;
    }
    let mut holders: Vec<Holder> = Vec::new();
    let mut left = bytes;
    for sealed in &state.sealed {
        if left <= limit {
            break;
        }
        left -= sealed.len;
        for topic in state.topics.values() {
            for (partition, p) in (0..).zip(&topic.partitions) {
                let Some(slice) = sealed.slices.get(&(topic.number, partition)) else { continue };
                if p.compacted.is_some() || p.applied >= slice.next {
                    continue;
                }
                match holders.iter_mut().find(|h| h.topic == topic.info.name && h.partition == partition) {
                    Some(holder) => holder.needed = slice.next,
                    None => {
                        holders.push(Holder { topic: topic.info.name.clone(), partition, applied: p.applied, needed: slice.next })
                    }
                }
            }
        }
    }
    holders.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    (!holders.is_empty()).then_some(OverRetention { bytes, limit, holders })
}

impl Writer {
    /// Removes the segments that may go, oldest first.
    pub(super) fn retain(&mut self) {
        loop {
            let oldest = {
                let mut state = self.shared.state();
                if !may_go(&state, &self.shared.config, now_ms()) {
                    return;
                }
                let Some(oldest) = state.sealed.front().cloned() else { return };
                for (&id, slice) in &oldest.slices {
                    if let Some(p) = state.by_id_mut(id)
                        && p.compacted.is_none()
                    {
                        p.first = p.first.max(slice.next);
                    }
                }
                state.loaded.clear();
                oldest
            };
            let removed = fs::remove_file(&oldest.path).or_else(|e| if e.kind() == IoKind::NotFound { Ok(()) } else { Err(e) });
            if let Err(error) = removed {
                tracing::warn!(segment = %oldest.path.display(), %error, "cannot remove a segment that may go; trying again later");
                return;
            }
            self.shared.state().sealed.pop_front();
            // Without its segment an index is removed at the next opening as well.
            let _ = fs::remove_file(oldest.index_path());
            // The order of removals must outlive a crash of the machine: a gap would be taken for a loss.
            if let Err(error) = directory::sync(self.directory.path()) {
                tracing::warn!(%error, "cannot make the removal of a segment durable");
                return;
            }
            tracing::info!(segment = %oldest.path.display(), bytes = oldest.len, "removed a segment whose records are applied");
        }
    }
}
