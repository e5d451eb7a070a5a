//! Topics that another than cdc-source has written: each event is there at least once, and nothing else tells of the tables.

use crate::support::other_source::{Other, capturing};
use crate::support::{Fixture, both_over_kafka, caught_up, headline, start, stop, stopped, within};
use mirror::{EventFormat, Halves, MirrorConfig};

fn sink(f: &Fixture) -> MirrorConfig {
    MirrorConfig { halves: Halves::Sink, events: EventFormat::debezium(), ..f.config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_again_and_again_leave_the_rows_as_they_are_at_the_source() {
    both_over_kafka("foreign", async |mut f| {
        f.sql(&[
            "CREATE TABLE t (id INT PRIMARY KEY, price DECIMAL(10,2), at DATETIME(6), note VARCHAR(50))",
            "INSERT INTO t VALUES (1, 1.25, '2024-02-29 23:59:59.999999', 'a'), (2, -3, NULL, NULL), (3, 0, '1999-12-31', '')",
        ])
        .await;
        let source = capturing(&f).await;
        caught_up(&source).await;
        f.sql(&[
            "UPDATE t SET price = 7.77 WHERE id = 1",
            "UPDATE t SET id = 20 WHERE id = 2",
            "DELETE FROM t WHERE id = 3",
            "INSERT INTO t VALUES (4, 4.40, NULL, 'new')",
        ])
        .await;
        caught_up(&source).await;
        let mut other = Other::of(&f, "t", 1).await;
        let events = other.captured().await;
        other.write(0, &events[..5]).await;
        let running = start(sink(&f)).await;
        let name = f.name("t");
        other.applied_by(&running, &name).await;
        // Its writer was killed, and goes on from where it last said that it was.
        other.write(0, &events[3..]).await;
        other.applied_by(&running, &name).await;
        f.assert_equal().await;
        // The sink as well, in the middle of a change of columns.
        drop(running);
        f.sql(&[
            "ALTER TABLE t ADD COLUMN more BIGINT, DROP COLUMN at",
            "INSERT INTO t VALUES (5, 5, 'x', 9223372036854775807)",
            "UPDATE t SET more = 1 WHERE id = 1",
        ])
        .await;
        caught_up(&source).await;
        let all = other.captured().await;
        other.write(0, &all[events.len()..events.len() + 1]).await;
        let running = start(sink(&f)).await;
        other.applied_by(&running, &name).await;
        other.write(0, &all[2..]).await;
        other.applied_by(&running, &name).await;
        stop(running).await;
        stop(source).await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_several_partitions_is_mirrored_and_each_has_its_own_change_of_columns() {
    both_over_kafka("foreignparts", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
        let source = capturing(&f).await;
        for id in 0..20 {
            f.sql(&[&format!("INSERT INTO t VALUES ({id}, {id})")]).await;
        }
        f.sql(&["ALTER TABLE t ADD COLUMN w INT"]).await;
        for id in 0..20 {
            f.sql(&[&format!("UPDATE t SET w = v * 10 WHERE id = {id}")]).await;
        }
        caught_up(&source).await;
        stop(source).await;
        let mut other = Other::of(&f, "t", 3).await;
        let events = other.captured().await;
        let (first, rest) = events.split_first().unwrap();
        other.write(0, std::slice::from_ref(first)).await;
        // While the sink reads, each partition comes to its change of columns at another moment.
        let running = start(sink(&f)).await;
        for (n, event) in (1..).zip(rest) {
            other.write(n % 20 % 3, std::slice::from_ref(event)).await;
        }
        other.applied_by(&running, &f.name("t")).await;
        stop(running).await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_that_the_events_tell_of_empties_the_table() {
    both_over_kafka("foreigntruncate", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"]).await;
        let source = capturing(&f).await;
        caught_up(&source).await;
        f.sql(&["TRUNCATE TABLE t", "INSERT INTO t VALUES (2, 20)"]).await;
        caught_up(&source).await;
        stop(source).await;
        let mut other = Other::of(&f, "t", 1).await;
        let events = other.captured().await;
        other.write(0, &events[..2]).await;
        let running = start(sink(&f)).await;
        other.applied_by(&running, &f.name("t")).await;
        // As Debezium writes it: no key, no row.
        let mut truncate: serde_json::Value = serde_json::from_slice(events[0].1.as_ref().unwrap()).unwrap();
        truncate["payload"]["op"] = "t".into();
        truncate["payload"]["after"] = serde_json::Value::Null;
        let schema = serde_json::to_string(&truncate["schema"]).unwrap();
        let payload = serde_json::to_string(&truncate["payload"]).unwrap();
        let truncate = format!("{{\"schema\":{schema},\"payload\":{payload}}}").into_bytes();
        other.write(0, &[(None, Some(truncate)), events[2].clone()]).await;
        other.applied_by(&running, &f.name("t")).await;
        stop(running).await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exact_is_refused_and_says_what_to_do() {
    both_over_kafka("foreignrefused", async |mut f| {
        f.sql(&["CREATE TABLE nokey (v INT)", "INSERT INTO nokey VALUES (1)"]).await;
        f.sql(&["CREATE TABLE good (id INT PRIMARY KEY)", "INSERT INTO good VALUES (1)"]).await;
        let source = capturing(&f).await;
        caught_up(&source).await;
        stop(source).await;
        let mut good = Other::of(&f, "good", 1).await;
        let events = good.captured().await;
        good.write(0, &events).await;
        let mut nokey = Other::of(&f, "nokey", 1).await;
        let events = nokey.captured().await;
        nokey.write(0, &events).await;
        let running = start(sink(&f)).await;
        let said = stopped(&running, &f.name("nokey")).await;
        assert!(headline(&said).contains("no key") && said.contains("message.key.columns"), "{said}");
        good.applied_by_alone(&running, &f.name("good")).await;
        stop(running).await;
        f.assert_equal_except(&["nokey"]).await;

        // A row that looks like a truncation is none: `t` is what a column holds.
        f.sql(&["CREATE TABLE lost (id INT PRIMARY KEY, op CHAR(1))", "INSERT INTO lost VALUES (1, 't')"]).await;
        let source = capturing(&f).await;
        caught_up(&source).await;
        stop(source).await;
        let mut lost = Other::of(&f, "lost", 1).await;
        let events = lost.captured().await;
        lost.write(0, &events).await;
        let running = start(sink(&f)).await;
        lost.applied_by_alone(&running, &f.name("lost")).await;
        lost.write(0, &[(None, events[0].1.clone())]).await;
        let said = stopped(&running, &f.name("lost")).await;
        assert!(said.contains("the event at offset 2 has no key"), "{said}");
        drop(within("the end", running.stop()).await);
        assert_eq!(f.mirrored("lost").await.len(), 1, "nothing was emptied, and nothing doubled");

        let schemaless = MirrorConfig { events: EventFormat::exact(), ..sink(&f) };
        let running = start(schemaless).await;
        let said = stopped(&running, &f.name("good")).await;
        assert!(said.contains("value.converter.schemas.enable"), "{said}");
        drop(within("the end", running.stop()).await);
    })
    .await;
}
