//! Random geometries, as well-known text.

use super::literals::Literal;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

const COORDINATES: [&str; 9] = ["0", "-0", "1", "-1.5", "0.1", "89.999999999", "-89.25", "1e-10", "12.3456789012345678"];
/// Where there is no globe, numbers have no limits.
const FAR: [&str; 4] = ["1e300", "-1e300", "123456789.125", "5e-300"];
const SHAPES: [&str; 7] =
    ["POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION"];

/// A value of a column of this kind, in the reference system of the column or in any.
pub fn shape(rng: &mut StdRng, kind: &str, srid: Option<u32>, is_mysql: bool) -> Literal {
    let srid = srid.unwrap_or_else(|| *[0, 0, 4326].choose(rng).unwrap());
    let kind = if kind == "GEOMETRY" { *SHAPES.choose(rng).unwrap() } else { kind };
    // MariaDB has no collections within collections.
    let depth = if is_mysql { 2 } else { 1 };
    let text = text(rng, kind, srid == 4326, depth);
    Literal::sql(format!("ST_GeomFromText('{text}'{})", if srid == 0 { String::new() } else { format!(", {srid}") }))
}

fn text(rng: &mut StdRng, kind: &str, globe: bool, depth: usize) -> String {
    let count = rng.random_range(1..4);
    let each =
        |rng: &mut StdRng, part: &dyn Fn(&mut StdRng) -> String| (0..count).map(|_| part(rng)).collect::<Vec<_>>().join(", ");
    let body = match kind {
        "POINT" => format!("({})", point(rng, globe)),
        "LINESTRING" => line(rng, globe),
        "POLYGON" => polygon(rng),
        "MULTIPOINT" => format!("({})", each(rng, &|rng| point(rng, globe))),
        "MULTILINESTRING" => format!("({})", each(rng, &|rng| line(rng, globe))),
        "MULTIPOLYGON" => format!("({})", each(rng, &polygon)),
        _ if rng.random_bool(0.2) => " EMPTY".to_owned(),
        _ => format!(
            "({})",
            each(rng, &|rng| {
                let kinds = if depth > 1 { SHAPES.len() } else { SHAPES.len() - 1 };
                let kind = SHAPES[rng.random_range(0..kinds)];
                text(rng, kind, globe, depth - 1)
            })
        ),
    };
    format!("{kind}{body}")
}

fn point(rng: &mut StdRng, globe: bool) -> String {
    let number = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => format!("{}", rng.random_range(-89.0..89.0)),
        1 if !globe => (*FAR.choose(rng).unwrap()).to_owned(),
        _ => (*COORDINATES.choose(rng).unwrap()).to_owned(),
    };
    format!("{} {}", number(rng), number(rng))
}

fn line(rng: &mut StdRng, globe: bool) -> String {
    let points: Vec<String> = (0..rng.random_range(2..6)).map(|_| point(rng, globe)).collect();
    format!("({})", points.join(", "))
}

/// A square, perhaps with a square hole.
fn polygon(rng: &mut StdRng) -> String {
    let (x, y): (i32, i32) = (rng.random_range(-80..70), rng.random_range(-80..70));
    let ring = |at: i32, side: i32| {
        let (a, b, c, d) = (x + at, y + at, x + at + side, y + at + side);
        format!("({a} {b}, {c} {b}, {c} {d}, {a} {d}, {a} {b})")
    };
    let hole = if rng.random() { format!(", {}", ring(2, 3)) } else { String::new() };
    format!("({}{hole})", ring(0, 10))
}
