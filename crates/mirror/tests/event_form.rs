//! The form of events: who reads a log is told by the log itself.

use crate::support::{Fixture, both, caught_up, poll, start, stop, within};
use mirror::{DecimalMode, EventFormat, EventLines, Halves, MirrorConfig};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn events_change_their_form_between_two_starts_and_the_tables_stay_equal() {
    both("eventform", async |mut f| {
        f.sql(&[
            "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, price DECIMAL(20,3), at DATETIME(6))",
            "INSERT INTO t VALUES (1, 1.5, '2024-02-29 12:00:00.123456'), (18446744073709551615, -3, NULL)",
        ])
        .await;
        let mut strings = EventFormat::debezium();
        strings.profile.decimals = DecimalMode::String;
        let forms = [EventFormat::exact(), EventFormat::debezium(), strings, strings, EventFormat::exact()];
        for (n, form) in forms.into_iter().enumerate() {
            // The source alone, in this form; nothing is applied yet.
            let source = start(MirrorConfig { halves: Halves::Source, events: form, ..f.config() }).await;
            f.sql(&[
                &format!("INSERT INTO t VALUES ({}, {n}.125, NULL)", 10 + n),
                "UPDATE t SET price = price + 1 WHERE id > 18446744073709551000",
            ])
            .await;
            caught_up(&source).await;
            stop(source).await;
        }
        // Who reads was told of one form, which most of the records have not.
        let sink = start(MirrorConfig { halves: Halves::Sink, events: strings, ..f.config() }).await;
        caught_up(&sink).await;
        assert_eq!(stop(sink).await.stopped().count(), 0);
        f.assert_equal().await;
        // Two that end and begin with the same form are one version: one schema and three changes of the form.
        f.sql(&["ALTER TABLE t ADD COLUMN note VARCHAR(10)", "INSERT INTO t (id) VALUES (2)"]).await;
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

/// The events of each table, as `--output -` prints them, until there have been so many.
async fn lines(f: &Fixture, events: &mut EventLines, so_many: u64) -> BTreeMap<String, Vec<serde_json::Value>> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    while seen < so_many {
        seen += within("events", events.next(&mut bytes)).await.unwrap();
    }
    let mut by_table: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let event: serde_json::Value = serde_json::from_slice(line).unwrap();
        let topic = event["topic"].as_str().unwrap();
        let head = format!("{}.{}.", f.config().source.topic_prefix, f.database);
        by_table.entry(topic.strip_prefix(&head).unwrap().to_owned()).or_default().push(event);
    }
    by_table
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_a_log_hands_out_its_events_as_lines_until_it_is_stopped() {
    both("eventlines", async |mut f| {
        f.sql(&["CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO a VALUES (1, 'one'), (2, '\"\\n')"]).await;
        f.sql(&["CREATE TABLE b (id INT PRIMARY KEY)", "INSERT INTO b VALUES (7)"]).await;
        let config = MirrorConfig { halves: Halves::Source, events: EventFormat::debezium(), ..f.config() };
        let mut events = EventLines::start(&config).await.unwrap();
        let first = lines(&f, &mut events, 3).await;
        assert_eq!(first["a"].len(), 2);
        let event = &first["a"][1];
        assert_eq!(event["key"]["payload"], serde_json::json!({ "id": 2 }));
        assert_eq!(event["value"]["payload"]["after"], serde_json::json!({ "id": 2, "v": "\"\n" }));
        assert_eq!(event["value"]["payload"]["op"], "r");
        assert_eq!(event["headers"][0]["name"], "__debezium.context.connectorLogicalName");
        assert_eq!(event["headers"][0]["value"]["payload"], f.config().source.topic_prefix);
        assert_eq!(first["b"].len(), 1);

        f.sql(&["DELETE FROM a WHERE id = 1"]).await;
        let then = lines(&f, &mut events, 2).await;
        assert_eq!(then["a"][0]["value"]["payload"]["op"], "d");
        assert!(then["a"][1]["value"].is_null(), "a tombstone: {}", then["a"][1]);
        events.stop();
        let mut rest = Vec::new();
        assert_eq!(within("the end", events.next(&mut rest)).await.unwrap(), 0);
        assert!(rest.is_empty());
        assert_eq!(events.next(&mut rest).await.unwrap(), 0, "the end stays the end");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_lines_slowly_makes_the_source_wait_and_loses_nothing() {
    both("slowlines", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)"]).await;
        let config = MirrorConfig { halves: Halves::Source, ..f.config() };
        let mut events = EventLines::start(&config).await.unwrap();
        // Several times what may wait.
        for n in 0..60 {
            f.sql(&[&format!("INSERT INTO t VALUES ({n}, REPEAT('x', 1000000))")]).await;
        }
        let mut ids = Vec::new();
        poll("the events", async || {
            let mut bytes = Vec::new();
            within("an event", events.next(&mut bytes)).await.unwrap();
            let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            ids.extend(
                lines.map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["key"]["id"].as_i64().unwrap()),
            );
            (ids.len() >= 60).then_some(())
        })
        .await;
        // The first may have been read as rows of the table, which keep no order.
        ids.sort_unstable();
        assert_eq!(ids, (0..60).collect::<Vec<i64>>());
    })
    .await;
}
