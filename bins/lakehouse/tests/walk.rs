//! A database with odd names, from `init` to `verify`, and everything that can be looked at on the way.

use crate::support::{Desk, PASSWORD, both, files_with};
use harness::server::Kind;
use serde_json::{Value, json};

const TABLES: &str = r#"
    CREATE TABLE `Order Lines` (`select` INT, `ä ö` VARCHAR(9), `Q"t` INT, `x``y` INT, PRIMARY KEY (`ä ö`, `select`));
    INSERT INTO `Order Lines` VALUES (1, 'a', 1, NULL), (1, 'b', NULL, 2), (2, 'a', 3, 3);
    CREATE TABLE `it's` (`a.b` BIGINT UNSIGNED, `日本` TEXT, UNIQUE KEY u (`a.b`));
    INSERT INTO `it's` VALUES (18446744073709551615, '語'), (NULL, NULL), (NULL, NULL);
    CREATE TABLE UPPER (`ID` INT PRIMARY KEY, `Value` VARBINARY(5));
    INSERT INTO UPPER VALUES (1, x'00ff'), (2, NULL);
    CREATE TABLE `empty` (id INT PRIMARY KEY);
"#;

fn file(desk: &Desk) -> String {
    std::fs::read_to_string(desk.path("mirror.toml")).unwrap()
}

fn init(desk: &Desk) {
    let first = desk.init();
    let server = match desk.server.kind {
        Kind::Mysql => format!("MySQL {}", desk.server.info.version),
        Kind::Mariadb => format!("MariaDB {}", desk.server.info.version),
    };
    // MySQL's own word for its version may go on: 9.7.4-2.
    let headline = format!("wrote mirror.toml: 4 tables of {}, {server}", desk.database);
    assert!(first.out.starts_with(&headline), "{}", first.out);
    assert_eq!(first.out.lines().last(), Some("next: lakehouse check && lakehouse run"));
    for (table, key) in [("Order Lines", "ä ö, select"), ("it's", "none"), ("UPPER", "ID"), ("empty", "id")] {
        let start = format!("  {}.{table} ", desk.database);
        let line = first.out.lines().find(|l| l.starts_with(&start)).unwrap_or_else(|| panic!("no {start:?}: {}", first.out));
        assert!(line[start.len()..].trim_start().starts_with(key), "{line}");
        let note = format!("note: {}.{table}: no primary or unique key of whole columns without NULLs", desk.database);
        assert_eq!(first.out.lines().any(|l| l.starts_with(&note)), table == "it's", "{}", first.out);
    }
    let text = file(desk);
    assert!(text.contains("\"database.password\" = \"${env:MYSQL_PWD}\"\n"), "{text}");
    assert!(text.contains(&format!("#   {}.Order Lines ", desk.database)) && text.contains(", key ä ö, select\n"), "{text}");

    let again = desk.fails(2, &["init", &desk.url()]);
    assert!(
        again.starts_with("error: mirror.toml is there already\n") && again.contains("→") && again.contains("--force"),
        "{again}"
    );
    assert_eq!(file(desk), text, "the second call left the file as it was");
    std::fs::write(desk.path("mirror.toml"), "of another time").unwrap();
    desk.ok(&["init", "--force", &desk.url()]);
    assert_eq!(file(desk), text);
    let described = desk.json(&["init", &desk.url(), "-c", "other.toml"]);
    assert_eq!(described["configuration"], "other.toml");
    assert!(described["server"].as_str().unwrap().starts_with(&server), "{described}");
    let keys: Vec<(&Value, &Value)> = described["tables"].as_array().unwrap().iter().map(|t| (&t["table"], &t["key"])).collect();
    let table = |name: &str| json!(format!("{}.{name}", desk.database));
    assert!(keys.contains(&(&table("Order Lines"), &json!(["ä ö", "select"]))), "{keys:?}");
    assert!(keys.contains(&(&table("it's"), &json!([]))), "{keys:?}");
}

/// Nothing is there yet, and that is no error.
fn look_before_the_first_run(desk: &Desk) {
    assert_eq!(desk.ok(&["tables"]).out, "catalog lake: 0 tables\nnext: lakehouse run\n");
    assert_eq!(desk.json(&["tables"]), json!({ "catalog": "lake", "tables": [] }));
    assert_eq!(desk.ok(&["status"]).out, "not running: 0 tables, as last committed\nnext: lakehouse run\n");
    assert_eq!(desk.json(&["status"]), json!({ "running": null, "position": null, "tables": [] }));
    assert!(desk.fails(2, &["snapshots", "a.b"]).contains("no table a.b in the catalog lake\n  → it is empty\n"));
    assert!(!desk.path("warehouse").exists(), "to look makes nothing");
    assert!(desk.fails(3, &["log"]).contains("→ lakehouse run makes it"));
}

fn tables(desk: &Desk) {
    let catalog = desk.json(&["tables"]);
    let database = desk.database.to_lowercase();
    let tables = catalog["tables"].as_array().unwrap();
    let found: Vec<(&str, u64, u64, u64)> = tables
        .iter()
        .map(|t| {
            let number = |name: &str| t[name].as_u64().unwrap_or_else(|| panic!("{name} of {t}"));
            (t["name"].as_str().unwrap(), number("records"), number("deletes"), number("columns"))
        })
        .collect();
    let name = |table: &str| format!("{database}.{table}");
    let (empty, its, lines, upper) = (name("empty"), name("it's"), name("order lines"), name("upper"));
    assert_eq!(found, [(empty.as_str(), 0, 0, 1), (&its, 3, 0, 2), (&lines, 3, 0, 4), (&upper, 2, 0, 2)]);
    let warehouse = desk.path("warehouse").canonicalize().unwrap();
    assert!(tables.iter().all(|t| t["location"].as_str().unwrap().contains(warehouse.to_str().unwrap())), "{catalog}");
    let text = desk.ok(&["tables"]).out;
    assert!(text.starts_with("catalog lake: 4 tables\n") && text.lines().count() == 6, "{text}");
}

fn snapshots(desk: &Desk) {
    let name = format!("{}.UPPER", desk.database);
    let all = desk.json(&["snapshots", &name]);
    let snapshots = all["snapshots"].as_array().unwrap();
    assert_eq!(all["table"], *name);
    let newest = &snapshots[0];
    assert_eq!((&newest["total_records"], &newest["added_deletes"]), (&json!(2), &json!(0)), "{newest}");
    assert!(newest["refs"].as_array().unwrap().contains(&json!("main")), "{newest}");
    assert!(newest["source_position"].as_str().unwrap().contains(' '), "{newest}");
    assert!(newest["id"].is_i64() && newest["committed_ms"].as_i64().unwrap() > 1_700_000_000_000, "{newest}");
    let added: u64 = snapshots.iter().map(|s| s["added_records"].as_u64().unwrap()).sum();
    assert_eq!(added, 2);
    let text = desk.ok(&["snapshots", &name, "--limit", "1"]).out;
    assert!(text.starts_with(&format!("{name}: {} snapshots, the newest first", snapshots.len())), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

fn status(desk: &Desk) {
    let status = desk.json(&["status"]);
    assert_eq!(status["running"], Value::Null);
    assert!(status["position"]["log"]["offset"].as_u64().unwrap() > 4, "{status}");
    let tables = status["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 4);
    for table in tables {
        let inner = &table["status"];
        assert_eq!((&inner["phase"], &inner["stopped"]), (&json!("streaming"), &Value::Null), "{table}");
        assert_eq!((&inner["applied"], &table["delay_ms"]), (&inner["log_end"], &json!(0)), "{table}");
    }
    let lines = tables.iter().find(|t| t["table"] == format!("{}.Order Lines", desk.database)).unwrap();
    assert_eq!((&lines["records"], &lines["deletes"], &lines["status"]["applied"]), (&json!(3), &json!(0), &json!(3)));
    assert_eq!((&lines["data_files"], &lines["delete_files"]), (&json!(1), &json!(0)));
    assert!(lines["applied_position"].as_str().unwrap().contains(' '), "{lines}");
    let text = desk.ok(&["status"]).out;
    assert!(text.starts_with("not running: 4 tables, as last committed\n  source at "), "{text}");
}

fn log(desk: &Desk) {
    let topics = desk.json(&["log"]);
    let topics = topics["topics"].as_array().unwrap();
    let of =
        |end: &str| topics.iter().find(|t| t["topic"].as_str().unwrap().ends_with(end)).unwrap_or_else(|| panic!("{topics:?}"));
    let upper = of(".UPPER");
    assert_eq!(upper["partitions"], json!([{ "partition": 0, "first": 0, "next": 2 }]));
    let printed = desk.ok(&["log", upper["topic"].as_str().unwrap()]).out;
    let records: Vec<Value> = printed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(
        (&records[0]["offset"], &records[0]["key"]["ID"], &records[0]["value"]["op"]),
        (&json!(0), &json!(1), &json!("r"))
    );
    assert_eq!(records[0]["value"]["source"]["db"], *desk.database);
    let beyond = desk.run(&["log", upper["topic"].as_str().unwrap(), "--from", "99999"]);
    assert_eq!((beyond.code, beyond.out.as_str()), (0, ""));
    assert!(beyond.err.starts_with("note: no record: ") && beyond.err.contains("will be at offset 2; "), "{}", beyond.err);
    let last = desk.ok(&["log", upper["topic"].as_str().unwrap(), "--from", "1", "--limit", "1", "--headers"]).out;
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&last["offset"], last["headers"].is_object() || last["headers"].is_array()), (&json!(1), true), "{last}");
}

#[test]
fn a_database_with_odd_names_goes_all_the_way() {
    both("CLI \"Odd\".Shop, ß", |desk| {
        desk.sql(TABLES);
        init(&desk);
        look_before_the_first_run(&desk);
        let check = desk.ok(&["check"]).out;
        assert!(check.starts_with("ready: ") && check.ends_with("\nnext: lakehouse run\n"), "{check}");
        let ran = desk.catch_up();
        assert!(ran.err.contains("stopped: 8 changes captured"), "{}", ran.err);
        let verified = desk.ok(&["verify"]).out;
        assert!(verified.starts_with("equal: 4 tables, 8 rows, compared row by row in "), "{verified}");
        tables(&desk);
        snapshots(&desk);
        status(&desk);
        log(&desk);
        assert_eq!(files_with(desk.folder.path(), PASSWORD), Vec::<std::path::PathBuf>::new(), "the password is in a file");
    });
}

#[test]
fn init_takes_the_password_from_a_file_or_the_url_and_writes_neither_down() {
    both("cli_password", |desk| {
        desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        std::fs::create_dir(desk.path("secrets")).unwrap();
        std::fs::write(desk.path("secrets/pw"), format!("{PASSWORD}\n")).unwrap();
        let mut command = desk.prepare(&["init", "--password-file", "secrets/pw", &desk.url(), "-c", "file.toml"]);
        command.env_remove("MYSQL_PWD");
        let ran = crate::support::finish(command);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        let secret = desk.path("secrets/pw").canonicalize().unwrap();
        let text = std::fs::read_to_string(desk.path("file.toml")).unwrap();
        assert!(text.contains(&format!("${{file:{}}}", secret.display())), "{text}");
        let mut command = desk.prepare(&["check", "-c", "file.toml"]);
        command.env_remove("MYSQL_PWD");
        assert_eq!(crate::support::finish(command).code, 0);

        let encoded: String = PASSWORD.bytes().map(|b| format!("%{b:02X}")).collect();
        let url = desk.url().replace("cli@", &format!("cli:{encoded}@"));
        let mut command = desk.prepare(&["init", &url, "-c", "url.toml"]);
        command.env_remove("MYSQL_PWD");
        let ran = crate::support::finish(command);
        assert!(ran.code == 0 && ran.out.contains("the password is not in the file: export MYSQL_PWD=..."), "{ran:?}");
        assert_eq!(files_with(desk.folder.path(), PASSWORD), [desk.path("secrets/pw")]);
        assert!(files_with(desk.folder.path(), &encoded).is_empty());
    });
}
