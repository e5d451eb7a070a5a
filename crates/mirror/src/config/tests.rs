#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

const MINIMAL: &str = "[source]\n\"database.hostname\" = \"db\"\n\"database.user\" = \"u\"\n\"topic.prefix\" = \"shop\"\n";

fn parse(text: &str, overrides: &[&str]) -> Result<MirrorConfig> {
    let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
    MirrorConfig::from_settings(Settings::parse(text, "mirror.toml", "/base".into(), &overrides)?)
}

fn refused(text: &str, overrides: &[&str]) -> String {
    let e = parse(text, overrides).unwrap_err();
    assert_eq!(e.exit_code(), 2);
    e.to_string()
}

#[test]
fn a_minimal_file_gets_defaults_that_work() {
    let c = parse(MINIMAL, &[]).unwrap();
    assert_eq!((c.source.port, c.source.ssl_mode.as_str()), (3306, "preferred"));
    assert_eq!(c.log.kind, LogKind::Local("/base/log".into()));
    assert_eq!(c.sink.catalog_address.sqlite_path(), Some(Path::new("/base/warehouse/catalog.db")));
    assert_eq!((c.sink.id.as_str(), c.sink.commit_interval), ("shop", Duration::from_millis(500)));
}

#[test]
fn a_file_that_is_not_toml_is_told_by_line_and_column_without_its_text() {
    let message = refused("[source]\n\"database.port\" = 1\n\"database.password\" = \"s3cret\n", &[]);
    assert!(message.starts_with("mirror.toml is not valid TOML: line 3, column "), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
    assert!(!refused(MINIMAL, &["database.password:s3cret"]).contains("s3cret"));
}

#[test]
fn nested_tables_are_their_dotted_keys_and_set_wins() {
    let text = format!(
        "{MINIMAL}[source.table]\ninclude.list = [\"a\\\\.b\", \"a\\\\.c\"]\n[sink.iceberg.catalog]\nwarehouse = \"w\"\n"
    );
    let c = parse(&text, &["database.port=3307", "sink.iceberg.catalog.warehouse=/w2"]).unwrap();
    assert_eq!(c.source.table_include.as_deref(), Some("a\\.b,a\\.c"));
    assert_eq!((c.source.port, c.sink.warehouse), (3307, PathBuf::from("/w2")));
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    assert_eq!(
        refused(&format!("{MINIMAL}\"tabel.include.list\" = \"x\"\n"), &[]),
        "mirror.toml, line 5: unknown key [source] \"tabel.include.list\"\n  → did you mean \"table.include.list\"?"
    );
    assert!(refused(MINIMAL, &["iceberg.catlog=x"]).contains("did you mean \"iceberg.catalog\"?"));
    assert!(refused(&format!("{MINIMAL}\"iceberg.catalog\" = \"x\"\n"), &[]).contains("it belongs in [sink]"));
}

#[test]
fn a_short_key_and_a_section_that_are_misspelt_are_understood() {
    assert!(refused(MINIMAL, &["log.typ=x"]).ends_with("unknown key \"log.typ\"\n  → did you mean \"log.type\"?"));
    assert!(refused(MINIMAL, &["sink.nme=x"]).contains("did you mean \"sink.name\"?"));
    assert!(refused(&MINIMAL.replace("[source]", "[sorce]"), &[]).ends_with("key sorce\n  → did you mean [source]?"));
}

#[test]
fn a_key_without_its_section_is_the_one_that_is_read() {
    let c = parse(MINIMAL, &["name=mine"]).unwrap();
    assert_eq!((c.sink.id.as_str(), c.notes), ("mine", vec![]));
    assert_eq!(parse(MINIMAL, &["source.name=mine"]).unwrap().notes.len(), 1);
}

#[test]
fn a_warehouse_that_is_no_local_folder_is_refused_by_name() {
    for (warehouse, folder) in [("file:///w", "/w"), ("file:/w", "/w"), ("w", "/base/w")] {
        let c = parse(MINIMAL, &[&format!("iceberg.catalog.warehouse={warehouse}")]).unwrap();
        assert_eq!(c.sink.warehouse, PathBuf::from(folder));
    }
    for elsewhere in ["s3://b/x", "gs://b/x", "hdfs://n/x"] {
        let said = refused(MINIMAL, &[&format!("warehouse={elsewhere}")]);
        let what = format!("[sink] \"iceberg.catalog.warehouse\" = \"{elsewhere}\" is not there yet\n  → ");
        assert!(said.starts_with(&what), "{said}");
    }
}

#[test]
fn a_name_that_cannot_be_the_sinks_is_refused_with_its_key() {
    for (set, key) in [
        ("name=a.b", "[sink] \"name\" = \"a.b\""),
        ("name=a b/c", "[sink] \"name\" = \"a b/c\""),
        ("topic.prefix=a b/c", "[source] \"topic.prefix\" = \"a b/c\""),
    ] {
        let said = refused(MINIMAL, &[set]);
        assert!(said.starts_with(key) && said.contains("digits, - and _"), "{said}");
    }
    assert_eq!(parse(MINIMAL, &["topic.prefix=a.b"]).unwrap().sink.id, "a-b");
    assert_eq!(parse(MINIMAL, &["topic.prefix=a b", "sink.name=c"]).unwrap().sink.id, "c");
}

#[test]
fn a_number_that_cannot_work_is_refused_with_its_key_and_range() {
    for (set, said) in [
        ("database.server.id=0", "[source] \"database.server.id\" = \"0\" cannot be used\n  → write a number, 1 to 4294967295"),
        ("database.port=0", "write a port, 1 to 65535"),
        ("database.port=70000", "write a port, 1 to 65535"),
        ("snapshot.fetch.size=0", "write a number of rows, at least 1"),
        ("snapshot.max.threads=0", "write a number, at least 1"),
        (
            "memory.budget.bytes=1000",
            "[source] \"memory.budget.bytes\" = \"1000\" cannot be used\n  → write a number of bytes, at least 1048576",
        ),
        ("transaction.max.bytes=5", "write a number of bytes, at least 1024"),
        ("connect.timeout.ms=0", "write milliseconds, at least 100"),
        ("log.segment.bytes=0", "write a number of bytes, at least 1048576"),
        ("iceberg.memory.budget.bytes=0", "write a number of bytes, at least 1048576"),
        ("iceberg.control.commit.interval-ms=0", "write milliseconds, at least 10"),
        ("log.retention.ms=-1", "write milliseconds, at least 0"),
    ] {
        let message = refused(MINIMAL, &[set]);
        assert!(message.contains(said), "{set}: {message}");
    }
    assert_eq!(parse(MINIMAL, &["database.server.id=4294967295"]).unwrap().source.server_id, Some(u32::MAX));
}

#[test]
fn a_word_that_is_not_known_is_answered_with_those_that_are() {
    for (set, said) in [
        (
            "iceberg.foreign.writes=maybe",
            "[sink] \"iceberg.foreign.writes\" = \"maybe\" cannot be used\n  → write \"stop\" or \"warn\"",
        ),
        ("iceberg.tables.auto-create-enabled=maybe", "→ write true or false"),
        ("database.ssl.mode=always", "or \"verify_identity\""),
        ("snapshot.mode=when_needed", "→ write \"initial\" or \"initial_only\" or \"no_data\""),
    ] {
        let message = refused(MINIMAL, &[set]);
        assert!(message.contains(said), "{set}: {message}");
    }
    assert_eq!(parse(MINIMAL, &["database.ssl.mode=REQUIRED"]).unwrap().source.ssl_mode, "required");
}

#[test]
fn a_key_that_would_change_the_mirror_is_refused_and_a_needless_one_is_noted() {
    assert!(refused(&format!("{MINIMAL}\"message.key.columns\" = \"a:b\"\n"), &[]).contains("not supported yet"));
    assert!(refused(&format!("{MINIMAL}\"decimal.handling.mode\" = \"double\"\n"), &[]).contains("\"precise\""));
    let c = parse(&format!("{MINIMAL}\"max.batch.size\" = 4096\n\"decimal.handling.mode\" = \"precise\"\n"), &[]).unwrap();
    assert_eq!(c.notes, ["\"max.batch.size\" is not needed and ignored: batches are bounded in bytes"]);
}

#[test]
fn every_key_that_is_used_is_read() {
    const CODE: [&str; 5] = [
        include_str!("../config.rs"),
        include_str!("kafka.rs"),
        include_str!("events.rs"),
        include_str!("topics.rs"),
        include_str!("tables.rs"),
    ];
    // These are read before there are settings, or say by being accepted all that they have to say.
    const OTHERWISE: [&str; 4] = ["config.providers", "transforms", "skipped.operations", "iceberg.kafka"];
    const BEFORE: &str = include_str!("settings.rs");
    let is_read = |key: &&keys::Key| {
        let name = key.name.trim_end_matches('*').trim_end_matches('.');
        let quoted = [format!("\"{name}\""), format!("\"{name}.\"")];
        OTHERWISE.contains(&name) || CODE.iter().chain([&BEFORE]).any(|code| quoted.iter().any(|q| code.contains(q.as_str())))
    };
    let used = keys::all().filter(|k| matches!(k.treatment, keys::Treatment::Used | keys::Treatment::Event { .. }));
    let unread: Vec<&str> = used.filter(|k| !is_read(k)).map(|k| k.name).collect();
    assert_eq!(unread, Vec::<&str>::new());
    for list in ["column.include.list", "column.exclude.list"] {
        let message = refused(&format!("{MINIMAL}\"{list}\" = \"d.t.secret\"\n"), &[]);
        assert!(message.contains("not supported yet"), "{message}");
    }
}

#[test]
fn unquoted_keys_that_clash_are_explained() {
    let e = refused(&format!("{MINIMAL}[sink]\niceberg.catalog = \"x\"\niceberg.catalog.type = \"jdbc\"\n"), &[]);
    assert!(e.contains("write dotted keys in quotes"), "{e}");
}

#[test]
fn a_password_is_never_shown() {
    let text = format!(
        "{MINIMAL}\"database.password\" = \"hunter2\"\n[sink]\n\"iceberg.catalog.uri\" = \"jdbc:mysql://u:hunter3@db/lake\"\n"
    );
    let c = parse(&text, &["iceberg.catalog.jdbc.password=hunter4"]).unwrap();
    assert_eq!((c.source.password.expose(), c.sink.catalog_password.expose()), ("hunter2", "hunter4"));
    assert!(!format!("{c:?}").contains("hunter"), "{c:?}");
}

#[test]
fn a_trino_server_is_named_in_its_section_or_by_set() {
    assert_eq!(parse(MINIMAL, &[]).unwrap().trino, None);
    let text = format!(
        "{MINIMAL}[trino]\nurl = \"https://t:8443\"\nuser = \"me\"\npassword = \"s3cret\"\nssl.truststore = \"ca.pem\"\n"
    );
    let trino = parse(&text, &["iceberg.catalog=mine"]).unwrap().trino.unwrap();
    assert_eq!((trino.url.as_str(), trino.user.as_str(), trino.catalog.as_str()), ("https://t:8443", "me", "mine"));
    assert_eq!((trino.password.expose(), trino.root_certificates.as_deref()), ("s3cret", Some(Path::new("/base/ca.pem"))));
    assert!(!format!("{trino:?}").contains("s3cret"));
    let trino = parse(MINIMAL, &["trino.url=http://t:8080", "trino.catalog=other"]).unwrap().trino.unwrap();
    assert_eq!((trino.user.as_str(), trino.catalog.as_str(), trino.password.is_empty()), ("lakehouse", "other", true));
    for set in ["trino.user=me", "trino.password=s3cret"] {
        let said = refused(MINIMAL, &[set]);
        assert!(
            said.starts_with("[trino] has \"") && said.contains("\" and no \"url\"\n  → write ") && !said.contains("s3cret"),
            "{said}"
        );
    }
    // Alone they would be mistaken for the database's.
    for set in ["user=me", "password=s3cret", "url=http://t"] {
        let said = refused(MINIMAL, &[set]);
        assert!(said.starts_with("--set: unknown key \"") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn a_catalog_is_a_file_or_a_database_on_a_server() {
    for (uri, path) in [("jdbc:sqlite:c.db", "/base/c.db"), ("/x/c.db", "/x/c.db"), ("sqlite:///x/c.db", "/x/c.db")] {
        let c = parse(MINIMAL, &[&format!("iceberg.catalog.uri={uri}")]).unwrap();
        assert_eq!(c.sink.catalog_address.sqlite_path(), Some(Path::new(path)));
    }
    let sets = ["iceberg.catalog.uri=jdbc:postgresql://db/lake?loginTimeout=3", "iceberg.catalog.jdbc.user=me"];
    let c = parse(MINIMAL, &sets).unwrap();
    assert_eq!(c.sink.catalog_address.to_string(), "postgresql://db:5432/lake");
    assert_eq!(c.notes, ["\"loginTimeout\" of [sink] \"iceberg.catalog.uri\" is not needed and ignored"]);
    for (uri, said) in [
        (
            "jdbc:oracle:x/s3cret@db",
            "[sink] \"iceberg.catalog.uri\" cannot be used: a catalog \"jdbc:oracle:x...\" is not there yet",
        ),
        ("jdbc:mysql://db/lake", "[sink] needs \"iceberg.catalog.jdbc.user\" for the catalog mysql://db:3306/lake"),
        ("jdbc:mysql://u:s3cret@db/lake?odd=1", "the parameter odd of the address mysql://db:3306/lake is not known"),
    ] {
        let message = refused(MINIMAL, &[&format!("iceberg.catalog.uri={uri}")]);
        assert!(message.contains(said) && !message.contains("s3cret"), "{message}");
    }
}
