//! How an Iceberg schema becomes the one of a new version of the source table.

use crate::error::Result;
use crate::schema::{iceberg_schema, refuse};
use cdc_core::TableSchema;
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
use std::sync::Arc;

/// The schema that the table gets for `wanted`, or `None` if it has it already.
///
/// Columns are matched by field id. Done: add a column that may be NULL, drop, rename, reorder, comment, make optional,
/// and the promotions of the specification: int to long, float to double, a decimal to more digits of the same scale.
/// A column that became NOT NULL at the source stays optional: Iceberg has no way back, and no value is lost by it.
/// A column that is NOT NULL from the start becomes optional, and only in a table without rows.
///
/// # Errors
/// [`ErrorKind::Schema`](crate::ErrorKind::Schema) names the column and why it cannot be done.
pub(crate) fn evolved(current: &Schema, wanted: &TableSchema, has_rows: bool) -> Result<Option<Schema>> {
    let target = iceberg_schema(wanted)?;
    let mut fields = Vec::with_capacity(target.as_struct().fields().len());
    for field in target.as_struct().fields() {
        let mut field = NestedField::clone(field);
        match current.as_struct().field_by_id(field.id) {
            Some(old) => {
                if !promotes(&old.field_type, &field.field_type) {
                    return Err(refuse(
                        wanted,
                        &field.name,
                        &format!(
                            "an Iceberg column of type {} cannot become {}; the table has to be rebuilt",
                            old.field_type, field.field_type
                        ),
                    ));
                }
                field.required &= old.required;
            }
            None if field.required && has_rows => {
                return Err(refuse(
                    wanted,
                    &field.name,
                    "it is new and NOT NULL, and the rows that are there have no value for it; the table has to be rebuilt",
                ));
            }
            None => field.required = false,
        }
        fields.push(Arc::new(field));
    }
    let identifiers: Vec<i32> = target.identifier_field_ids().collect();
    let allowed = identifiers.iter().all(|id| fields.iter().any(|f| f.id == *id && f.required));
    let schema = Schema::builder()
        .with_fields(fields)
        .with_identifier_field_ids(if allowed { identifiers } else { Vec::new() })
        .build()
        .map_err(|e| crate::Error::new(crate::ErrorKind::Schema, format!("{}: {}", wanted.table, e.message())).with_source(e))?;
    Ok(if same(current, &schema) { None } else { Some(schema) })
}

/// The same columns, order, comments and identifier fields; ids of schemas do not count.
pub(crate) fn same(a: &Schema, b: &Schema) -> bool {
    let ids = |s: &Schema| {
        let mut ids: Vec<i32> = s.identifier_field_ids().collect();
        ids.sort_unstable();
        ids
    };
    a.as_struct() == b.as_struct() && ids(a) == ids(b)
}

/// True if every value of `from` is one of `to`, and readers of the specification know it.
fn promotes(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Primitive(a), Type::Primitive(b)) => match (a, b) {
            (a, b) if a == b => true,
            (PrimitiveType::Int, PrimitiveType::Long) | (PrimitiveType::Float, PrimitiveType::Double) => true,
            (PrimitiveType::Decimal { precision: p, scale: s }, PrimitiveType::Decimal { precision: q, scale: t }) => {
                s == t && p <= q
            }
            _ => false,
        },
        (a, b) => a == b,
    }
}
