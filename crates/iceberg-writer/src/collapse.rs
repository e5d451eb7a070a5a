//! Many changes of one key become at most one delete and one row.

use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyEncoder, KeyMap};
use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::BooleanBufferBuilder;
use cdc_core::Op;

/// Which inserts of a batch certainly have no older version of their key in the table.
///
/// Only reads and creates are looked at: an update or a delete always has one.
#[derive(Debug, Clone, Copy)]
pub enum NewRows<'a> {
    /// Nothing is certain: every insert deletes first.
    Unknown,
    /// Every insert is new.
    All,
    /// Those inserts are new whose entry is true; one entry for each row.
    Marked(&'a [bool]),
}

impl NewRows<'_> {
    pub(crate) fn is_new(&self, row: usize) -> bool {
        match self {
            Self::Unknown => false,
            Self::All => true,
            Self::Marked(rows) => rows.get(row).copied().unwrap_or(false),
        }
    }
}

/// What is known of one key: its first event decides whether older versions are deleted, its last one decides the row.
struct Slot {
    batch: u32,
    row: u32,
    deletes: bool,
    keeps: bool,
}

/// The state of one span.
pub(crate) struct Collapse {
    encoder: KeyEncoder,
    slots: KeyMap<Slot>,
    batch_rows: Vec<usize>,
}

/// Which rows of one batch are written.
pub(crate) struct Chosen {
    /// To the data file; `None` is none.
    pub data: Option<BooleanArray>,
    /// By their key to the delete file; `None` is none.
    pub deletes: Option<BooleanArray>,
}

impl Collapse {
    pub(crate) fn new(encoder: KeyEncoder) -> Self {
        Self { encoder, slots: KeyMap::new(), batch_rows: Vec::new() }
    }

    /// Takes in the next batch: its key columns and operations.
    pub(crate) fn add(&mut self, columns: &[ArrayRef], ops: &[Op], new: NewRows<'_>) -> Result<()> {
        let too_many = |e| Error::new(ErrorKind::Invalid, "too many rows at once: end the span earlier").with_source(e);
        let batch = u32::try_from(self.batch_rows.len()).map_err(too_many)?;
        u32::try_from(ops.len()).map_err(too_many)?;
        let keys = self.encoder.encode(columns)?;
        for (row, op) in (0_u32..).zip(ops) {
            let i = row as usize;
            let keeps = *op != Op::Delete;
            let slot = self.slots.get_or_insert(keys.at(i), || Slot {
                batch,
                row,
                deletes: !(matches!(op, Op::Read | Op::Create) && new.is_new(i)),
                keeps,
            })?;
            (slot.batch, slot.row, slot.keeps) = (batch, row, keeps);
        }
        self.batch_rows.push(ops.len());
        Ok(())
    }

    /// Bytes held, without the batches.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// The rows to write, batch by batch.
    pub(crate) fn finish(self) -> Vec<Chosen> {
        let empty = |rows: &usize| {
            let mut bits = BooleanBufferBuilder::new(*rows);
            bits.append_n(*rows, false);
            (bits, 0_usize)
        };
        let mut data: Vec<_> = self.batch_rows.iter().map(empty).collect();
        let mut deletes: Vec<_> = self.batch_rows.iter().map(empty).collect();
        for slot in self.slots.values() {
            for (wanted, side) in [(slot.keeps, &mut data), (slot.deletes, &mut deletes)] {
                if wanted && let Some((bits, count)) = side.get_mut(slot.batch as usize) {
                    bits.set_bit(slot.row as usize, true);
                    *count += 1;
                }
            }
        }
        let array =
            |(mut bits, count): (BooleanBufferBuilder, usize)| (count > 0).then(|| BooleanArray::new(bits.finish(), None));
        data.into_iter().zip(deletes).map(|(data, deletes)| Chosen { data: array(data), deletes: array(deletes) }).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use arrow_array::Int64Array;
    use arrow_schema::DataType;
    use cdc_core::Op::{Create, Delete, Read, Update};
    use std::sync::Arc;

    /// Rows of (data, deletes) as key values, for batches of (op, key).
    fn collapse(batches: &[&[(Op, i64)]], new: NewRows<'_>) -> (Vec<i64>, Vec<i64>) {
        let mut c = Collapse::new(KeyEncoder::new(&[DataType::Int64], false).unwrap());
        for batch in batches {
            let keys: ArrayRef = Arc::new(Int64Array::from(batch.iter().map(|b| b.1).collect::<Vec<_>>()));
            c.add(&[keys], &batch.iter().map(|b| b.0).collect::<Vec<_>>(), new).unwrap();
        }
        let (mut data, mut deletes) = (Vec::new(), Vec::new());
        for (batch, chosen) in batches.iter().zip(c.finish()) {
            for (side, out) in [(chosen.data, &mut data), (chosen.deletes, &mut deletes)] {
                let Some(side) = side else { continue };
                out.extend(batch.iter().enumerate().filter(|(i, _)| side.value(*i)).map(|(_, b)| b.1));
            }
        }
        (data, deletes)
    }

    #[test]
    fn the_first_event_decides_the_delete_and_the_last_the_row() {
        assert_eq!(collapse(&[&[(Delete, 1), (Create, 1)]], NewRows::All), (vec![1], vec![1]));
        assert_eq!(collapse(&[&[(Create, 1), (Update, 1), (Delete, 1)]], NewRows::All), (vec![], vec![]));
        assert_eq!(collapse(&[&[(Update, 1)], &[(Update, 1), (Create, 2)]], NewRows::All), (vec![1, 2], vec![1]));
        assert_eq!(collapse(&[&[(Update, 1)], &[(Delete, 1)]], NewRows::All), (vec![], vec![1]));
    }

    #[test]
    fn an_insert_deletes_unless_it_is_certainly_new() {
        assert_eq!(collapse(&[&[(Create, 1), (Read, 2)]], NewRows::Unknown), (vec![1, 2], vec![1, 2]));
        assert_eq!(collapse(&[&[(Create, 1), (Read, 2)]], NewRows::All), (vec![1, 2], vec![]));
        assert_eq!(collapse(&[&[(Create, 1), (Read, 2)]], NewRows::Marked(&[false, true])), (vec![1, 2], vec![1]));
        assert_eq!(collapse(&[&[(Update, 1), (Delete, 2)]], NewRows::Marked(&[true, true])), (vec![1], vec![1, 2]));
    }

    #[test]
    fn a_later_certainty_does_not_undo_an_earlier_doubt() {
        let batch: &[(Op, i64)] = &[(Create, 1), (Delete, 1), (Create, 1)];
        assert_eq!(collapse(&[batch], NewRows::Marked(&[false, false, true])), (vec![1], vec![1]));
    }
}
