use crate::error::{Error, ErrorKind, Result};
use crate::schema::TableId;
use regex::{RegexSet, RegexSetBuilder};

/// Which tables are captured: Debezium's `database.include.list`, `database.exclude.list`, `table.include.list` and
/// `table.exclude.list`.
///
/// Each list is comma-separated regular expressions (`\,` is a comma), matched against the whole name without regard to
/// case: databases by name, tables by `database.table`. An include list wins over an exclude list of the same kind, as in Debezium.
#[derive(Debug, Clone, Default)]
pub struct TableFilter {
    databases: List,
    tables: List,
}

/// Which columns are captured: Debezium's `column.include.list` and `column.exclude.list`, matched against
/// `database.table.column`.
#[derive(Debug, Clone, Default)]
pub struct ColumnFilter {
    columns: List,
}

#[derive(Debug, Clone, Default)]
enum List {
    #[default]
    All,
    Include(RegexSet),
    Exclude(RegexSet),
}

impl List {
    fn new(kind: &str, include: Option<&str>, exclude: Option<&str>) -> Result<Self> {
        Ok(match (include.filter(|s| !s.trim().is_empty()), exclude.filter(|s| !s.trim().is_empty())) {
            (Some(i), _) => Self::Include(compile(&format!("{kind}.include.list"), i)?),
            (None, Some(e)) => Self::Exclude(compile(&format!("{kind}.exclude.list"), e)?),
            (None, None) => Self::All,
        })
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Include(set) => set.is_match(name),
            Self::Exclude(set) => !set.is_match(name),
        }
    }

    /// The expressions of an include list that match none of these names.
    fn unmatched(&self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<&str> {
        let Self::Include(set) = self else { return Vec::new() };
        let mut matched = vec![false; set.len()];
        for name in names {
            set.matches(name.as_ref()).iter().for_each(|i| matched[i] = true);
        }
        set.patterns().iter().zip(matched).filter(|(_, matched)| !matched).map(|(p, _)| bare(p)).collect()
    }
}

/// The expression that [`compile`] was given.
fn bare(pattern: &str) -> &str {
    pattern.strip_prefix("^(?:").and_then(|p| p.strip_suffix(")$")).unwrap_or(pattern)
}

fn compile(key: &str, list: &str) -> Result<RegexSet> {
    let mut patterns = vec![String::new()];
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        let last = patterns.len() - 1;
        match c {
            ',' => patterns.push(String::new()),
            '\\' => match chars.next() {
                Some(',') => patterns[last].push(','),
                Some(other) => patterns[last].extend(['\\', other]),
                None => patterns[last].push('\\'),
            },
            other => patterns[last].push(other),
        }
    }
    let anchored: Vec<String> =
        patterns.iter().map(|p| p.trim()).filter(|p| !p.is_empty()).map(|p| format!("^(?:{p})$")).collect();
    RegexSetBuilder::new(anchored).case_insensitive(true).build().map_err(|e| {
        Error::new(
            ErrorKind::Configuration,
            format!("{key} = {list:?} holds an expression that cannot be used: write comma-separated regular expressions, such as inventory\\.orders"),
        )
        .with_source(e)
    })
}

impl TableFilter {
    /// Compiles the four lists; `None` and blank are "not given".
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] names the key and the expression that does not compile.
    pub fn new(
        database_include: Option<&str>,
        database_exclude: Option<&str>,
        table_include: Option<&str>,
        table_exclude: Option<&str>,
    ) -> Result<Self> {
        Ok(Self {
            databases: List::new("database", database_include, database_exclude)?,
            tables: List::new("table", table_include, table_exclude)?,
        })
    }

    /// True if the database may hold captured tables.
    pub fn matches_database(&self, database: &str) -> bool {
        self.databases.matches(database)
    }

    /// The expressions of `database.include.list` that match none of these databases.
    pub fn unmatched_databases<'a>(&self, databases: impl IntoIterator<Item = &'a str>) -> Vec<&str> {
        self.databases.unmatched(databases)
    }

    /// The expressions of `table.include.list` that match none of these tables.
    pub fn unmatched_tables<'a>(&self, tables: impl IntoIterator<Item = &'a TableId>) -> Vec<&str> {
        self.tables.unmatched(tables.into_iter().map(TableId::to_string))
    }

    /// True if the table is captured.
    pub fn matches(&self, table: &TableId) -> bool {
        self.matches_database(&table.database) && self.tables.matches(&table.to_string())
    }
}

impl ColumnFilter {
    /// Compiles the two lists.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] names the key and the expression that does not compile.
    pub fn new(include: Option<&str>, exclude: Option<&str>) -> Result<Self> {
        Ok(Self { columns: List::new("column", include, exclude)? })
    }

    /// True if the column is captured.
    pub fn matches(&self, table: &TableId, column: &str) -> bool {
        matches!(self.columns, List::All) || self.columns.matches(&format!("{table}.{column}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn patterns_match_the_whole_name_without_regard_to_case() {
        let f = TableFilter::new(Some("inventory"), None, Some("inventory\\.orders, inventory\\.cust.*"), None).unwrap();
        assert!(f.matches(&TableId::new("inventory", "ORDERS")));
        assert!(f.matches(&TableId::new("inventory", "customers")));
        assert!(!f.matches(&TableId::new("inventory", "orders_old")));
        assert!(!f.matches(&TableId::new("inventory2", "orders")));
    }

    #[test]
    fn an_escaped_comma_belongs_to_the_pattern() {
        let f = TableFilter::new(None, None, None, Some("d\\.a{1\\,3}")).unwrap();
        assert!(!f.matches(&TableId::new("d", "aaa")));
        assert!(f.matches(&TableId::new("d", "aaaa")));
    }

    #[test]
    fn expressions_that_match_nothing_are_told() {
        let f = TableFilter::new(Some("shop, warehouse"), None, Some("shop\\.orders,shop\\.odrers"), None).unwrap();
        assert_eq!(f.unmatched_databases(["SHOP", "other"]), ["warehouse"]);
        assert_eq!(f.unmatched_tables(&[TableId::new("shop", "orders")]), ["shop\\.odrers"]);
        assert!(TableFilter::new(None, Some("x"), None, None).unwrap().unmatched_databases(["y"]).is_empty());
    }

    #[test]
    fn a_bad_expression_names_its_key() {
        let e = TableFilter::new(None, None, Some("a(b"), None).unwrap_err();
        assert!(e.to_string().starts_with("table.include.list = \"a(b\""), "{e}");
    }
}
