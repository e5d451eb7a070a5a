//! Rows without an envelope: what an event did is in the columns that `ExtractNewRecordState` adds, if it adds them.

use crate::columns::Data;
use crate::error::Fault;
use crate::general::{Outcome, Rows};
use cdc_core::{LogicalType, Op, TableSchema};

/// The columns that say what an event did and when. Their prefix is the default of `add.fields.prefix`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FlatMarks {
    /// `__op`: the letter.
    op: Option<usize>,
    /// `__deleted`: "true" on the row that a delete leaves (`delete.tombstone.handling.mode=rewrite`).
    deleted: Option<usize>,
    /// The source's time, and how many of its units are a microsecond, or how many microseconds a unit is.
    time: Option<(usize, Unit)>,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl FlatMarks {
    pub fn of(schema: &TableSchema) -> Self {
        let text = |name| schema.columns.iter().position(|c| c.name == name && c.logical_type == LogicalType::String);
        let long = |name| {
            let whole = |c: &LogicalType| matches!(c, LogicalType::Integer { bits: 64, unsigned: false });
            schema.columns.iter().position(|c| c.name == name && whole(&c.logical_type))
        };
        let times = [("__source_ts_us", Unit::Micros), ("__source_ts_ms", Unit::Millis), ("__source_ts_ns", Unit::Nanos)];
        Self {
            op: text("__op"),
            deleted: text("__deleted"),
            time: times.into_iter().find_map(|(name, unit)| Some((long(name)?, unit))),
        }
    }

    /// What the row just appended to `rows` is the row of. Without a mark it is an update, which holds for a new row too.
    pub fn outcome(&self, rows: &Rows) -> Result<Outcome, Fault> {
        let text = |column: Option<usize>| match rows.columns.get(column?).map(|c| &c.data) {
            Some(Data::Text(values)) => values.last(),
            _ => None,
        };
        let deleted = text(self.deleted) == Some(b"true");
        let op = match text(self.op) {
            None | Some(b"") if deleted => Op::Delete,
            None | Some(b"") => Op::Update,
            Some(&[letter]) => Op::from_letter(letter).ok_or_else(|| Fault::schema(0, "an __op that is none of r, c, u, d"))?,
            Some(_) => return Err(Fault::schema(0, "an __op that is no letter")),
        };
        if deleted && op != Op::Delete {
            return Err(Fault::schema(0, "a row that is __deleted by another __op"));
        }
        let source_ts_us = self.time.and_then(|(column, unit)| match rows.columns.get(column).map(|c| &c.data) {
            Some(Data::Int64(values)) => match unit {
                Unit::Millis => values.last()?.checked_mul(1000),
                Unit::Micros => values.last().copied(),
                Unit::Nanos => Some(values.last()?.div_euclid(1000)),
            },
            _ => None,
        });
        Ok(Outcome::Event { op, source_ts_us: source_ts_us.unwrap_or(0) })
    }
}
