//! Every type, from a real server: each value is compared with what the server itself writes for it.

use crate::support::server::trino;
use std::collections::BTreeMap;
use std::net::IpAddr;
use trino_client::{Decimal, Record, TrinoType, Uuid, Value};

/// Values of all scalar types whose `CAST(... AS varchar)` is their text.
const SCALARS: &[&str] = &[
    "true",
    "false",
    "tinyint '-128'",
    "tinyint '127'",
    "smallint '-32768'",
    "smallint '32767'",
    "integer '-2147483648'",
    "2147483647",
    "bigint '-9223372036854775808'",
    "bigint '9223372036854775807'",
    "decimal '0'",
    "decimal '-0.05'",
    "decimal '12345678901234.5678'",
    "decimal '-99999999999999999999999999999999999999'",
    "decimal '99999999999999999999999999999999999999'",
    "decimal '0.99999999999999999999999999999999999999'",
    "decimal '-0.00000000000000000000000000000000000001'",
    "varchar ''",
    "'abc'",
    "'NULL'",
    "CAST('abc' AS varchar(10))",
    "CAST('ab' AS char(5))",
    "CAST('' AS char(3))",
    "U&'gr\\00fc\\00df \\20ac \\+01F600 \\0000 \\0001 \\0009 \\000a \\000d \\2028 \\ffff end'",
    "'\"quoted\" \\ \\n / ''single'' {} []'",
    "date '1970-01-01'",
    "date '2000-02-29'",
    "date '0001-01-01'",
    "date '-5877641-06-23'",
    "date '+5881580-07-11'",
    "time '00:00:00'",
    "time '23:59:59'",
    "time '01:02:03.4'",
    "time '01:02:03.123'",
    "time '01:02:03.123456'",
    "time '23:59:59.999999999999'",
    "time '01:02:03 +00:00'",
    "time '01:02:03.5 -14:00'",
    "time '23:59:59.999999999999 +14:00'",
    "timestamp '1970-01-01 00:00:00'",
    "timestamp '1969-12-31 23:59:59.9'",
    "timestamp '2026-01-02 03:04:05.06'",
    "timestamp '2026-01-02 03:04:05.123'",
    "timestamp '2026-01-02 03:04:05.1234'",
    "timestamp '2026-01-02 03:04:05.12345'",
    "timestamp '2026-01-02 03:04:05.123456'",
    "timestamp '2026-01-02 03:04:05.1234567'",
    "timestamp '2026-01-02 03:04:05.12345678'",
    "timestamp '2026-01-02 03:04:05.123456789'",
    "timestamp '2026-01-02 03:04:05.1234567891'",
    "timestamp '2026-01-02 03:04:05.12345678912'",
    "timestamp '2026-01-02 03:04:05.123456789123'",
    "timestamp '-0044-03-15 12:00:00.000001'",
    "timestamp '12345-06-07 08:09:10.999999999999'",
    "timestamp '1970-01-01 00:00:00 UTC'",
    "timestamp '2026-01-02 03:04:05.123456789123 UTC'",
    "timestamp '2026-07-02 03:04:05.123456 Europe/Vienna'",
    "timestamp '2026-01-02 03:04:05.1 +05:45'",
    "timestamp '2026-01-02 03:04:05 -12:00'",
    "timestamp '2026-01-02 03:04:05 America/Argentina/ComodRivadavia'",
    "interval '0' month",
    "interval '2-3' year to month",
    "interval '-3' month",
    "-interval '14' year",
    "interval '178956970' year + interval '7' month",
    "interval '0' second",
    "interval '2 03:04:05.006' day to second",
    "-interval '0.001' second",
    "interval '-106751991' day",
    "uuid '00000000-0000-0000-0000-000000000000'",
    "uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59'",
    "uuid 'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    "ipaddress '10.0.0.1'",
    "ipaddress '255.255.255.255'",
    "ipaddress '::'",
    "ipaddress '::1'",
    "ipaddress '2001:db8::ff00:42:8329'",
];

/// Others, and what their text is by the server.
const OTHERS: &[(&str, &str)] = &[
    ("json '{\"b\": [1, 2.50, null, \"x\"], \"a\": {}}'", "json_format({})"),
    ("json 'null'", "json_format({})"),
    ("json '\"text\"'", "json_format({})"),
    ("X''", "lower(to_hex({}))"),
    ("X'00ff8001'", "lower(to_hex({}))"),
    ("to_utf8('bytes')", "lower(to_hex({}))"),
    ("CAST(approx_distinct_sketch AS varbinary)", "lower(to_hex({}))"),
];

#[tokio::test]
async fn every_scalar_value_is_what_the_server_writes_for_it() {
    let client = trino().client();
    let cast = "CAST({} AS varchar)";
    let all: Vec<(&str, &str)> = SCALARS.iter().map(|e| (*e, cast)).chain(OTHERS.iter().copied()).collect();
    let mut columns = Vec::new();
    for (expression, text) in &all {
        let expression = expression.replace("approx_distinct_sketch", "empty_approx_set()");
        columns.push(format!("{expression}, {}, typeof({expression})", text.replace("{}", &expression)));
    }
    let mut query = client.query(format!("SELECT {}", columns.join(",\n"))).await.unwrap();
    let row = query.next().await.unwrap().unwrap();
    for (n, (expression, _)) in all.iter().enumerate() {
        let (value, text): (Value<'_>, &str) = (row.get(3 * n).unwrap(), row.get(3 * n + 1).unwrap());
        assert_eq!(value.to_string(), text, "{expression}");
        // The server's own name for the type, and ours.
        let named: TrinoType = row.get::<&str>(3 * n + 2).unwrap().parse().unwrap();
        assert_eq!(*row.columns()[3 * n].r#type(), named, "{expression}");
        assert!(!matches!(named, TrinoType::Other(_)), "{expression} is {named}");
    }
}

#[tokio::test]
async fn null_of_every_type_is_null() {
    let types = [
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double",
        "decimal(38,2)",
        "varchar",
        "varchar(3)",
        "char(3)",
        "varbinary",
        "json",
        "date",
        "time(12)",
        "time(3) with time zone",
        "timestamp(12)",
        "timestamp(6) with time zone",
        "interval year to month",
        "interval day to second",
        "uuid",
        "ipaddress",
        "array(bigint)",
        "map(varchar, bigint)",
        "row(a bigint)",
        "HyperLogLog",
    ];
    let columns: Vec<String> = types.iter().map(|t| format!("CAST(NULL AS {t})")).collect();
    let sql = format!("SELECT {}, NULL, ARRAY[{}]", columns.join(", "), "NULL");
    let mut query = trino().client().query(sql).await.unwrap();
    let row = query.next().await.unwrap().unwrap();
    for (n, name) in types.iter().enumerate() {
        assert_eq!(row.value(n).unwrap(), Value::Null, "{name}");
        assert_eq!(*row.columns()[n].r#type(), name.parse().unwrap());
    }
    assert_eq!(row.value(types.len()).unwrap(), Value::Null);
    assert_eq!(row.value(types.len() + 1).unwrap().to_string(), "[NULL]");
    let error = row.get::<i64>(4).unwrap_err().to_string();
    assert_eq!(error, "column 4 (_col4 bigint): NULL is no i64: ask for an Option");
}

#[tokio::test]
async fn floating_numbers_have_every_bit() {
    let sql = "SELECT d, to_ieee754_64(d), r, to_ieee754_32(r) FROM (
        SELECT d, CAST(d AS real) r FROM (
            SELECT (random() - 0.5) * pow(10, random(616) - 308) d FROM UNNEST(sequence(1, 10000))
            UNION ALL SELECT d FROM (VALUES nan(), infinity(), -infinity(), 0e0, -0e0, 4.9E-324, -1.7976931348623157E308, 0.1, 1E23, 9007199254740993e0) t(d)))";
    let mut query = trino().client().query(sql).await.unwrap();
    let mut rows = 0;
    while let Some(row) = query.next().await.unwrap() {
        let (double, bits, real, real_bits): (f64, &[u8], f32, &[u8]) = row.read().unwrap();
        // NaN is NaN, whatever its payload is.
        assert!(
            double.to_be_bytes() == *bits || double.is_nan() && f64::from_be_bytes(bits.try_into().unwrap()).is_nan(),
            "{double:?} {bits:?}"
        );
        assert!(
            real.to_be_bytes() == *real_bits || real.is_nan() && f32::from_be_bytes(real_bits.try_into().unwrap()).is_nan(),
            "{real:?} {real_bits:?}"
        );
        rows += 1;
    }
    assert_eq!(rows, 10_010);
}

#[tokio::test]
async fn random_values_are_what_the_server_writes_for_them() {
    let sql = "SELECT v, CAST(v AS varchar), w, CAST(w AS varchar), x, CAST(x AS varchar) FROM (
        SELECT from_unixtime_nanos(CAST((random() - 0.5) * 1e19 AS decimal(38,0))) AS v,
               CAST(from_unixtime_nanos(CAST((random() - 0.5) * 1e19 AS decimal(38,0))) AS timestamp(9)) AS w,
               CAST((random() - 0.5) * pow(10, random(35)) AS decimal(38,3)) AS x
        FROM UNNEST(sequence(1, 10000)))";
    let mut query = trino().client().query(sql).await.unwrap();
    let mut rows = 0;
    while let Some(row) = query.next().await.unwrap() {
        for n in [0, 2, 4] {
            assert_eq!(row.value(n).unwrap().to_string(), row.get::<&str>(n + 1).unwrap());
        }
        rows += 1;
    }
    assert_eq!(rows, 10_000);
}

#[tokio::test]
async fn values_are_read_as_types_of_rust() {
    let sql =
        "SELECT bigint '-5', decimal '-12.50', 'text', X'0102', uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59', ipaddress '::1',
        timestamp '2026-01-02 03:04:05.000001 +01:00', true, real '1.5', double '2.5'";
    let mut query = trino().client().query(sql).await.unwrap();
    let row = query.next().await.unwrap().unwrap();
    assert_eq!((row.get::<i64>(0).unwrap(), row.get::<i8>(0).unwrap(), row.get::<i128>(0).unwrap()), (-5, -5, -5));
    assert_eq!(row.get::<u32>(0).unwrap_err().to_string(), "column 0 (_col0 bigint): the value does not fit in u32");
    let decimal: Decimal = row.get(1).unwrap();
    assert_eq!((decimal.unscaled(), decimal.scale()), (-1250, 2));
    assert_eq!((row.get::<String>(2).unwrap(), row.get::<Option<&str>>("_col2").unwrap()), ("text".to_owned(), Some("text")));
    assert_eq!(row.get::<i32>(2).unwrap_err().to_string(), "column 2 (_col2 varchar(4)): varchar is no i32");
    assert_eq!((row.get::<Vec<u8>>(3).unwrap(), row.get::<&[u8]>(3).unwrap()), (vec![1, 2], &[1, 2][..]));
    assert_eq!(row.get::<Uuid>(4).unwrap().as_u128(), 0x12151fd2_7586_11e9_8f9e_2a86e4085a59);
    assert_eq!(row.get::<IpAddr>(5).unwrap(), "::1".parse::<IpAddr>().unwrap());
    let at: trino_client::TimestampWithTimeZone = row.get(6).unwrap();
    assert_eq!(
        (at.utc().unwrap().to_string().as_str(), at.utc().unwrap().micros()),
        ("2026-01-02 02:04:05.000001", Some(1_767_319_445_000_001))
    );
    assert_eq!(
        (row.get::<bool>(7).unwrap(), row.get::<f32>(8).unwrap(), row.get::<f64>(8).unwrap(), row.get::<f64>(9).unwrap()),
        (true, 1.5, 1.5, 2.5)
    );
    assert!(row.get::<f32>(9).is_err(), "a double is not rounded");
    assert_eq!(row.get::<i64>(10).unwrap_err().to_string(), "there is no column 10: the row has 10, counted from 0");
    assert!(row.get::<i64>("nope").unwrap_err().to_string().starts_with("there is no column \"nope\": the row has _col0, _col1"));
}

#[tokio::test]
async fn nested_values_are_walked_and_read() {
    let sql = "SELECT ARRAY[1, NULL, 3], MAP(ARRAY['b', 'a'], ARRAY[2, 1]),
        CAST(ROW(1, 'x', NULL) AS row(n bigint, \"t x\" varchar, z date)),
        ARRAY[ARRAY[], ARRAY[CAST(ROW(MAP(ARRAY[1.5], ARRAY[ARRAY[true]])) AS row(m map(decimal(2,1), array(boolean))))]],
        MAP(ARRAY[X'00ff'], ARRAY[1]), MAP(ARRAY[timestamp '2020-01-01 00:00:00.123456789 Europe/Vienna'], ARRAY[NULL]),
        MAP(ARRAY[nan()], ARRAY[X'']), MAP(ARRAY[ARRAY[1, 2]], ARRAY[0]), MAP(), ARRAY[X'01', NULL]";
    let mut query = trino().client().query(sql).await.unwrap();
    assert_eq!(query.columns()[2].r#type().to_string(), "row(n bigint, \"t x\" varchar, z date)");
    let row = query.next().await.unwrap().unwrap();
    assert_eq!(row.get::<Vec<Option<i32>>>(0).unwrap(), [Some(1), None, Some(3)]);
    assert!(row.get::<Vec<i32>>(0).is_err(), "there is a NULL");
    assert_eq!(row.get::<BTreeMap<&str, i64>>(1).unwrap(), BTreeMap::from([("a", 1), ("b", 2)]));
    assert_eq!(row.get::<(i64, String, Option<trino_client::Date>)>(2).unwrap(), (1, "x".to_owned(), None));
    assert!(row.get::<(i64, String)>(2).unwrap_err().to_string().ends_with("a row of 3 fields is no tuple of 2"));
    let record: Record<'_> = row.get(2).unwrap();
    assert_eq!((record.name(1), record.get(0), record.get(3)), (Some("t x"), Some(Value::Bigint(1)), None));
    let texts: Vec<String> = row.values().skip(3).map(|value| value.to_string()).collect();
    assert_eq!(
        texts,
        [
            "[[], [{{1.5=[true]}}]]",
            "{00ff=1}",
            "{2020-01-01 00:00:00.123456789 Europe/Vienna=NULL}",
            "{NaN=}",
            "{[1, 2]=0}",
            "{}",
            "[01, NULL]"
        ]
    );
    assert_eq!(row.value(0).unwrap(), row.value(0).unwrap().clone());
    let Value::Array(array) = row.value(0).unwrap() else { panic!("no array") };
    assert_eq!((array.len(), array.get(2), array.get(3)), (3, Some(Value::Integer(3)), None));
}
