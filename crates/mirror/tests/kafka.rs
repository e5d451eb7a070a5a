//! What can happen between two halves with Kafka between them.

use crate::support::{Fixture, both_over_kafka, caught_up, headline, poll, start, stop, stopped, within};
use mirror::{ErrorKind, Halves, LogKind, Mirror, MirrorConfig};
use std::time::Duration;

/// The configuration of one half.
fn half(f: &Fixture, halves: Halves) -> MirrorConfig {
    MirrorConfig { halves, ..f.config() }
}

/// Waits until a sink half has all that a source half has captured now.
async fn both_caught_up(source: &Mirror, sink: &Mirror) {
    caught_up(source).await;
    caught_up(sink).await;
}

async fn table_with_rows(f: &mut Fixture) {
    f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_halves_mirror_and_a_sink_that_starts_first_waits_for_its_source() {
    both_over_kafka("khalves", async |mut f| {
        table_with_rows(&mut f).await;
        let config = half(&f, Halves::Sink);
        let sink = tokio::spawn(async move { start(config).await });
        let source = start(half(&f, Halves::Source)).await;
        caught_up(&source).await;
        let sink = within("the sink to start", sink).await.unwrap();
        both_caught_up(&source, &sink).await;
        f.assert_equal().await;
        f.sql(&["UPDATE t SET v = 10 WHERE id = 1", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (4, 4)"]).await;
        f.sql(&["ALTER TABLE t ADD COLUMN note VARCHAR(20)", "UPDATE t SET note = 'x' WHERE id = 3", "TRUNCATE TABLE t"]).await;
        f.sql(&["INSERT INTO t VALUES (5, 5, 'y')"]).await;
        both_caught_up(&source, &sink).await;
        f.assert_equal().await;
        assert_eq!(stop(source).await.stopped().count() + stop(sink).await.stopped().count(), 0);
        assert_eq!(f.events("t").await.ops, [('r', 3), ('u', 2), ('d', 1), ('-', 1), ('c', 2)].into());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_another_has_succeeded_ends_and_each_change_is_there_once() {
    both_over_kafka("kzombie", async |mut f| {
        table_with_rows(&mut f).await;
        let first = start(half(&f, Halves::Source)).await;
        caught_up(&first).await;
        let second = start(half(&f, Halves::Source)).await;
        f.sql(&["INSERT INTO t VALUES (4, 4)"]).await;
        let e = within("the first to end", first.ended()).await.expect_err("it was succeeded");
        assert_eq!(e.kind(), ErrorKind::Unsafe, "{e}");
        assert!(e.to_string().contains("has taken over"), "{e}");
        assert!(first.stop().await.is_err());
        caught_up(&second).await;
        stop(second).await;
        assert_eq!(f.events("t").await.ops, [('r', 3), ('c', 1)].into());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sink_that_is_started_by_mistake_harms_nothing() {
    both_over_kafka("ktwosinks", async |mut f| {
        table_with_rows(&mut f).await;
        let source = start(half(&f, Halves::Source)).await;
        caught_up(&source).await;
        let sinks = [start(half(&f, Halves::Sink)).await, start(half(&f, Halves::Sink)).await];
        for n in 0..40 {
            f.sql(&[
                &format!("INSERT INTO t VALUES ({}, {n})", 10 + n),
                &format!("UPDATE t SET v = v + 1 WHERE id = {}", 1 + n % 3),
            ])
            .await;
        }
        caught_up(&source).await;
        for sink in &sinks {
            caught_up(sink).await;
            assert_eq!(sink.status().stopped().count(), 0);
        }
        f.assert_equal().await;
        for sink in sinks {
            stop(sink).await;
        }
        stop(source).await;
        f.assert_equal_by_oracle(&[]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_and_made_anew_stops_its_table() {
    both_over_kafka("krecreated", async |mut f| {
        table_with_rows(&mut f).await;
        f.once().await;
        let topic = format!("{}.{}.t", f.config().source.topic_prefix, f.database);
        f.log().await.delete_topic(&topic).await.unwrap();
        f.sql(&["INSERT INTO t VALUES (4, 4)"]).await;
        let mirror = start(f.config()).await;
        let said = stopped(&mirror, &f.name("t")).await;
        assert!(headline(&said).contains(&topic), "{said}");
        assert!(said.contains("another") || said.contains("made anew") || said.contains("not the one"), "{said}");
        stop(mirror).await;
        assert_eq!(f.mirrored("t").await.len(), 3, "nothing of the new topic is in the table");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_progress_topic_that_was_deleted_and_made_anew_stops_the_tables_that_it_told_of() {
    both_over_kafka("kprogress", async |mut f| {
        table_with_rows(&mut f).await;
        let source = start(half(&f, Halves::Source)).await;
        caught_up(&source).await;
        let sink = start(half(&f, Halves::Sink)).await;
        both_caught_up(&source, &sink).await;
        stop(source).await;
        f.sql(&["DELETE FROM t WHERE id = 2"]).await;
        // Whoever does this wants to begin anew: the source does, and the table would keep what went meanwhile.
        let topic = format!("__cdc.progress.{}", f.config().source.topic_prefix);
        f.log().await.delete_topic(&topic).await.unwrap();
        let source = start(half(&f, Halves::Source)).await;
        f.sql(&["INSERT INTO t VALUES (4, 4)"]).await;
        caught_up(&source).await;
        drop(within("the sink to end", sink.stop()).await);
        let sink = start(half(&f, Halves::Sink)).await;
        let said = stopped(&sink, &f.name("t")).await;
        assert!(headline(&said).contains("progress topic"), "{said}");
        drop(within("the sink to end", sink.stop()).await);
        stop(source).await;
        assert_eq!(f.mirrored("t").await.len(), 3, "nothing of the new beginning is in the table");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_retention_has_removed_before_they_were_applied_stop_their_table() {
    both_over_kafka("kretention", async |mut f| {
        table_with_rows(&mut f).await;
        let mut config = f.config();
        let LogKind::Kafka { cluster, .. } = &mut config.log.kind else { panic!("the log is on Kafka") };
        // The table has its first rows before any of them goes.
        for (name, value) in [("retention.ms", "20000"), ("segment.ms", "1"), ("file.delete.delay.ms", "0")] {
            cluster.topic_settings.insert(name.to_owned(), value.to_owned());
        }
        let topic = format!("{}.{}.t", config.source.topic_prefix, f.database);
        let mirror = start(config.clone()).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        let source = start(MirrorConfig { halves: Halves::Source, ..config.clone() }).await;
        for n in 0..3 {
            f.sql(&[&format!("INSERT INTO t VALUES ({}, {n})", 10 + n)]).await;
            caught_up(&source).await;
        }
        let log = f.log().await;
        poll("retention", async || {
            let range = log.offsets(&topic, 0).await.unwrap();
            (range.first == range.next).then_some(())
        })
        .await;
        let sink = start(MirrorConfig { halves: Halves::Sink, ..config }).await;
        let said = stopped(&sink, &f.name("t")).await;
        assert!(said.contains("removed") && said.contains("lakehouse resnapshot"), "{said}");
        stop(sink).await;
        stop(source).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_not_read_again_beside_a_mirror_that_runs() {
    both_over_kafka("kagain", async |mut f| {
        table_with_rows(&mut f).await;
        let mirror = start(f.config()).await;
        caught_up(&mirror).await;
        let refused = mirror::resnapshot(&f.config(), &mirror::ReadAgain::All).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(refused.to_string().ends_with("→ stop the mirror first, and start it again afterwards"), "{refused}");
        // Its source has not been fenced.
        f.sql(&["INSERT INTO t VALUES (4, 4)"]).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        assert_eq!(mirror::resnapshot(&f.config(), &mirror::ReadAgain::All).await.unwrap().tables.len(), 1);
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for_and_nothing_is_lost() {
    let cluster = crate::support::Cluster::start("away", &[]);
    both_over_kafka("kaway", async |mut f| {
        // One server is enough: the two would take the broker away from each other.
        if !f.server.is_mysql() {
            return;
        }
        f.cluster = Some(cluster.with_prefix("kaway"));
        table_with_rows(&mut f).await;
        let mut config = f.config();
        let LogKind::Kafka { cluster: kafka, .. } = &mut config.log.kind else { panic!("the log is on Kafka") };
        (kafka.transaction_timeout, kafka.request_timeout) = (Duration::from_secs(4), Duration::from_secs(4));
        let source = start(MirrorConfig { halves: Halves::Source, ..config.clone() }).await;
        caught_up(&source).await;
        let sink = start(MirrorConfig { halves: Halves::Sink, ..config }).await;
        both_caught_up(&source, &sink).await;
        cluster.act("kill9");
        f.sql(&["INSERT INTO t VALUES (4, 4)", "UPDATE t SET v = 0 WHERE id = 1"]).await;
        // Longer than a transaction may take: the source has to begin anew.
        tokio::time::sleep(Duration::from_secs(6)).await;
        f.sql(&["DELETE FROM t WHERE id = 2"]).await;
        cluster.act("restart");
        both_caught_up(&source, &sink).await;
        f.assert_equal().await;
        assert_eq!(stop(source).await.stopped().count() + stop(sink).await.stopped().count(), 0);
        assert_eq!(f.events("t").await.ops, [('r', 3), ('c', 1), ('u', 1), ('d', 1), ('-', 1)].into());
    })
    .await;
    cluster.act("rm");
}
