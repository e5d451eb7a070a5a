//! `verify`: its verdict, its exit code, and what it says of each difference.

use crate::support::both;
use serde_json::{Value, json};

#[test]
fn what_changed_behind_the_binary_log_is_found_and_ends_with_1() {
    both("cli_verify", |desk| {
        desk.sql(
            "CREATE TABLE t (id INT, k VARCHAR(9), v VARCHAR(20), w INT, PRIMARY KEY (k, id));
             INSERT INTO t VALUES (1, 'a', 'x', 1), (2, 'a', NULL, 2), (3, 'b', 'z', 3), (4, 'b', 'same', 4);
             CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO u VALUES (1), (2)",
        );
        desk.init();
        desk.catch_up();
        let report = desk.json(&["verify"]);
        assert!(report["tables"].as_array().unwrap().iter().all(|t| t["different"] == 0 && t["unsettled"] == 0), "{report:#}");
        desk.sql(
            "SET sql_log_bin = 0; UPDATE t SET v = 'x ', w = NULL WHERE id = 1; UPDATE t SET v = 'NULL' WHERE id = 2;
             DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (5, 'c', '', 5)",
        );
        let ran = desk.run(&["verify"]);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:#?}");
        assert!(ran.out.starts_with("DIFFERENT: 1 of 2 tables; 6 rows compared in "), "{}", ran.out);
        for difference in [
            "cli_verify.t k=a, id=1\n  v: source \"x \", mirror x\n  w: source NULL, mirror 1\n",
            "cli_verify.t k=a, id=2\n  v: source \"NULL\", mirror NULL\n",
            "cli_verify.t k=b, id=3\n  only in the mirror\n",
            "cli_verify.t k=c, id=5\n  only in the source\n",
        ] {
            assert!(ran.out.contains(difference), "no {difference:?} in {}", ran.out);
        }
        let ran = desk.run(&["verify", "--show", "1", "cli_verify.t"]);
        assert!(ran.code == 1 && ran.out.ends_with("\ncli_verify.t: 3 more (--show 100)\n"), "{ran:#?}");

        let ran = desk.run(&["verify", "--json"]);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:#?}");
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let (t, u) = (&report["tables"][0], &report["tables"][1]);
        assert_eq!(
            (&t["table"], &t["source_rows"], &t["mirror_rows"], &t["different"]),
            (&json!("cli_verify.t"), &json!(4), &json!(4), &json!(4))
        );
        assert_eq!(
            (&u["table"], &u["different"], &u["differences"], &u["not_compared"]),
            (&json!("cli_verify.u"), &json!(0), &json!([]), &json!(null))
        );
        let first = t["differences"].as_array().unwrap().iter().find(|d| d["key"][1]["value"] == "1").unwrap();
        let columns = json!([{ "column": "v", "source": "x ", "mirror": "x" }, { "column": "w", "source": null, "mirror": "1" }]);
        let key = json!([{ "column": "k", "value": "a" }, { "column": "id", "value": "1" }]);
        let expected = json!({ "key": key, "kind": "values", "source_count": 1, "mirror_count": 1, "columns": columns });
        assert_eq!(*first, expected);
        assert!(report["took_ms"].is_u64());
        desk.ok(&["verify", "cli_verify.u"]);
        let ran = desk.run(&["verify", "--engine", "trino"]);
        let said =
            "error: no Trino server is named, and --engine trino needs one\n  → write into the configuration: [trino] url = ";
        assert!(ran.code == 2 && ran.err.starts_with(said) && ran.out.is_empty(), "{ran:#?}");
        let ran = desk.run(&["verify", "--engine", "trino", "--set", "trino.url=http://127.0.0.1:1"]);
        let said = "error: Trino cannot read its own list of catalogs\n  no answer from Trino at http://127.0.0.1:1\n";
        assert!(ran.code == 3 && ran.err.starts_with(said), "{ran:#?}");
        let sample = desk.ok(&["verify", "cli_verify.u", "--sample", "50%"]).out;
        assert!(sample.starts_with("equal: 1 table, ") && sample.contains(", a sample of about 50%, compared"), "{sample}");
        assert_eq!(desk.json(&["verify", "cli_verify.u", "--sample", "50%"])["sample_percent"], 50.0);
    });
}
