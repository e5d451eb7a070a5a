//! Column definitions.

use super::Dialect;
use super::lexer::{Kind, Token, tokens};
use super::parser::Parser;
use crate::decode_error::DecodeResult;
use crate::types::{ColumnType, data_type};
use crate::value::Literal;
use cdc_core::{Column, Generated, LogicalType, Value};

/// What a definition says of the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DefaultClause {
    Absent,
    Constant(Literal),
    /// Its text.
    Expression(String),
}

/// Everything a definition says, in the form that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnDefinition {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    pub(crate) nullable: bool,
    pub(crate) default: DefaultClause,
    pub(crate) auto_increment: bool,
    pub(crate) generated: Option<Generated>,
    pub(crate) comment: Option<String>,
    pub(crate) primary: bool,
    pub(crate) unique: bool,
}

/// Where a column goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// A new one to the end, an old one where it is.
    Unsaid,
    First,
    After(String),
}

impl DefaultClause {
    /// What follows DEFAULT.
    pub(crate) fn parse(p: &mut Parser<'_>, sql: &str) -> DecodeResult<Self> {
        let start = p.at();
        if let Some(literal) = constant(p)? {
            return Ok(Self::Constant(literal));
        }
        p.go_back_to(start);
        let first = p.peek();
        // A function with or without arguments, or anything in parentheses.
        if p.accept_parentheses()?.is_none() {
            p.name()?;
            while p.accept_symbol('.') {
                p.name()?;
            }
            p.accept_parentheses()?;
        }
        Ok(Self::Expression(text_of(sql, first, p, start)))
    }

    /// The default as MariaDB prints it in `information_schema.columns.column_default`: as SQL.
    pub(crate) fn parse_text(sql: &str, dialect: Dialect) -> Self {
        let tokens = tokens(sql, dialect);
        let mut p = Parser::new(&tokens);
        match constant(&mut p) {
            Ok(Some(literal)) if p.at_end() => Self::Constant(literal),
            _ => Self::Expression(sql.to_owned()),
        }
    }
}

/// The text from a token to where the parser is.
fn text_of(sql: &str, first: Option<&Token<'_>>, p: &Parser<'_>, start: usize) -> String {
    let mut last = p.clone();
    last.go_back_to(p.at().saturating_sub(1).max(start));
    let (from, to) = (first.map_or(0, |t| t.start), last.peek().map_or(sql.len(), |t| t.end));
    sql.get(from..to).unwrap_or("").to_owned()
}

/// A literal; `None` if what comes is none.
fn constant(p: &mut Parser<'_>) -> DecodeResult<Option<Literal>> {
    if p.accept("NULL") {
        return Ok(Some(Literal::Null));
    }
    if p.accept("TRUE") {
        return Ok(Some(Literal::Boolean(true)));
    }
    if p.accept("FALSE") {
        return Ok(Some(Literal::Boolean(false)));
    }
    let sign = if p.accept_symbol('-') {
        "-"
    } else {
        p.accept_symbol('+');
        ""
    };
    if let Some(number) = p.accept_number() {
        return Ok(Some(Literal::Number(format!("{sign}{number}"))));
    }
    if !sign.is_empty() {
        return Ok(None);
    }
    let word = p.peek().filter(|t| t.kind == Kind::Word);
    let text_follows = p.peek_after(1).is_some_and(|t| t.kind == Kind::Text);
    if let Some(word) = word {
        let upper = word.text.to_ascii_uppercase();
        if let Some(digits) = upper.strip_prefix("0X") {
            p.next();
            return Ok(Literal::hex(digits));
        }
        if let Some(digits) = upper.strip_prefix("0B") {
            p.next();
            return Ok(Literal::bits(digits));
        }
        if !text_follows {
            return Ok(None);
        }
        match upper.as_str() {
            "X" | "B" => {
                p.next();
                let digits = p.accept_text().unwrap_or("");
                return Ok(if upper == "X" { Literal::hex(digits) } else { Literal::bits(digits) });
            }
            "DATE" | "TIME" | "TIMESTAMP" | "N" => drop(p.next()),
            introducer if introducer.starts_with('_') => drop(p.next()),
            _ => return Ok(None),
        }
    }
    let Some(text) = p.accept_text() else { return Ok(None) };
    let mut text = text.to_owned();
    while let Some(more) = p.accept_text() {
        text.push_str(more);
    }
    Ok(Some(Literal::Text(text)))
}

impl ColumnDefinition {
    /// A definition after the column's name, up to the end of the clause or its position.
    pub(crate) fn parse(
        name: String,
        p: &mut Parser<'_>,
        sql: &str,
        charset: Option<&str>,
        dialect: Dialect,
    ) -> DecodeResult<Self> {
        let column_type = data_type(p, charset, dialect)?;
        let serial = column_type.serial;
        let mut nulls = serial.then_some(false);
        let mut d = Self {
            name,
            column_type,
            nullable: true,
            default: DefaultClause::Absent,
            auto_increment: serial,
            generated: None,
            comment: None,
            primary: false,
            unique: serial,
        };
        loop {
            if p.accept_all(&["NOT", "NULL"]) {
                nulls = Some(false);
            } else if p.accept("NULL") {
                nulls = Some(true);
            } else if p.accept("DEFAULT") {
                d.default = DefaultClause::parse(p, sql)?;
            } else if p.accept_all(&["ON", "UPDATE"]) {
                p.name()?;
                p.accept_parentheses()?;
            } else if p.accept("AUTO_INCREMENT") {
                d.auto_increment = true;
            } else if p.accept_all(&["SERIAL", "DEFAULT", "VALUE"]) {
                (d.auto_increment, d.unique, nulls) = (true, true, Some(false));
            } else if p.accept("UNIQUE") {
                d.unique = true;
                let _ = p.accept("KEY") || p.accept("INDEX");
            } else if p.accept_all(&["PRIMARY", "KEY"]) || p.accept("KEY") {
                d.primary = true;
            } else if p.accept("COMMENT") {
                d.comment = p.accept_text().filter(|c| !c.is_empty()).map(str::to_owned);
            } else if p.accept("COLLATE") {
                let collation = match p.accept_text() {
                    Some(name) => name.to_ascii_lowercase(),
                    None => p.name()?.to_ascii_lowercase(),
                };
                d.collate(&collation);
            } else if p.accept("COLUMN_FORMAT") || p.accept("STORAGE") || p.accept("SRID") || p.accept("REF_SYSTEM_ID") {
                p.accept_symbol('=');
                p.next();
            } else if p
                .accept_any(&["ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "VISIBLE", "INVISIBLE", "COMPRESSED"])
                .is_some()
            {
                p.accept_symbol('=');
                p.accept_text();
            } else if p.accept_all(&["GENERATED", "ALWAYS", "AS"]) || p.accept("AS") {
                p.accept_parentheses()?;
                let stored = p.accept_any(&["STORED", "PERSISTENT"]).is_some();
                p.accept("VIRTUAL");
                d.generated = Some(if stored { Generated::Stored } else { Generated::Virtual });
            } else if p.accept("CONSTRAINT") {
                if !p.peek().is_some_and(|t| t.is("CHECK") || t.is("REFERENCES")) {
                    p.name()?;
                }
            } else if p.accept("CHECK") {
                p.accept_parentheses()?;
                let _ = p.accept_all(&["NOT", "ENFORCED"]) || p.accept("ENFORCED");
            } else if p.accept("REFERENCES") {
                references(p)?;
            } else if p.accept_any(&["VIRTUAL", "STORED"]).is_some() {
                // After other attributes.
            } else {
                break;
            }
        }
        let implied_timestamp = !dialect.explicit_timestamps && matches!(d.column_type.logical, LogicalType::TimestampTz { .. });
        d.nullable = nulls.unwrap_or(!d.primary && !implied_timestamp);
        if implied_timestamp && nulls != Some(true) && d.default == DefaultClause::Absent {
            d.default = DefaultClause::Expression("CURRENT_TIMESTAMP".to_owned());
        }
        Ok(d)
    }

    fn collate(&mut self, collation: &str) {
        if self.column_type.native.charset.is_some() {
            self.column_type.native.charset = Some(crate::types::charset_of_collation(collation));
            self.column_type.native.collation = Some(collation.to_owned());
        }
    }

    /// FIRST or AFTER.
    pub(crate) fn position(p: &mut Parser<'_>) -> DecodeResult<Position> {
        if p.accept("FIRST") {
            Ok(Position::First)
        } else if p.accept("AFTER") {
            Ok(Position::After(p.name()?))
        } else {
            Ok(Position::Unsaid)
        }
    }

    /// The column that it defines.
    pub(crate) fn column(&self, field_id: i32) -> Column {
        let logical = &self.column_type.logical;
        let mut column = Column {
            field_id,
            name: self.name.clone(),
            logical_type: logical.clone(),
            nullable: self.nullable,
            default: None,
            default_expression: None,
            auto_increment: self.auto_increment,
            generated: self.generated,
            comment: self.comment.clone(),
            native: self.column_type.native.clone(),
        };
        set_default(&mut column, &self.default);
        column
    }
}

/// Gives a column a default.
pub(crate) fn set_default(column: &mut Column, default: &DefaultClause) {
    (column.default, column.default_expression) = match default {
        _ if column.generated.is_some() || column.auto_increment => (None, None),
        DefaultClause::Absent | DefaultClause::Constant(Literal::Null) => (column.nullable.then_some(Value::Null), None),
        DefaultClause::Constant(literal) => match literal.value(&column.logical_type, &column.native) {
            Some(value) => (Some(value), None),
            None => (None, Some(format!("{literal:?}"))),
        },
        DefaultClause::Expression(text) => (None, Some(text.clone())),
    };
}

/// What follows REFERENCES.
pub(crate) fn references(p: &mut Parser<'_>) -> DecodeResult<()> {
    p.name()?;
    if p.accept_symbol('.') {
        p.name()?;
    }
    p.accept_parentheses()?;
    loop {
        if p.accept("MATCH") {
            p.name()?;
        } else if p.accept_all(&["ON", "DELETE"]) || p.accept_all(&["ON", "UPDATE"]) {
            if !(p.accept_all(&["SET", "NULL"]) || p.accept_all(&["SET", "DEFAULT"]) || p.accept_all(&["NO", "ACTION"])) {
                p.name()?;
            }
        } else {
            return Ok(());
        }
    }
}
