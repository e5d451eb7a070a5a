//! A page of Trino's as the Arrow columns in which our own reader has the same rows.

use crate::error::{Error, ErrorKind, Result};
use arrow_array::builder::{BinaryBuilder, FixedSizeBinaryBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, BooleanArray, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use std::sync::Arc;
use trino_client::{Page, Value};

/// The rows of a page, whose columns are those of the schema, in its order.
///
/// # Errors
/// A value that is not of its column's type, which Trino then reads as another one than the catalog says.
pub(super) fn batch(page: &Page, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let values: Vec<Value<'_>> = (0..page.len()).map(|row| page.value(row, at).unwrap_or(Value::Null)).collect();
        columns.push(array(field.data_type(), &values).map_err(|what| {
            let theirs = page.columns().get(at).map(|c| c.r#type().to_string()).unwrap_or_default();
            Error::new(
                ErrorKind::Other,
                format!("column {}, {} in the catalog, is {theirs} in Trino: {what}", field.name(), field.data_type()),
            )
        })?);
    }
    let nullable: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(page.len()));
    RecordBatch::try_new_with_options(arrow_schema::Schema::new(nullable).into(), columns, &options)
        .map_err(|e| Error::new(ErrorKind::Other, format!("Trino's rows cannot be compared: {e}")).with_source(e))
}

fn array(r#type: &DataType, values: &[Value<'_>]) -> Result<ArrayRef, String> {
    Ok(match r#type {
        DataType::Boolean => Arc::new(BooleanArray::from(each(values, |v| match v {
            Value::Boolean(v) => Some(*v),
            _ => None,
        })?)),
        DataType::Int32 => numbers::<Int32Type>(values, |v| match v {
            Value::Integer(v) => Some(*v),
            _ => None,
        })?,
        DataType::Int64 => numbers::<Int64Type>(values, |v| match v {
            Value::Bigint(v) => Some(*v),
            _ => None,
        })?,
        DataType::Float32 => numbers::<Float32Type>(values, |v| match v {
            Value::Real(v) => Some(*v),
            _ => None,
        })?,
        DataType::Float64 => numbers::<Float64Type>(values, |v| match v {
            Value::Double(v) => Some(*v),
            _ => None,
        })?,
        DataType::Decimal128(precision, scale) => {
            let digits = each(values, |v| match v {
                Value::Decimal(v) if i8::try_from(v.scale()) == Ok(*scale) => Some(v.unscaled()),
                _ => None,
            })?;
            let array = PrimitiveArray::<Decimal128Type>::from(digits);
            Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(|e| e.to_string())?)
        }
        DataType::Date32 => numbers::<Date32Type>(values, |v| match v {
            Value::Date(v) => Some(v.days()),
            _ => None,
        })?,
        DataType::Time64(TimeUnit::Microsecond) => numbers::<Time64MicrosecondType>(values, |v| match v {
            Value::Time(v) if v.picos().is_multiple_of(1_000_000) => i64::try_from(v.picos() / 1_000_000).ok(),
            _ => None,
        })?,
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = each(values, |v| match (v, zone) {
                (Value::Timestamp(v), None) => v.micros(),
                (Value::TimestampWithTimeZone(v), Some(_)) => v.utc()?.micros(),
                _ => None,
            })?;
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(micros).with_timezone_opt(zone.clone()))
        }
        DataType::Utf8 => {
            let mut array = StringBuilder::new();
            for text in each(values, |v| match v {
                Value::Varchar(v) => Some(*v),
                _ => None,
            })? {
                array.append_option(text);
            }
            Arc::new(array.finish())
        }
        DataType::Binary => {
            let mut array = BinaryBuilder::new();
            for bytes in each(values, |v| match v {
                Value::Varbinary(v) => Some(*v),
                _ => None,
            })? {
                array.append_option(bytes);
            }
            Arc::new(array.finish())
        }
        DataType::FixedSizeBinary(size) => {
            let mut array = FixedSizeBinaryBuilder::new(*size);
            for bytes in each(values, |v| match v {
                Value::Varbinary(v) => Some(v.to_vec()),
                Value::Uuid(v) => Some(v.as_u128().to_be_bytes().to_vec()),
                _ => None,
            })? {
                match bytes {
                    Some(bytes) => array.append_value(bytes).map_err(|e| e.to_string())?,
                    None => array.append_null(),
                }
            }
            Arc::new(array.finish())
        }
        DataType::Struct(fields) => {
            let rows = each(values, |v| match v {
                Value::Row(v) if v.len() == fields.len() => Some(*v),
                _ => None,
            })?;
            let mut columns = Vec::with_capacity(fields.len());
            for (at, field) in fields.iter().enumerate() {
                let inner: Vec<Value<'_>> =
                    rows.iter().map(|row| row.and_then(|row| row.get(at)).unwrap_or(Value::Null)).collect();
                columns.push(array(field.data_type(), &inner)?);
            }
            let there: Vec<bool> = rows.iter().map(Option::is_some).collect();
            Arc::new(StructArray::try_new(fields.clone(), columns, Some(there.into())).map_err(|e| e.to_string())?)
        }
        DataType::List(field) => {
            let lists = each(values, |v| match v {
                Value::Array(v) => Some(*v),
                _ => None,
            })?;
            let inner: Vec<Value<'_>> = lists.iter().flatten().flat_map(|list| list.iter()).collect();
            let lengths = lists.iter().map(|list| list.map_or(0, |list| list.len()));
            let there: Vec<bool> = lists.iter().map(Option::is_some).collect();
            let offsets = arrow_buffer::OffsetBuffer::from_lengths(lengths);
            let elements = array(field.data_type(), &inner)?;
            Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, Some(there.into())).map_err(|e| e.to_string())?)
        }
        other => return Err(format!("columns of type {other} are not compared")),
    })
}

/// Each value as what `read` makes of it; NULL stays NULL.
fn each<'v, 'a, T>(values: &'v [Value<'a>], read: impl Fn(&'v Value<'a>) -> Option<T>) -> Result<Vec<Option<T>>, String> {
    let read = |value: &'v Value<'a>| match value {
        Value::Null => Ok(None),
        value => read(value).map(Some).ok_or_else(|| "there is a value that does not fit".to_owned()),
    };
    values.iter().map(read).collect()
}

fn numbers<T: ArrowPrimitiveType>(
    values: &[Value<'_>],
    read: impl Fn(&Value<'_>) -> Option<T::Native>,
) -> Result<ArrayRef, String> {
    Ok(Arc::new(each(values, read)?.into_iter().collect::<PrimitiveArray<T>>()))
}
