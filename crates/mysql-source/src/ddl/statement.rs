//! Which kind of statement it is, and which tables it names.

use super::Dialect;
use super::alter::{self, Clause};
use super::lexer::{Token, tokens};
use super::parser::Parser;
use crate::decode_error::DecodeResult;
use cdc_core::TableId;

/// A statement of the binary log, as far as it concerns tables. Temporary tables are of no concern.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Statement {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK of the whole transaction.
    Rollback,
    /// SAVEPOINT, by its name.
    Savepoint(String),
    /// ROLLBACK TO a savepoint: seldom in the log, as the rows after it are left out with it.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    ReleaseSavepoint,
    /// XA START, END, PREPARE, COMMIT, ROLLBACK.
    Xa,
    /// CREATE TABLE, in any form.
    CreateTable {
        /// The table.
        table: TableId,
        /// Nothing happens if it is there already.
        if_not_exists: bool,
        /// A table of that name goes first.
        or_replace: bool,
    },
    /// ALTER TABLE, CREATE INDEX, DROP INDEX.
    AlterTable(AlterTable),
    /// DROP TABLE.
    DropTables(Vec<TableId>),
    /// RENAME TABLE: from, to; one after the other.
    RenameTables(Vec<(TableId, TableId)>),
    /// TRUNCATE TABLE.
    Truncate(TableId),
    /// CREATE DATABASE.
    CreateDatabase(String),
    /// DROP DATABASE: all of its tables go.
    DropDatabase(String),
    /// ALTER DATABASE: defaults for new tables.
    AlterDatabase(String),
    /// INSERT, UPDATE, DELETE and the like: changes that are not in row events (a session with `binlog_format=STATEMENT`).
    Data,
    /// A stored function that changed rows, in such a session: both servers log `SELECT f()`, however it was called, and name no
    /// table.
    Function,
    /// Of no concern for rows and columns: users, views, routines, maintenance.
    Irrelevant,
    /// It is about tables, but could not be read.
    Unreadable {
        /// Why not.
        reason: String,
    },
}

/// An ALTER TABLE; see [`AlterTable::classify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterTable {
    /// The table, by its name before.
    pub table: TableId,
    /// Its name afterwards, if it changes.
    pub renamed_to: Option<TableId>,
    /// The other table, if rows go from one to the other.
    pub partition: Option<PartitionMove>,
    /// The session's, in which names without one are.
    pub(super) database: String,
    pub(super) sql: String,
    pub(super) dialect: Dialect,
}

/// How the rows of a whole partition go to or come from another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionMove {
    /// EXCHANGE PARTITION ... WITH TABLE: both have other rows afterwards.
    Exchange(TableId),
    /// MariaDB, CONVERT TABLE ... TO PARTITION: this table is not there any more.
    FromTable(TableId),
    /// MariaDB, CONVERT PARTITION ... TO TABLE: this table is there now.
    ToTable(TableId),
}

/// Reads a statement. `default_database` is its session's; `dialect` says how its session reads SQL.
pub fn parse_statement(sql: &str, default_database: &str, dialect: Dialect) -> Statement {
    // By far the most frequent one.
    if sql == "BEGIN" {
        return Statement::Begin;
    }
    let tokens = tokens(sql, dialect);
    let mut p = Parser::new(&tokens);
    p.skip_set_statement();
    let context = Context { sql, database: default_database, dialect };
    statement(&mut p, &context).unwrap_or_else(|e| Statement::Unreadable { reason: e.to_string() })
}

struct Context<'a> {
    sql: &'a str,
    database: &'a str,
    dialect: Dialect,
}

impl Context<'_> {
    fn alter(&self, table: TableId, renamed_to: Option<TableId>, partition: Option<PartitionMove>) -> Statement {
        let (database, sql) = (self.database.to_owned(), self.sql.to_owned());
        Statement::AlterTable(AlterTable { table, renamed_to, partition, database, sql, dialect: self.dialect })
    }
}

fn statement(p: &mut Parser<'_>, context: &Context<'_>) -> DecodeResult<Statement> {
    let Some(first) = p.next() else { return Ok(Statement::Irrelevant) };
    let is = |keyword| first.is(keyword);
    let database = context.database;
    if is("BEGIN") || (is("START") && p.accept("TRANSACTION")) {
        return Ok(Statement::Begin);
    }
    if is("COMMIT") {
        return Ok(Statement::Commit);
    }
    if is("ROLLBACK") {
        p.accept("WORK");
        if !p.accept("TO") {
            return Ok(Statement::Rollback);
        }
        p.accept("SAVEPOINT");
        return Ok(Statement::RollbackTo(p.name()?));
    }
    if is("SAVEPOINT") {
        return Ok(Statement::Savepoint(p.name()?));
    }
    if is("RELEASE") && p.accept("SAVEPOINT") {
        return Ok(Statement::ReleaseSavepoint);
    }
    if is("XA") {
        return Ok(Statement::Xa);
    }
    if is("TRUNCATE") {
        p.accept("TABLE");
        let table = table_name(p, database)?;
        return end(p).map(|()| Statement::Truncate(table));
    }
    if is("RENAME") && p.accept_any(&["TABLES", "TABLE"]).is_some() {
        return rename(p, database);
    }
    if is("DROP") {
        return drop_statement(p, context);
    }
    if is("CREATE") {
        return create(p, context);
    }
    if is("ALTER") {
        return alter_statement(p, context);
    }
    if ["SELECT", "CALL", "DO"].into_iter().any(is) {
        return Ok(Statement::Function);
    }
    let data = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "IMPORT", "WITH"];
    Ok(if data.into_iter().any(is) { Statement::Data } else { Statement::Irrelevant })
}

/// Nothing is left but words that change nothing: where a name was read wrongly, something is.
fn end(p: &mut Parser<'_>) -> DecodeResult<()> {
    loop {
        let storage = p.accept_all(&["DROP", "STORAGE"]) || p.accept_all(&["REUSE", "STORAGE"]);
        if !(storage || wait_option(p) || p.accept_any(&["RESTRICT", "CASCADE"]).is_some() || p.accept_symbol(';')) {
            break;
        }
    }
    if p.at_end() { Ok(()) } else { Err(p.unexpected("the end of the statement")) }
}

/// `table` or `database.table`; MariaDB has `.table`, too.
pub(super) fn table_name(p: &mut Parser<'_>, database: &str) -> DecodeResult<TableId> {
    if p.accept_symbol('.') {
        return Ok(TableId::new(database, p.name()?));
    }
    let name = p.name()?;
    if p.accept_symbol('.') { Ok(TableId::new(name, p.name()?)) } else { Ok(TableId::new(database, name)) }
}

fn rename(p: &mut Parser<'_>, database: &str) -> DecodeResult<Statement> {
    p.accept_all(&["IF", "EXISTS"]);
    let mut pairs = Vec::new();
    loop {
        let from = table_name(p, database)?;
        wait_option(p);
        if !p.accept("TO") {
            return Err(p.unexpected("TO"));
        }
        pairs.push((from, table_name(p, database)?));
        if !p.accept_symbol(',') {
            return end(p).map(|()| Statement::RenameTables(pairs));
        }
    }
}

/// True, and past it, at MariaDB's WAIT n or NOWAIT.
pub(super) fn wait_option(p: &mut Parser<'_>) -> bool {
    if p.accept("WAIT") {
        p.accept_number();
        return true;
    }
    p.accept("NOWAIT")
}

fn drop_statement(p: &mut Parser<'_>, context: &Context<'_>) -> DecodeResult<Statement> {
    if p.accept("TEMPORARY") {
        return Ok(Statement::Irrelevant);
    }
    if p.accept_any(&["DATABASE", "SCHEMA"]).is_some() {
        p.accept_all(&["IF", "EXISTS"]);
        return Ok(Statement::DropDatabase(p.name()?));
    }
    if p.accept("INDEX") {
        return index(p, context);
    }
    if p.accept_any(&["TABLES", "TABLE"]).is_none() {
        return Ok(Statement::Irrelevant);
    }
    p.accept_all(&["IF", "EXISTS"]);
    let mut tables = Vec::new();
    loop {
        tables.push(table_name(p, context.database)?);
        if !p.accept_symbol(',') {
            return end(p).map(|()| Statement::DropTables(tables));
        }
    }
}

fn create(p: &mut Parser<'_>, context: &Context<'_>) -> DecodeResult<Statement> {
    let or_replace = p.accept_all(&["OR", "REPLACE"]);
    if p.accept("TEMPORARY") {
        return Ok(Statement::Irrelevant);
    }
    if p.accept_any(&["DATABASE", "SCHEMA"]).is_some() {
        p.accept_all(&["IF", "NOT", "EXISTS"]);
        return Ok(Statement::CreateDatabase(p.name()?));
    }
    let kind = p.accept_any(&["UNIQUE", "FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE"]);
    p.accept("VECTOR");
    if p.accept("INDEX") {
        return index(p, context);
    }
    if kind.is_some() || !p.accept("TABLE") {
        return Ok(Statement::Irrelevant);
    }
    let if_not_exists = p.accept_all(&["IF", "NOT", "EXISTS"]);
    Ok(Statement::CreateTable { table: table_name(p, context.database)?, if_not_exists, or_replace })
}

/// CREATE and DROP INDEX, after INDEX.
fn index(p: &mut Parser<'_>, context: &Context<'_>) -> DecodeResult<Statement> {
    let _ = p.accept_all(&["IF", "NOT", "EXISTS"]) || p.accept_all(&["IF", "EXISTS"]);
    p.name()?;
    if p.accept("USING") {
        p.name()?;
    }
    if !p.accept("ON") {
        return Err(p.unexpected("ON"));
    }
    let table = table_name(p, context.database)?;
    Ok(context.alter(table, None, None))
}

fn alter_statement(p: &mut Parser<'_>, context: &Context<'_>) -> DecodeResult<Statement> {
    if p.accept_any(&["DATABASE", "SCHEMA"]).is_some() {
        let named = p.peek().is_some_and(|t| !["CHARACTER", "CHARSET", "COLLATE", "DEFAULT", "COMMENT"].iter().any(|k| t.is(k)));
        return Ok(Statement::AlterDatabase(if named { p.name()? } else { context.database.to_owned() }));
    }
    while p.accept_any(&["ONLINE", "OFFLINE", "IGNORE"]).is_some() {}
    if !p.accept("TABLE") {
        return Ok(Statement::Irrelevant);
    }
    p.accept_all(&["IF", "EXISTS"]);
    let table = table_name(p, context.database)?;
    // Other names without a database are in the session's, not in the table's. The types do not matter for them, nor does the
    // character set.
    let clauses = match alter::clauses(&mut p.clone(), context.sql, context.database, Some("utf8mb4"), context.dialect) {
        Ok(clauses) => clauses,
        // Which other table lost or got rows is not known.
        Err(e) if moves_partition(p.clone()) => return Err(e),
        Err(_) => {
            let renamed_to = find_rename(p, context.database);
            return Ok(context.alter(table, renamed_to, None));
        }
    };
    let (mut renamed_to, mut partition) = (None, None);
    for clause in clauses {
        match clause {
            Clause::RenameTo(to) => renamed_to = Some(to),
            Clause::Partition(moved) => partition = Some(moved),
            _ => {}
        }
    }
    Ok(context.alter(table, renamed_to, partition))
}

/// Some clause is one of [`PartitionMove`].
fn moves_partition(mut p: Parser<'_>) -> bool {
    while !p.at_end() {
        if p.accept("EXCHANGE") || (p.accept("CONVERT") && p.peek().is_some_and(|t| t.is("PARTITION") || t.is("TABLE"))) {
            return true;
        }
        p.next();
    }
    false
}

/// The new name in clauses of which some cannot be read.
fn find_rename(p: &mut Parser<'_>, database: &str) -> Option<TableId> {
    let other = |t: &Token<'_>| t.is("COLUMN") || t.is("INDEX") || t.is("KEY");
    while !p.at_end() {
        if p.accept("RENAME") && !p.peek().is_some_and(other) {
            let _ = p.accept("TO") || p.accept("AS") || p.accept_symbol('=');
            return table_name(p, database).ok();
        }
        p.next();
    }
    None
}
