//! How values are read: for each type an expression of the server and one of Trino that give the same text.
//!
//! Nothing of the mirror's own code has a part in it: numbers become text by `CAST`, floats their bits, texts and bytes hexadecimal digits,
//! all by the two engines themselves.

use super::columns::{Column, Kind};
use mysql_async::Value;

impl Column {
    /// As the server selects it. What is not a text by then becomes one in [`Self::source_text`].
    pub fn at_source(&self) -> String {
        let c = &self.name;
        match &self.kind {
            // Not as the zeros before it would have it.
            Kind::Integer { .. } | Kind::Year | Kind::Bit { length: 1 } | Kind::Decimal { zerofill: true, .. } => {
                format!("CAST({c} + 0 AS CHAR)")
            }
            // Over the binary protocol: the number itself.
            Kind::Float { .. } => c.clone(),
            Kind::Bit { length } => format!("LPAD(HEX({c} + 0), {}, '0')", length.div_ceil(8) * 2),
            Kind::DateTime { .. } | Kind::Timestamp { .. } => format!("DATE_FORMAT({c}, '%Y-%m-%d %H:%i:%s.%f')"),
            Kind::Text { .. } | Kind::Enum { .. } | Kind::Set { .. } => format!("HEX(CONVERT({c} USING utf8mb4))"),
            Kind::Json => format!("HEX(CAST({c} AS CHAR))"),
            Kind::Bytes { .. } | Kind::Geometry { .. } | Kind::Vector { .. } => format!("HEX({c})"),
            Kind::Decimal { .. } | Kind::Date | Kind::Time { .. } | Kind::Uuid | Kind::Inet { .. } => {
                format!("CAST({c} AS CHAR)")
            }
        }
    }

    /// As Trino selects it.
    pub fn in_trino(&self) -> String {
        let c = &self.name;
        match &self.kind {
            Kind::Float { double, .. } => format!("to_hex(to_ieee754_{}({c}))", if *double { 64 } else { 32 }),
            Kind::Bit { length: 1 } => format!("CAST(CAST({c} AS integer) AS varchar)"),
            // The mirror has the low byte first.
            Kind::Bit { .. } => format!("to_hex(reverse({c}))"),
            Kind::Text { .. } | Kind::Enum { .. } | Kind::Set { .. } | Kind::Json => format!("to_hex(to_utf8({c}))"),
            Kind::Bytes { .. } => format!("to_hex({c})"),
            Kind::Geometry { .. } => format!("to_hex(reverse(to_big_endian_32(coalesce({c}.srid, 0)))) || to_hex({c}.wkb)"),
            Kind::Vector { .. } => format!("array_join(transform({c}, x -> to_hex(reverse(to_ieee754_32(x)))), '')"),
            Kind::Timestamp { .. } => format!("CAST(CAST({c} AT TIME ZONE 'UTC' AS timestamp(6)) AS varchar)"),
            Kind::Integer { .. } | Kind::Year | Kind::Decimal { .. } | Kind::Date | Kind::Time { .. } | Kind::DateTime { .. } => {
                format!("CAST({c} AS varchar)")
            }
            Kind::Uuid | Kind::Inet { .. } => format!("CAST({c} AS varchar)"),
        }
    }

    /// The text that Trino must give for what the server has given.
    pub fn source_text(&self, value: Value) -> Option<String> {
        let text = match value {
            Value::NULL => return None,
            Value::Float(v) => format!("{:08X}", v.to_bits()),
            Value::Double(v) => format!("{:016X}", v.to_bits()),
            Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{} {}: the server gave {other:?}", self.name, self.declaration),
        };
        match &self.kind {
            Kind::Time { .. } => Some(microseconds(&text)),
            Kind::Date | Kind::DateTime { .. } | Kind::Timestamp { .. } if has_a_zero(&text) => {
                let epoch = if matches!(self.kind, Kind::Date) { "1970-01-01" } else { "1970-01-01 00:00:00.000000" };
                (!self.nullable).then(|| epoch.to_owned())
            }
            _ => Some(text),
        }
    }
}

/// A month or a day that is 0.
fn has_a_zero(date: &str) -> bool {
    date.get(5..7) == Some("00") || date.get(8..10) == Some("00")
}

/// A TIME in the mirror's unit.
fn microseconds(text: &str) -> String {
    let (sign, clock) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = clock.split(':').fold(0_i64, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    (sign * (seconds * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().unwrap())).to_string()
}
