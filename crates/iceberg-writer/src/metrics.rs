//! What a manifest says of a file: sizes, counts and bounds of its columns, taken from the file's own footer.

use crate::error::{Error, Result};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, NestedField, PrimitiveType, Struct, Type,
};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use std::collections::HashMap;

#[derive(Default)]
struct Columns {
    sizes: HashMap<i32, u64>,
    values: HashMap<i32, u64>,
    nulls: HashMap<i32, u64>,
    lower: HashMap<i32, Datum>,
    upper: HashMap<i32, Datum>,
}

/// The manifest's record of a file that was written from this metadata.
pub(crate) fn data_file(
    content: DataContentType,
    path: String,
    size: usize,
    rows: usize,
    fields: &[&NestedField],
    metadata: &ParquetMetaData,
    equality_ids: Option<Vec<i32>>,
) -> Result<DataFile> {
    let mut types = HashMap::new();
    for field in fields {
        leaves(field, &mut types);
    }
    let mut c = Columns::default();
    let mut no_bounds = Vec::new();
    let mut offsets = Vec::new();
    for group in metadata.row_groups() {
        offsets.extend(group.columns().first().map(|c| c.dictionary_page_offset().unwrap_or_else(|| c.data_page_offset())));
        for chunk in group.columns() {
            let info = chunk.column_descr().self_type().get_basic_info();
            if !info.has_id() {
                continue;
            }
            let id = info.id();
            add(&mut c.sizes, id, chunk.compressed_size());
            if chunk.column_descr().max_rep_level() > 0 {
                continue;
            }
            add(&mut c.values, id, chunk.num_values());
            let statistics = chunk.statistics();
            add(&mut c.nulls, id, statistics.and_then(|s| s.null_count_opt()).and_then(|n| i64::try_from(n).ok()).unwrap_or(0));
            let all_null = statistics.and_then(Statistics::null_count_opt) == u64::try_from(chunk.num_values()).ok();
            match (statistics, types.get(&id)) {
                (Some(s), Some(r#type)) => {
                    let lower = bound(s, r#type, false).is_some_and(|b| widen(&mut c.lower, id, b, false));
                    let upper = bound(s, r#type, true).is_some_and(|b| widen(&mut c.upper, id, b, true));
                    if !(all_null || lower && upper) {
                        no_bounds.push(id);
                    }
                }
                _ => no_bounds.push(id),
            }
        }
    }
    for id in no_bounds {
        c.lower.remove(&id);
        c.upper.remove(&id);
    }
    let size = u64::try_from(size).unwrap_or(u64::MAX);
    let rows = u64::try_from(rows).unwrap_or(u64::MAX);
    let mut builder = DataFileBuilder::default();
    builder
        .content(content)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .record_count(rows)
        .file_size_in_bytes(size)
        .column_sizes(c.sizes)
        .value_counts(c.values)
        .null_value_counts(c.nulls)
        .lower_bounds(c.lower)
        .upper_bounds(c.upper)
        .split_offsets(Some(offsets))
        .equality_ids(equality_ids)
        .partition_spec_id(0);
    builder.build().map_err(|e| Error::new(crate::ErrorKind::Other, format!("describing a file: {e}")))
}

fn add(map: &mut HashMap<i32, u64>, id: i32, n: i64) {
    let n = u64::try_from(n).unwrap_or(0);
    map.entry(id).and_modify(|v| *v = v.saturating_add(n)).or_insert(n);
}

/// False if the bound cannot be compared with the one that is there.
fn widen(map: &mut HashMap<i32, Datum>, id: i32, bound: Datum, upper: bool) -> bool {
    let Some(old) = map.get(&id) else {
        map.insert(id, bound);
        return true;
    };
    let Some(order) = bound.partial_cmp(old) else { return false };
    if upper && order.is_gt() || !upper && order.is_lt() {
        map.insert(id, bound);
    }
    true
}

fn leaves(field: &NestedField, into: &mut HashMap<i32, PrimitiveType>) {
    match field.field_type.as_ref() {
        Type::Primitive(p) => {
            into.insert(field.id, p.clone());
        }
        Type::Struct(s) => s.fields().iter().for_each(|f| leaves(f, into)),
        Type::List(_) | Type::Map(_) => {}
    }
}

/// One bound of a column chunk. A text bound that Parquet cut is a bound all the same: it is rounded down or up.
///
/// None of a UUID: Parquet orders its bytes, engines on the JVM the two signed halves (apache/iceberg#14216), and by bounds of
/// another order they would pass over data files, or over equality deletes, that concern the rows at hand.
fn bound(statistics: &Statistics, r#type: &PrimitiveType, upper: bool) -> Option<Datum> {
    if matches!(r#type, PrimitiveType::Uuid) {
        return None;
    }
    macro_rules! pick {
        ($s:expr) => {
            if upper { $s.max_opt()? } else { $s.min_opt()? }
        };
    }
    let decimal = matches!(r#type, PrimitiveType::Decimal { .. });
    let bytes: Vec<u8> = match statistics {
        Statistics::Boolean(s) => vec![u8::from(*pick!(s))],
        Statistics::Int32(s) if decimal => shortest(&pick!(s).to_be_bytes()),
        Statistics::Int32(s) => pick!(s).to_le_bytes().to_vec(),
        Statistics::Int64(s) if decimal => shortest(&pick!(s).to_be_bytes()),
        Statistics::Int64(s) => pick!(s).to_le_bytes().to_vec(),
        Statistics::Float(s) => Some(pick!(s)).filter(|v| !v.is_nan())?.to_le_bytes().to_vec(),
        Statistics::Double(s) => Some(pick!(s)).filter(|v| !v.is_nan())?.to_le_bytes().to_vec(),
        Statistics::ByteArray(s) => pick!(s).data().to_vec(),
        Statistics::FixedLenByteArray(s) if decimal => shortest(pick!(s).data()),
        Statistics::FixedLenByteArray(s) => pick!(s).data().to_vec(),
        Statistics::Int96(_) => return None,
    };
    Datum::try_from_bytes(&bytes, r#type.clone()).ok()
}

/// A big-endian two's complement number in as few bytes as hold it (the specification's form of decimal bounds).
fn shortest(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let redundant = tail.first().is_some_and(|next| (*first == 0 && *next < 0x80) || (*first == 0xff && *next >= 0x80));
        if !redundant {
            break;
        }
        rest = tail;
    }
    rest.to_vec()
}

#[cfg(test)]
mod tests {
    use super::shortest;

    #[test]
    fn decimals_are_bound_in_as_few_bytes_as_hold_them() {
        assert_eq!(shortest(&1_i64.to_be_bytes()), [1]);
        assert_eq!(shortest(&(-1_i64).to_be_bytes()), [0xff]);
        assert_eq!(shortest(&128_i64.to_be_bytes()), [0, 0x80]);
        assert_eq!(shortest(&(-129_i64).to_be_bytes()), [0xff, 0x7f]);
        assert_eq!(shortest(&0_i64.to_be_bytes()), [0]);
    }
}
