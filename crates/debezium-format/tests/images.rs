//! Schemas and row images by hand.

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder, Int32Builder, Int64Builder,
    ListBuilder, StringBuilder, StructBuilder,
};
use arrow_array::{ArrayRef, Date32Array, Decimal128Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, TimeUnit};
use cdc_core::{Column, LogicalType, NativeType, TableId, TableSchema, Value};
use std::sync::Arc;

pub fn column(name: &str, logical_type: LogicalType, nullable: bool) -> Column {
    Column {
        field_id: 0,
        name: name.to_owned(),
        logical_type,
        nullable,
        default: None,
        default_expression: None,
        auto_increment: false,
        generated: None,
        comment: None,
        native: NativeType { declaration: "its type".to_owned(), ..NativeType::default() },
    }
}

pub fn integer(bits: u8, unsigned: bool) -> LogicalType {
    LogicalType::Integer { bits, unsigned }
}

pub fn table(name: &str, mut columns: Vec<Column>, key: &[usize]) -> Arc<TableSchema> {
    for (id, column) in (1..).zip(&mut columns) {
        column.field_id = id;
    }
    Arc::new(TableSchema {
        table: TableId::new("inventory", name),
        version: 1,
        last_field_id: columns.len() as i32,
        columns,
        key: key.to_vec(),
        comment: None,
        charset: None,
    })
}

/// Rows as the Arrow columns that a source would read.
pub fn batch(schema: &TableSchema, rows: &[Vec<Value>]) -> RecordBatch {
    let arrays = schema
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| array(&column.logical_type, &rows.iter().map(|row| &row[i]).collect::<Vec<_>>()))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.arrow_schema(), arrays, &options).unwrap()
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Null => None,
        Value::Int(v) => Some(*v),
        other => panic!("{other:?} is no whole number"),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Null => None,
        Value::String(v) | Value::Decimal(v) => Some(v),
        other => panic!("{other:?} is no text"),
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Null => None,
        Value::Bytes(v) => Some(v),
        other => panic!("{other:?} is no bytes"),
    }
}

fn unscaled(value: &Value, scale: i8) -> Option<i128> {
    match value {
        Value::Null => None,
        Value::UInt(v) => Some(i128::from(*v)),
        Value::Decimal(text) => {
            let digits = text.replace('.', "");
            let fraction = text.split_once('.').map_or(0, |(_, f)| f.len());
            assert_eq!(fraction, scale as usize, "{text}");
            Some(digits.parse().unwrap())
        }
        other => panic!("{other:?} is no decimal"),
    }
}

fn array(logical: &LogicalType, values: &[&Value]) -> ArrayRef {
    match logical.arrow_type() {
        DataType::Boolean => {
            let mut b = BooleanBuilder::new();
            values.iter().for_each(|v| b.append_option(if let Value::Boolean(v) = v { Some(*v) } else { None }));
            Arc::new(b.finish())
        }
        DataType::Int32 => {
            let mut b = Int32Builder::new();
            values.iter().for_each(|v| b.append_option(whole(v).map(|v| i32::try_from(v).unwrap())));
            Arc::new(b.finish())
        }
        DataType::Int64 => {
            let mut b = Int64Builder::new();
            values.iter().for_each(|v| b.append_option(whole(v)));
            Arc::new(b.finish())
        }
        DataType::Date32 => Arc::new(values.iter().map(|v| whole(v).map(|v| v as i32)).collect::<Date32Array>()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(values.iter().map(|v| whole(v)).collect::<TimestampMicrosecondArray>().with_timezone_opt(zone))
        }
        DataType::Decimal128(p, s) => {
            Arc::new(values.iter().map(|v| unscaled(v, s)).collect::<Decimal128Array>().with_precision_and_scale(p, s).unwrap())
        }
        DataType::Utf8 => {
            let mut b = StringBuilder::new();
            values.iter().for_each(|v| b.append_option(text(v)));
            Arc::new(b.finish())
        }
        DataType::Binary => {
            let mut b = BinaryBuilder::new();
            values.iter().for_each(|v| b.append_option(bytes(v)));
            Arc::new(b.finish())
        }
        DataType::FixedSizeBinary(n) => {
            let mut b = FixedSizeBinaryBuilder::new(n);
            values.iter().for_each(|v| match bytes(v) {
                Some(v) => b.append_value(v).unwrap(),
                None => b.append_null(),
            });
            Arc::new(b.finish())
        }
        DataType::Float32 => {
            let mut b = Float32Builder::new();
            values.iter().for_each(|v| b.append_option(if let Value::Float(v) = v { Some(*v) } else { None }));
            Arc::new(b.finish())
        }
        DataType::Float64 => {
            let mut b = Float64Builder::new();
            values.iter().for_each(|v| b.append_option(if let Value::Double(v) = v { Some(*v) } else { None }));
            Arc::new(b.finish())
        }
        DataType::Struct(fields) => {
            let mut b = StructBuilder::new(fields, vec![Box::new(BinaryBuilder::new()), Box::new(Int32Builder::new())]);
            for value in values {
                let (shape, reference) = match value {
                    Value::Geometry { wkb, srid } => (Some(wkb), *srid),
                    _ => (None, None),
                };
                b.field_builder::<BinaryBuilder>(0).unwrap().append_value(shape.map_or(&[][..], |w| w));
                let srid = b.field_builder::<Int32Builder>(1).unwrap();
                if shape.is_some() {
                    srid.append_option(reference)
                } else {
                    srid.append_value(0)
                }
                b.append(shape.is_some());
            }
            Arc::new(b.finish())
        }
        DataType::List(_) => {
            let mut b = ListBuilder::new(Float32Builder::new()).with_field(Field::new("element", DataType::Float32, false));
            for value in values {
                match value {
                    Value::Vector(elements) => {
                        b.values().append_slice(elements);
                        b.append(true);
                    }
                    _ => b.append(false),
                }
            }
            Arc::new(b.finish())
        }
        other => panic!("{other} has no logical type"),
    }
}

/// One cell in row form.
pub fn cell(batch: &RecordBatch, schema: &TableSchema, column: usize, row: usize) -> Value {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    };
    let array = batch.column(column);
    if array.is_null(row) {
        return Value::Null;
    }
    match schema.columns[column].logical_type.arrow_type() {
        DataType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        DataType::Int32 => Value::Int(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => Value::Int(array.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(..) => Value::Int(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Decimal128(20, 0) if matches!(schema.columns[column].logical_type, LogicalType::Integer { .. }) => {
            Value::UInt(array.as_primitive::<Decimal128Type>().value(row).try_into().unwrap())
        }
        DataType::Decimal128(..) => Value::Decimal(array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Float32 => Value::Float(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => match schema.columns[column].logical_type {
            LogicalType::Decimal { .. } => Value::Decimal(array.as_string::<i32>().value(row).to_owned()),
            _ => Value::String(array.as_string::<i32>().value(row).to_owned()),
        },
        DataType::Binary => Value::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => Value::Bytes(array.as_fixed_size_binary().value(row).to_vec()),
        DataType::Struct(_) => {
            let (wkb, srid) = (array.as_struct().column(0), array.as_struct().column(1));
            Value::Geometry {
                wkb: wkb.as_binary::<i32>().value(row).to_vec(),
                srid: (!srid.is_null(row)).then(|| srid.as_primitive::<Int32Type>().value(row)),
            }
        }
        DataType::List(_) => Value::Vector(array.as_list::<i32>().value(row).as_primitive::<Float32Type>().values().to_vec()),
        other => panic!("{other}"),
    }
}
