//! What a source table is in Iceberg: types, field ids, key.

use crate::error::{Error, ErrorKind, Result};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef, TimeUnit};
use cdc_core::{Column, FIELD_ID_KEY, TableSchema};
use iceberg::spec::{ListType, NestedField, PrimitiveType, Schema, StructType, Type};
use parquet::basic::{LogicalType as ParquetLogical, Repetition, TimeUnit as ParquetUnit, Type as Physical};
use parquet::schema::types::{SchemaDescriptor, Type as ParquetType, TypePtr};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Field ids from here on belong to fields inside columns.
///
/// A column has the source's own field id, so that names, order and types may change and the id tells what a column is.
/// Iceberg numbers fields inside a column from the same range; taken from the next free number they would collide with
/// the source's next column. So the `n`th field inside column `f` has the id `NESTED_IDS_FROM + 4 f + n`.
pub const NESTED_IDS_FROM: i32 = 1_000_000;

/// The Iceberg id of the `nth` field inside the column with this field id.
pub fn nested_field_id(column: i32, nth: i32) -> i32 {
    NESTED_IDS_FROM.saturating_add(column.saturating_mul(4)).saturating_add(nth)
}

/// The Iceberg schema of a source table: its columns with the source's field ids, NOT NULL as required, comments kept.
///
/// The key's columns are the identifier fields if Iceberg allows each of them (required, and no float).
///
/// # Errors
/// [`ErrorKind::Schema`]: a type that Iceberg has not, a field id out of range, two columns of one name. Each names the column.
pub fn iceberg_schema(table: &TableSchema) -> Result<Schema> {
    if table.columns.is_empty() {
        return Err(Error::new(ErrorKind::Schema, format!("{} has no columns that are captured", table.table)));
    }
    let mut fields = Vec::with_capacity(table.columns.len());
    let mut names = HashSet::new();
    for column in &table.columns {
        if !names.insert(column.name.to_lowercase()) {
            return Err(refuse(
                table,
                &column.name,
                "another column has this name (without regard to case), and query engines would not tell them apart",
            ));
        }
        fields.push(Arc::new(iceberg_field(table, column)?));
    }
    let identifiers: Vec<i32> = if table.key_columns().all(|c| !c.nullable && c.logical_type.can_be_identifier()) {
        table.key_columns().map(|c| c.field_id).collect()
    } else {
        Vec::new()
    };
    Schema::builder().with_fields(fields).with_identifier_field_ids(identifiers).build().map_err(|e| {
        Error::new(ErrorKind::Schema, format!("{} cannot be an Iceberg table: {}", table.table, e.message())).with_source(e)
    })
}

/// The field ids by which rows are told apart, in key order; `None` if the table has no key, or one that cannot be compared
/// in equality deletes (the specification forbids floats there).
pub fn equality_ids(table: &TableSchema) -> Option<Vec<i32>> {
    if table.key.is_empty() || !table.key_columns().all(|c| c.logical_type.can_be_identifier()) {
        return None;
    }
    Some(table.key_columns().map(|c| c.field_id).collect())
}

pub(crate) fn refuse(table: &TableSchema, column: &str, why: &str) -> Error {
    Error::new(ErrorKind::Schema, format!("column {column} of {}: {why}", table.table))
}

fn iceberg_field(table: &TableSchema, column: &Column) -> Result<NestedField> {
    if column.field_id < 1 || column.field_id >= NESTED_IDS_FROM {
        return Err(refuse(
            table,
            &column.name,
            &format!("its field id {} is not between 1 and {}", column.field_id, NESTED_IDS_FROM - 1),
        ));
    }
    let r#type = iceberg_type(&column.logical_type.arrow_type(), column.field_id)
        .ok_or_else(|| refuse(table, &column.name, &format!("Iceberg has no type for {:?}", column.logical_type)))?;
    let field = NestedField::new(column.field_id, &column.name, r#type, !column.nullable);
    Ok(match &column.comment {
        Some(comment) => field.with_doc(comment),
        None => field,
    })
}

fn iceberg_type(arrow: &DataType, column: i32) -> Option<Type> {
    let primitive = match arrow {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int32 => PrimitiveType::Int,
        DataType::Int64 => PrimitiveType::Long,
        DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Decimal128(precision, scale) => {
            PrimitiveType::Decimal { precision: u32::from(*precision), scale: u32::try_from(*scale).ok()? }
        }
        DataType::Utf8 => PrimitiveType::String,
        DataType::Binary => PrimitiveType::Binary,
        DataType::Date32 => PrimitiveType::Date,
        DataType::Timestamp(TimeUnit::Microsecond, None) => PrimitiveType::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => PrimitiveType::Timestamptz,
        DataType::FixedSizeBinary(16) => PrimitiveType::Uuid,
        DataType::Struct(children) => {
            let fields = children
                .iter()
                .enumerate()
                .map(|(n, child)| {
                    let id = nested_field_id(column, i32::try_from(n).ok().filter(|n| *n < 4)?);
                    Some(Arc::new(NestedField::new(id, child.name(), iceberg_type(child.data_type(), -1)?, !child.is_nullable())))
                })
                .collect::<Option<Vec<_>>>()?;
            return Some(Type::Struct(StructType::new(fields)));
        }
        DataType::List(element) => {
            let id = nested_field_id(column, 0);
            let field = NestedField::list_element(id, iceberg_type(element.data_type(), -1)?, !element.is_nullable());
            return Some(Type::List(ListType::new(Arc::new(field))));
        }
        _ => return None,
    };
    Some(Type::Primitive(primitive))
}

/// The Arrow type of an Iceberg type: the inverse of what [`iceberg_schema`] does, and the nearest for what others add.
pub(crate) fn arrow_type(r#type: &Type) -> Result<DataType> {
    Ok(match r#type {
        Type::Primitive(p) => match p {
            PrimitiveType::Boolean => DataType::Boolean,
            PrimitiveType::Int => DataType::Int32,
            PrimitiveType::Long => DataType::Int64,
            PrimitiveType::Float => DataType::Float32,
            PrimitiveType::Double => DataType::Float64,
            PrimitiveType::Decimal { precision, scale } => match (u8::try_from(*precision), i8::try_from(*scale)) {
                (Ok(p), Ok(s)) => DataType::Decimal128(p, s),
                _ => return Err(unsupported(r#type)),
            },
            PrimitiveType::Date => DataType::Date32,
            PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
            PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            PrimitiveType::String => DataType::Utf8,
            PrimitiveType::Uuid => DataType::FixedSizeBinary(16),
            PrimitiveType::Fixed(n) => DataType::FixedSizeBinary(i32::try_from(*n).map_err(|_| unsupported(r#type))?),
            PrimitiveType::Binary => DataType::Binary,
            _ => return Err(unsupported(r#type)),
        },
        Type::Struct(s) => DataType::Struct(
            s.fields()
                .iter()
                .map(|f| Ok(Field::new(&f.name, arrow_type(&f.field_type)?, !f.required)))
                .collect::<Result<Vec<_>>>()?
                .into(),
        ),
        Type::List(l) => {
            let e = &l.element_field;
            DataType::List(Arc::new(Field::new("element", arrow_type(&e.field_type)?, !e.required)))
        }
        Type::Map(_) => return Err(unsupported(r#type)),
    })
}

fn unsupported(r#type: &Type) -> Error {
    Error::new(ErrorKind::Unsupported, format!("columns of Iceberg type {} are not read here", r#type))
}

/// The Arrow schema in which rows of a table are read: one field per column, with its field id as metadata.
pub(crate) fn arrow_schema(schema: &Schema) -> Result<ArrowSchemaRef> {
    let fields = schema
        .as_struct()
        .fields()
        .iter()
        .map(|f| {
            Ok(Field::new(&f.name, arrow_type(&f.field_type)?, !f.required)
                .with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), f.id.to_string())])))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ArrowSchema::new(fields)))
}

/// The Parquet schema of files with these columns, by the specification's appendix A: field ids at every level, decimals in
/// the smallest physical type, UUIDs marked as such.
pub(crate) fn parquet_schema(fields: &[&NestedField]) -> Result<SchemaDescriptor> {
    let fields = fields.iter().map(|f| parquet_field(f, &f.name)).collect::<Result<Vec<_>>>()?;
    let root = ParquetType::group_type_builder("table")
        .with_fields(fields)
        .build()
        .map_err(|e| Error::parquet("building a file's schema", e))?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

fn parquet_field(field: &NestedField, name: &str) -> Result<TypePtr> {
    let repetition = if field.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    let timestamp = |utc| Some(ParquetLogical::Timestamp { is_adjusted_to_u_t_c: utc, unit: ParquetUnit::MICROS });
    let (physical, logical, length, precision, scale) = match field.field_type.as_ref() {
        Type::Primitive(p) => match p {
            PrimitiveType::Boolean => (Physical::BOOLEAN, None, 0, -1, -1),
            PrimitiveType::Int => (Physical::INT32, None, 0, -1, -1),
            PrimitiveType::Long => (Physical::INT64, None, 0, -1, -1),
            PrimitiveType::Float => (Physical::FLOAT, None, 0, -1, -1),
            PrimitiveType::Double => (Physical::DOUBLE, None, 0, -1, -1),
            PrimitiveType::Decimal { precision, scale } => {
                let (p, s) = (i32::try_from(*precision).unwrap_or(-1), i32::try_from(*scale).unwrap_or(-1));
                let logical = Some(ParquetLogical::Decimal { scale: s, precision: p });
                match precision {
                    0..=9 => (Physical::INT32, logical, 0, p, s),
                    10..=18 => (Physical::INT64, logical, 0, p, s),
                    _ => {
                        let bytes =
                            Type::decimal_required_bytes(*precision).map_err(|e| Error::iceberg("sizing a decimal", e))?;
                        (Physical::FIXED_LEN_BYTE_ARRAY, logical, i32::try_from(bytes).unwrap_or(16), p, s)
                    }
                }
            }
            PrimitiveType::Date => (Physical::INT32, Some(ParquetLogical::Date), 0, -1, -1),
            PrimitiveType::Timestamp => (Physical::INT64, timestamp(false), 0, -1, -1),
            PrimitiveType::Timestamptz => (Physical::INT64, timestamp(true), 0, -1, -1),
            PrimitiveType::String => (Physical::BYTE_ARRAY, Some(ParquetLogical::String), 0, -1, -1),
            PrimitiveType::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(ParquetLogical::Uuid), 16, -1, -1),
            PrimitiveType::Binary => (Physical::BYTE_ARRAY, None, 0, -1, -1),
            _ => return Err(unsupported(&field.field_type)),
        },
        Type::Struct(s) => {
            let children = s.fields().iter().map(|f| parquet_field(f, &f.name)).collect::<Result<Vec<_>>>()?;
            return group(name, repetition, Some(field.id), None, children);
        }
        Type::List(l) => {
            let element = parquet_field(&l.element_field, "element")?;
            let repeated = group("list", Repetition::REPEATED, None, None, vec![element])?;
            return group(name, repetition, Some(field.id), Some(ParquetLogical::List), vec![repeated]);
        }
        Type::Map(_) => return Err(unsupported(&field.field_type)),
    };
    ParquetType::primitive_type_builder(name, physical)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_length(length)
        .with_precision(precision)
        .with_scale(scale)
        .with_id(Some(field.id))
        .build()
        .map(Arc::new)
        .map_err(|e| Error::parquet(format!("building the file's column {name}"), e))
}

fn group(
    name: &str,
    repetition: Repetition,
    id: Option<i32>,
    logical: Option<ParquetLogical>,
    children: Vec<TypePtr>,
) -> Result<TypePtr> {
    ParquetType::group_type_builder(name)
        .with_repetition(repetition)
        .with_logical_type(logical)
        .with_id(id)
        .with_fields(children)
        .build()
        .map(Arc::new)
        .map_err(|e| Error::parquet(format!("building the file's column {name}"), e))
}
