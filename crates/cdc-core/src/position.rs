use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A set of transaction numbers as sorted, disjoint, non-adjacent half-open intervals `[start, end)`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntervalSet(Vec<(u64, u64)>);

impl IntervalSet {
    /// The set `[start, end)`; empty if `end <= start`.
    pub fn range(start: u64, end: u64) -> Self {
        let mut set = Self::default();
        set.insert(start, end);
        set
    }

    /// Adds `[start, end)`, merging with what it touches.
    pub fn insert(&mut self, start: u64, end: u64) {
        if end <= start {
            return;
        }
        // The common case of a stream: the next number of the last interval.
        if let Some(last) = self.0.last_mut()
            && last.0 <= start
            && start <= last.1
        {
            last.1 = last.1.max(end);
            return;
        }
        let from = self.0.partition_point(|&(_, e)| e < start);
        let to = self.0.partition_point(|&(s, _)| s <= end);
        let (mut start, mut end) = (start, end);
        if from < to {
            start = start.min(self.0[from].0);
            end = end.max(self.0[to - 1].1);
        }
        self.0.splice(from..to, [(start, end)]);
    }

    /// True if every number of `other` is here.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|&(s, e)| {
            let i = self.0.partition_point(|&(_, end)| end <= s);
            self.0.get(i).is_some_and(|&(start, end)| start <= s && e <= end)
        })
    }

    /// True if the number is here.
    pub fn contains_number(&self, n: u64) -> bool {
        let i = self.0.partition_point(|&(_, end)| end <= n);
        self.0.get(i).is_some_and(|&(start, _)| start <= n)
    }

    /// The intervals, sorted.
    pub fn intervals(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// The numbers that are here and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for &(mut s, e) in &self.0 {
            for &(os, oe) in &other.0 {
                if oe <= s || os >= e {
                    continue;
                }
                if os > s {
                    out.insert(s, os);
                }
                s = s.max(oe);
                if s >= e {
                    break;
                }
            }
            out.insert(s, e);
        }
        out
    }

    /// True if it has no number.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Which transactions a server has, per origin of transactions (MySQL: server UUID and tag; MariaDB: domain).
///
/// Ordered by inclusion, so only partially: two sets of which neither contains the other are not comparable.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionSet(pub BTreeMap<String, IntervalSet>);

impl TransactionSet {
    /// True if every transaction of `other` is here.
    pub fn contains(&self, other: &Self) -> bool {
        other.0.iter().all(|(origin, set)| set.is_empty() || self.0.get(origin).is_some_and(|mine| mine.contains(set)))
    }

    /// True if the origin's transaction is here.
    pub fn contains_number(&self, origin: &str, n: u64) -> bool {
        self.0.get(origin).is_some_and(|set| set.contains_number(n))
    }

    /// Adds one transaction.
    pub fn insert(&mut self, origin: &str, n: u64) {
        match self.0.get_mut(origin) {
            Some(set) => set.insert(n, n.saturating_add(1)),
            None => {
                self.0.insert(origin.to_owned(), IntervalSet::range(n, n.saturating_add(1)));
            }
        }
    }

    /// Adds all of `other`.
    pub fn union(&mut self, other: &Self) {
        for (origin, set) in &other.0 {
            let mine = self.0.entry(origin.clone()).or_default();
            for &(s, e) in set.intervals() {
                mine.insert(s, e);
            }
        }
    }

    /// The transactions that are here and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let empty = IntervalSet::default();
        Self(
            self.0
                .iter()
                .map(|(origin, set)| (origin.clone(), set.minus(other.0.get(origin).unwrap_or(&empty))))
                .filter(|(_, set)| !set.is_empty())
                .collect(),
        )
    }

    /// True if it has no transaction.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(IntervalSet::is_empty)
    }
}

impl PartialOrd for TransactionSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self.contains(other), other.contains(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

/// A place in one server's log of changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct LogCoordinate {
    /// The log file. Files of one server sort by their number, which is padded; [`SourcePosition`] compares the numbers.
    pub file: String,
    /// The offset in the file, in bytes: the start of the transaction that is in progress, or the end of the last one.
    pub offset: u64,
    /// How many row changes of the transaction at `offset` are done (they are counted over all tables of the server's log,
    /// captured or not).
    pub row: u64,
}

/// Up to where a source's changes are complete.
///
/// Positions of one server compare by their logs, those of different servers by their transaction sets: partially.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourcePosition {
    /// The server's own identity (MySQL: `server_uuid`; MariaDB: `server_id`), for telling a fail-over.
    pub server: String,
    /// All transactions that are complete.
    pub transactions: TransactionSet,
    /// Where in the server's log to go on.
    pub log: LogCoordinate,
    /// The creation time in the log file's first event, seconds since the Unix epoch: tells a recreated log from the old one.
    pub log_created: u32,
    /// The commit time of the last change, microseconds since the Unix epoch.
    pub ts_us: i64,
}

impl PartialOrd for SourcePosition {
    /// `None`: not comparable. By log coordinates on one server, else by transaction sets.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self.server == other.server {
            let number = |file: &str| file.rsplit('.').next().and_then(|n| n.parse::<u64>().ok());
            return match (number(&self.log.file), number(&other.log.file)) {
                (Some(a), Some(b)) => Some((a, self.log.offset, self.log.row).cmp(&(b, other.log.offset, other.log.row))),
                _ => self.log.partial_cmp(&other.log),
            };
        }
        if self.transactions.is_empty() || other.transactions.is_empty() {
            return None;
        }
        self.transactions.partial_cmp(&other.transactions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(intervals: &[(u64, u64)]) -> IntervalSet {
        let mut s = IntervalSet::default();
        for &(a, b) in intervals {
            s.insert(a, b);
        }
        s
    }

    #[test]
    fn intervals_that_touch_become_one() {
        assert_eq!(set(&[(1, 3), (3, 5), (8, 9), (5, 8)]).intervals(), &[(1, 9)]);
        assert_eq!(set(&[(10, 12), (1, 2), (5, 6)]).intervals(), &[(1, 2), (5, 6), (10, 12)]);
        assert_eq!(set(&[(1, 2), (5, 6), (0, 20)]).intervals(), &[(0, 20)]);
    }

    #[test]
    fn a_set_with_a_gap_does_not_contain_the_range_over_it() {
        let gap = set(&[(1, 5), (6, 9)]);
        assert!(gap.contains(&set(&[(2, 4), (7, 9)])));
        assert!(!gap.contains(&set(&[(4, 7)])));
        assert!(!gap.contains_number(5));
    }

    #[test]
    fn minus_leaves_what_the_other_lacks() {
        assert_eq!(set(&[(1, 10)]).minus(&set(&[(3, 5), (8, 20)])).intervals(), &[(1, 3), (5, 8)]);
        assert!(set(&[(1, 10)]).minus(&set(&[(0, 10)])).is_empty());
    }

    #[test]
    fn sets_of_two_servers_are_not_comparable_until_one_contains_the_other() {
        let (mut a, mut b) = (TransactionSet::default(), TransactionSet::default());
        a.insert("s1", 1);
        b.insert("s2", 1);
        assert_eq!(a.partial_cmp(&b), None);
        b.insert("s1", 1);
        assert_eq!(a.partial_cmp(&b), Some(Ordering::Less));
    }

    #[test]
    fn file_numbers_compare_as_numbers_beyond_their_padding() {
        let at = |file: &str| SourcePosition {
            server: "s".into(),
            log: LogCoordinate { file: file.into(), offset: 4, row: 0 },
            ..Default::default()
        };
        assert!(at("bin.999999") < at("bin.1000000"));
    }
}
