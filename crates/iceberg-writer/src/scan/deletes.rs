//! The live deletes of a snapshot, held once, asked for each row.

use super::file::DataReader;
use super::{LiveFile, place};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyEncoder, KeyMap};
use crate::schema::arrow_type;
use crate::table::Table;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use iceberg::spec::{DataFile, NestedField, NestedFieldRef, PrimitiveType, Schema, Type};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Reserved field ids of position-delete files (specification, reserved field ids).
const FILE_PATH: i32 = 2_147_483_546;
const POSITION: i32 = 2_147_483_545;
const BATCH_ROWS: usize = 8_192;

pub(super) struct Deletes {
    /// Each with the places of its columns among the fields that are read.
    keys: Vec<(Vec<usize>, KeySet)>,
    /// By data file: position and sequence number of the delete, sorted.
    positions: HashMap<String, Vec<(i64, i64)>>,
}

/// Deletes by the same columns.
pub(crate) struct KeySet {
    /// Those columns.
    pub(crate) fields: Vec<NestedFieldRef>,
    encoder: KeyEncoder,
    /// The newest delete of each key.
    newest: KeyMap<i64>,
    /// The newest delete of all.
    last: i64,
}

impl Deletes {
    /// Reads all delete files. Columns that they compare and the scan does not read are added to `fields`.
    pub(super) async fn load(
        table: &Table,
        schema: &Schema,
        equality: Vec<(DataFile, i64)>,
        position: Vec<(DataFile, i64)>,
        fields: &mut Vec<NestedFieldRef>,
    ) -> Result<Self> {
        let groups = by_columns(equality)?;
        let mut keys = Vec::with_capacity(groups.len());
        for (ids, files) in groups {
            let mut set = KeySet::new(table, schema, &ids)?;
            for (file, sequence) in files {
                let mut reader = DataReader::open(table, &file, &set.fields, BATCH_ROWS).await?;
                while let Some((columns, rows)) = reader.next().await? {
                    set.add(&columns, rows, sequence)?;
                }
            }
            keys.push((set.fields.iter().map(|f| place(fields, f)).collect(), set));
        }
        let positions = load_positions(table, position).await?;
        Ok(Self { keys, positions })
    }

    pub(super) fn bytes(&self) -> usize {
        let positions: usize = self.positions.iter().map(|(k, v)| k.capacity() + v.capacity() * size_of::<(i64, i64)>()).sum();
        self.keys.iter().map(|(_, set)| set.bytes()).sum::<usize>() + positions
    }

    /// Which rows of a data file of this sequence number survive; `None` is all. `first` is the position of the first row.
    pub(super) fn survivors(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        sequence: i64,
        path: &str,
        first: i64,
    ) -> Result<Option<BooleanArray>> {
        let mut keep: Option<BooleanBuffer> = None;
        let mut narrow = |with: BooleanBuffer| keep = Some(keep.take().map_or_else(|| with.clone(), |k| &k & &with));
        for (places, set) in self.keys.iter_mut().filter(|(_, set)| set.last > sequence) {
            let columns: Vec<ArrayRef> = places.iter().filter_map(|&i| columns.get(i)).map(Arc::clone).collect();
            narrow(set.survivors(&columns, rows, sequence)?);
        }
        if let Some(deleted) = self.positions.get(path) {
            narrow(spared(deleted, rows, sequence, first));
        }
        Ok(keep.map(|k| BooleanArray::new(k, None)))
    }
}

impl KeySet {
    /// A set of deletes by the columns with these field ids, still empty.
    pub(crate) fn new(table: &Table, schema: &Schema, ids: &[i32]) -> Result<Self> {
        let mut fields = Vec::with_capacity(ids.len());
        let mut types = Vec::with_capacity(ids.len());
        let mut nullable = false;
        for id in ids {
            let field = find(table, schema, *id).ok_or_else(|| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("deletes of table {} name the column {id}, which it never had", table.name()),
                )
            })?;
            types.push(arrow_type(&field.field_type)?);
            nullable |= !field.required;
            fields.push(field);
        }
        Ok(Self { fields, encoder: KeyEncoder::new(&types, nullable)?, newest: KeyMap::new(), last: 0 })
    }

    /// Takes in the keys of some rows of a delete file of this sequence number; tells which it had not seen.
    pub(crate) fn add(&mut self, columns: &[ArrayRef], rows: usize, sequence: i64) -> Result<BooleanArray> {
        self.last = self.last.max(sequence);
        let keys = self.encoder.encode(columns)?;
        let mut fresh = BooleanBufferBuilder::new(rows);
        for row in 0..rows {
            let mut unseen = false;
            let at = self.newest.get_or_insert(keys.at(row), || {
                unseen = true;
                sequence
            })?;
            *at = sequence.max(*at);
            fresh.append(unseen);
        }
        Ok(BooleanArray::new(fresh.finish(), None))
    }

    /// The newest delete of all.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.newest.bytes()
    }

    /// Which rows of a data file of this sequence number survive, by their values in the set's columns.
    pub(crate) fn survivors(&mut self, columns: &[ArrayRef], rows: usize, sequence: i64) -> Result<BooleanBuffer> {
        let keys = self.encoder.encode(columns)?;
        Ok(BooleanBuffer::collect_bool(rows, |row| self.newest.get(keys.at(row)).is_none_or(|s| *s <= sequence)))
    }
}

/// Delete files by the columns that they compare.
pub(crate) fn by_columns(equality: Vec<LiveFile>) -> Result<BTreeMap<Vec<i32>, Vec<LiveFile>>> {
    let mut groups: BTreeMap<Vec<i32>, Vec<LiveFile>> = BTreeMap::new();
    for (file, sequence) in equality {
        let mut ids = file.equality_ids().unwrap_or_default();
        ids.sort_unstable();
        if ids.is_empty() {
            return Err(Error::new(ErrorKind::Corrupt, format!("{} deletes by no columns", file.file_path())));
        }
        groups.entry(ids).or_default().push((file, sequence));
    }
    Ok(groups)
}

/// Which rows of a data file of this sequence number no delete by position names; `first` is the position of the first row.
pub(crate) fn spared(deleted: &[(i64, i64)], rows: usize, sequence: i64, first: i64) -> BooleanBuffer {
    BooleanBuffer::collect_bool(rows, |row| {
        let at = first.saturating_add(i64::try_from(row).unwrap_or(i64::MAX));
        let from = deleted.partition_point(|(p, _)| *p < at);
        // A position delete reaches rows of its own snapshot too, unlike one by key.
        !deleted.iter().skip(from).take_while(|(p, _)| *p == at).any(|(_, s)| *s >= sequence)
    })
}

/// A column of the schema that is read, else of any that the table ever had: then it may be missing, so it is optional.
fn find(table: &Table, schema: &Schema, id: i32) -> Option<NestedFieldRef> {
    if let Some(field) = schema.as_struct().field_by_id(id) {
        return Some(Arc::clone(field));
    }
    let newest =
        table.metadata().schemas_iter().filter(|s| s.as_struct().field_by_id(id).is_some()).max_by_key(|s| s.schema_id())?;
    let mut field = NestedField::clone(newest.as_struct().field_by_id(id)?);
    field.required = false;
    Some(Arc::new(field))
}

/// Deletes by position: for each data file position and sequence number of the delete, sorted.
pub(crate) async fn load_positions(table: &Table, files: Vec<(DataFile, i64)>) -> Result<HashMap<String, Vec<(i64, i64)>>> {
    let fields: [NestedFieldRef; 2] = [
        Arc::new(NestedField::required(FILE_PATH, "file_path", Type::Primitive(PrimitiveType::String))),
        Arc::new(NestedField::required(POSITION, "pos", Type::Primitive(PrimitiveType::Long))),
    ];
    let mut positions: HashMap<String, Vec<(i64, i64)>> = HashMap::new();
    for (file, sequence) in files {
        let mut reader = DataReader::open(table, &file, &fields, BATCH_ROWS).await?;
        while let Some((columns, rows)) = reader.next().await? {
            let [paths, at] = columns.as_slice() else { continue };
            let (paths, at) = (paths.as_string::<i32>(), at.as_primitive::<Int64Type>());
            for row in 0..rows {
                let path = paths.value(row);
                let delete = (at.value(row), sequence);
                match positions.get_mut(path) {
                    Some(list) => list.push(delete),
                    None => {
                        positions.insert(path.to_owned(), vec![delete]);
                    }
                }
            }
        }
    }
    for list in positions.values_mut() {
        list.sort_unstable();
    }
    Ok(positions)
}
