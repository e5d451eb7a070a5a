//! Rows read for comparing them with a mirror.

use crate::support::{Copy, both, config, run};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use cdc_core::Value;
use mysql_source::{MysqlSource, TableReader, discover, preflight};

#[tokio::test(flavor = "multi_thread")]
async fn ranges_walk_the_whole_table_and_keys_find_their_rows() {
    both("reader", async |server, database, mut admin| {
        run(
            &mut admin,
            &[
                "CREATE TABLE t (e ENUM('z','m','a'), d DATE, s VARCHAR(9) CHARACTER SET latin1, n DECIMAL(8,2), b VARBINARY(4), i INT, PRIMARY KEY (e, d, s, n, b))",
                "INSERT INTO t WITH RECURSIVE q AS (SELECT 0 i UNION ALL SELECT i + 1 FROM q WHERE i < 499) \
                 SELECT 1 + i % 3, DATE'2020-01-01' + INTERVAL (i % 7) DAY, CONCAT('ß', i % 5), i / 4, UNHEX(LPAD(HEX(i), 4, '0')), i FROM q",
            ],
        )
        .await;
        let config = config(&server, database).build().unwrap();
        let found = discover(&config).await.unwrap();
        assert_eq!(found.iter().map(|t| (t.table.to_string(), t.key.join(","))).collect::<Vec<_>>(), [(format!("{database}.t"), "e,d,s,n,b".to_owned())]);
        assert!(preflight(&config).await.unwrap().iter().all(|c| c.ok));

        let mut source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        let mut copy = Copy::default();
        copy.catch_up(&mut source, &config).await;
        copy.assert_equals(&server, database).await;

        let schema = copy.table(database, "t").schema.clone().unwrap();
        let mut reader = TableReader::open(&config, schema).await.unwrap();
        assert_eq!(reader.count().await.unwrap(), 500);
        let (mut place, mut seen) = (None, Vec::new());
        loop {
            let read = reader.range(place.as_ref(), 37).await.unwrap();
            assert!(copy.has_reached(&read.high) || read.high.log.offset > 0);
            seen.extend(read.rows.column(5).as_primitive::<Int32Type>().values().iter().copied());
            if !read.more {
                break;
            }
            place = read.last;
        }
        // The enum's own order comes first: z, m, a.
        assert_eq!(seen.first().map(|i| i % 3), Some(0));
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());

        let key = |i: i64| {
            vec![
                Value::String(["z", "m", "a"][(i % 3) as usize].to_owned()),
                Value::Int(18_262 + i % 7),
                Value::String(format!("ß{}", i % 5)),
                Value::Decimal(format!("{}.{:02}", i / 4, i % 4 * 25)),
                Value::Bytes(vec![(i >> 8) as u8, i as u8]),
            ]
        };
        let read = reader.rows(&[key(0), key(499), key(123)]).await.unwrap();
        let mut found: Vec<i32> = read.rows.column(5).as_primitive::<Int32Type>().values().to_vec();
        found.sort_unstable();
        assert_eq!(found, [0, 123, 499]);
    })
    .await;
}
