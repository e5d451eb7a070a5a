//! A stream that goes on where its predecessor stopped, on events made by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

const SERVER: &str = "01010101-0101-0101-0101-010101010101";

fn event(end: u32, size: u32, body: EventBody<'_>) -> Event<'_> {
    let header = EventHeader { timestamp: 1, event_type: 0, server_id: 1, size, log_pos: end, flags: 0 };
    Event { header, body }
}

fn gtid() -> EventBody<'static> {
    EventBody::Gtid(crate::event_body::Gtid {
        uuid: Some([1; 16]),
        tag: "",
        number: 7,
        immediate_commit_us: 1,
        original_commit_us: 1,
        transaction_length: 0,
    })
}

/// A row event of one row in a table that is not captured.
fn row(stream: &mut Stream, end: u32) {
    // Number 9, `d`.`t`, one INT.
    let map = [9, 0, 0, 0, 0, 0, 0, 0, 1, b'd', 0, 1, b't', 0, 1, 3, 0, 0];
    stream.event(&event(end, 10, EventBody::TableMap(TableMapEvent::parse(&map).unwrap()))).unwrap();
    let row = [9, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 5, 0, 0, 0];
    stream.event(&event(end + 10, 10, EventBody::Rows(RowsEvent::parse(RowsKind::Insert, false, &row).unwrap()))).unwrap();
}

#[test]
fn a_connection_that_is_lost_while_handed_on_rows_are_skipped_still_skips_them_all() {
    // The log has three rows of the transaction that begins at 100.
    let log = LogCoordinate { file: "bin.000001".to_owned(), offset: 100, row: 3 };
    let recovered = SourcePosition { server: SERVER.to_owned(), log, ..SourcePosition::default() };
    let config = MysqlSourceConfig::builder("localhost").user("u").build().unwrap();
    let mut stream = Stream::new(config, ServerKind::Mysql, recovered.clone(), NameCase::Told);
    for lost_after in [0, 1, 2, 3, 2] {
        stream.event(&event(150, 50, gtid())).unwrap();
        for n in 0..lost_after {
            row(&mut stream, 200 + 20 * n);
        }
        assert_eq!(stream.position_now(), recovered, "nothing new was read");
        assert_eq!(stream.rewind(), recovered, "after {lost_after} of the three rows");
    }
    stream.event(&event(150, 50, gtid())).unwrap();
    for n in 0..4 {
        row(&mut stream, 200 + 20 * n);
    }
    assert_eq!(stream.position_now().log.row, 4);
    stream.event(&event(300, 10, EventBody::Xid(1))).unwrap();
    let here = LogCoordinate { file: "bin.000001".to_owned(), offset: 300, row: 0 };
    assert_eq!(stream.position_now().log, here);
    assert!(stream.position_now().transactions.contains_number(SERVER, 7));
}
