//! Connections that break: between the program and a real server stands a relay that breaks them at the worst moment.

use crate::servers::*;
use crate::support::*;
use iceberg_writer::{Catalog, CatalogAddress, CatalogConfig, Commit, CommitError, ErrorKind, NewRows, Table, TableOptions};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a relay does with the next thing that it is told to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    No,
    /// Breaks the connection instead of passing a COMMIT on.
    LoseCommit,
    /// Passes a COMMIT on and breaks the connection instead of passing the answer back.
    LoseAnswer,
    /// Passes a COMMIT on and nothing from then on, without breaking the connection.
    Silence,
    /// Breaks the connection instead of passing anything on, once.
    LoseNext,
}

const ALL: [Break; 5] = [Break::No, Break::LoseCommit, Break::LoseAnswer, Break::Silence, Break::LoseNext];

#[derive(Clone)]
struct Relay {
    port: u16,
    next: Arc<AtomicU8>,
}

impl Relay {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self { port: listener.local_addr().unwrap().port(), next: Arc::new(AtomicU8::new(0)) };
        let accepting = relay.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().pass(client, server));
            }
        });
        relay
    }

    fn break_next(&self, how: Break) {
        self.next.store(how as u8, Ordering::SeqCst);
    }

    /// True once what was asked for has happened.
    fn is_done(&self) -> bool {
        self.next.load(Ordering::SeqCst) == Break::No as u8
    }

    async fn pass(self, mut client: TcpStream, server: u16) {
        let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        let mut silent = false;
        loop {
            tokio::select! {
                n = client.read(&mut asked) => {
                    let Ok(n @ 1..) = n else { return };
                    let is_commit = asked[..n].ends_with(b"COMMIT") || asked[..n].ends_with(b"COMMIT\0");
                    let how = ALL[usize::from(self.next.load(Ordering::SeqCst))];
                    match how {
                        Break::LoseNext => {
                            self.break_next(Break::No);
                            return;
                        }
                        Break::LoseCommit if is_commit => {
                            self.break_next(Break::No);
                            return;
                        }
                        Break::LoseAnswer if is_commit => {
                            server.write_all(&asked[..n]).await.unwrap();
                            // The answer is there: the server has done it.
                            drop(server.read(&mut answered).await);
                            self.break_next(Break::No);
                            return;
                        }
                        Break::Silence if is_commit => {
                            silent = true;
                            self.break_next(Break::No);
                        }
                        _ => {}
                    }
                    if server.write_all(&asked[..n]).await.is_err() {
                        return;
                    }
                }
                n = server.read(&mut answered) => {
                    let Ok(n @ 1..) = n else { return };
                    if !silent && client.write_all(&answered[..n]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// A catalog whose connections go through a relay, on each kind of server.
async fn on_each_relayed<F: AsyncFn(Lake, Relay, Database)>(test: &str, patience: Duration, run: F) {
    on_each_empty(test, async |dir, database| {
        if database.kind == Kind::Sqlite {
            return;
        }
        let relay = Relay::before(database.port).await;
        let uri = database.uri().replace(&database.port.to_string(), &relay.port.to_string());
        let address = CatalogAddress::parse(&format!("{uri}?sslmode=disable")).unwrap().with_user("admin").with_password("admin");
        let mut lake = Lake::at(dir, address, Default::default()).await;
        let config = CatalogConfig { busy_timeout: patience, ..config(&lake.clock, Default::default()) };
        lake.catalog = open(lake.dir.path(), &lake.address, config).await;
        run(lake, relay, database).await;
    })
    .await;
}

const PATIENCE: Duration = Duration::from_secs(10);

fn marked(id: &str) -> Commit {
    Commit::new().with_property("commit", id)
}

fn found(t: &Table, id: &str) -> bool {
    t.find_commit("commit", id).found.is_some()
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_unknown_and_found_in_the_lineage() {
    on_each_relayed("lost_answer", PATIENCE, async |lake, relay, _| {
        let s = id_data(&[0]);
        let t = lake.table(&s).await.commit(&marked("one")).await.unwrap();
        relay.break_next(Break::LoseAnswer);
        let Err(CommitError::Unknown(e)) = t.commit(&marked("two")).await else { panic!() };
        assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
        assert!(relay.is_done());
        let now = t.refresh().await.unwrap();
        assert!(found(&now, "two"));
        assert!(matches!(t.commit(&marked("two")).await, Err(CommitError::Conflict)), "it cannot happen twice");
        assert_eq!(now.commit(&marked("three")).await.unwrap().ancestry().count(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_was_lost_on_its_way_is_unknown_and_can_be_made_again() {
    on_each_relayed("lost_commit", PATIENCE, async |lake, relay, _| {
        let s = id_data(&[0]);
        let t = lake.table(&s).await.commit(&marked("one")).await.unwrap();
        relay.break_next(Break::LoseCommit);
        assert!(matches!(t.commit(&marked("two")).await, Err(CommitError::Unknown(_))));
        assert!(relay.is_done());
        let now = t.refresh().await.unwrap();
        assert!(!found(&now, "two"));
        assert_eq!(now.commit(&marked("two")).await.unwrap().ancestry().count(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_goes_silent_is_given_up() {
    on_each_relayed("silence", Duration::from_millis(200), async |lake, relay, _| {
        let s = id_data(&[0]);
        let t = lake.table(&s).await;
        relay.break_next(Break::Silence);
        let Err(CommitError::Unknown(e)) = t.commit(&marked("one")).await else { panic!() };
        assert!(e.to_string().contains("has not answered in"), "{e}");
        assert!(found(&t.refresh().await.unwrap(), "one"));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_lost_before_the_commit_is_replaced_without_anyone_knowing() {
    on_each_relayed("lost_before", PATIENCE, async |lake, relay, database| {
        let s = id_data(&[0]);
        let mut t = lake.table(&s).await;
        for i in 0..3 {
            relay.break_next(Break::LoseNext);
            t = t.commit(&marked(&i.to_string())).await.unwrap();
            assert!(relay.is_done());
            relay.break_next(Break::LoseNext);
            assert_eq!(lake.catalog.tables().await.unwrap(), [name(&s)]);
            // Idle ones that the server has closed: `wait_timeout`, a restart.
            database.cut_connections().await;
            assert_eq!(lake.catalog.tables().await.unwrap(), [name(&s)]);
        }
        assert_eq!(t.ancestry().count(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_table_is_made_once_also_if_the_answer_is_lost() {
    on_each_relayed("lost_create", PATIENCE, async |lake, relay, _| {
        let s = id_data(&[0]);
        lake.catalog.create_namespace("shop").await.unwrap();
        for (i, how) in [Break::LoseAnswer, Break::LoseCommit].into_iter().enumerate() {
            let name = iceberg_writer::TableName::new("shop", i.to_string());
            relay.break_next(how);
            let t = lake.catalog.create_table(&name, &s, TableOptions::default()).await.unwrap();
            assert!(relay.is_done());
            let there = lake.catalog.load_table(&name).await.unwrap().unwrap();
            assert_eq!(there.metadata_location(), t.metadata_location());
        }
        assert_eq!(lake.files("metadata.json").len(), 2);
        relay.break_next(Break::LoseAnswer);
        lake.catalog.create_namespace("other").await.unwrap();
        assert_eq!(lake.catalog.namespaces().await.unwrap(), ["other", "shop"]);
    })
    .await;
}

/// Commits by the rule of the crate: what is unknown is looked for.
async fn persistent(catalog: Catalog, s: Arc<cdc_core::TableSchema>, who: i32, commits: i32) -> u32 {
    let load = async || match catalog.load_table(&name(&s)).await {
        Ok(t) => t.unwrap(),
        Err(e) => panic!("{e}"),
    };
    let (mut t, mut unknown) = (load().await, 0);
    for i in 0..commits {
        let id = format!("{who}-{i}");
        let mut f = files(&t, &s, &[batch(&s, &[plus(who * 1_000 + i, "x")])], NewRows::All).await;
        loop {
            match t.commit(&marked(&id).with_delta(f.clone())).await {
                Ok(next) => {
                    t = next;
                    break;
                }
                Err(CommitError::Conflict) => t = load().await,
                Err(CommitError::Unknown(_)) => {
                    unknown += 1;
                    t = load().await;
                    if found(&t, &id) {
                        break;
                    }
                    // Its late COMMIT could still come, and conflicts with this one then: files of its own.
                    f = files(&t, &s, &[batch(&s, &[plus(who * 1_000 + i, "x")])], NewRows::All).await;
                }
                Err(e) => panic!("{e}"),
            }
        }
    }
    unknown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_connections_are_killed_no_commit_is_lost_and_none_doubled() {
    on_each("killed", async |lake, database| {
        let s = id_data(&[0]);
        lake.table(&s).await;
        let other = lake.reopened().await;
        let a = tokio::spawn(persistent(lake.catalog.clone(), Arc::clone(&s), 1, 20));
        let b = tokio::spawn(persistent(other, Arc::clone(&s), 2, 20));
        let over = Arc::new(AtomicBool::new(false));
        let killer = {
            let (database, over) = (database.clone(), Arc::clone(&over));
            async move {
                let mut kills = 0;
                while !over.load(Ordering::SeqCst) {
                    database.cut_connections().await;
                    kills += 1;
                    tokio::time::sleep(Duration::from_millis(if database.kind == Kind::Sqlite { 5 } else { 25 })).await;
                }
                kills
            }
        };
        let committers = async {
            let unknown = a.await.unwrap() + b.await.unwrap();
            over.store(true, Ordering::SeqCst);
            unknown
        };
        let (kills, unknown) = tokio::join!(killer, committers);
        eprintln!("{:?}: {kills} kills, {unknown} unknown outcomes", database.kind);
        let t = lake.reopened().await.load_table(&name(&s)).await.unwrap().unwrap();
        let rows = all(&t).await;
        assert_eq!((rows.len(), rows.iter().collect::<BTreeSet<_>>().len()), (40, 40));
        let ids: BTreeSet<_> = t.ancestry().map(|s| s.summary().additional_properties["commit"].clone()).collect();
        assert_eq!((t.ancestry().count(), ids.len()), (40, 40));
    })
    .await;
}
