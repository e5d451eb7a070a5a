//! The mirror's rows, by a scan of the table's head, as the text that the source's rows have.

use super::Row;
use super::source_rows::Column;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, StructArray};
use arrow_schema::DataType;
use iceberg_writer::{Catalog, TableName};

/// All rows, in the order of the source's columns.
pub async fn rows(catalog: &Catalog, database: &str, table: &str, columns: &[Column]) -> Vec<Row> {
    let name = TableName::new(database.to_lowercase(), table.to_lowercase());
    let table = catalog.load_table(&name).await.unwrap().unwrap_or_else(|| panic!("no table {name} in the catalog"));
    let mut scan = table.scan().open().await.unwrap();
    let mut rows = Vec::new();
    assert_eq!(scan.schema().fields().len(), columns.len(), "{name}: {:?}", scan.schema().fields());
    while let Some(batch) = scan.next().await.unwrap() {
        let arrays: Vec<_> = columns
            .iter()
            .map(|c| batch.column_by_name(&c.name).unwrap_or_else(|| panic!("{name} has no column {:?}", c.name)))
            .collect();
        for i in 0..batch.num_rows() {
            rows.push(arrays.iter().zip(columns).map(|(array, column)| text(array, i, column)).collect());
        }
    }
    rows
}

fn text(array: &dyn Array, i: usize, column: &Column) -> Option<String> {
    if array.is_null(i) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => u8::from(array.as_boolean().value(i)).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(i).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(i).to_string(),
        DataType::Float32 => format!("{:?}", f64::from(array.as_primitive::<Float32Type>().value(i))),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(i)),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(i),
        DataType::Utf8 => array.as_string::<i32>().value(i).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(i).to_owned(),
        DataType::Binary if column.data_type == "bit" => bits(array.as_binary::<i32>().value(i)),
        DataType::LargeBinary if column.data_type == "bit" => bits(array.as_binary::<i64>().value(i)),
        DataType::Binary => hex(array.as_binary::<i32>().value(i)),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(i)),
        DataType::FixedSizeBinary(16) => uuid::Uuid::from_slice(array.as_fixed_size_binary().value(i)).unwrap().to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value_as_date(i).unwrap().to_string(),
        DataType::Timestamp(..) => {
            let at = array.as_primitive::<TimestampMicrosecondType>().value_as_datetime(i).unwrap();
            at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        DataType::Struct(_) => geometry(array.as_struct(), i),
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(i);
            hex(&values.as_primitive::<Float32Type>().values().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
        }
        other => panic!("no text for {other}"),
    })
}

/// As the server keeps it: the reference system's number, then the shape.
fn geometry(array: &StructArray, i: usize) -> String {
    let wkb = array.column_by_name("wkb").unwrap();
    let wkb = match wkb.data_type() {
        DataType::LargeBinary => wkb.as_binary::<i64>().value(i),
        _ => wkb.as_binary::<i32>().value(i),
    };
    let srid = array.column_by_name("srid").unwrap().as_primitive::<Int32Type>();
    let srid = if srid.is_null(i) { 0 } else { srid.value(i) };
    hex(&[&srid.to_le_bytes(), wkb].concat())
}

fn bits(bytes: &[u8]) -> String {
    bytes.iter().rev().fold(0_u64, |sum, b| sum << 8 | u64::from(*b)).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
