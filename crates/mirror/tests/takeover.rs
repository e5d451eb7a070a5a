//! Tables that an Iceberg sink of Kafka Connect has written: each goes on where that stopped, exactly, or is refused with the reason.

use crate::support::connect_sink::ConnectSink;
use crate::support::other_source::{Other, capturing};
use crate::support::other_writer::{INT, TEXT};
use crate::support::{Fixture, both_over_kafka, caught_up, headline, start, stop, stopped, within};
use cdc_core::LogicalType;
use iceberg_writer::TableName;
use mirror::{EventFormat, Halves, MirrorConfig};

const COLUMNS: [(&str, LogicalType); 2] = [("id", INT), ("v", INT)];

/// A sink alone, in the place of the connector's.
fn after(sink: &ConnectSink, f: &Fixture) -> MirrorConfig {
    sink.followed_by(MirrorConfig { halves: Halves::Sink, events: EventFormat::debezium(), ..f.config() })
}

/// The next offsets of the first snapshot of ours, and the properties of the one before it.
async fn seam(f: &Fixture, table: &str) -> (String, Vec<String>) {
    let table = f.catalog().await.load_table(&TableName::new(&f.database, table)).await.unwrap().unwrap();
    let all: Vec<_> = table.ancestry().map(|s| s.summary().additional_properties.clone()).collect();
    let first = all.iter().rposition(|p| p.contains_key("cdc.next-offsets")).unwrap();
    let mut before: Vec<String> = all[first + 1].keys().filter(|k| k.starts_with("kafka.connect.")).cloned().collect();
    before.sort();
    (all[first]["cdc.next-offsets"].clone(), before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_goes_on_at_the_offsets_that_the_connectors_group_has_committed() {
    both_over_kafka("takeover", async |mut f| {
        f.sql(&[
            "CREATE TABLE t (id INT PRIMARY KEY, v INT, price DECIMAL(10,2))",
            "INSERT INTO t VALUES (1, 1, 1.25), (2, 2, -99999999.99), (3, NULL, NULL)",
        ])
        .await;
        // Apache's sink makes all decimals that wide.
        let columns = [("id", INT), ("v", INT), ("price", LogicalType::Decimal { precision: 38, scale: 2 })];
        let source = capturing(&f).await;
        caught_up(&source).await;
        let mut other = Other::of(&f, "t", 2).await;
        let events = other.captured().await;
        // Each partition has rows of its own, and the marker of its transaction behind them.
        other.write(0, &events[..2]).await;
        other.write(1, &events[2..]).await;
        let sink = ConnectSink::of(&f).await;
        let offered = sink.offers(&f, "t").await;
        sink.append(&f, "t", &columns, &[&["1", "1", "1.25"], &["2", "2", "-99999999.99"]], offered + 2).await;
        let offered = sink.offers(&f, "t").await;
        // Of another table, whose files are nobody's business here.
        sink.append(&f, "t", &columns, &[&["3", "NULL", "NULL"]], offered + 2).await;
        sink.offers(&f, "other").await;
        sink.commits(&other.topic, 0, 2).await;
        sink.commits(&other.topic, 1, 1).await;

        f.sql(&[
            "UPDATE t SET v = 10 WHERE id = 1",
            "DELETE FROM t WHERE id = 3",
            "INSERT INTO t VALUES (4, 4, 4)",
            "UPDATE t SET id = 20 WHERE id = 2",
        ])
        .await;
        caught_up(&source).await;
        let more = other.captured().await.split_off(events.len());
        let keeps = |id: &str, e: &(Option<Vec<u8>>, Option<Vec<u8>>)| {
            String::from_utf8_lossy(e.0.as_ref().unwrap()).contains(&format!("\"payload\":{{\"id\":{id}}}"))
        };
        for event in more {
            other.write(i32::from(keeps("3", &event)), std::slice::from_ref(&event)).await;
        }
        let running = start(after(&sink, &f)).await;
        other.applied_by(&running, &f.name("t")).await;
        stop(running).await;
        f.assert_equal().await;
        let (offsets, before) = seam(&f, "t").await;
        assert_eq!(offsets, format!("{0}-0:2 {0}-1:1", other.topic));
        let named = format!("kafka.connect.offsets.{}.{}", sink.config.control_topic, sink.config.group);
        assert_eq!(before, ["kafka.connect.commit-id".to_owned(), named], "the table is the same, with its history");

        // And from there as any other table, with columns that come and a key that the table's first rows had.
        f.sql(&[
            "ALTER TABLE t ADD COLUMN w VARCHAR(9)",
            "INSERT INTO t VALUES (1000, 1, 0.01, 'x')",
            "UPDATE t SET w = 'y' WHERE id = 1",
        ])
        .await;
        caught_up(&source).await;
        stop(source).await;
        let running = start(after(&sink, &f)).await;
        let all = other.captured().await;
        other.write(0, &all[all.len() - 2..]).await;
        other.applied_by(&running, &f.name("t")).await;
        stop(running).await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_events_that_cdc_source_writes_goes_on_as_well() {
    both_over_kafka("takeoverown", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"]).await;
        let source = start(MirrorConfig { halves: Halves::Source, events: EventFormat::debezium(), ..f.config() }).await;
        caught_up(&source).await;
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        caught_up(&source).await;
        let topic = format!("{}.{}.t", f.config().source.topic_prefix, f.database);
        let sink = ConnectSink::of(&f).await;
        sink.append(&f, "t", &COLUMNS, &[&["1", "1"], &["2", "2"], &["3", "3"]], 0).await;
        // It has read them all, the marker behind the last one left out.
        let end = f.log().await.offsets(&topic, 0).await.unwrap().next;
        sink.commits(&topic, 0, end - 1).await;
        let running = start(after(&sink, &f)).await;
        f.sql(&["UPDATE t SET v = 30 WHERE id = 3", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (1, 100), (4, 4)"]).await;
        caught_up(&source).await;
        caught_up(&running).await;
        assert_eq!(stop(running).await.stopped().next(), None);
        stop(source).await;
        f.assert_equal().await;
        assert_eq!(seam(&f, "t").await.0, format!("{topic}-0:{}", end - 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_still_runs_is_to_be_stopped_first() {
    both_over_kafka("takeoverruns", async |mut f| {
        let (mut others, sink) = (written(&mut f, &["t"]).await, ConnectSink::of(&f).await);
        sink.append(&f, "t", &COLUMNS, &[&["1", "1"], &["2", "2"]], 0).await;
        let other = others.remove(0);
        sink.commits(&other.topic, 0, 2).await;
        let member = sink.runs(&other.topic).await;
        let running = start(after(&sink, &f)).await;
        let said = stopped(&running, &f.name("t")).await;
        let group = &sink.config.group;
        assert!(headline(&said).contains("the sink still runs"), "{said}");
        assert!(said.contains(&format!("the consumer group {group} has members (connector-consumer-0 on ")), "{said}");
        assert!(said.contains(&format!("PUT /connectors/{}/stop", group.strip_prefix("connect-").unwrap())), "{said}");
        drop(within("the end", running.stop()).await);
        sink.stops(member).await;
        let running = start(after(&sink, &f)).await;
        other.applied_by(&running, &f.name("t")).await;
        stop(running).await;
        f.assert_equal().await;
    })
    .await;
}

/// Tables of two rows, (1, 1) and (2, 2), and their events in the topics; what the second row becomes then differs by the table's name.
async fn written(f: &mut Fixture, tables: &[&str]) -> Vec<Other> {
    for table in tables {
        f.sql(&[
            &format!("CREATE TABLE {table} (id INT PRIMARY KEY, v INT)"),
            &format!("INSERT INTO {table} VALUES (1, 1), (2, 2)"),
        ])
        .await;
    }
    let source = capturing(f).await;
    caught_up(&source).await;
    for table in tables {
        match *table {
            "doubled" => f.sql(&["UPDATE doubled SET v = 20 WHERE id = 2"]).await,
            "surplus" => f.sql(&["DELETE FROM surplus WHERE id = 2"]).await,
            "widened" => f.sql(&["ALTER TABLE widened ADD COLUMN w INT", "INSERT INTO widened VALUES (3, 3, 3)"]).await,
            _ => {}
        }
    }
    caught_up(&source).await;
    stop(source).await;
    let mut others = Vec::new();
    for table in tables {
        let mut other = Other::of(f, table, 1).await;
        let events = other.captured().await;
        other.write(0, &events).await;
        others.push(other);
    }
    others
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_gone_on_with_exactly_is_refused_and_the_rows_are_as_they_were() {
    both_over_kafka("takeoverrefused", async |mut f| {
        let tables =
            ["good", "offered", "unknown", "nooffsets", "cdc", "narrow", "doubled", "surplus", "missing", "falsified", "widened"];
        let (others, sink) = (written(&mut f, &tables).await, ConnectSink::of(&f).await);
        // Behind what the others say that they have read.
        let committed = sink.offers(&f, "offered").await + 2;
        let offered = sink.offers(&f, "offered").await;
        let unread = sink.says(b"of a newer version").await;
        let read_to = unread + 2;
        for (table, other) in tables.iter().zip(&others) {
            let (one, two): (&[&str], &[&str]) = (&["1", "1"], &["2", "2"]);
            let with = |column| [&COLUMNS[..], &[column]].concat();
            match *table {
                "offered" => sink.append(&f, table, &COLUMNS, &[one, two], committed).await,
                "unknown" => sink.append(&f, table, &COLUMNS, &[one, two], unread).await,
                "cdc" => sink.append(&f, table, &with(("_cdc", TEXT)), &[&["1", "1", "c"], &["2", "2", "c"]], read_to).await,
                "narrow" => sink.append(&f, table, &[("id", INT), ("v", TEXT)], &[one, two], read_to).await,
                "doubled" => {
                    sink.append(&f, table, &COLUMNS, &[one, two], read_to).await;
                    sink.append(&f, table, &COLUMNS, &[&["2", "20"]], read_to).await;
                }
                "missing" => sink.append(&f, table, &COLUMNS, &[one], read_to).await,
                "falsified" => sink.append(&f, table, &COLUMNS, &[one, &["2", "NULL"]], read_to).await,
                "widened" => sink.append(&f, table, &COLUMNS, &[one, two, &["3", "3"]], read_to).await,
                _ => sink.append(&f, table, &COLUMNS, &[one, two], read_to).await,
            }
            if *table != "nooffsets" {
                let end = f.log().await.offsets(&other.topic, 0).await.unwrap().next;
                sink.commits(&other.topic, 0, end - 1).await;
            }
        }
        let mut before = Vec::new();
        for table in &tables[1..] {
            before.push(f.table(table).await.head().unwrap().snapshot_id());
        }
        let running = start(after(&sink, &f)).await;
        let group = &sink.config.group;
        for (table, reason) in [
            (
                "offered",
                format!(
                    "files are offered at offset {offered} of its control topic {}, partition 0 that are not in the table",
                    sink.config.control_topic
                ),
            ),
            (
                "unknown",
                format!(
                    "the event at offset {unread} of its control topic {}, partition 0 is of a form that is not known here",
                    sink.config.control_topic
                ),
            ),
            ("nooffsets", format!("partition 0: the consumer group {group} has none, or none any more")),
            ("cdc", "with the column _cdc it is a log of changes".to_owned()),
            ("narrow", "it has other columns than the events: v is string, not int".to_owned()),
            ("doubled", "1 have the key of another row, 1 have other values".to_owned()),
            ("surplus", "1 are left by no event; a sink that appends each change leaves old rows behind".to_owned()),
            ("missing", "1 are missing".to_owned()),
            ("falsified", "1 have other values".to_owned()),
            ("widened", "partition 0, has other columns than the first one".to_owned()),
        ] {
            let said = stopped(&running, &f.name(table)).await;
            assert!(said.contains(&reason), "{table}: {said}");
            assert!(
                said.contains(" has been written by a Kafka Connect sink and cannot be gone on with: ")
                    && said.contains("\n  → "),
                "{said}"
            );
        }
        others[0].applied_by_alone(&running, &f.name("good")).await;
        drop(within("the end", running.stop()).await);
        for (table, before) in tables[1..].iter().zip(before) {
            assert_eq!(f.table(table).await.head().unwrap().snapshot_id(), before, "{table} was changed");
        }
        f.assert_equal_except(&tables[1..]).await;

        // The way on that each of these has.
        let name = TableName::new(&f.database, "doubled");
        assert!(f.catalog().await.drop_table(&name).await.unwrap());
        let running = start(after(&sink, &f)).await;
        let at = tables.iter().position(|t| *t == "doubled").unwrap();
        others[at].applied_by_alone(&running, &f.name("doubled")).await;
        drop(within("the end", running.stop()).await);
        let rest: Vec<&str> = tables[1..].iter().filter(|t| **t != "doubled").copied().collect();
        f.assert_equal_except(&rest).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_not_configured_and_one_that_comes_back_are_refused() {
    both_over_kafka("takeoverback", async |mut f| {
        let (mut others, sink) = (written(&mut f, &["t"]).await, ConnectSink::of(&f).await);
        let mut other = others.remove(0);
        sink.append(&f, "t", &COLUMNS, &[&["1", "1"], &["2", "2"]], 0).await;
        sink.commits(&other.topic, 0, 2).await;
        let running = start(MirrorConfig { halves: Halves::Sink, events: EventFormat::debezium(), ..f.config() }).await;
        let said = stopped(&running, &f.name("t")).await;
        let named = format!("{}.{}", sink.config.control_topic, sink.config.group);
        assert!(
            said.contains(&format!(
                "its control topic and group are \"{named}\", and \"control-iceberg.connect-mirror\" is configured"
            )),
            "{said}"
        );
        assert!(said.contains("\"iceberg.control.topic\""), "{said}");
        drop(within("the end", running.stop()).await);

        let running = start(after(&sink, &f)).await;
        other.applied_by(&running, &f.name("t")).await;
        sink.append(&f, "t", &COLUMNS, &[&["3", "3"]], 0).await;
        let again = other.captured().await;
        other.write(0, &again).await;
        let said = stopped(&running, &f.name("t")).await;
        assert!(said.contains("changed its rows, and is not from this sink"), "{said}");
        drop(within("the end", running.stop()).await);
    })
    .await;
}
