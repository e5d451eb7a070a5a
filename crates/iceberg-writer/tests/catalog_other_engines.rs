//! The catalog shared with PyIceberg and with Iceberg's Java library (in Spark), in both directions.

use crate::servers::*;
use crate::support::*;
use iceberg_writer::{Catalog, CatalogConfig, Commit, CommitError, NewRows, Table, TableName};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Another engine, which takes a line and answers with one.
struct Engine {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Engine {
    fn start(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(dev(script));
        let mut process = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, input, output }
    }

    /// Asks; rows as text, `1|a`.
    fn ask(&mut self, line: &str) -> Result<Vec<String>, String> {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{line}: {e}: {answer:?}"));
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let row = |row: &Value| row.as_array().unwrap().iter().map(text).collect::<Vec<_>>().join("|");
        Ok(answer["rows"].as_array().unwrap().iter().map(row).collect())
    }

    fn tell(&mut self, line: &str) -> Vec<String> {
        self.ask(line).unwrap_or_else(|e| panic!("{line}: {e}"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Appends, as everybody can read it: new rows with no deletes.
async fn append(t: &Table, rows: &[Event<'_>]) -> Table {
    let s = id_data(&[0]);
    let f = files(t, &s, &[batch(&s, rows)], NewRows::All).await;
    t.commit(&Commit::new().with_delta(f).with_schema(s)).await.unwrap()
}

async fn load(catalog: &Catalog, name: &TableName) -> Table {
    catalog.load_table(name).await.unwrap().unwrap_or_else(|| panic!("no {name}"))
}

fn pyiceberg(database: &Database, catalog: &str, warehouse: &str) -> Engine {
    let uri = match database.kind {
        Kind::Sqlite => format!("sqlite:///{}", database.name),
        Kind::Postgres => format!("postgresql+psycopg2://admin:admin@127.0.0.1:{}/{}", database.port, database.name),
        Kind::Mysql | Kind::Mariadb => format!("mysql+pymysql://admin:admin@127.0.0.1:{}/{}", database.port, database.name),
    };
    Engine::start("pyiceberg-tables", &[&uri, catalog, warehouse])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pyiceberg_reads_and_appends_to_our_tables_and_we_to_its() {
    on_each_empty("pyiceberg", async |folder, database| {
        let warehouse = format!("file://{}", folder.path().join("warehouse").display());
        // PyIceberg comes first: its tables have no column that tells tables from views.
        let mut py = pyiceberg(&database, "lake", &warehouse);
        py.tell(&json!({"do": "create", "table": ["theirs", "t"]}).to_string());
        py.tell(&json!({"do": "append", "table": ["theirs", "t"], "rows": [[1, "a"], [2, null]]}).to_string());

        let catalog = Catalog::open(&database.address(), &warehouse, CatalogConfig::default()).await.unwrap();
        let theirs = TableName::new("theirs", "t");
        assert_eq!(catalog.tables().await.unwrap(), std::slice::from_ref(&theirs));
        let t = load(&catalog, &theirs).await;
        assert_eq!(all(&t).await, ["1|a", "2|∅"]);
        let t = append(&t, &[plus(3, "ours")]).await;
        assert_eq!(py.tell(&json!({"do": "read", "table": ["theirs", "t"]}).to_string()), ["1|a", "2|null", "3|ours"]);

        let s = id_data(&[0]);
        let ours = name(&s);
        let mine = catalog.create_table(&ours, &s, Default::default()).await.unwrap();
        append(&mine, &[plus(1, "größe 🦆")]).await;
        let there = py.tell(&json!({"do": "list"}).to_string());
        assert_eq!(there, ["shop.orders", "theirs.t"]);
        let ours_in_python = json!(["shop", "orders"]);
        py.tell(&json!({"do": "append", "table": ours_in_python, "rows": [[2, "py"]]}).to_string());
        assert_eq!(py.tell(&json!({"do": "read", "table": ours_in_python}).to_string()), ["1|größe 🦆", "2|py"]);
        assert_eq!(all(&load(&catalog, &ours).await).await, ["1|größe 🦆", "2|py"]);

        // Whoever comes second conflicts, on either side.
        let f = files(&t, &s, &[batch(&s, &[plus(4, "late")])], NewRows::All).await;
        py.tell(&json!({"do": "append", "table": ["theirs", "t"], "rows": [[5, "first"]]}).to_string());
        assert!(matches!(t.commit_delta(f, [], None).await, Err(CommitError::Conflict)));
        assert_eq!(all(&load(&catalog, &theirs).await).await, ["1|a", "2|∅", "3|ours", "5|first"]);
        py.tell(&json!({"do": "drop", "table": ours_in_python}).to_string());
        assert!(catalog.load_table(&ours).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java_reads_and_changes_our_tables_and_we_its() {
    let folder = folder();
    let mut databases = Vec::new();
    for kind in [Kind::Postgres, Kind::Mysql, Kind::Mariadb] {
        if kind.is_wanted() {
            let first = Database::new(kind, "java_first", folder.path()).await;
            databases.push((first, true));
            databases.push((Database::new(kind, "java_second", folder.path()).await, false));
        }
    }
    let name_of = |database: &Database, first: bool| format!("{}_{first}", database.kind.script());
    let warehouse = |database: &Database, first: bool| format!("file://{}/{}", folder.path().display(), name_of(database, first));
    let uri = |database: &Database| match database.kind {
        // Java would take the tables of another database of the server for those of this one.
        Kind::Mysql | Kind::Mariadb => {
            format!("jdbc:mysql://127.0.0.1:{}/{}?nullDatabaseMeansCurrent=true", database.port, database.name)
        }
        _ => database.uri(),
    };
    let settings = databases.iter().map(|(d, first)| {
        let catalog = json!({"uri": uri(d), "user": "admin", "password": "admin", "warehouse": warehouse(d, *first)});
        (name_of(d, *first), catalog)
    });
    let mut java = Engine::start("spark-sql", &[&Value::Object(settings.collect()).to_string()]);
    for (database, java_first) in &databases {
        let catalog_name = name_of(database, *java_first);
        let address = iceberg_writer::CatalogAddress::parse(&uri(database)).unwrap().with_user("admin").with_password("admin");
        let config = CatalogConfig { name: catalog_name.clone(), ..CatalogConfig::default() };
        let open = async || Catalog::open(&address, warehouse(database, *java_first), config.clone()).await.unwrap();
        let theirs = TableName::new("theirs", "t");
        // Whoever comes first makes the catalog's tables; in each there is a table of Java's.
        let ours_first = if *java_first { None } else { Some(open().await) };
        java.tell(&format!("CREATE NAMESPACE {catalog_name}.theirs"));
        java.tell(&format!("CREATE TABLE {catalog_name}.theirs.t (id INT NOT NULL, data STRING) USING iceberg"));
        let catalog = match ours_first {
            Some(catalog) => catalog,
            None => open().await,
        };
        let s = id_data(&[0]);
        java.tell(&format!("INSERT INTO {catalog_name}.theirs.t VALUES (1, 'a'), (2, NULL)"));
        let t = load(&catalog, &theirs).await;
        assert_eq!(all(&t).await, ["1|a", "2|∅"]);
        // An update and a delete of ours in a table of Java's, read by Java.
        let t = span(&t, &s, &[update(1, "ours"), minus(2, ""), plus(3, "new")]).await;
        let read = |table: &str| format!("SELECT * FROM {catalog_name}.{table} ORDER BY id");
        assert_eq!(java.tell(&read("theirs.t")), ["1|ours", "3|new"]);

        let mine = catalog.create_table(&name(&s), &s, Default::default()).await.unwrap();
        let mine = span(&mine, &s, &[plus(1, "größe 🦆"), plus(2, "b")]).await;
        let mine = span(&mine, &s, &[minus(2, "b")]).await;
        assert_eq!(java.tell(&read("shop.orders")), ["1|größe 🦆"]);
        java.tell(&format!("INSERT INTO {catalog_name}.shop.orders VALUES (3, 'java')"));
        assert!(matches!(mine.truncate([], None).await, Err(CommitError::Conflict)));
        assert_eq!(all(&load(&catalog, &name(&s)).await).await, ["1|größe 🦆", "3|java"]);

        let mut tables = java.tell(&format!("SHOW TABLES IN {catalog_name}.shop"));
        tables.extend(java.tell(&format!("SHOW TABLES IN {catalog_name}.theirs")));
        assert_eq!(tables, ["shop|orders|False", "theirs|t|False"]);
        java.tell(&format!("ALTER TABLE {catalog_name}.theirs.t RENAME TO theirs.renamed"));
        assert!(catalog.load_table(&theirs).await.unwrap().is_none());
        assert_eq!(all(&load(&catalog, &TableName::new("theirs", "renamed")).await).await, ["1|ours", "3|new"]);
        let e = t.refresh().await.unwrap_err();
        assert_eq!(e.kind(), iceberg_writer::ErrorKind::NotFound);
        eprintln!("{catalog_name}: done");
    }
}
