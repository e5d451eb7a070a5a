//! ENUM and SET lists with characters that the server's description of a table does not have.
//!
//! The servers keep their descriptions in utf8mb3 and print `?` for each character of four bytes. With `binlog_row_metadata=FULL` the
//! log has the lists as they are.

use crate::charset::Charset;
use crate::decode::collation;
use crate::decode_error::DecodeResult;
use crate::stream::Stream;
use crate::stream_table::Phase;
use crate::table_map::{TableMapEvent, column_type as t};
use cdc_core::{Column, LogicalType, Result, SourceItem, TableSchema, Value};
use std::sync::Arc;

impl Stream {
    /// A captured table has the lists of the log from here on, where the known ones are how the server has shown them.
    pub(crate) fn take_lists(&mut self, index: usize, map: &TableMapEvent<'_>) -> Result<()> {
        let Some(table) = self.tables.get_mut(index).filter(|t| t.phase == Phase::Live) else { return Ok(()) };
        let Some(schema) = &table.schema else { return Ok(()) };
        // What cannot be read of the event is said when its rows are to be read.
        let Ok(Some(new)) = told_by(map, schema) else { return Ok(()) };
        table.flush(&mut self.out)?;
        if let Some(window) = &mut table.window {
            window.spoiled = true;
        }
        let new = Arc::new(new);
        table.schema = Some(Arc::clone(&new));
        self.out.items.push(SourceItem::Schema { schema: new, ddl: None });
        Ok(())
    }
}

/// The schema with the lists of the log, if they differ in nothing but what a description cannot show.
fn told_by(map: &TableMapEvent<'_>, schema: &TableSchema) -> DecodeResult<Option<TableSchema>> {
    let hides = |values: &[String]| values.iter().any(|v| v.contains('?'));
    let suspected =
        |c: &Column| matches!(&c.logical_type, LogicalType::Enum { values } | LogicalType::Set { values } if hides(values));
    if !schema.columns.iter().any(suspected) || map.column_count() != schema.columns.len() {
        return Ok(None);
    }
    let metadata = map.metadata()?;
    let (mut nth, mut enums, mut sets) = (0usize, 0usize, 0usize);
    let mut new: Option<TableSchema> = None;
    for (i, layout) in map.columns()?.iter().enumerate() {
        let (lists, which) = match layout.column_type {
            t::ENUM => (&metadata.enum_values, &mut enums),
            t::SET => (&metadata.set_values, &mut sets),
            _ => continue,
        };
        let told = lists.as_ref().and_then(|lists| lists.get(*which));
        let charset = collation(&metadata.enum_collations, nth).and_then(Charset::by_name);
        *which = which.saturating_add(1);
        nth = nth.saturating_add(1);
        let Some(LogicalType::Enum { values: known } | LogicalType::Set { values: known }) =
            schema.columns.get(i).map(|c| &c.logical_type)
        else {
            continue;
        };
        let Some(told) = told.zip(charset).and_then(|(told, charset)| decoded(told, charset)) else { continue };
        if told == *known || !is_shown_as(&told, known) {
            continue;
        }
        let new = new.get_or_insert_with(|| TableSchema { version: schema.version.saturating_add(1), ..schema.clone() });
        let Some(column) = new.columns.get_mut(i) else { continue };
        if let Some(Value::String(default)) = &mut column.default
            && !told.contains(default)
            && let Some(value) = told.iter().find(|value| shown(value) == *default)
        {
            default.clone_from(value);
        }
        match &mut column.logical_type {
            LogicalType::Enum { values } | LogicalType::Set { values } => *values = told,
            _ => {}
        }
    }
    Ok(new)
}

/// Both are of one type, as far as a description tells.
pub(crate) fn is_same_type(known: &LogicalType, described: &LogicalType) -> bool {
    match (known, described) {
        (LogicalType::Enum { values: known }, LogicalType::Enum { values })
        | (LogicalType::Set { values: known }, LogicalType::Set { values }) => known == values || is_shown_as(known, values),
        _ => known == described,
    }
}

/// The described list is how the server shows the other one.
fn is_shown_as(list: &[String], described: &[String]) -> bool {
    list.len() == described.len() && list.iter().zip(described).all(|(value, described)| shown(value) == *described)
}

fn decoded(list: &[&[u8]], charset: Charset) -> Option<Vec<String>> {
    let decode = |value: &&[u8]| {
        let mut text = String::new();
        charset.decode_into(value, &mut text).ok().map(|()| text)
    };
    list.iter().map(decode).collect()
}

/// A text in a description.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c > '\u{ffff}' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_from_another_one_that_is_as_long() {
        let list = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let moods = list(&["😀", "?", "ä😡z"]);
        assert!(is_shown_as(&moods, &list(&["?", "?", "ä?z"])));
        assert!(!is_shown_as(&moods, &list(&["?", "?"])));
        assert!(!is_shown_as(&list(&["x", "y"]), &list(&["?", "y"])), "only what cannot be shown is hidden");
    }
}
