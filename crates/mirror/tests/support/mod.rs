//! A database on a real server, and a mirror of it in a folder of its own.

mod cluster;
pub mod connect_sink;
mod log_records;
mod mirror_rows;
pub mod other_source;
pub mod other_writer;
mod server;
mod source_rows;
pub mod trino;

pub use cluster::Cluster;
pub use log_records::{Events, events};
pub use server::{Server, dev, run};

use mirror::{ErrorKind, LogKind, Mirror, MirrorConfig, MirrorStatus, Secret};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// A row as text, a column after the other; `None` is NULL.
pub type Row = Vec<Option<String>>;

/// A database and the folder of its mirror.
pub struct Fixture {
    pub server: Server,
    pub database: String,
    pub admin: mysql_async::Conn,
    pub folder: tempfile::TempDir,
    /// The Kafka cluster that the log is on, if it is.
    pub cluster: Option<Cluster>,
    /// Where the catalog is, if it is not in its own file in the warehouse.
    pub catalog_address: Option<mirror::CatalogAddress>,
}

/// Runs a test on both servers, the log on Kafka, under a topic prefix of its own.
pub async fn both_over_kafka<F: AsyncFn(Fixture)>(name: &str, test: F) {
    let cluster = Cluster::start("shared", &[]);
    both(name, async |mut f| {
        f.cluster = Some(cluster.with_prefix(&format!("{}-{}", f.database, f.server.kind)));
        test(f).await;
    })
    .await;
}

/// Runs a test on both servers at once, in a database of its own on each.
pub async fn both<F: AsyncFn(Fixture)>(name: &str, test: F) {
    let on = async |kind: &'static str| {
        if std::env::var("ONLY").is_ok_and(|only| only != kind) {
            return;
        }
        test(Fixture::new(kind, name).await).await;
        eprintln!("{name} on {kind}: done");
    };
    tokio::join!(on("mysql"), on("mariadb"));
}

impl Fixture {
    /// An empty database on the server that all tests share.
    pub async fn new(kind: &'static str, name: &str) -> Self {
        Self::on(Server::start(kind, "shared", &[]), name).await
    }

    /// An empty database on this server.
    pub async fn on(server: Server, name: &str) -> Self {
        // A test that fails shows what its mirrors said.
        let warnings = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false).with_test_writer();
        warnings.try_init().ok();
        let database = format!("mt_{name}");
        let mut admin = server.admin("").await;
        let quoted = quote(&database);
        run(
            &mut admin,
            &[
                &format!("DROP DATABASE IF EXISTS {quoted}"),
                &format!("CREATE DATABASE {quoted} CHARACTER SET utf8mb4"),
                &format!("USE {quoted}"),
            ],
        )
        .await;
        let mut folder = tempfile::tempdir().unwrap();
        if std::env::var_os("KEEP").is_some() {
            folder.disable_cleanup(true);
            eprintln!("{database} on {}: {}", server.kind, folder.path().display());
        }
        Self { server, database, admin, folder, cluster: None, catalog_address: None }
    }

    /// A mirror of the database, by the user that has the three grants alone, with a commit every 50 ms.
    pub fn config(&self) -> MirrorConfig {
        let mut config = MirrorConfig::new("127.0.0.1", self.server.port, "mirror", Secret::new("mirror"), self.folder.path());
        config.source.database_include = Some(regex::escape(&self.database));
        config.source.topic_prefix = "shop".to_owned();
        config.sink.commit_interval = Duration::from_millis(50);
        if let Some(cluster) = &self.cluster {
            config.source.topic_prefix.clone_from(&cluster.prefix);
            config.sink.id.clone_from(&cluster.prefix);
            config.log.kind = LogKind::Kafka { cluster: cluster.config(), status_dir: self.log_folder() };
        }
        if let Some(address) = &self.catalog_address {
            config.sink.catalog_address = address.clone();
        }
        config
    }

    /// The log itself, as another program would open it. One on disk must have been let go of.
    pub async fn log(&self) -> Arc<dyn change_log::ChangeLog> {
        match &self.cluster {
            Some(cluster) => Arc::new(change_log::KafkaLog::open(cluster.config()).await.unwrap()),
            None => Arc::new(change_log::LocalLog::open(self.log_folder(), Default::default()).await.unwrap()),
        }
    }

    /// Runs statements in one session.
    pub async fn sql(&mut self, statements: &[&str]) {
        run(&mut self.admin, statements).await;
    }

    /// Starts the mirror and waits until it has caught up.
    pub async fn caught_up_mirror(&self) -> Mirror {
        let mirror = start(self.config()).await;
        caught_up(&mirror).await;
        mirror
    }

    /// Starts the mirror, lets it catch up, and stops it.
    pub async fn once(&self) -> MirrorStatus {
        stop(self.caught_up_mirror().await).await
    }

    /// Every table of the database that is not named equals its mirror.
    pub async fn assert_equal_except(&mut self, left_out: &[&str]) {
        let catalog = self.catalog().await;
        for table in source_rows::tables(&mut self.admin, &self.database).await {
            if !left_out.contains(&table.as_str()) {
                self.assert_table_equal(&catalog, &table).await;
            }
        }
    }

    /// Every table of the database equals its mirror.
    pub async fn assert_equal(&mut self) {
        self.assert_equal_except(&[]).await;
    }

    async fn assert_table_equal(&mut self, catalog: &iceberg_writer::Catalog, table: &str) {
        let columns = source_rows::columns(&mut self.admin, &self.database, table).await;
        let mut source = source_rows::rows(&mut self.admin, &self.database, table, &columns).await;
        let mut mirrored = mirror_rows::rows(catalog, &self.database, table, &columns).await;
        source.sort();
        mirrored.sort();
        if source != mirrored {
            let only = |a: &[Row], b: &[Row]| {
                a.iter().filter(|r| !b.contains(r)).take(3).map(|r| format!("{r:?}")).collect::<Vec<_>>().join(", ")
            };
            let (there, here) = (only(&source, &mirrored), only(&mirrored, &source));
            panic!(
                "{}.{table} on {}: the source has {} rows, the mirror {}; only in the source: {there:.1500}; only in the mirror: {here:.1500}",
                self.database,
                self.server.kind,
                source.len(),
                mirrored.len(),
            );
        }
    }

    /// The rows that the mirror has of a table, in the order of its columns on the source, sorted.
    pub async fn mirrored(&mut self, table: &str) -> Vec<Row> {
        let columns = source_rows::columns(&mut self.admin, &self.database, table).await;
        let mut rows = mirror_rows::rows(&self.catalog().await, &self.database, table, &columns).await;
        rows.sort();
        rows
    }

    /// The mirror's catalog, opened as another program would.
    pub async fn catalog(&self) -> iceberg_writer::Catalog {
        let sink = self.config().sink;
        let config = iceberg_writer::CatalogConfig { name: sink.catalog, ..Default::default() };
        iceberg_writer::Catalog::open(&sink.catalog_address, sink.warehouse.to_string_lossy(), config).await.unwrap()
    }

    /// A table in the catalog.
    pub async fn table(&self, table: &str) -> iceberg_writer::Table {
        let name = iceberg_writer::TableName::new(self.database.to_lowercase(), table.to_lowercase());
        self.catalog().await.load_table(&name).await.unwrap().unwrap_or_else(|| panic!("no table {name} in the catalog"))
    }

    /// The name under which the status has a table.
    pub fn name(&self, table: &str) -> String {
        format!("{}.{table}", self.database)
    }

    /// What the log holds of a table. The mirror must have stopped.
    pub async fn events(&self, table: &str) -> Events {
        let prefix = self.config().source.topic_prefix;
        events(self.log().await.as_ref(), &format!("{prefix}.{}.{table}", self.database)).await
    }

    pub fn log_folder(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn warehouse(&self) -> PathBuf {
        self.folder.path().join("warehouse")
    }

    /// The newest segment file of the log.
    pub fn last_segment(&self) -> PathBuf {
        let files = std::fs::read_dir(self.log_folder()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|p| p.extension().is_some_and(|e| e == "log")).max().expect("the log has no segment")
    }

    /// An independent program's word: DuckDB reads the tables, the server's client the source, Python compares.
    pub async fn assert_equal_by_oracle(&self, left_out: &[&str]) {
        if let Err(different) = self.oracle("duckdb", left_out).await {
            panic!("{}: {different}", self.database);
        }
    }

    /// What `dev/compare` says if it does not find the tables equal: `engine` reads them, `duckdb` or `spark`.
    pub async fn oracle(&self, engine: &str, left_out: &[&str]) -> Result<(), String> {
        let mut command = tokio::process::Command::new(server::dev("compare"));
        command.args(["--engine", engine, "--server", &format!("{}:{}", self.server.kind, self.server.name)]);
        command.args(["--database", &self.database]);
        for table in left_out {
            command.args(["--except", table]);
        }
        command.arg(self.warehouse()).arg(self.config().sink.catalog_address.sqlite_path().unwrap());
        let output = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        if output.status.success() && out.starts_with("equal: ") { Ok(()) } else { Err(format!("{out}{err}")) }
    }
}

/// `` `name` ``, whatever is in it.
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Starts a mirror that must start.
pub async fn start(config: MirrorConfig) -> Mirror {
    within("starting", Mirror::start(config)).await.unwrap_or_else(|e| panic!("the mirror does not start: {e}"))
}

/// Waits until the mirror has all that is committed now.
pub async fn caught_up(mirror: &Mirror) {
    if let Err(e) = tokio::time::timeout(DEADLINE, mirror.caught_up()).await.unwrap_or_else(|_| {
        panic!("not caught up within {DEADLINE:?}: {:#?}", mirror.status());
    }) {
        panic!("the mirror has ended: {e}");
    }
}

/// Stops a mirror that must have nothing to complain about.
pub async fn stop(mirror: Mirror) -> MirrorStatus {
    within("stopping", mirror.stop()).await.unwrap_or_else(|e| panic!("the mirror has ended with an error: {e}"))
}

/// The kind and the message with which a mirror does not start, or ends.
pub async fn failure(config: MirrorConfig) -> (ErrorKind, String) {
    let ended = async {
        let mirror = match Mirror::start(config).await {
            Ok(mirror) => mirror,
            Err(e) => return e,
        };
        match mirror.ended().await {
            Ok(()) => panic!("the mirror has ended without an error: {:#?}", mirror.status()),
            Err(e) => {
                drop(mirror.stop().await);
                e
            }
        }
    };
    let e = within("a failure", ended).await;
    (e.kind(), e.to_string())
}

/// Waits until a table has stopped; returns the message.
pub async fn stopped(mirror: &Mirror, table: &str) -> String {
    let mut status = mirror.watch();
    let seen = status.wait_for(|s| s.tables.get(table).is_some_and(|t| t.stopped.is_some()));
    match tokio::time::timeout(DEADLINE, seen).await {
        Ok(Ok(status)) => status.tables[table].stopped.clone().unwrap(),
        Ok(Err(_)) => panic!("the mirror has ended"),
        Err(_) => panic!("waited {DEADLINE:?} for {table} to stop: {:#?}", mirror.status()),
    }
}

/// The first line of a message.
pub fn headline(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

/// Waits for something, but not for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for {what}"))
}

/// Waits until `done` gives something.
pub async fn poll<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = done().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A number that is new in each run, printed, or the one of `SEED`.
pub fn seed() -> u64 {
    let seed = match std::env::var("SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    };
    eprintln!("SEED={seed}");
    seed
}
