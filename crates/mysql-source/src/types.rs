//! Column types: from the server's spelling, in a schema or in DDL, to what they mean.

use crate::charset::Charset;
use crate::ddl::Dialect;
use crate::ddl::lexer::{Kind, tokens};
use crate::ddl::parser::Parser;
use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
use cdc_core::{LogicalType, NativeType};

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    /// What it means.
    pub logical: LogicalType,
    /// The server's declaration, in its canonical form.
    pub native: NativeType,
    /// Declared `SERIAL`: not null, numbered by the server, unique.
    pub(crate) serial: bool,
}

/// The type of a column as `information_schema.columns.column_type` prints it (`int unsigned`, `varchar(20)`,
/// `enum('a','b')`), with its character set and collation from the same row.
///
/// Fails with [`DecodeErrorKind::UnsupportedType`] on types and character sets that are not supported.
pub fn parse_column_type(
    declaration: &str,
    charset: Option<&str>,
    collation: Option<&str>,
    dialect: Dialect,
) -> DecodeResult<ColumnType> {
    // The values of ENUM and SET are printed with escapes and doubled quotes, whatever the session's mode.
    let tokens = tokens(declaration, Dialect { no_backslash_escapes: false, ansi_quotes: false, ..dialect });
    let mut parser = Parser::new(&tokens);
    let mut parsed = data_type(&mut parser, charset.or(Some("binary")), dialect)?;
    parsed.native.declaration = declaration.to_owned();
    if parsed.native.charset.is_some() {
        parsed.native.collation = collation.map(str::to_owned);
    }
    Ok(parsed)
}

/// The name of a character set as today's servers spell it.
pub(crate) fn canonical_charset(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "utf8" { "utf8mb3".to_owned() } else { name }
}

/// The character set of a collation, by its name.
pub(crate) fn charset_of_collation(collation: &str) -> String {
    canonical_charset(collation.split('_').next().unwrap_or(collation))
}

#[derive(Default)]
struct Attributes {
    unsigned: bool,
    zerofill: bool,
    charset: Option<String>,
    collation: Option<String>,
    byte: bool,
    binary: bool,
}

fn attributes(p: &mut Parser<'_>) -> DecodeResult<Attributes> {
    let mut a = Attributes::default();
    loop {
        if p.accept("UNSIGNED") {
            a.unsigned = true;
        } else if p.accept("ZEROFILL") {
            (a.zerofill, a.unsigned) = (true, true);
        } else if p.accept("SIGNED") {
        } else if p.accept_all(&["CHARACTER", "SET"]) || p.accept_all(&["CHAR", "SET"]) || p.accept("CHARSET") {
            a.charset = Some(match p.accept_text() {
                Some(name) => canonical_charset(name),
                None => canonical_charset(&p.name()?),
            });
        } else if p.accept("COLLATE") {
            a.collation = Some(match p.accept_text() {
                Some(name) => name.to_ascii_lowercase(),
                None => p.name()?.to_ascii_lowercase(),
            });
        } else if p.accept("ASCII") {
            a.charset = Some("latin1".to_owned());
        } else if p.accept("UNICODE") {
            a.charset = Some("ucs2".to_owned());
        } else if p.accept("BYTE") {
            a.byte = true;
        } else if p.accept("BINARY") {
            a.binary = true;
        } else {
            return Ok(a);
        }
    }
}

/// Reads a type with its own attributes; what belongs to the column (NULL, DEFAULT) is left. `default_charset` is the
/// table's.
pub(crate) fn data_type(p: &mut Parser<'_>, default_charset: Option<&str>, dialect: Dialect) -> DecodeResult<ColumnType> {
    let start = p.peek().map_or(0, |t| t.start);
    let word = p.name()?.to_ascii_uppercase();
    let mut national = false;
    let name = match word.as_str() {
        "INT1" => "TINYINT",
        "INT2" => "SMALLINT",
        "INT3" | "MIDDLEINT" => "MEDIUMINT",
        "INTEGER" | "INT4" => "INT",
        "INT8" => "BIGINT",
        "BOOL" | "BOOLEAN" => "BOOL",
        "DEC" | "NUMERIC" | "FIXED" => "DECIMAL",
        "FLOAT4" => "FLOAT",
        "FLOAT8" => "DOUBLE",
        "DOUBLE" => {
            p.accept("PRECISION");
            "DOUBLE"
        }
        "REAL" => {
            if dialect.real_as_float {
                "FLOAT"
            } else {
                "DOUBLE"
            }
        }
        "CHARACTER" | "CHAR" => {
            if p.accept("VARYING") {
                "VARCHAR"
            } else {
                "CHAR"
            }
        }
        "VARCHARACTER" => "VARCHAR",
        "NCHAR" | "NATIONAL" => {
            national = true;
            let char = p.accept_any(&["VARCHAR", "CHARACTER", "CHAR", "VARCHARACTER"]);
            if p.accept("VARYING") || matches!(char, Some("VARCHAR" | "VARCHARACTER")) { "VARCHAR" } else { "CHAR" }
        }
        "NVARCHAR" => {
            national = true;
            "VARCHAR"
        }
        "LONG" => {
            let binary = p.accept("VARBINARY");
            if !binary && p.accept_any(&["VARCHAR", "VARCHARACTER", "CHAR", "CHARACTER"]).is_some() {
                p.accept("VARYING");
            }
            if binary { "MEDIUMBLOB" } else { "MEDIUMTEXT" }
        }
        "GEOMCOLLECTION" if dialect.mariadb => "GEOMETRYCOLLECTION",
        "GEOMETRYCOLLECTION" if !dialect.mariadb => "GEOMCOLLECTION",
        "JSON" if dialect.mariadb => "MARIADB JSON",
        other => other,
    };
    let (mut numbers, values) = arguments(p)?;
    let a = attributes(p)?;
    let mut name = name.to_owned();
    match name.as_str() {
        "BOOL" => {
            name = "TINYINT".to_owned();
            numbers = vec![1];
        }
        // The precision in bits decides on the width; it is not kept.
        "FLOAT" if numbers.len() == 1 => {
            if numbers.first().is_some_and(|&p| p > 24) {
                name = "DOUBLE".to_owned();
            }
            numbers.clear();
        }
        "MARIADB JSON" => {
            let text = Attributes { charset: Some("utf8mb4".to_owned()), collation: Some("utf8mb4_bin".to_owned()), ..a };
            return finish("LONGTEXT", Vec::new(), Vec::new(), text, default_charset, dialect).map_err(|e| e.at(start));
        }
        "SERIAL" => {
            let unsigned = Attributes { unsigned: true, ..a };
            let mut parsed = finish("BIGINT", Vec::new(), Vec::new(), unsigned, default_charset, dialect)?;
            parsed.serial = true;
            return Ok(parsed);
        }
        _ => {}
    }
    let charset = if national { Some("utf8mb3".to_owned()) } else { a.charset.clone() };
    finish(&name, numbers, values, Attributes { charset, ..a }, default_charset, dialect).map_err(|e| e.at(start))
}

/// `(10,2)` or `('a','b')`.
fn arguments(p: &mut Parser<'_>) -> DecodeResult<(Vec<u32>, Vec<String>)> {
    let (mut numbers, mut values) = (Vec::new(), Vec::new());
    let Some(inside) = p.accept_parentheses()? else { return Ok((numbers, values)) };
    let mut inside = Parser::new(inside);
    loop {
        if let Some(number) = inside.accept_number() {
            numbers.push(number.parse().map_err(|_| DecodeError::invalid(format!("'{number}' is no length of a type")))?);
        } else if let Some(text) = inside.accept_text() {
            values.push(text.trim_end_matches(' ').to_owned());
        } else if inside.peek().is_some_and(|t| t.kind == Kind::Word && t.text.starts_with('_')) {
            inside.next();
            continue;
        } else {
            return Err(inside.unexpected("a length or a value"));
        }
        if !inside.accept_symbol(',') {
            break;
        }
    }
    if inside.at_end() { Ok((numbers, values)) } else { Err(inside.unexpected("')'")) }
}

fn finish(
    name: &str,
    mut numbers: Vec<u32>,
    values: Vec<String>,
    a: Attributes,
    default_charset: Option<&str>,
    dialect: Dialect,
) -> DecodeResult<ColumnType> {
    use LogicalType as L;
    let unsupported = |what: String| Err(DecodeError::new(DecodeErrorKind::UnsupportedType, what));
    let first = numbers.first().copied();
    let small = |n: Option<u32>, default: u8| n.map_or(Ok(default), u8::try_from);
    let wrong = |_| DecodeError::invalid(format!("the length of a {name} column is out of range"));
    let fraction = || {
        small(first, 0)
            .map_err(wrong)
            .and_then(|f| if f <= 6 { Ok(f) } else { Err(DecodeError::invalid("a fraction has at most 6 digits")) })
    };
    let integer = |bits| L::Integer { bits, unsigned: a.unsigned };
    let mut name = name.to_owned();
    let mut text = false;
    let logical = match name.as_str() {
        "TINYINT" => integer(8),
        "SMALLINT" => integer(16),
        "MEDIUMINT" => integer(24),
        "INT" => integer(32),
        "BIGINT" => integer(64),
        "DECIMAL" => {
            let precision = small(first.filter(|&p| p != 0), 10).map_err(wrong)?;
            let scale = small(numbers.get(1).copied(), 0).map_err(wrong)?;
            numbers = vec![u32::from(precision), u32::from(scale)];
            L::Decimal { precision, scale }
        }
        "FLOAT" => L::Float,
        "DOUBLE" => L::Double,
        "BIT" => {
            let length = small(first.filter(|&n| n != 0), 1).map_err(wrong)?;
            numbers = vec![u32::from(length)];
            if length == 1 { L::Boolean } else { L::Bits { length } }
        }
        "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" => {
            text = true;
            match name.as_str() {
                "ENUM" => L::Enum { values: values.clone() },
                "SET" => L::Set { values: values.clone() },
                "CHAR" if first.is_none() => {
                    numbers = vec![1];
                    L::String
                }
                _ => L::String,
            }
        }
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
            if name == "BINARY" && first.is_none() {
                numbers = vec![1];
            }
            L::Binary
        }
        "DATE" => L::Date,
        "TIME" => L::Time { fraction: fraction()? },
        "DATETIME" => L::Timestamp { fraction: fraction()? },
        "TIMESTAMP" => L::TimestampTz { fraction: fraction()? },
        "YEAR" => {
            if !dialect.mariadb {
                numbers.clear();
            }
            L::Year
        }
        "JSON" => L::Json,
        "POINT" => L::Geometry { point: true },
        "GEOMETRY" | "LINESTRING" | "POLYGON" | "MULTIPOINT" | "MULTILINESTRING" | "MULTIPOLYGON" | "GEOMETRYCOLLECTION"
        | "GEOMCOLLECTION" => L::Geometry { point: false },
        "VECTOR" if !dialect.mariadb => L::Vector,
        "UUID" if dialect.mariadb => L::Uuid,
        "INET4" if dialect.mariadb => L::Inet { v6: false },
        "INET6" if dialect.mariadb => L::Inet { v6: true },
        other => return unsupported(format!("type {other} is not supported")),
    };
    if matches!(name.as_str(), "TIME" | "DATETIME" | "TIMESTAMP") && first == Some(0) {
        numbers.clear();
    }
    let mut logical = logical;
    let (mut charset, mut collation) = (None, None);
    if text {
        let declared = a.charset.clone().or_else(|| a.collation.as_deref().map(charset_of_collation));
        let Some(chosen) = declared.or_else(|| default_charset.map(canonical_charset)) else {
            return Err(DecodeError::invalid(format!("the character set of a {name} column is not told, nor is the table's")));
        };
        let bytes = a.byte || chosen == "binary";
        match name.as_str() {
            "ENUM" | "SET" => {}
            "CHAR" if bytes => name = "BINARY".to_owned(),
            "VARCHAR" if bytes => name = "VARBINARY".to_owned(),
            _ if bytes => name = name.replace("TEXT", "BLOB"),
            _ => {}
        }
        if bytes && logical == L::String {
            logical = L::Binary;
        } else {
            if Charset::by_name(&chosen).is_none() && chosen != "binary" {
                return unsupported(format!("the character set {chosen} is not supported"));
            }
            collation = a.collation.clone().or_else(|| a.binary.then(|| format!("{chosen}_bin")));
            charset = Some(chosen);
        }
    }
    if matches!(name.as_str(), "TEXT" | "BLOB")
        && let Some(length) = numbers.pop()
    {
        let bytes = u64::from(length).saturating_mul(charset.as_deref().map_or(1, longest_character));
        let size = match bytes {
            0..=0xff => "TINY",
            0x100..=0xffff => "",
            0x1_0000..=0xff_ffff => "MEDIUM",
            _ => "LONG",
        };
        name = format!("{size}{name}");
    }
    let declaration = declaration(&name, &numbers, &values, &a, dialect);
    if a.unsigned {
        name.push_str(" UNSIGNED");
    }
    if a.zerofill {
        name.push_str(" ZEROFILL");
    }
    let native =
        NativeType { name, declaration, length: numbers.first().copied(), scale: numbers.get(1).copied(), charset, collation };
    Ok(ColumnType { logical, native, serial: false })
}

/// The type as `information_schema` would print it.
fn declaration(name: &str, numbers: &[u32], values: &[String], a: &Attributes, dialect: Dialect) -> String {
    let mut out = name.to_ascii_lowercase();
    // MariaDB prints the display width that nobody asked for.
    let width = match (name, a.unsigned) {
        _ if !dialect.mariadb || !numbers.is_empty() => None,
        ("TINYINT", signed) => Some(if signed { 3 } else { 4 }),
        ("SMALLINT", signed) => Some(if signed { 5 } else { 6 }),
        ("MEDIUMINT", signed) => Some(if signed { 8 } else { 9 }),
        ("INT", signed) => Some(if signed { 10 } else { 11 }),
        ("BIGINT", _) => Some(20),
        ("YEAR", _) => Some(4),
        _ => None,
    };
    let arguments = if values.is_empty() {
        let of = |n: &u32| n.to_string();
        numbers.iter().map(of).chain(width.map(|w| w.to_string())).collect::<Vec<_>>().join(",")
    } else {
        values.iter().map(|v| format!("'{}'", v.replace('\'', "''"))).collect::<Vec<_>>().join(",")
    };
    let keeps_width = a.zerofill || dialect.mariadb || (name == "TINYINT" && numbers == [1] && !a.unsigned);
    let is_integer = matches!(name, "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT");
    if !arguments.is_empty() && (!is_integer || keeps_width) {
        out.push_str(&format!("({arguments})"));
    }
    if a.unsigned {
        out.push_str(" unsigned");
    }
    if a.zerofill {
        out.push_str(" zerofill");
    }
    out
}

/// Bytes of the longest character.
pub(crate) fn longest_character(charset: &str) -> u64 {
    match charset {
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
        "utf8mb3" | "ujis" | "eucjpms" => 3,
        "ucs2" | "gbk" | "gb2312" | "big5" | "sjis" | "cp932" | "euckr" => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use LogicalType as L;

    #[test]
    fn declarations_of_the_information_schema_mean_what_they_say() {
        let int = |bits, unsigned| L::Integer { bits, unsigned };
        for (declaration, logical, name) in [
            ("tinyint(1)", int(8, false), "TINYINT"),
            ("tinyint unsigned", int(8, true), "TINYINT UNSIGNED"),
            ("smallint(5) unsigned", int(16, true), "SMALLINT UNSIGNED"),
            ("mediumint", int(24, false), "MEDIUMINT"),
            ("int", int(32, false), "INT"),
            ("int(8) unsigned zerofill", int(32, true), "INT UNSIGNED ZEROFILL"),
            ("bigint unsigned", int(64, true), "BIGINT UNSIGNED"),
            ("decimal(12,2)", L::Decimal { precision: 12, scale: 2 }, "DECIMAL"),
            ("decimal(8,3) unsigned", L::Decimal { precision: 8, scale: 3 }, "DECIMAL UNSIGNED"),
            ("float", L::Float, "FLOAT"),
            ("float(7,3)", L::Float, "FLOAT"),
            ("double(12,5)", L::Double, "DOUBLE"),
            ("bit(1)", L::Boolean, "BIT"),
            ("bit(12)", L::Bits { length: 12 }, "BIT"),
            ("char(3)", L::String, "CHAR"),
            ("varchar(255)", L::String, "VARCHAR"),
            ("longtext", L::String, "LONGTEXT"),
            ("date", L::Date, "DATE"),
            ("time(3)", L::Time { fraction: 3 }, "TIME"),
            ("datetime(6)", L::Timestamp { fraction: 6 }, "DATETIME"),
            ("timestamp", L::TimestampTz { fraction: 0 }, "TIMESTAMP"),
            ("year", L::Year, "YEAR"),
            ("enum('a','c,d','e''f')", L::Enum { values: vec!["a".into(), "c,d".into(), "e'f".into()] }, "ENUM"),
            ("set('x','y')", L::Set { values: vec!["x".into(), "y".into()] }, "SET"),
            (r"enum('a\\b','n\nn','z\0')", L::Enum { values: vec![r"a\b".into(), "n\nn".into(), "z\0".into()] }, "ENUM"),
            ("json", L::Json, "JSON"),
            ("point", L::Geometry { point: true }, "POINT"),
            ("geomcollection", L::Geometry { point: false }, "GEOMCOLLECTION"),
            ("vector(3)", L::Vector, "VECTOR"),
        ] {
            let t = parse_column_type(declaration, Some("utf8mb4"), Some("utf8mb4_bin"), Dialect::default()).unwrap();
            assert_eq!((&t.logical, t.native.name.as_str()), (&logical, name), "{declaration}");
            assert_eq!(t.native.declaration, declaration);
        }
        for (declaration, logical) in [("binary(4)", L::Binary), ("blob", L::Binary), ("varbinary(20)", L::Binary)] {
            let t = parse_column_type(declaration, None, None, Dialect::default()).unwrap();
            assert_eq!((t.logical, t.native.charset), (logical, None), "{declaration}");
        }
    }

    #[test]
    fn types_of_mariadb_are_known_there_alone() {
        let maria = Dialect { mariadb: true, ..Dialect::default() };
        assert_eq!(parse_column_type("inet6", None, None, maria).unwrap().logical, L::Inet { v6: true });
        assert_eq!(parse_column_type("uuid", None, None, maria).unwrap().logical, L::Uuid);
        let e = parse_column_type("uuid", None, None, Dialect::default()).unwrap_err();
        assert_eq!(e.kind(), DecodeErrorKind::UnsupportedType);
    }

    #[test]
    fn character_sets_that_cannot_be_read_are_refused_by_name() {
        let e = parse_column_type("varchar(5)", Some("swe7"), Some("swe7_bin"), Dialect::default()).unwrap_err();
        assert_eq!(e.kind(), DecodeErrorKind::UnsupportedType);
        assert!(e.to_string().contains("swe7"), "{e}");
    }

    #[test]
    fn aliases_of_ddl_become_the_servers_own_declarations() {
        let my = Dialect::default();
        let maria = Dialect { mariadb: true, ..my };
        for (ddl, mysql, mariadb) in [
            ("BOOLEAN", "tinyint(1)", "tinyint(1)"),
            ("INTEGER", "int", "int(11)"),
            ("INT(11) UNSIGNED", "int unsigned", "int(11) unsigned"),
            ("INT8", "bigint", "bigint(20)"),
            ("DEC(6,2)", "decimal(6,2)", "decimal(6,2)"),
            ("NUMERIC", "decimal(10,0)", "decimal(10,0)"),
            ("DOUBLE PRECISION", "double", "double"),
            ("FLOAT(53)", "double", "double"),
            ("FLOAT(10)", "float", "float"),
            ("FLOAT(7,3)", "float(7,3)", "float(7,3)"),
            ("CHARACTER VARYING(10)", "varchar(10)", "varchar(10)"),
            ("NATIONAL VARCHAR(5)", "varchar(5)", "varchar(5)"),
            ("NCHAR(5)", "char(5)", "char(5)"),
            ("CHAR", "char(1)", "char(1)"),
            ("CHAR(4) BYTE", "binary(4)", "binary(4)"),
            ("VARCHAR(20) CHARACTER SET binary", "varbinary(20)", "varbinary(20)"),
            ("LONG VARCHAR", "mediumtext", "mediumtext"),
            ("LONG VARBINARY", "mediumblob", "mediumblob"),
            ("TEXT(100)", "text", "text"),
            ("TEXT(10)", "tinytext", "tinytext"),
            ("DATETIME(0)", "datetime", "datetime"),
            ("BIT", "bit(1)", "bit(1)"),
            ("YEAR(4)", "year", "year(4)"),
            ("SERIAL", "bigint unsigned", "bigint(20) unsigned"),
            ("ENUM('a','it''s')", "enum('a','it''s')", "enum('a','it''s')"),
            ("JSON", "json", "longtext"),
            ("GEOMETRYCOLLECTION", "geomcollection", "geometrycollection"),
        ] {
            for (dialect, expected) in [(my, mysql), (maria, mariadb)] {
                let tokens = tokens(ddl, dialect);
                let parsed = data_type(&mut Parser::new(&tokens), Some("utf8mb4"), dialect).unwrap();
                assert_eq!(parsed.native.declaration, expected, "{ddl}");
            }
        }
    }
}
