//! The stream's state under events that no server sends: damaged, doubled, left out, in another order, of random bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::connection::ServerKind;
use crate::decode::recorded_tests::{Recording, mariadb, mysql};
use crate::event::{Event, EventHeader, EventReader};
use crate::event_body::EventBody;
use crate::stream::Stream;
use crate::stream_table::{Captured, Phase};
use crate::{MysqlSourceConfig, parse_statement};
use cdc_core::{SourceItem, TableFilter, TableId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::sync::Arc;

fn seeded() -> StdRng {
    let seed = match std::env::var("SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0),
    };
    println!("SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn stream(recording: &Recording) -> Stream {
    // Left out, so that the statements that make the tables do not send for their columns: they are known below.
    let nothing = TableFilter::new(None, Some("recorded"), None, None).unwrap();
    let config = MysqlSourceConfig::builder("nowhere").user("nobody").tables(nothing).max_transaction_bytes(4 << 10);
    let config = config.build().unwrap();
    let kind = if recording.mariadb { ServerKind::Mariadb } else { ServerKind::Mysql };
    let mut stream = Stream::new(config, kind, Default::default(), Default::default());
    for (name, schema) in &recording.schemas {
        let mut table = Captured::new(TableId::new("recorded", name), Phase::Live);
        table.schema = Some(Arc::clone(schema));
        stream.add(table);
    }
    stream
}

/// The events of a recording as header and body, without checksums, and without the statement that it began with: to drop the database.
fn parts(recording: &Recording) -> Vec<(EventHeader, Vec<u8>)> {
    let mut parts: Vec<(EventHeader, Vec<u8>)> = Vec::new();
    for raw in recording.events() {
        let (header, body) = (EventHeader::parse(raw).unwrap(), &raw[EventHeader::LEN..raw.len() - EventReader::CHECKSUM_LEN]);
        if let EventBody::Query(query) = Event::from_parts(header, body).unwrap().body
            && query.text().starts_with("DROP DATABASE")
        {
            parts.pop(); // the number of its transaction
        } else {
            parts.push((header, body.to_vec()));
        }
    }
    parts
}

/// What was accumulated makes batches, whatever came before.
fn drain(stream: &mut Stream) -> usize {
    let items = stream.take_items().unwrap();
    let changes = items.iter().map(|item| match item {
        SourceItem::Changes(batch) => {
            assert!(batch.changes.iter().all(|c| (c.origin as usize) < batch.origins.len()));
            batch.changes.len()
        }
        _ => 0,
    });
    changes.sum()
}

#[test]
fn the_recorded_events_are_taken_in_whole() {
    for recording in [mysql(), mariadb()] {
        let mut stream = stream(&recording);
        let mut created = BTreeSet::new();
        for (header, body) in parts(&recording) {
            stream.event(&Event::from_parts(header, &body).unwrap()).unwrap();
            created.insert(stream.position.log_created);
        }
        assert!(stream.settled());
        // The time of its file goes with the position; the file that the log goes on in has told none yet.
        assert_eq!(created.len(), 2, "{created:?}");
        assert_eq!(stream.position.log_created, 0, "{:?}", stream.position);
        let changes = drain(&mut stream);
        assert!(changes > 100, "{changes} changes");
    }
}

#[test]
fn no_events_in_any_order_make_the_stream_panic() {
    let mut rng = seeded();
    for recording in [mysql(), mariadb()] {
        let parts = parts(&recording);
        let mut errors = 0;
        for _ in 0..60 {
            let mut stream = stream(&recording);
            let mut at = 0;
            while at < parts.len() {
                let (mut header, mut body) = parts[at].clone();
                at += 1;
                match rng.random_range(0..60) {
                    0 => at = rng.random_range(0..parts.len()).max(at.saturating_sub(5)),
                    1 => body.truncate(rng.random_range(0..=body.len())),
                    2..5 => {
                        for _ in 0..rng.random_range(1..4) {
                            let n = body.len();
                            if n > 0 {
                                body[rng.random_range(0..n)] = rng.random();
                            }
                        }
                    }
                    5 => header.event_type = rng.random_range(0..172),
                    6 => header.log_pos = rng.random(),
                    7 => header.flags = rng.random(),
                    8 => header.size = rng.random(),
                    9 => drop(stream.rewind()),
                    10 => {
                        drain(&mut stream);
                    }
                    11 => at = at.saturating_sub(1), // twice
                    _ => {}
                }
                let Ok(event) = Event::from_parts(header, &body) else { continue };
                // After an error a source is done; the state must hold all the same.
                errors += usize::from(stream.event(&event).is_err());
                let _ = (stream.must_split(), stream.settled(), stream.position_now());
            }
            drain(&mut stream);
        }
        assert!(errors > 0, "nothing was damaged");
    }
}

#[test]
fn random_bytes_of_any_event_type_are_an_error_or_an_event() {
    let mut rng = seeded();
    let mut read = 0;
    for _ in 0..200_000 {
        let header = EventHeader {
            timestamp: rng.random(),
            event_type: rng.random_range(0..172),
            server_id: rng.random(),
            size: rng.random(),
            log_pos: rng.random(),
            flags: rng.random(),
        };
        let mut body = vec![0u8; rng.random_range(0..120)];
        rng.fill(body.as_mut_slice());
        if rng.random_bool(0.5) {
            // Small numbers are lengths that fit.
            body.iter_mut().for_each(|b| *b &= 7);
        }
        let Ok(event) = Event::from_parts(header, &body) else { continue };
        read += 1;
        match event.body {
            EventBody::TableMap(map) => drop((map.columns(), map.metadata())),
            EventBody::Query(query) => drop(parse_statement(
                &query.text(),
                query.database,
                crate::Dialect::of(&query, header.server_id.is_multiple_of(2)),
            )),
            _ => {}
        }
        let raw = [&header.to_bytes()[..], &body].concat();
        let _ = EventReader::new().read(&raw);
    }
    assert!(read > 1_000, "{read} events were read");
}
