//! Keys of rows, and tables over them: how rows are told apart when changes are collapsed and deletes applied.

use crate::error::{Error, ErrorKind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::DataType;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;

/// One row's key, comparable by bytes: equal keys are equal, and NULL equals NULL as the specification wants it of deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    /// The key is one integer that is never NULL.
    Int(i64),
    /// Any other key, as arrow-row writes it: every type, NULLs included, without ambiguity.
    Bytes(&'a [u8]),
}

/// Turns key columns into keys.
pub(crate) enum KeyEncoder {
    Int,
    Rows { converter: RowConverter, rows: Rows },
}

/// The keys of one batch.
pub(crate) enum Keys<'a> {
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Rows(&'a Rows),
}

impl KeyEncoder {
    /// An encoder for key columns of these types; `nullable` if any may hold NULL.
    pub(crate) fn new(types: &[DataType], nullable: bool) -> Result<Self> {
        if matches!(types, [DataType::Int32 | DataType::Int64]) && !nullable {
            return Ok(Self::Int);
        }
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())
            .map_err(|e| Error::arrow("a key of these types cannot be compared", e))?;
        let rows = converter.empty_rows(0, 0);
        Ok(Self::Rows { converter, rows })
    }

    /// The keys of all rows of these columns.
    pub(crate) fn encode<'a>(&'a mut self, columns: &'a [ArrayRef]) -> Result<Keys<'a>> {
        match self {
            Self::Int => match columns {
                [c] if c.null_count() > 0 => Err(Error::new(ErrorKind::Invalid, "a key column that is NOT NULL holds NULL")),
                [c] if *c.data_type() == DataType::Int32 => Ok(Keys::Int32(c.as_primitive::<Int32Type>().values())),
                [c] if *c.data_type() == DataType::Int64 => Ok(Keys::Int64(c.as_primitive::<Int64Type>().values())),
                _ => Err(Error::new(ErrorKind::Invalid, "key columns are not of the types that were announced")),
            },
            Self::Rows { converter, rows } => {
                rows.clear();
                converter.append(rows, columns).map_err(|e| Error::arrow("a key cannot be compared", e))?;
                Ok(Keys::Rows(rows))
            }
        }
    }
}

impl Keys<'_> {
    /// The key of a row; an index past the end is an empty key.
    pub(crate) fn at(&self, row: usize) -> Key<'_> {
        match self {
            Self::Int32(v) => Key::Int(v.get(row).copied().unwrap_or_default().into()),
            Self::Int64(v) => Key::Int(v.get(row).copied().unwrap_or_default()),
            Self::Rows(rows) if row < rows.num_rows() => Key::Bytes(rows.row(row).data()),
            Self::Rows(_) => Key::Bytes(&[]),
        }
    }
}

/// A map from keys to small values, in order of first sight. Holds each key once, in one arena.
pub(crate) struct KeyMap<V> {
    index: HashTable<u32>,
    ints: Vec<i64>,
    arena: Vec<u8>,
    ends: Vec<usize>,
    values: Vec<V>,
    hasher: RandomState,
}

impl<V> KeyMap<V> {
    pub(crate) fn new() -> Self {
        Self {
            index: HashTable::new(),
            ints: Vec::new(),
            arena: Vec::new(),
            ends: Vec::new(),
            values: Vec::new(),
            hasher: RandomState::default(),
        }
    }

    /// The value of a key.
    #[inline]
    pub(crate) fn get(&self, key: Key<'_>) -> Option<&V> {
        let i = *self.index.find(hash(&self.hasher, key), |&i| stored(&self.ints, &self.arena, &self.ends, i) == key)?;
        self.values.get(i as usize)
    }

    /// The value of a key, made by `new` if the key was not there.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] above 4 billion keys.
    #[inline]
    pub(crate) fn get_or_insert(&mut self, key: Key<'_>, new: impl FnOnce() -> V) -> Result<&mut V> {
        let Self { index, ints, arena, ends, values, hasher } = self;
        let next =
            u32::try_from(values.len()).map_err(|e| Error::new(ErrorKind::Invalid, "too many keys at once").with_source(e))?;
        let entry = index.entry(
            hash(hasher, key),
            |&i| stored(ints, arena, ends, i) == key,
            |&i| hash(hasher, stored(ints, arena, ends, i)),
        );
        let at = match entry {
            Entry::Occupied(e) => *e.get(),
            Entry::Vacant(e) => {
                e.insert(next);
                match key {
                    Key::Int(v) => ints.push(v),
                    Key::Bytes(b) => {
                        arena.extend_from_slice(b);
                        ends.push(arena.len());
                    }
                }
                values.push(new());
                next
            }
        };
        values.get_mut(at as usize).ok_or_else(|| Error::new(ErrorKind::Other, "a key's slot is missing"))
    }

    /// The values, in order of first sight of their keys.
    pub(crate) fn values(&self) -> &[V] {
        &self.values
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.index.allocation_size()
            + self.ints.capacity() * size_of::<i64>()
            + self.arena.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.values.capacity() * size_of::<V>()
    }
}

#[inline]
fn hash(hasher: &RandomState, key: Key<'_>) -> u64 {
    match key {
        Key::Int(v) => hasher.hash_one(v),
        Key::Bytes(b) => hasher.hash_one(b),
    }
}

#[inline]
fn stored<'a>(ints: &[i64], arena: &'a [u8], ends: &[usize], i: u32) -> Key<'a> {
    let i = i as usize;
    if let Some(&v) = ints.get(i) {
        return Key::Int(v);
    }
    let start = if i == 0 { 0 } else { ends.get(i - 1).copied().unwrap_or_default() };
    let end = ends.get(i).copied().unwrap_or_default();
    Key::Bytes(arena.get(start..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use arrow_array::{Int32Array, Int64Array, StringArray};
    use std::sync::Arc;

    #[test]
    fn equal_keys_share_a_value_and_others_do_not() {
        let mut map = KeyMap::new();
        for (i, k) in [5_i64, 7, 5, -1, 7].into_iter().enumerate() {
            *map.get_or_insert(Key::Int(k), || 0).unwrap() += 10_usize.pow(u32::try_from(i).unwrap());
        }
        assert_eq!(map.values(), [101, 10010, 1000]);
        assert_eq!(map.get(Key::Int(5)), Some(&101));
        assert_eq!(map.get(Key::Int(6)), None);
    }

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other_and_null_is_not_empty() {
        let a: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("ab"), None, Some(""), None]));
        let b: ArrayRef = Arc::new(StringArray::from(vec![Some("bc"), Some("c"), Some("x"), Some("x"), Some("x")]));
        let mut encoder = KeyEncoder::new(&[DataType::Utf8, DataType::Utf8], true).unwrap();
        let columns = [a, b];
        let keys = encoder.encode(&columns).unwrap();
        let mut map = KeyMap::new();
        for row in 0..5 {
            map.get_or_insert(keys.at(row), || row).unwrap();
        }
        assert_eq!(map.values(), [0, 1, 2, 3], "the fifth key, (NULL, x), is the third");
    }

    #[test]
    fn a_narrow_and_a_wide_integer_are_the_same_key() {
        let narrow: [ArrayRef; 1] = [Arc::new(Int32Array::from(vec![-3]))];
        let wide: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![-3]))];
        let mut a = KeyEncoder::new(&[DataType::Int32], false).unwrap();
        let mut b = KeyEncoder::new(&[DataType::Int64], false).unwrap();
        assert_eq!(a.encode(&narrow).unwrap().at(0), b.encode(&wide).unwrap().at(0));
    }
}
