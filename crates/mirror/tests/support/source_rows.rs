//! The source's rows, by its own SELECT, as text.

use super::{Row, quote};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// A column of the source.
pub struct Column {
    pub name: String,
    /// `int`, `varchar`.
    pub data_type: String,
    pub nullable: bool,
}

/// The base tables of a database.
pub async fn tables(conn: &mut Conn, database: &str) -> Vec<String> {
    let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = ? AND table_type = 'BASE TABLE' ORDER BY 1";
    conn.exec(sql, (database,)).await.unwrap()
}

/// The columns of a table, in order.
pub async fn columns(conn: &mut Conn, database: &str, table: &str) -> Vec<Column> {
    let sql = "SELECT column_name, data_type, is_nullable FROM information_schema.columns \
               WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position";
    let rows: Vec<(String, String, String)> = conn.exec(sql, (database, table)).await.unwrap();
    rows.into_iter()
        .map(|(name, data_type, nullable)| Column { name, data_type: data_type.to_lowercase(), nullable: nullable == "YES" })
        .collect()
}

/// All rows.
pub async fn rows(conn: &mut Conn, database: &str, table: &str, columns: &[Column]) -> Vec<Row> {
    let select: Vec<String> = columns.iter().map(Column::select).collect();
    let sql = format!("SELECT {} FROM {}.{}", select.join(", "), quote(database), quote(table));
    let rows: Vec<mysql_async::Row> = conn.query(sql).await.unwrap();
    rows.iter()
        .map(|row| {
            let value = |(i, c): (usize, &Column)| row.get::<Option<String>, _>(i).unwrap().and_then(|text| c.text(text));
            columns.iter().enumerate().map(value).collect()
        })
        .collect()
}

impl Column {
    fn select(&self) -> String {
        let name = quote(&self.name);
        match self.data_type.as_str() {
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "geometry" | "point" | "linestring"
            | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geomcollection" | "geometrycollection"
            | "vector" => format!("HEX({name})"),
            // As a FLOAT it would be printed with six digits.
            "float" => format!("CAST(CAST({name} AS DOUBLE) AS CHAR)"),
            "bit" => format!("CAST({name} + 0 AS CHAR)"),
            _ => format!("CAST({name} AS CHAR)"),
        }
    }

    /// The text that the mirror's value must have too.
    fn text(&self, text: String) -> Option<String> {
        Some(match self.data_type.as_str() {
            "float" | "double" => format!("{:?}", text.parse::<f64>().unwrap()),
            "year" => text.parse::<i32>().unwrap().to_string(),
            "date" | "datetime" | "timestamp" => return self.moment(&text),
            "time" => microseconds(&text).to_string(),
            _ => text,
        })
    }

    /// With six digits of fraction; a date that no calendar has is NULL, or 1970-01-01 where that is not allowed.
    fn moment(&self, text: &str) -> Option<String> {
        let (date, clock) = text.split_once(' ').unwrap_or((text, ""));
        let impossible = date.split('-').skip(1).any(|part| part == "00");
        if impossible && self.nullable {
            return None;
        }
        let (date, clock) = if impossible { ("1970-01-01", "00:00:00") } else { (date, clock) };
        if self.data_type == "date" {
            return Some(date.to_owned());
        }
        let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        Some(format!("{date} {seconds}.{fraction:0<6}"))
    }
}

fn microseconds(text: &str) -> i64 {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    sign * (seconds * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap())
}
