//! Random columns: a type with random parameters, and what its declaration adds.

use super::charsets::Charset;
use super::literals::{Literal, literal};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

/// A type with its parameters: enough to declare it, to make values that it takes, and to read them.
#[derive(Debug, Clone)]
pub enum Kind {
    Integer {
        name: &'static str,
        bits: u32,
        unsigned: bool,
        zerofill: bool,
    },
    Decimal {
        precision: usize,
        scale: usize,
        unsigned: bool,
        zerofill: bool,
    },
    Float {
        double: bool,
        digits: Option<(usize, usize)>,
        unsigned: bool,
    },
    Bit {
        length: u32,
    },
    Date,
    Time {
        fraction: usize,
    },
    DateTime {
        fraction: usize,
    },
    Timestamp {
        fraction: usize,
    },
    Year,
    /// At most so many characters go in.
    Text {
        sql: String,
        charset: &'static Charset,
        characters: usize,
    },
    Bytes {
        sql: String,
        length: usize,
    },
    Enum {
        charset: &'static Charset,
        labels: Vec<String>,
    },
    Set {
        charset: &'static Charset,
        labels: Vec<String>,
    },
    Json,
    Geometry {
        shape: &'static str,
        srid: Option<u32>,
    },
    Vector {
        dimensions: usize,
    },
    Uuid,
    Inet {
        v6: bool,
    },
}

/// What the columns of a server are drawn from.
pub struct Server {
    pub is_mysql: bool,
    /// The character sets that it has.
    pub charsets: Vec<&'static Charset>,
}

/// A column of a table.
pub struct Column {
    pub name: String,
    /// What follows the name in CREATE TABLE.
    pub declaration: String,
    pub kind: Kind,
    pub nullable: bool,
    pub has_default: bool,
    /// The server computes its values.
    pub generated: bool,
}

const INTEGERS: [(&str, u32); 6] =
    [("TINYINT", 8), ("TINYINT(1)", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64)];
const SHAPES: [&str; 8] =
    ["GEOMETRY", "POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION"];
/// Labels that are not equal in any collation, the first ones in plain ASCII.
const LABELS: [&str; 20] = [
    "a",
    "it's",
    "\"q\"",
    "back\\slash",
    " lead",
    "NULL",
    "0",
    "1",
    "12",
    "x y",
    "%d",
    "tab\there",
    "new\nline",
    "-",
    "(",
    "b;c",
    "`t`",
    "zz top",
    "true",
    "#",
];
const MYSQL_FAMILIES: usize = 26;
const MARIADB_FAMILIES: usize = 28;

/// `count` types, in which each family of types comes as often as any other.
pub fn kinds(rng: &mut StdRng, server: &Server, count: usize) -> Vec<Kind> {
    let families = if server.is_mysql { MYSQL_FAMILIES } else { MARIADB_FAMILIES };
    let mut dealt: Vec<usize> = (0..count).map(|i| i % families).collect();
    dealt.shuffle(rng);
    dealt.into_iter().map(|family| kind(family, rng, server)).collect()
}

fn kind(family: usize, rng: &mut StdRng, server: &Server) -> Kind {
    let fraction = rng.random_range(0..=6);
    match family {
        0..=3 => integer(rng),
        4 | 5 => decimal(rng, server),
        6 | 7 => float(rng, family == 7),
        8 => Kind::Bit { length: 1 },
        9 => Kind::Bit { length: *[2, 7, 8, 9, 31, 33, 63, 64].choose(rng).unwrap() },
        10 => Kind::Date,
        11 => Kind::Time { fraction },
        12 => Kind::DateTime { fraction },
        13 => Kind::Timestamp { fraction },
        14 => Kind::Year,
        15..=17 => text(rng, server, false),
        18 | 19 => bytes(rng, false),
        20 => Kind::Enum { charset: server.charset(rng), labels: Vec::new() }.with_labels(rng, 300),
        21 => Kind::Set { charset: server.charset(rng), labels: Vec::new() }.with_labels(rng, 64),
        22 | 23 => Kind::Json,
        24 => {
            let srid = (server.is_mysql && rng.random_bool(0.3)).then(|| *[0, 4326].choose(rng).unwrap());
            Kind::Geometry { shape: SHAPES.choose(rng).unwrap(), srid }
        }
        25 if server.is_mysql => Kind::Vector { dimensions: *[1, 2, 3, 100, 1536].choose(rng).unwrap() },
        25 => Kind::Uuid,
        26 => Kind::Inet { v6: false },
        _ => Kind::Inet { v6: true },
    }
}

/// A type that a primary key can have.
pub fn key_kind(rng: &mut StdRng, server: &Server) -> Kind {
    let fraction = rng.random_range(0..=6);
    match rng.random_range(0..if server.is_mysql { 13 } else { 16 }) {
        0 => integer(rng),
        1 => decimal(rng, server),
        2 => Kind::Bit { length: rng.random_range(1..=64) },
        3 => Kind::Date,
        4 => Kind::Time { fraction },
        5 => Kind::DateTime { fraction },
        6 => Kind::Timestamp { fraction },
        7 => Kind::Year,
        8 | 9 => text(rng, server, true),
        10 => bytes(rng, true),
        11 => Kind::Enum { charset: server.charset(rng), labels: Vec::new() }.with_labels(rng, 20),
        12 => Kind::Set { charset: server.charset(rng), labels: Vec::new() }.with_labels(rng, 20),
        13 => Kind::Uuid,
        n => Kind::Inet { v6: n == 14 },
    }
}

fn integer(rng: &mut StdRng) -> Kind {
    let &(name, bits) = INTEGERS.choose(rng).unwrap();
    let zerofill = rng.random_bool(0.15);
    Kind::Integer { name, bits, unsigned: zerofill || rng.random_bool(0.4), zerofill }
}

fn decimal(rng: &mut StdRng, server: &Server) -> Kind {
    // Digits lie in groups of nine; more than 38 of them become text.
    let precision = *[1, 2, 5, 9, 10, 18, 19, 27, 37, 38, 39, 65].choose(rng).unwrap();
    let largest = precision.min(if server.is_mysql { 30 } else { 38 });
    let scale = if rng.random_bool(0.5) { rng.random_range(0..=largest) } else { *[0, largest].choose(rng).unwrap() };
    let zerofill = rng.random_bool(0.1);
    Kind::Decimal { precision, scale, unsigned: zerofill || rng.random_bool(0.2), zerofill }
}

fn float(rng: &mut StdRng, double: bool) -> Kind {
    let digits = rng.random_bool(0.25).then(|| *[(5, 2), (7, 4), (6, 0)].choose(rng).unwrap());
    Kind::Float { double, digits, unsigned: rng.random_bool(0.2) }
}

fn text(rng: &mut StdRng, server: &Server, short: bool) -> Kind {
    let charset = server.charset(rng);
    let lengths: &[usize] = if short { &[1, 10, 50] } else { &[1, 10, 63, 64, 85, 86, 127, 128, 255, 256, 300] };
    let length = *lengths.choose(rng).unwrap();
    let (declared, characters) = match rng.random_range(0..if short { 5 } else { 9 }) {
        0..=1 => (format!("CHAR({})", length.min(255)), length.min(255)),
        2..=4 => (format!("VARCHAR({length})"), length),
        5 => ("TINYTEXT".to_owned(), 255 / charset.width),
        6 => ("TEXT".to_owned(), 65_535 / charset.width),
        7 => ("MEDIUMTEXT".to_owned(), 70_000),
        _ => ("LONGTEXT".to_owned(), 70_000),
    };
    let collation = if rng.random_bool(0.2) { format!(" COLLATE {}_bin", charset.name) } else { String::new() };
    Kind::Text { sql: format!("{declared} CHARACTER SET {}{collation}", charset.name), charset, characters }
}

fn bytes(rng: &mut StdRng, short: bool) -> Kind {
    let length: usize = *if short { &[1, 16, 60][..] } else { &[1, 4, 16, 128, 255, 256, 300] }.choose(rng).unwrap();
    let fixed = length.min(255);
    let (sql, length) = match rng.random_range(0..if short { 5 } else { 10 }) {
        0 | 1 => (format!("BINARY({fixed})"), fixed),
        2 => (format!("VARBINARY({length})"), length),
        3 => (format!("CHAR({fixed}) CHARACTER SET binary"), fixed),
        4 => (format!("VARCHAR({length}) CHARACTER SET binary"), length),
        5 => ("TEXT CHARACTER SET binary".to_owned(), 65_535),
        6 => ("TINYBLOB".to_owned(), 255),
        7 => ("BLOB".to_owned(), 65_535),
        8 => ("MEDIUMBLOB".to_owned(), 70_000),
        _ => ("LONGBLOB".to_owned(), 70_000),
    };
    Kind::Bytes { sql, length }
}

impl Server {
    fn charset(&self, rng: &mut StdRng) -> &'static Charset {
        // Every second text is in the usual one, which comes first.
        if rng.random_bool(0.5) { self.charsets[0] } else { self.charsets.choose(rng).unwrap() }
    }
}

impl Kind {
    /// Gives an ENUM or SET labels, up to `most`.
    fn with_labels(mut self, rng: &mut StdRng, most: usize) -> Self {
        let is_enum = matches!(self, Self::Enum { .. });
        let (Self::Enum { charset, labels } | Self::Set { charset, labels }) = &mut self else { return self };
        labels.extend(LABELS.iter().map(|label| (*label).to_owned()));
        // One that only this character set has; in some collations any two emoji are equal.
        let own = charset.characters.chars().next();
        labels.extend(own.map(|c| format!("w{c}")));
        if charset.name == "utf8mb4" {
            labels.push("🦀".to_owned());
        }
        if is_enum {
            labels.extend(["", "b,c"].map(str::to_owned));
        }
        labels.shuffle(rng);
        if rng.random_bool(0.2) {
            labels.extend((labels.len()..most).map(|n| format!("n{n}")));
        } else {
            labels.truncate(rng.random_range(1..=20));
        }
        self
    }

    /// The type as SQL writes it.
    pub fn sql(&self) -> String {
        let fraction = |name: &str, digits: &usize| if *digits == 0 { name.to_owned() } else { format!("{name}({digits})") };
        let signs = |unsigned: &bool, zerofill: &bool| match (unsigned, zerofill) {
            (_, true) => " UNSIGNED ZEROFILL",
            (true, _) => " UNSIGNED",
            _ => "",
        };
        let list = |name: &str, charset: &Charset, labels: &[String]| {
            let labels: Vec<String> = labels.iter().map(|label| super::literals::quoted(label)).collect();
            format!("{name}({}) CHARACTER SET {}", labels.join(","), charset.name)
        };
        match self {
            Self::Integer { name, unsigned, zerofill, .. } => format!("{name}{}", signs(unsigned, zerofill)),
            Self::Decimal { precision, scale, unsigned, zerofill } => {
                format!("DECIMAL({precision},{scale}){}", signs(unsigned, zerofill))
            }
            Self::Float { double, digits, unsigned } => {
                let name = if *double { "DOUBLE" } else { "FLOAT" };
                let digits = digits.map(|(m, d)| format!("({m},{d})")).unwrap_or_default();
                format!("{name}{digits}{}", signs(unsigned, &false))
            }
            Self::Bit { length } => format!("BIT({length})"),
            Self::Date => "DATE".to_owned(),
            Self::Time { fraction: digits } => fraction("TIME", digits),
            Self::DateTime { fraction: digits } => fraction("DATETIME", digits),
            Self::Timestamp { fraction: digits } => fraction("TIMESTAMP", digits),
            Self::Year => "YEAR".to_owned(),
            Self::Text { sql, .. } | Self::Bytes { sql, .. } => sql.clone(),
            Self::Enum { charset, labels } => list("ENUM", charset, labels),
            Self::Set { charset, labels } => list("SET", charset, labels),
            Self::Json => "JSON".to_owned(),
            Self::Geometry { shape, srid } => format!("{shape}{}", srid.map(|n| format!(" SRID {n}")).unwrap_or_default()),
            Self::Vector { dimensions } => format!("VECTOR({dimensions})"),
            Self::Uuid => "UUID".to_owned(),
            Self::Inet { v6 } => if *v6 { "INET6" } else { "INET4" }.to_owned(),
        }
    }

    /// True if a column of it can have a constant as its default.
    fn takes_default(&self) -> bool {
        match self {
            Self::Text { sql, .. } => !sql.contains("TEXT"),
            Self::Bytes { sql, .. } => !sql.contains("BLOB") && !sql.contains("TEXT"),
            Self::Json | Self::Geometry { .. } | Self::Vector { .. } => false,
            _ => true,
        }
    }
}

impl Column {
    /// One of the primary key.
    pub fn of_key(name: &str, kind: Kind) -> Self {
        let declaration = format!("{} NOT NULL", kind.sql());
        Self { name: name.to_owned(), declaration, kind, nullable: false, has_default: false, generated: false }
    }

    pub fn random(name: String, kind: Kind, rng: &mut StdRng, server: &Server) -> Self {
        let nullable = rng.random_bool(0.7);
        let mut declaration = format!("{} {}", kind.sql(), if nullable { "NULL" } else { "NOT NULL" });
        let has_default = kind.takes_default() && rng.random_bool(0.4);
        if has_default {
            let Literal { sql, .. } = literal(&kind, rng, server.is_mysql, true);
            declaration.push_str(&format!(" DEFAULT {sql}"));
        }
        Self { name, declaration, kind, nullable, has_default, generated: false }
    }

    /// One that the server computes from the column `id`.
    pub fn computed(name: String, rng: &mut StdRng, server: &Server) -> Self {
        let charset = server.charsets[0];
        let (kind, expression) = match rng.random_range(0..3) {
            0 => (Kind::Integer { name: "BIGINT", bits: 64, unsigned: false, zerofill: false }, "id * -3"),
            1 => (Kind::Text { sql: "VARCHAR(20)".to_owned(), charset, characters: 20 }, "CONCAT('№ ', id)"),
            _ => (Kind::Decimal { precision: 20, scale: 4, unsigned: false, zerofill: false }, "id / 7"),
        };
        let stored = ["VIRTUAL", "STORED"].choose(rng).unwrap();
        let declaration = format!("{} GENERATED ALWAYS AS ({expression}) {stored}", kind.sql());
        Self { name, declaration, kind, nullable: true, has_default: false, generated: true }
    }
}
