//! What an ALTER TABLE does to rows and columns.

use super::Dialect;
use super::alter::{self, Clause, KeyPart};
use super::column::{ColumnDefinition, DefaultClause, Position, set_default};
use super::lexer::tokens;
use super::parser::Parser;
use super::statement::{AlterTable, PartitionMove};
use crate::decode_error::{DecodeError, DecodeResult};
use crate::value::Literal;
use cdc_core::{Column, LogicalType, TableSchema, Value};

/// How an ALTER TABLE can be followed. Ordered: of several clauses the highest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlterClass {
    /// The values of old rows stay what they are; a new column is NULL in them.
    MetadataOnly,
    /// Old rows show a constant in a new column, and no row event says so.
    ConstantDefault,
    /// Old rows change in a way that no row event tells, or the key changes.
    RowsChanged,
    /// Not understood.
    Unknown,
}

/// What an ALTER TABLE does.
#[derive(Debug, Clone, PartialEq)]
pub struct Alteration {
    /// How it can be followed.
    pub class: AlterClass,
    /// Why it is not metadata only: a phrase for each clause that is not.
    pub reasons: Vec<String>,
    /// The columns afterwards, one version on; `None` if they stay the same or the class is [`AlterClass::RowsChanged`] or
    /// [`AlterClass::Unknown`]. The next table map event must agree with it.
    pub schema: Option<TableSchema>,
    /// What old rows show in new columns (by field id) that have a constant default.
    pub constants: Vec<(i32, Value)>,
    /// Indexes and constraints that go. If the table's key is not its primary key, one of them may have been the key: the
    /// schema does not know the key's name, so look at the server's indexes before going on.
    pub dropped_indexes: Vec<String>,
}

impl AlterTable {
    /// Classes the statement against the table's columns before it.
    pub fn classify(&self, schema: &TableSchema) -> Alteration {
        let mut work = Work {
            schema: schema.clone(),
            class: AlterClass::MetadataOnly,
            reasons: Vec::new(),
            constants: Vec::new(),
            dropped_indexes: Vec::new(),
            key_dropped: false,
            new_primary_key: None,
            dialect: self.dialect,
        };
        if let Err(e) = self.clauses(schema).and_then(|clauses| work.all(&clauses)) {
            work.raise(AlterClass::Unknown, e.to_string());
        }
        work.settle_key(schema);
        let followed = work.class <= AlterClass::ConstantDefault && work.schema != *schema;
        work.schema.version = schema.version.saturating_add(1);
        Alteration {
            class: work.class,
            reasons: work.reasons,
            schema: followed.then_some(work.schema),
            constants: work.constants,
            dropped_indexes: work.dropped_indexes,
        }
    }

    fn clauses(&self, schema: &TableSchema) -> DecodeResult<Vec<Clause>> {
        let tokens = tokens(&self.sql, self.dialect);
        let mut p = Parser::new(&tokens);
        p.skip_set_statement();
        if !p.accept("ALTER") {
            return alter::index_clauses(&mut p);
        }
        let mut ignore = false;
        while !p.at_end() && !p.accept("TABLE") {
            ignore |= p.peek().is_some_and(|t| t.is("IGNORE"));
            p.next();
        }
        p.accept_all(&["IF", "EXISTS"]);
        super::statement::table_name(&mut p, &self.database)?;
        let mut clauses = alter::clauses(&mut p, &self.sql, &self.database, schema.charset.as_deref(), self.dialect)?;
        if ignore {
            // Of MariaDB: of a new unique key, a CHECK, a partitioning, a smaller type.
            clauses.push(Clause::RowsChanged("ALTER IGNORE leaves out or changes rows that do not fit"));
        }
        Ok(clauses)
    }
}

struct Work {
    schema: TableSchema,
    class: AlterClass,
    reasons: Vec<String>,
    constants: Vec<(i32, Value)>,
    dropped_indexes: Vec<String>,
    key_dropped: bool,
    new_primary_key: Option<Vec<String>>,
    dialect: Dialect,
}

impl Work {
    fn raise(&mut self, class: AlterClass, reason: impl Into<String>) {
        self.class = self.class.max(class);
        self.reasons.push(reason.into());
    }

    fn all(&mut self, clauses: &[Clause]) -> DecodeResult<()> {
        clauses.iter().try_for_each(|clause| self.one(clause))
    }

    fn one(&mut self, clause: &Clause) -> DecodeResult<()> {
        match clause {
            Clause::NoEffect | Clause::RenameTo(_) => {}
            Clause::RowsChanged(why) => self.raise(AlterClass::RowsChanged, *why),
            Clause::Partition(moved) => self.raise(
                AlterClass::RowsChanged,
                match moved {
                    PartitionMove::Exchange(other) => format!("a partition and the table {other} exchange their rows"),
                    PartitionMove::FromTable(other) => format!("the table {other} becomes a partition"),
                    PartitionMove::ToTable(other) => format!("a partition becomes the table {other}"),
                },
            ),
            Clause::TableComment(comment) => self.schema.comment = Some(comment.clone()).filter(|c| !c.is_empty()),
            Clause::DefaultCharset(charset) => self.schema.charset = Some(charset.clone()),
            Clause::Convert(charset) => {
                self.raise(AlterClass::RowsChanged, format!("all text is converted to the character set {charset}"));
            }
            Clause::DropIndex(name) if name.eq_ignore_ascii_case("PRIMARY") => self.key_dropped = true,
            Clause::DropIndex(name) => self.dropped_indexes.push(name.clone()),
            Clause::DropPrimaryKey => self.key_dropped = true,
            Clause::AddPrimaryKey(parts) => self.primary_key(parts)?,
            Clause::AddUnique(parts) => self.unique_key(parts),
            Clause::Drop { column, if_exists } => {
                if let Some(at) = self.find(column, *if_exists)? {
                    let gone = self.schema.columns.remove(at);
                    self.forget_in_key(at, &gone.name);
                }
            }
            Clause::Rename { from, to, if_exists } => {
                if let Some(at) = self.find(from, *if_exists)? {
                    self.vacant(to, Some(at))?;
                    if let Some(column) = self.schema.columns.get_mut(at) {
                        column.name.clone_from(to);
                    }
                }
            }
            Clause::SetDefault { column, default, if_exists } => {
                if let Some(column) = self.find(column, *if_exists)?.and_then(|at| self.schema.columns.get_mut(at)) {
                    set_default(column, default);
                    if *default == DefaultClause::Absent {
                        column.default = None; // DROP DEFAULT: not even NULL
                    }
                }
            }
            Clause::Add { definition, position, if_not_exists } => self.add(definition, position, *if_not_exists)?,
            Clause::Modify { column, definition, position, if_exists } => {
                if let Some(at) = self.find(column, *if_exists)? {
                    self.modify(at, definition, position)?;
                }
            }
        }
        Ok(())
    }

    fn position_of(&self, name: &str) -> Option<usize> {
        let same = |c: &Column| c.name.to_lowercase() == name.to_lowercase();
        self.schema.columns.iter().position(same)
    }

    fn find(&self, name: &str, if_exists: bool) -> DecodeResult<Option<usize>> {
        match self.position_of(name) {
            None if !if_exists => {
                Err(DecodeError::invalid(format!("column {name} is not in the known schema (version {})", self.schema.version)))
            }
            found => Ok(found),
        }
    }

    fn vacant(&self, name: &str, except: Option<usize>) -> DecodeResult<()> {
        match self.position_of(name) {
            Some(at) if Some(at) != except => Err(DecodeError::invalid(format!(
                "column {name} is in the known schema already (version {})",
                self.schema.version
            ))),
            _ => Ok(()),
        }
    }

    /// The index where a column goes that is not among the others (any more).
    fn target(&self, position: &Position) -> DecodeResult<Option<usize>> {
        Ok(match position {
            Position::Unsaid => None,
            Position::First => Some(0),
            Position::After(name) => self.find(name, false)?.map(|at| at.saturating_add(1)),
        })
    }

    fn insert(&mut self, at: usize, column: Column) {
        let at = at.min(self.schema.columns.len());
        self.schema.columns.insert(at, column);
        self.schema.key.iter_mut().filter(|k| **k >= at).for_each(|k| *k = k.saturating_add(1));
    }

    fn forget_in_key(&mut self, at: usize, name: &str) {
        if self.schema.key.contains(&at) {
            self.schema.key.retain(|k| *k != at);
            self.raise(AlterClass::RowsChanged, format!("column {name} was part of the key"));
        }
        self.schema.key.iter_mut().filter(|k| **k > at).for_each(|k| *k = k.saturating_sub(1));
    }

    fn add(&mut self, definition: &ColumnDefinition, position: &Position, if_not_exists: bool) -> DecodeResult<()> {
        if if_not_exists && self.position_of(&definition.name).is_some() {
            return Ok(());
        }
        self.vacant(&definition.name, None)?;
        let Some(field_id) = self.schema.last_field_id.checked_add(1) else {
            return Err(DecodeError::invalid("the table has no field ids left"));
        };
        let name = &definition.name;
        let column = definition.column(field_id);
        if definition.primary {
            self.raise(AlterClass::RowsChanged, format!("the new column {name} is the primary key"));
        } else if definition.auto_increment {
            self.raise(AlterClass::RowsChanged, format!("old rows get numbers in the new column {name}"));
        } else if definition.generated.is_some() {
            self.raise(AlterClass::RowsChanged, format!("old rows get computed values in the new column {name}"));
        } else {
            match &definition.default {
                DefaultClause::Expression(text) => {
                    self.raise(AlterClass::RowsChanged, format!("old rows get the value of {text} in the new column {name}"));
                }
                DefaultClause::Absent | DefaultClause::Constant(Literal::Null) if definition.nullable => {}
                default => {
                    let constant = match default {
                        DefaultClause::Constant(literal) => literal.value(&column.logical_type, &column.native),
                        _ => implied_default(&column.logical_type),
                    };
                    // A TIMESTAMP's constant is in the session's time zone, which nobody tells.
                    let zoned = matches!(column.logical_type, LogicalType::TimestampTz { .. });
                    match constant.filter(|_| !zoned) {
                        Some(value) => {
                            self.constants.push((field_id, value));
                            self.raise(AlterClass::ConstantDefault, format!("old rows get a constant in the new column {name}"));
                        }
                        None => {
                            self.raise(AlterClass::RowsChanged, format!("old rows get a value in the new column {name}"));
                        }
                    }
                }
            }
        }
        let at = self.target(position)?.unwrap_or(self.schema.columns.len());
        self.schema.last_field_id = field_id;
        self.insert(at, column);
        if definition.unique && !definition.nullable {
            self.unique_key(&[KeyPart { column: Some(name.clone()), prefix: false }]);
        }
        Ok(())
    }

    fn modify(&mut self, at: usize, definition: &ColumnDefinition, position: &Position) -> DecodeResult<()> {
        self.vacant(&definition.name, Some(at))?;
        let Some(old) = self.schema.columns.get(at).cloned() else { return Ok(()) };
        let mut new = definition.column(old.field_id);
        let in_key = self.schema.key.contains(&at);
        if in_key && definition.nullable {
            // NULL is not to be had in a primary key, said or not; in a unique one it ends the key.
            new.nullable = false;
            set_default(&mut new, &definition.default);
        }
        if let Some(why) = changes_values(&old, &new, self.dialect) {
            self.raise(AlterClass::RowsChanged, format!("column {}: {why}", old.name));
        }
        if self.schema.columns.iter().any(|c| c.generated.is_some()) && !computes_alike(&old, &new) {
            self.raise(AlterClass::RowsChanged, format!("what is computed from column {} may change with its type", old.name));
        }
        if definition.primary {
            self.primary_key(&[KeyPart { column: Some(old.name.clone()), prefix: false }])?;
        }
        if definition.unique && !definition.nullable {
            self.unique_key(&[KeyPart { column: Some(old.name.clone()), prefix: false }]);
        }
        if *position == Position::Unsaid {
            if let Some(place) = self.schema.columns.get_mut(at) {
                *place = new;
            }
            return Ok(());
        }
        let key_ids: Vec<i32> = self.schema.key_columns().map(|c| c.field_id).collect();
        self.schema.columns.remove(at);
        let target = self.target(position)?.unwrap_or(at).min(self.schema.columns.len());
        self.schema.columns.insert(target, new);
        let place = |id: &i32| self.schema.columns.iter().position(|c| c.field_id == *id);
        self.schema.key = key_ids.iter().filter_map(place).collect();
        Ok(())
    }

    fn primary_key(&mut self, parts: &[KeyPart]) -> DecodeResult<()> {
        let mut names = Vec::new();
        for part in parts {
            let Some(name) = &part.column else {
                return Err(DecodeError::invalid("a primary key has an expression"));
            };
            if part.prefix {
                self.raise(AlterClass::RowsChanged, "the primary key takes only the beginning of a column");
            }
            let at = self.find(name, false)?;
            if let Some(column) = at.and_then(|at| self.schema.columns.get_mut(at)) {
                column.nullable = false;
                if column.default == Some(Value::Null) {
                    column.default = None;
                }
                names.push(column.name.clone());
            }
        }
        self.new_primary_key = Some(names);
        Ok(())
    }

    /// A unique key becomes the key of a table that has none.
    fn unique_key(&mut self, parts: &[KeyPart]) {
        let usable = parts.iter().all(|part| {
            let column = part.column.as_deref().filter(|_| !part.prefix).and_then(|name| self.position_of(name));
            column.and_then(|at| self.schema.columns.get(at)).is_some_and(|c| !c.nullable)
        });
        if self.schema.key.is_empty() && usable {
            self.raise(AlterClass::RowsChanged, "the table, which had no key, gets one");
        }
    }

    /// Whether the key after all clauses is the one before them.
    fn settle_key(&mut self, before: &TableSchema) {
        let same = self.new_primary_key.as_ref().is_some_and(|new| {
            let now: Vec<&str> = self.schema.key_columns().map(|c| c.name.as_str()).collect();
            new.len() == now.len() && new.iter().zip(&now).all(|(a, b)| a.eq_ignore_ascii_case(b))
        });
        let changed = match (&self.new_primary_key, self.key_dropped) {
            (Some(_), _) => !same,
            (None, dropped) => dropped,
        };
        if changed {
            let key = if before.key.is_empty() { "it had none" } else { "rows are told apart by others than before" };
            self.raise(AlterClass::RowsChanged, format!("the primary key changes: {key}"));
        }
    }
}

/// What old rows get in a new NOT NULL column without a default.
fn implied_default(logical: &LogicalType) -> Option<Value> {
    use LogicalType as L;
    Some(match logical {
        L::Boolean => Value::Boolean(false),
        L::Integer { bits: 64, unsigned: true } => Value::UInt(0),
        L::Integer { .. } | L::Year | L::Time { .. } => Value::Int(0),
        L::Decimal { scale: 0, .. } => Value::Decimal("0".to_owned()),
        L::Decimal { scale, .. } => Value::Decimal(format!("0.{:0<1$}", "", usize::from(*scale))),
        L::Float => Value::Float(0.0),
        L::Double => Value::Double(0.0),
        L::Bits { length } => Value::Bytes(vec![0; usize::from(length.div_ceil(8))]),
        L::String | L::Set { .. } => Value::String(String::new()),
        L::Enum { values } => Value::String(values.first()?.clone()),
        _ => return None,
    })
}

/// Why a column's old values do not stay as they are, if they do not.
fn changes_values(old: &Column, new: &Column, dialect: Dialect) -> Option<String> {
    // The expression of before is not known.
    if old.generated.is_some() || new.generated.is_some() {
        return Some("it may be computed in another way".to_owned());
    }
    if new.auto_increment && !old.auto_increment {
        return Some("zeros get numbers".to_owned());
    }
    if old.nullable && !new.nullable {
        if !dialect.strict {
            return Some("NULL becomes a value (NOT NULL outside of strict mode)".to_owned());
        }
        if dialect.mariadb && matches!(new.logical_type, LogicalType::TimestampTz { .. }) {
            return Some("NULL becomes the current time".to_owned());
        }
    }
    if widens(old, new, dialect) {
        None
    } else {
        Some(format!("values may change from {} to {}", old.native.declaration, new.native.declaration))
    }
}

/// True if every value of the old type is the same value, in the same or a promoted Iceberg type, under the new one. What is
/// said of servers was tried on MySQL 9.7 and MariaDB 10.11.
fn widens(old: &Column, new: &Column, dialect: Dialect) -> bool {
    use LogicalType as L;
    let same_digits = (old.native.length, old.native.scale) == (new.native.length, new.native.scale);
    match (&old.logical_type, &new.logical_type) {
        (L::Integer { bits: a, unsigned: false }, L::Integer { bits: b, unsigned: false })
        | (L::Integer { bits: a, unsigned: true }, L::Integer { bits: b, unsigned: true }) => {
            a == b || (a < b && (*b < 64 || matches!(new.logical_type, L::Integer { unsigned: false, .. })))
        }
        (L::Integer { bits: a, unsigned: true }, L::Integer { bits: b, unsigned: false }) => a < b,
        (L::Decimal { precision: p, scale: s }, L::Decimal { precision: q, scale: t }) => {
            s == t && p <= q && (*q <= 38 || p == q || *p > 38) && unsigned(old) == unsigned(new)
        }
        // FLOAT(7,3) rounds, and DOUBLE(7,3) rounds what FLOAT(7,3) could not hold exactly.
        (L::Float, L::Float) | (L::Double, L::Double) => {
            (new.native.length.is_none() || same_digits) && unsigned(old) == unsigned(new)
        }
        (L::Float, L::Double) => new.native.length.is_none() && unsigned(old) == unsigned(new),
        (L::Bits { length: a }, L::Bits { length: b }) => a == b,
        (L::String, L::String) => {
            same_text(old, new) && same_blanks(old, new, dialect) && longest_text(old, new) <= text_length(new)
        }
        // BINARY(n) pads to n.
        (L::Binary, L::Binary) => match (old.native.name.as_str(), new.native.name.as_str()) {
            ("BINARY", "BINARY") => old.native.length == new.native.length,
            (_, "BINARY") => false,
            _ => text_length(old) <= text_length(new),
        },
        (L::Enum { values: a }, L::Enum { values: b }) | (L::Set { values: a }, L::Set { values: b }) => {
            b.starts_with(a) && same_text(old, new) && (dialect.strict || told_apart(old, new, b))
        }
        // MySQL copies it by way of the session's time zone: of the hour that is there twice one is lost.
        (L::TimestampTz { fraction: a }, L::TimestampTz { fraction: b }) if !dialect.mariadb => a == b,
        (L::Time { fraction: a }, L::Time { fraction: b })
        | (L::Timestamp { fraction: a }, L::Timestamp { fraction: b })
        | (L::TimestampTz { fraction: a }, L::TimestampTz { fraction: b }) => a <= b,
        (L::Geometry { point: a }, L::Geometry { point: b }) => a == b && old.native.name == new.native.name,
        // YEAR(2) of MariaDB shows two digits, and 1901 and 2001 as the same.
        (L::Year, L::Year) => old.native.length.unwrap_or(4) == new.native.length.unwrap_or(4),
        (L::Vector, L::Vector) => dimensions(old) <= dimensions(new),
        (a, b) => a == b,
    }
}

/// A CHAR has no blanks at its end, and gets them where it is copied under PAD_CHAR_TO_FULL_LENGTH.
fn same_blanks(old: &Column, new: &Column, dialect: Dialect) -> bool {
    match (old.native.name.as_str(), new.native.name.as_str()) {
        ("CHAR", "CHAR") => true,
        ("CHAR", _) => !dialect.padded_char,
        (_, "CHAR") => false,
        _ => true,
    }
}

/// Values of an ENUM or SET stay what they are under another collation, too: values are copied by their text, and outside of
/// strict mode 'A' becomes 'a' where both are one.
fn told_apart(old: &Column, new: &Column, values: &[String]) -> bool {
    let plain: std::collections::BTreeSet<String> = values.iter().map(|v| v.to_ascii_lowercase()).collect();
    let same = old.native.collation.is_some() && old.native.collation == new.native.collation;
    same || (plain.len() == values.len() && plain.iter().all(|v| v.is_ascii()))
}

/// What is computed from the column's values stays what it is: texts and numbers of another form may show it.
fn computes_alike(old: &Column, new: &Column) -> bool {
    let integer = |c: &Column| matches!(c.logical_type, LogicalType::Integer { .. }) && !c.native.name.contains("ZEROFILL");
    let same = old.logical_type == new.logical_type && old.native == new.native;
    same || (integer(old) && integer(new) && unsigned(old) == unsigned(new))
}

fn dimensions(column: &Column) -> u32 {
    column.native.length.unwrap_or(2048)
}

fn unsigned(column: &Column) -> bool {
    column.native.name.contains("UNSIGNED")
}

/// The text stays what it is: the same character set, or one that has every character.
fn same_text(old: &Column, new: &Column) -> bool {
    let unicode = matches!(new.native.charset.as_deref(), Some("utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030"));
    old.native.charset == new.native.charset || unicode
}

/// The longest text of the old column, in what the new one counts in: characters, or bytes in a TEXT.
fn longest_text(old: &Column, new: &Column) -> u64 {
    let is_text = |c: &Column| c.native.name.ends_with("TEXT");
    let longest = |c: &Column| c.native.charset.as_deref().map_or(1, crate::types::longest_character);
    let bytes = match (is_text(old), is_text(new)) {
        (_, false) => 1,
        (false, true) => longest(new),
        (true, true) if old.native.charset == new.native.charset => 1,
        (true, true) => longest(new),
    };
    text_length(old).saturating_mul(bytes)
}

/// The longest value: in characters of CHAR and VARCHAR, in bytes of the others.
fn text_length(column: &Column) -> u64 {
    match column.native.name.as_str() {
        "TINYTEXT" | "TINYBLOB" => 255,
        "TEXT" | "BLOB" => 65_535,
        "MEDIUMTEXT" | "MEDIUMBLOB" => 16_777_215,
        "LONGTEXT" | "LONGBLOB" => u64::from(u32::MAX),
        _ => u64::from(column.native.length.unwrap_or(0)),
    }
}
