//! A random table, and what was written to it.

use super::columns::{Column, Kind, Server, key_kind, kinds};
use super::literals::{Literal, literal};
use crate::support::Fixture;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use std::collections::BTreeMap;

/// A table whose rows are told apart by a number, `id`, which is in its key, alone or beside a column of any type.
pub struct Table {
    pub name: String,
    /// All but `id`.
    pub columns: Vec<Column>,
    key: &'static str,
    /// By `id`: how each value was written, `None` where the server computes it.
    pub rows: BTreeMap<u32, Vec<Option<Literal>>>,
    last_id: u32,
    is_mysql: bool,
}

impl Table {
    /// Tables in which each family of types is as often as the others.
    pub fn all(rng: &mut StdRng, server: &Server, count: usize) -> Vec<Self> {
        let mut kinds = kinds(rng, server, count * super::COLUMNS);
        (0..count).map(|n| Self::new(format!("r{n}"), kinds.split_off(kinds.len() - super::COLUMNS), rng, server)).collect()
    }

    fn new(name: String, kinds: Vec<Kind>, rng: &mut StdRng, server: &Server) -> Self {
        let mut columns: Vec<Column> =
            kinds.into_iter().enumerate().map(|(i, kind)| Column::random(format!("c{i}"), kind, rng, server)).collect();
        if rng.random() {
            columns.push(Column::computed("g".to_owned(), rng, server));
        }
        let key = *["id", "k, id", "id, k"].choose(rng).unwrap();
        if key != "id" {
            columns.push(Column::of_key("k", key_kind(rng, server)));
        }
        columns.shuffle(rng);
        Self { name, columns, key, rows: BTreeMap::new(), last_id: 0, is_mysql: server.is_mysql }
    }

    /// Its statement.
    pub fn create(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| format!("{} {}", c.name, c.declaration)).collect();
        format!("CREATE TABLE {} (id INT NOT NULL, {}, PRIMARY KEY ({}))", self.name, columns.join(", "), self.key)
    }

    /// Inserts so many rows of random values.
    pub async fn write_rows(&mut self, f: &mut Fixture, rng: &mut StdRng, count: usize) {
        for _ in 0..count {
            let by_parameters = rng.random_bool(0.3);
            let row = self.columns.iter().map(|c| value(c, rng, self.is_mysql, by_parameters)).collect();
            self.insert(f, row).await;
        }
    }

    /// Inserts all rows once more, under other numbers.
    pub async fn repeat_rows(&mut self, f: &mut Fixture) {
        for row in self.rows.values().cloned().collect::<Vec<_>>() {
            self.insert(f, row).await;
        }
    }

    async fn insert(&mut self, f: &mut Fixture, row: Vec<Option<Literal>>) {
        self.last_id += 1;
        let written: Vec<(&Column, &Literal)> =
            self.columns.iter().zip(&row).filter_map(|(c, l)| Some((c, l.as_ref()?))).collect();
        let names: Vec<&str> = written.iter().map(|(c, _)| c.name.as_str()).collect();
        let (values, parameters) = placed(written.iter().map(|(_, literal)| *literal));
        let sql =
            format!("INSERT INTO {} (id, {}) VALUES ({}, {})", self.name, names.join(", "), self.last_id, values.join(", "));
        self.execute(f, &sql, parameters).await;
        self.rows.insert(self.last_id, row);
    }

    /// Updates some rows, gives others another key, deletes others, some of which come back: the statements in transactions of a few.
    pub async fn change_rows(&mut self, f: &mut Fixture, rng: &mut StdRng) {
        let mut gone = Vec::new();
        for (nth, id) in self.rows.keys().copied().collect::<Vec<_>>().into_iter().enumerate() {
            if nth % 5 == 0 {
                self.execute(f, if nth == 0 { "BEGIN" } else { "COMMIT AND CHAIN" }, Vec::new()).await;
            }
            match rng.random_range(0..6) {
                0 => {
                    let sql = format!("DELETE FROM {} WHERE id = {id}", self.name);
                    self.execute(f, &sql, Vec::new()).await;
                    gone.push((id, self.rows.remove(&id).unwrap()));
                }
                1 => {
                    // To a number that is new, or was another row's.
                    let back = rng.random::<bool>().then(|| gone.pop()).flatten();
                    let to = back.map_or_else(|| self.new_id(), |(id, _)| id);
                    self.update(f, rng, id, to, 0.3).await;
                }
                2 | 3 => self.update(f, rng, id, id, 0.4).await,
                4 if !gone.is_empty() => {
                    let (again, row) = gone.swap_remove(rng.random_range(0..gone.len()));
                    let last = std::mem::replace(&mut self.last_id, again - 1);
                    self.insert(f, row).await;
                    self.last_id = last;
                }
                _ => {}
            }
        }
        self.execute(f, "COMMIT", Vec::new()).await;
    }

    fn new_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Sets about such a share of a row's columns, and its number.
    async fn update(&mut self, f: &mut Fixture, rng: &mut StdRng, id: u32, to: u32, share: f64) {
        let mut row = self.rows.remove(&id).unwrap();
        let by_parameters = rng.random_bool(0.3);
        let mut set = Vec::new();
        for (column, literal) in self.columns.iter().zip(&mut row) {
            if !column.generated && rng.random_bool(share) {
                *literal = value(column, rng, self.is_mysql, by_parameters);
                set.extend(literal.clone().map(|literal| (column.name.clone(), literal)));
            }
        }
        if id != to {
            set.push(("id".to_owned(), Literal::sql(to.to_string())));
        }
        if !set.is_empty() {
            let (values, parameters) = placed(set.iter().map(|(_, literal)| literal));
            let set: Vec<String> = set.iter().zip(&values).map(|((name, _), value)| format!("{name} = {value}")).collect();
            let sql = format!("UPDATE {} SET {} WHERE id = {id}", self.name, set.join(", "));
            self.execute(f, &sql, parameters).await;
        }
        self.rows.insert(to, row);
    }

    async fn execute(&self, f: &mut Fixture, sql: &str, parameters: Vec<Value>) {
        let done = if parameters.is_empty() {
            f.admin.query_drop(sql).await
        } else {
            f.admin.exec_drop(sql, Params::Positional(parameters.clone())).await
        };
        if let Err(e) = done {
            panic!(
                "{} on {}: the server refuses\n{sql:.3000}\n{parameters:?}\n{e}\n{}",
                f.database,
                f.server.kind,
                self.create()
            );
        }
    }

    /// The server's text of each value, by `id`.
    pub async fn at_source(&self, f: &mut Fixture) -> BTreeMap<u32, Vec<Option<String>>> {
        let select: Vec<String> = self.columns.iter().map(Column::at_source).collect();
        let sql = format!("SELECT id, {} FROM {}", select.join(", "), self.name);
        let rows: Vec<mysql_async::Row> = f.admin.exec(&sql, ()).await.unwrap_or_else(|e| panic!("{sql}\n{e}"));
        let values = |row: mysql_async::Row| {
            let mut values = row.unwrap();
            let id = mysql_async::from_value(values.remove(0));
            (id, self.columns.iter().zip(values).map(|(column, value)| column.source_text(value)).collect())
        };
        rows.into_iter().map(values).collect()
    }

    /// How a value was written.
    pub fn literal(&self, id: u32, column: usize) -> String {
        let literal = self.rows.get(&id).and_then(|row| row[column].as_ref());
        literal.map_or_else(
            || "(by the server)".to_owned(),
            |literal| format!("{}{}", literal.sql, if literal.parameter.is_some() { " (a parameter)" } else { "" }),
        )
    }

    /// How all values were written of the columns that a message names.
    pub fn values_of_columns_in(&self, message: &str) -> String {
        let words: Vec<&str> = message.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let named = self.columns.iter().enumerate().filter(|(_, column)| words.contains(&column.name.as_str()));
        let values = named.map(|(i, column)| {
            let literals: Vec<String> = self.rows.keys().map(|id| format!("{:.200}", self.literal(*id, i))).collect();
            format!("{} was written as {}", column.name, literals.join("  "))
        });
        values.collect::<Vec<_>>().join("\n")
    }
}

/// A random value: now and then NULL or the default; `None` where the server computes it.
fn value(column: &Column, rng: &mut StdRng, is_mysql: bool, by_parameters: bool) -> Option<Literal> {
    if column.generated {
        return None;
    }
    if column.has_default && rng.random_bool(0.1) {
        return Some(Literal::sql("DEFAULT"));
    }
    if column.nullable && rng.random_bool(0.1) {
        return Some(Literal::sql("NULL"));
    }
    let mut literal = literal(&column.kind, rng, is_mysql, column.name == "k");
    literal.parameter = literal.parameter.filter(|_| by_parameters);
    Some(literal)
}

/// Values as they stand in a statement, and the parameters among them.
fn placed<'l>(literals: impl Iterator<Item = &'l Literal>) -> (Vec<String>, Vec<Value>) {
    let (mut values, mut parameters) = (Vec::new(), Vec::new());
    for literal in literals {
        values.push(if literal.parameter.is_some() { "?".to_owned() } else { literal.sql.clone() });
        parameters.extend(literal.parameter.clone());
    }
    (values, parameters)
}
