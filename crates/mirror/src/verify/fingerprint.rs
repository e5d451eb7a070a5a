//! Rows as 128-bit fingerprints that are equal for equal values, whatever side they come from.

use crate::error::{Error, ErrorKind, Result};
use arrow_array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::SchemaRef;
use std::hash::BuildHasher;

/// The columns to compare, and which of them tell rows apart.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    /// The source's columns, in its order: the form in which both sides are compared.
    pub(crate) schema: SchemaRef,
    /// Indices of the key; empty for a table without one: then a row is its own key.
    pub(crate) key: Vec<usize>,
}

/// Fingerprints of a batch's rows.
pub(crate) struct Fingerprints {
    /// Of the key, or of the whole row where there is none.
    pub(crate) keys: Vec<u128>,
    /// Of the whole row.
    pub(crate) rows: Vec<u128>,
}

impl Columns {
    /// A batch of either side in the source's columns, found by name. A column that the mirror does not have (yet) is NULL.
    pub(crate) fn align(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |name: &String, wanted: &arrow_schema::DataType| {
            let found = batch.schema_ref().fields().iter().position(|f| f.name() == name).map(|i| batch.column(i).clone());
            found.unwrap_or_else(|| new_null_array(wanted, batch.num_rows()))
        };
        let columns: Vec<ArrayRef> = self.schema.fields().iter().map(|f| column(f.name(), f.data_type())).collect();
        // Each side keeps its own idea of what may be NULL; only values are compared.
        let fields: Vec<_> = self
            .schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(f, c)| arrow_schema::Field::new(f.name(), c.data_type().clone(), true))
            .collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(arrow_schema::Schema::new(fields).into(), columns, &options).map_err(broken)
    }

    /// The fingerprints of an aligned batch.
    pub(crate) fn fingerprints(&self, batch: &RecordBatch) -> Result<Fingerprints> {
        let rows = hashes(batch.columns(), batch.num_rows())?;
        let keys = if self.key.is_empty() {
            rows.clone()
        } else {
            let columns: Vec<ArrayRef> = self.key.iter().filter_map(|&i| batch.columns().get(i)).cloned().collect();
            hashes(&columns, batch.num_rows())?
        };
        Ok(Fingerprints { keys, rows })
    }

    /// The key columns of an aligned batch; all columns where there is no key.
    pub(crate) fn keys_of(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.key.is_empty() { Ok(batch.clone()) } else { batch.project(&self.key).map_err(broken) }
    }
}

fn broken(e: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Other, format!("rows cannot be compared: {e}")).with_source(e)
}

fn hashes(columns: &[ArrayRef], count: usize) -> Result<Vec<u128>> {
    if columns.is_empty() {
        return Ok(vec![0; count]);
    }
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let encoded: Rows = RowConverter::new(fields).and_then(|c| c.convert_columns(columns)).map_err(broken)?;
    let (low, high) =
        (foldhash::quality::FixedState::with_seed(0x5eed_0001), foldhash::quality::FixedState::with_seed(0x5eed_0002));
    Ok(encoded.iter().map(|row| (u128::from(high.hash_one(row.data())) << 64) | u128::from(low.hash_one(row.data()))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use arrow_array::{Int32Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use std::sync::Arc;

    fn columns() -> Columns {
        let fields = vec![Field::new("id", DataType::Int32, false), Field::new("name", DataType::Utf8, true)];
        Columns { schema: Arc::new(Schema::new(fields)), key: vec![0] }
    }

    fn batch(order: [&str; 2], ids: Vec<i32>, names: Vec<Option<&str>>) -> RecordBatch {
        let (ids, names): (ArrayRef, ArrayRef) = (Arc::new(Int32Array::from(ids)), Arc::new(StringArray::from(names)));
        let by = |n: &str| if n == "id" { ids.clone() } else { names.clone() };
        RecordBatch::try_from_iter_with_nullable(order.map(|n| (n, by(n), true))).unwrap()
    }

    #[test]
    fn the_order_of_columns_and_who_may_be_null_do_not_matter_and_values_do() {
        let c = columns();
        let of = |b: &RecordBatch| c.fingerprints(&c.align(b).unwrap()).unwrap();
        let a = of(&batch(["id", "name"], vec![1, 2], vec![Some("x"), None]));
        let b = of(&batch(["name", "id"], vec![1, 2], vec![Some("x"), Some("")]));
        assert_eq!((a.keys.clone(), a.rows[0]), (b.keys, b.rows[0]));
        assert_ne!(a.rows[1], b.rows[1], "NULL is not the empty text");
    }

    #[test]
    fn a_column_that_the_mirror_lacks_is_null() {
        let c = columns();
        let short = RecordBatch::try_from_iter([("id", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap();
        let a = c.fingerprints(&c.align(&short).unwrap()).unwrap();
        let b = c.fingerprints(&c.align(&batch(["id", "name"], vec![1], vec![None])).unwrap()).unwrap();
        assert_eq!(a.rows, b.rows);
    }

    #[test]
    fn without_a_key_a_row_is_its_own_key() {
        let c = Columns { key: vec![], ..columns() };
        let f = c.fingerprints(&c.align(&batch(["id", "name"], vec![1, 1], vec![Some("x"), Some("x")])).unwrap()).unwrap();
        assert_eq!((f.keys[0], f.keys.clone()), (f.keys[1], f.rows));
    }
}
