//! Tables that would be one table in the catalog.

use crate::config::SourceConfig;
use crate::sink::mirrored_name;
use cdc_core::TableId;
use iceberg_writer::TableName;
use std::collections::BTreeMap;

/// Source tables whose names differ only in the case of their letters, by their name in the catalog, where names are lower-cased.
pub(crate) fn colliding<'a>(tables: impl IntoIterator<Item = &'a TableId>) -> BTreeMap<TableName, Vec<&'a TableId>> {
    let mut by_name: BTreeMap<TableName, Vec<&TableId>> = BTreeMap::new();
    for table in tables {
        by_name.entry(mirrored_name(table)).or_default().push(table);
    }
    by_name.retain(|_, tables| tables.len() > 1);
    by_name
}

/// The setting that leaves out all of these tables but the first. An exclude list counts only where there is no include list.
pub(crate) fn leave_all_but_one_out(source: &SourceConfig, tables: &[&TableId]) -> String {
    let exactly = |table: &&TableId| {
        let expression = format!("(?-i){}", regex::escape(&table.to_string()).replace(',', r"\,"));
        if expression.contains('\'') { format!("\"{}\"", expression.replace('\\', r"\\")) } else { format!("'{expression}'") }
    };
    match (&source.table_include, tables) {
        (Some(_), [first, ..]) => {
            format!("name only one of them in \"table.include.list\": {} ((?-i): in this case of letters only)", exactly(first))
        }
        (None, [_, others @ ..]) => {
            let others: Vec<String> = others.iter().map(exactly).collect();
            let list = if let [only] = &others[..] { only.clone() } else { format!("[{}]", others.join(", ")) };
            format!("leave out all but one: \"table.exclude.list\" = {list} ((?-i): in this case of letters only)")
        }
        (_, []) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::config::{MirrorConfig, Secret};

    #[test]
    fn names_that_differ_only_in_case_are_found_and_the_setting_tells_them_apart() {
        let tables = [("d", "ab"), ("d", "AB"), ("D", "b"), ("d", "ac")].map(|(d, t)| TableId::new(d, t));
        let found = colliding(&tables);
        assert_eq!(found.into_values().collect::<Vec<_>>(), [vec![&tables[0], &tables[1]]]);

        let mut config = MirrorConfig::new("h", 1, "u", Secret::default(), "".as_ref());
        let help = leave_all_but_one_out(&config.source, &[&tables[0], &tables[1]]);
        assert!(help.starts_with(r#"leave out all but one: "table.exclude.list" = '(?-i)d\.AB' "#), "{help}");
        let filter = cdc_core::TableFilter::new(None, None, None, Some(r"(?-i)d\.AB")).unwrap();
        assert!(filter.matches(&tables[0]) && !filter.matches(&tables[1]));
        config.source.table_include = Some("d\\..*".to_owned());
        let help = leave_all_but_one_out(&config.source, &[&tables[0], &tables[1]]);
        assert!(help.starts_with(r#"name only one of them in "table.include.list": '(?-i)d\.ab' "#), "{help}");
    }
}
