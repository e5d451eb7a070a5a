//! The clauses of ALTER TABLE.

use super::Dialect;
use super::column::{ColumnDefinition, DefaultClause, Position, references};
use super::parser::Parser;
use super::statement::{PartitionMove, table_name, wait_option};
use crate::decode_error::{DecodeError, DecodeResult};
use crate::types::canonical_charset;
use cdc_core::TableId;

/// One clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clause {
    Add {
        definition: ColumnDefinition,
        position: Position,
        if_not_exists: bool,
    },
    Drop {
        column: String,
        if_exists: bool,
    },
    Rename {
        from: String,
        to: String,
        if_exists: bool,
    },
    /// MODIFY, CHANGE.
    Modify {
        column: String,
        definition: ColumnDefinition,
        position: Position,
        if_exists: bool,
    },
    SetDefault {
        column: String,
        default: DefaultClause,
        if_exists: bool,
    },
    AddPrimaryKey(Vec<KeyPart>),
    AddUnique(Vec<KeyPart>),
    DropPrimaryKey,
    DropIndex(String),
    RenameTo(TableId),
    Partition(PartitionMove),
    /// CONVERT TO CHARACTER SET.
    Convert(String),
    DefaultCharset(String),
    TableComment(String),
    /// Rows change or go; why.
    RowsChanged(&'static str),
    /// Neither rows nor columns change.
    NoEffect,
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPart {
    /// `None` for an expression.
    pub(crate) column: Option<String>,
    /// Only its beginning counts.
    pub(crate) prefix: bool,
}

struct Reader<'p, 't> {
    p: &'p mut Parser<'t>,
    sql: &'p str,
    database: &'p str,
    charset: Option<&'p str>,
    dialect: Dialect,
    out: Vec<Clause>,
}

/// Reads what follows the table's name. Fails on the first clause that is not understood.
pub(crate) fn clauses(
    p: &mut Parser<'_>,
    sql: &str,
    database: &str,
    charset: Option<&str>,
    dialect: Dialect,
) -> DecodeResult<Vec<Clause>> {
    let mut reader = Reader { p, sql, database, charset, dialect, out: Vec::new() };
    reader.all()?;
    Ok(reader.out)
}

/// The clauses of a CREATE INDEX or DROP INDEX, whole statement.
pub(crate) fn index_clauses(p: &mut Parser<'_>) -> DecodeResult<Vec<Clause>> {
    if p.accept("DROP") {
        p.accept("INDEX");
        p.accept_all(&["IF", "EXISTS"]);
        return Ok(vec![Clause::DropIndex(p.name()?)]);
    }
    p.accept("CREATE");
    let replaces = p.accept_all(&["OR", "REPLACE"]);
    let mut unique = false;
    while !p.at_end() && !p.accept("INDEX") {
        unique |= p.peek().is_some_and(|t| t.is("UNIQUE"));
        p.next();
    }
    p.accept_all(&["IF", "NOT", "EXISTS"]);
    let name = p.name()?;
    while p.peek().is_some_and(|t| !t.is("ON")) {
        p.next();
    }
    p.next();
    table_name(p, "")?;
    let parts = key_parts(p)?;
    let added = if unique { Clause::AddUnique(parts) } else { Clause::NoEffect };
    Ok(if replaces { vec![Clause::DropIndex(name), added] } else { vec![added] })
}

impl Reader<'_, '_> {
    fn all(&mut self) -> DecodeResult<()> {
        wait_option(self.p);
        while !self.p.at_end() {
            if self.p.accept_symbol(',') || self.p.accept_symbol(';') {
                continue;
            }
            self.clause()?;
        }
        Ok(())
    }

    fn clause(&mut self) -> DecodeResult<()> {
        if self.p.accept("ADD") {
            return self.add();
        }
        if self.p.accept("DROP") {
            return self.drop();
        }
        if self.p.accept("MODIFY") {
            self.p.accept("COLUMN");
            let if_exists = self.p.accept_all(&["IF", "EXISTS"]);
            let column = self.p.name()?;
            return self.modify(column.clone(), column, if_exists);
        }
        if self.p.accept("CHANGE") {
            self.p.accept("COLUMN");
            let if_exists = self.p.accept_all(&["IF", "EXISTS"]);
            let (from, to) = (self.p.name()?, self.p.name()?);
            return self.modify(from, to, if_exists);
        }
        if self.p.accept("ALTER") {
            return self.alter();
        }
        if self.p.accept("RENAME") {
            return self.rename();
        }
        if self.p.accept("CONVERT") {
            if self.p.accept("TABLE") {
                let table = table_name(self.p, self.database)?;
                return self.rest(Clause::Partition(PartitionMove::FromTable(table)));
            }
            if self.p.accept("PARTITION") {
                self.p.name()?;
                self.words(&["TO", "TABLE"])?;
                let table = table_name(self.p, self.database)?;
                return self.rest(Clause::Partition(PartitionMove::ToTable(table)));
            }
            self.p.accept("TO");
            if !(self.p.accept_all(&["CHARACTER", "SET"]) || self.p.accept_all(&["CHAR", "SET"]) || self.p.accept("CHARSET")) {
                return Err(self.p.unexpected("CHARACTER SET"));
            }
            let charset = self.word()?;
            if self.p.accept("COLLATE") {
                self.word()?;
            }
            return self.push(Clause::Convert(canonical_charset(&charset)));
        }
        self.partitions_and_options()
    }

    fn push(&mut self, clause: Clause) -> DecodeResult<()> {
        self.out.push(clause);
        Ok(())
    }

    /// The clause, and nothing of what follows it is looked at.
    fn rest(&mut self, clause: Clause) -> DecodeResult<()> {
        while self.p.next().is_some() {}
        self.push(clause)
    }

    fn words(&mut self, keywords: &[&str]) -> DecodeResult<()> {
        if self.p.accept_all(keywords) { Ok(()) } else { Err(self.p.unexpected(&keywords.join(" "))) }
    }

    /// A name or a string.
    fn word(&mut self) -> DecodeResult<String> {
        match self.p.accept_text() {
            Some(text) => Ok(text.to_owned()),
            None => self.p.name(),
        }
    }

    fn definition(&mut self, name: String) -> DecodeResult<ColumnDefinition> {
        ColumnDefinition::parse(name, self.p, self.sql, self.charset, self.dialect)
    }

    fn modify(&mut self, column: String, name: String, if_exists: bool) -> DecodeResult<()> {
        let definition = self.definition(name)?;
        let position = ColumnDefinition::position(self.p)?;
        self.push(Clause::Modify { column, definition, position, if_exists })
    }

    fn add(&mut self) -> DecodeResult<()> {
        if self.p.accept("CONSTRAINT") {
            let named = self.p.peek().is_some_and(|t| !["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|k| t.is(k)));
            if named {
                self.p.accept_all(&["IF", "NOT", "EXISTS"]);
                self.p.name()?;
            }
        }
        if self.p.accept_all(&["PRIMARY", "KEY"]) {
            let parts = self.index_definition()?;
            return self.push(Clause::AddPrimaryKey(parts));
        }
        if self.p.accept("UNIQUE") {
            let _ = self.p.accept("INDEX") || self.p.accept("KEY");
            let parts = self.index_definition()?;
            return self.push(Clause::AddUnique(parts));
        }
        let vector = self.p.accept_all(&["VECTOR", "INDEX"]) || self.p.accept_all(&["VECTOR", "KEY"]);
        let kind = self.p.accept_any(&["FULLTEXT", "SPATIAL"]);
        if self.p.accept_any(&["INDEX", "KEY"]).is_some() || kind.is_some() || vector {
            self.index_definition()?;
            return self.push(Clause::NoEffect);
        }
        if self.p.accept_all(&["FOREIGN", "KEY"]) {
            self.p.accept_all(&["IF", "NOT", "EXISTS"]);
            if self.p.accept_parentheses()?.is_none() {
                self.p.name()?;
                self.p.accept_parentheses()?;
            }
            if !self.p.accept("REFERENCES") {
                return Err(self.p.unexpected("REFERENCES"));
            }
            references(self.p)?;
            return self.push(Clause::NoEffect);
        }
        if self.p.accept("CHECK") {
            self.p.accept_parentheses()?;
            let _ = self.p.accept_all(&["NOT", "ENFORCED"]) || self.p.accept("ENFORCED");
            return self.push(Clause::NoEffect);
        }
        if self.p.accept("PARTITION") {
            return self.rest(Clause::NoEffect);
        }
        if self.p.accept_all(&["SYSTEM", "VERSIONING"]) || self.p.accept_all(&["PERIOD", "FOR"]) {
            return Err(DecodeError::invalid("system versioning is not understood"));
        }
        self.p.accept("COLUMN");
        let if_not_exists = self.p.accept_all(&["IF", "NOT", "EXISTS"]);
        if !self.p.accept_symbol('(') {
            let name = self.p.name()?;
            let definition = self.definition(name)?;
            let position = ColumnDefinition::position(self.p)?;
            return self.push(Clause::Add { definition, position, if_not_exists });
        }
        loop {
            let name = self.p.name()?;
            let definition = self.definition(name)?;
            self.push(Clause::Add { definition, position: Position::Unsaid, if_not_exists })?;
            if !self.p.accept_symbol(',') {
                return self.p.symbol(')');
            }
        }
    }

    /// What follows INDEX: name, type, columns, options.
    fn index_definition(&mut self) -> DecodeResult<Vec<KeyPart>> {
        self.p.accept_all(&["IF", "NOT", "EXISTS"]);
        if self.p.peek().is_some_and(|t| !t.is_symbol('(') && !t.is("USING")) {
            self.p.name()?;
        }
        let parts = key_parts(self.p)?;
        loop {
            if self.p.accept("USING") || self.p.accept_all(&["WITH", "PARSER"]) {
                self.p.name()?;
            } else if self.p.accept("COMMENT") {
                self.p.accept_text();
            } else if self.p.accept_any(&["VISIBLE", "INVISIBLE", "IGNORED"]).is_some() || self.p.accept_all(&["NOT", "IGNORED"])
            {
            } else if self
                .p
                .accept_any(&["KEY_BLOCK_SIZE", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "CLUSTERING", "DISTANCE", "M"])
                .is_some()
            {
                self.p.accept_symbol('=');
                self.p.next();
            } else {
                return Ok(parts);
            }
        }
    }

    fn drop(&mut self) -> DecodeResult<()> {
        if self.p.accept_all(&["PRIMARY", "KEY"]) {
            return self.push(Clause::DropPrimaryKey);
        }
        if self.p.accept_all(&["FOREIGN", "KEY"]) || self.p.accept("CHECK") {
            self.p.accept_all(&["IF", "EXISTS"]);
            self.p.name()?;
            return self.push(Clause::NoEffect);
        }
        if self.p.accept("PARTITION") {
            return self.rest(Clause::RowsChanged("the rows of a partition go without row events"));
        }
        if self.p.accept_all(&["SYSTEM", "VERSIONING"]) || self.p.accept_all(&["PERIOD", "FOR"]) {
            return Err(DecodeError::invalid("system versioning is not understood"));
        }
        // A constraint may be a unique key.
        if self.p.accept_any(&["INDEX", "KEY", "CONSTRAINT"]).is_some() {
            self.p.accept_all(&["IF", "EXISTS"]);
            let index = self.p.name()?;
            return self.push(Clause::DropIndex(index));
        }
        self.p.accept("COLUMN");
        let if_exists = self.p.accept_all(&["IF", "EXISTS"]);
        let column = self.p.name()?;
        let _ = self.p.accept("RESTRICT") || self.p.accept("CASCADE");
        self.push(Clause::Drop { column, if_exists })
    }

    fn alter(&mut self) -> DecodeResult<()> {
        if self.p.accept_any(&["INDEX", "CHECK", "CONSTRAINT"]).is_some() {
            self.p.accept_all(&["IF", "EXISTS"]);
            self.p.skip_clause()?;
            return self.push(Clause::NoEffect);
        }
        self.p.accept("COLUMN");
        let if_exists = self.p.accept_all(&["IF", "EXISTS"]);
        let column = self.p.name()?;
        if self.p.accept_all(&["DROP", "DEFAULT"]) {
            return self.push(Clause::SetDefault { column, default: DefaultClause::Absent, if_exists });
        }
        if self.p.accept_all(&["SET", "DEFAULT"]) {
            let default = DefaultClause::parse(self.p, self.sql)?;
            return self.push(Clause::SetDefault { column, default, if_exists });
        }
        if self.p.accept("SET") && self.p.accept_any(&["VISIBLE", "INVISIBLE"]).is_some() {
            return self.push(Clause::NoEffect);
        }
        Err(self.p.unexpected("SET DEFAULT or DROP DEFAULT"))
    }

    fn rename(&mut self) -> DecodeResult<()> {
        if self.p.accept("COLUMN") {
            let if_exists = self.p.accept_all(&["IF", "EXISTS"]);
            let from = self.p.name()?;
            if !self.p.accept("TO") {
                return Err(self.p.unexpected("TO"));
            }
            let to = self.p.name()?;
            return self.push(Clause::Rename { from, to, if_exists });
        }
        if self.p.accept_any(&["INDEX", "KEY"]).is_some() {
            self.p.skip_clause()?;
            return self.push(Clause::NoEffect);
        }
        let _ = self.p.accept("TO") || self.p.accept("AS") || self.p.accept_symbol('=');
        let to = table_name(self.p, self.database)?;
        self.push(Clause::RenameTo(to))
    }

    /// A RANGE cannot become smaller. The rows of values that a LIST has no more are gone without an error, on both servers.
    fn reorganize(&mut self) -> DecodeResult<()> {
        let mut lists = false;
        while self.p.next().is_some() {
            lists |= self.p.accept_all(&["VALUES", "IN"]);
        }
        self.push(match lists {
            true => Clause::RowsChanged("rows of values that no partition has any more are gone"),
            false => Clause::NoEffect,
        })
    }

    fn partitions_and_options(&mut self) -> DecodeResult<()> {
        if self.p.accept("EXCHANGE") {
            self.words(&["PARTITION"])?;
            self.p.name()?;
            self.words(&["WITH", "TABLE"])?;
            let table = table_name(self.p, self.database)?;
            return self.rest(Clause::Partition(PartitionMove::Exchange(table)));
        }
        if self.p.accept("REORGANIZE") {
            return self.reorganize();
        }
        if self.p.accept("TRUNCATE") {
            return self.rest(Clause::RowsChanged("the rows of a partition go without row events"));
        }
        if self.p.accept_any(&["DISCARD", "IMPORT"]).is_some() {
            return self.rest(Clause::RowsChanged("the table's file is taken away or replaced"));
        }
        if self.p.accept_any(&["PARTITION", "COALESCE", "REBUILD", "OPTIMIZE", "ANALYZE", "CHECK", "REPAIR"]).is_some()
            || self.p.accept_all(&["REMOVE", "PARTITIONING"])
        {
            return self.rest(Clause::NoEffect);
        }
        if self.p.accept("FORCE") || self.p.accept_any(&["SECONDARY_LOAD", "SECONDARY_UNLOAD"]).is_some() {
            return self.push(Clause::NoEffect);
        }
        if self.p.accept_all(&["ORDER", "BY"]) {
            return self.rest(Clause::NoEffect);
        }
        if self.p.accept_any(&["ENABLE", "DISABLE"]).is_some() || self.p.accept_any(&["WITH", "WITHOUT"]).is_some() {
            self.p.next(); // KEYS, VALIDATION
            return self.push(Clause::NoEffect);
        }
        if self.p.accept("ENGINE") {
            self.p.accept_symbol('=');
            let engine = self.word()?;
            return self.push(match keeps_rows(&engine) {
                true => Clause::NoEffect,
                false => Clause::RowsChanged("the new engine may not keep the rows"),
            });
        }
        if self.p.accept_any(&["UNION", "CONNECTION"]).is_some() {
            self.p.accept_symbol('=');
            if self.p.accept_parentheses()?.is_none() {
                self.p.next();
            }
            return self.push(Clause::RowsChanged("the rows come from elsewhere"));
        }
        self.p.accept("DEFAULT");
        if self.p.accept_all(&["CHARACTER", "SET"]) || self.p.accept_all(&["CHAR", "SET"]) || self.p.accept("CHARSET") {
            self.p.accept_symbol('=');
            let charset = canonical_charset(&self.word()?);
            return self.push(Clause::DefaultCharset(charset));
        }
        if self.p.accept("COLLATE") {
            self.p.accept_symbol('=');
            let collation = self.word()?;
            return self.push(Clause::DefaultCharset(crate::types::charset_of_collation(&collation)));
        }
        if self.p.accept("COMMENT") {
            self.p.accept_symbol('=');
            let comment = self.word()?;
            return self.push(Clause::TableComment(comment));
        }
        const OPTIONS: &[&str] = &[
            "ALGORITHM",
            "LOCK",
            "AUTO_INCREMENT",
            "AVG_ROW_LENGTH",
            "CHECKSUM",
            "TABLE_CHECKSUM",
            "COMPRESSION",
            "DELAY_KEY_WRITE",
            "ENCRYPTION",
            "ENCRYPTED",
            "ENCRYPTION_KEY_ID",
            "ENGINE_ATTRIBUTE",
            "INSERT_METHOD",
            "KEY_BLOCK_SIZE",
            "MAX_ROWS",
            "MIN_ROWS",
            "PACK_KEYS",
            "PASSWORD",
            "ROW_FORMAT",
            "SECONDARY_ENGINE",
            "SECONDARY_ENGINE_ATTRIBUTE",
            "STATS_AUTO_RECALC",
            "STATS_PERSISTENT",
            "STATS_SAMPLE_PAGES",
            "TABLESPACE",
            "AUTOEXTEND_SIZE",
            "PAGE_CHECKSUM",
            "PAGE_COMPRESSED",
            "PAGE_COMPRESSION_LEVEL",
            "TRANSACTIONAL",
        ];
        let two_words = self.p.accept_all(&["DATA", "DIRECTORY"]) || self.p.accept_all(&["INDEX", "DIRECTORY"]);
        if two_words || self.p.accept_any(OPTIONS).is_some() {
            self.p.accept_symbol('=');
            if self.p.accept_parentheses()?.is_none() {
                self.p.next();
            }
            return self.push(Clause::NoEffect);
        }
        Err(self.p.unexpected("a clause of ALTER TABLE"))
    }
}

/// The engine stores what it is given. BLACKHOLE does not, others show tables that are elsewhere.
fn keeps_rows(engine: &str) -> bool {
    const ENGINES: &[&str] = &[
        "INNODB",
        "MYISAM",
        "ARIA",
        "ROCKSDB",
        "TOKUDB",
        "NDB",
        "NDBCLUSTER",
        "ARCHIVE",
        "CSV",
        "MEMORY",
        "HEAP",
        "COLUMNSTORE",
    ];
    ENGINES.iter().any(|known| engine.eq_ignore_ascii_case(known))
}

/// `(a, b(10), (expression) DESC)`, also after USING.
fn key_parts(p: &mut Parser<'_>) -> DecodeResult<Vec<KeyPart>> {
    if p.accept("USING") {
        p.name()?;
    }
    let Some(inside) = p.accept_parentheses()? else { return Err(p.unexpected("'('")) };
    let mut inside = Parser::new(inside);
    let mut parts = Vec::new();
    loop {
        if inside.accept_parentheses()?.is_some() {
            parts.push(KeyPart { column: None, prefix: false });
        } else {
            let column = inside.name()?;
            let prefix = inside.accept_parentheses()?.is_some();
            parts.push(KeyPart { column: Some(column), prefix });
        }
        let _ = inside.accept("ASC") || inside.accept("DESC");
        if !inside.accept_symbol(',') {
            break;
        }
    }
    if inside.at_end() { Ok(parts) } else { Err(inside.unexpected("','")) }
}
