//! The shop's tables, rows from the SQL that made the recordings: what we write is what Debezium wrote, byte for byte.

use crate::golden::{Golden, load};
use crate::images::{batch, column, integer, table};
use cdc_core::{
    Change, ChangeBatch, Column, LogicalType, NO_IMAGE, Op, Origin, SnapshotMarker, TableSchema, TransactionInfo, Value,
};
use debezium_format::{Connector, Converter, Encoder, EncoderConfig, RecordList};
use std::sync::Arc;

const PREFIX: &str = "dbserver1";

fn int(v: i64) -> Value {
    Value::Int(v)
}

fn text(v: &str) -> Value {
    Value::String(v.to_owned())
}

fn decimal(v: &str) -> Value {
    Value::Decimal(v.to_owned())
}

fn string(name: &str, nullable: bool) -> Column {
    column(name, LogicalType::String, nullable)
}

fn customers() -> Arc<TableSchema> {
    let columns = vec![
        column("id", integer(32, false), false),
        string("first_name", false),
        string("last_name", false),
        string("email", false),
    ];
    table("customers", columns, &[0])
}

fn products() -> Arc<TableSchema> {
    let mut price = column("price", LogicalType::Decimal { precision: 10, scale: 2 }, false);
    price.default = Some(decimal("9.99"));
    let weight = column("weight", LogicalType::Float, true);
    table(
        "products",
        vec![column("id", integer(32, false), false), string("name", false), string("description", true), weight, price],
        &[0],
    )
}

fn orders() -> Arc<TableSchema> {
    let values = ["new", "paid", "shipped", "cancelled"].map(str::to_owned).to_vec();
    let mut status = column("status", LogicalType::Enum { values }, false);
    status.default = Some(text("new"));
    status.comment = Some("order status".to_owned());
    let mut created_at = column("created_at", LogicalType::TimestampTz { fraction: 6 }, false);
    created_at.default_expression = Some("CURRENT_TIMESTAMP(6)".to_owned());
    let mut updated_at = column("updated_at", LogicalType::Timestamp { fraction: 3 }, true);
    updated_at.default = Some(Value::Null);
    let columns = vec![
        column("order_number", integer(32, false), false),
        column("order_date", LogicalType::Date, false),
        column("purchaser", integer(32, false), false),
        status,
        created_at,
        updated_at,
    ];
    table("orders", columns, &[0])
}

fn order_items() -> Arc<TableSchema> {
    let mut quantity = column("quantity", integer(32, true), false);
    quantity.default = Some(int(1));
    let columns = vec![
        column("order_number", integer(32, false), false),
        column("line_no", integer(16, true), false),
        column("product_id", integer(32, false), false),
        quantity,
        column("unit_price", LogicalType::Decimal { precision: 12, scale: 4 }, true),
    ];
    table("order_items", columns, &[0, 1])
}

fn customer(id: i64, first: &str, last: &str, email: &str) -> Vec<Value> {
    vec![int(id), text(first), text(last), text(email)]
}

fn product(id: i64, name: &str, description: Option<&str>, weight: Option<f32>, price: &str) -> Vec<Value> {
    let description = description.map_or(Value::Null, text);
    vec![int(id), text(name), description, weight.map_or(Value::Null, Value::Float), decimal(price)]
}

fn order(number: i64, date: i64, purchaser: i64, status: &str, created_us: i64, updated_us: Option<i64>) -> Vec<Value> {
    vec![int(number), int(date), int(purchaser), text(status), int(created_us), updated_us.map_or(Value::Null, int)]
}

fn item(order: i64, line: i64, product: i64, quantity: i64, price: Option<&str>) -> Vec<Value> {
    vec![int(order), int(line), int(product), int(quantity), price.map_or(Value::Null, decimal)]
}

type Step = (Op, Option<Vec<Value>>, Option<Vec<Value>>);

fn read(row: Vec<Value>) -> Step {
    (Op::Read, None, Some(row))
}

fn create(row: Vec<Value>) -> Step {
    (Op::Create, None, Some(row))
}

fn update(before: Vec<Value>, after: Vec<Value>) -> Step {
    (Op::Update, Some(before), Some(after))
}

fn delete(row: Vec<Value>) -> Step {
    (Op::Delete, Some(row), None)
}

/// 2016-01-16 10:11:12.123456, 2016-01-17, 2016-02-01 01:02:03.456, 2024-05-01 10:00:00.000001 and 11:00:00.5, all UTC.
const CREATED: [i64; 3] = [1_452_939_072_123_456, 1_452_988_800_000_000, 1_714_557_600_000_001];
const UPDATED: [i64; 2] = [1_454_288_523_456_000, 1_714_561_200_500_000];

fn customers_at_first() -> Vec<Step> {
    vec![
        read(customer(1001, "Sally", "Thomas", "sally.thomas@acme.com")),
        read(customer(1002, "George", "Bailey", "gbailey@foobar.com")),
        read(customer(1003, "Anne", "Kretchmar", "annek@noanswer.org")),
    ]
}

// The recorded weight of a scooter, not a rounded circle.
#[allow(clippy::approx_constant)]
fn products_at_first() -> Vec<Step> {
    vec![
        read(product(101, "scooter", Some("Small 2-wheel scooter"), Some(3.14), "49.50")),
        read(product(102, "car battery", Some("12V car battery"), Some(8.1), "89.99")),
        read(product(103, "hammer", None, Some(0.75), "12.00")),
    ]
}

fn orders_at_first() -> Vec<Step> {
    vec![
        read(order(10001, 16816, 1001, "paid", CREATED[0], None)),
        read(order(10002, 16817, 1002, "new", CREATED[1], Some(UPDATED[0]))),
        create(order(10003, 19844, 1001, "new", CREATED[2], None)),
    ]
}

fn items_at_first() -> Vec<Step> {
    vec![
        read(item(10001, 1, 101, 2, Some("49.5000"))),
        read(item(10001, 2, 102, 1, None)),
        create(item(10003, 1, 101, 1, Some("49.5000"))),
        create(item(10003, 2, 201, 3, None)),
    ]
}

/// `02_stream.sql`, up to the first DDL of each table.
fn long_story() -> Vec<(Arc<TableSchema>, Vec<Step>)> {
    let ed = |id| customer(id, "Édouard", "O'Neil", "ed@walker.com");
    let mut customer_steps = customers_at_first();
    customer_steps.extend([
        create(ed(1004)),
        update(
            customer(1003, "Anne", "Kretchmar", "annek@noanswer.org"),
            customer(1003, "Anne Marie", "Kretchmar", "annek@noanswer.org"),
        ),
        update(ed(1004), ed(2004)),
        delete(ed(2004)),
        create(customer(3001, "keep", "me", "k@x")),
    ]);
    let a = |name, price| product(201, name, Some("aa"), Some(1.0), price);
    let b = |name, price| product(202, name, None, None, price);
    let c = |price| product(203, "c", Some("cc"), Some(3.0), price);
    let mut product_steps = products_at_first();
    product_steps.extend([
        create(a("a", "1.00")),
        create(b("b", "2.00")),
        create(c("3.00")),
        update(a("a", "1.00"), a("a", "2.00")),
        update(b("b", "2.00"), b("b", "3.00")),
        update(c("3.00"), c("4.00")),
        update(a("a", "2.00"), a("a2", "1.00")),
        update(b("b", "3.00"), b("b-dup", "3.00")),
    ]);
    let mut order_steps = orders_at_first();
    let third = |status, updated| order(10003, 19844, 1001, status, CREATED[2], updated);
    order_steps.push(update(third("new", None), third("paid", Some(UPDATED[1]))));
    let mut item_steps = items_at_first();
    item_steps.extend([
        update(item(10003, 2, 201, 3, None), item(10003, 7, 201, 3, None)),
        delete(item(10001, 1, 101, 2, Some("49.5000"))),
        delete(item(10001, 2, 102, 1, None)),
    ]);
    vec![(customers(), customer_steps), (products(), product_steps), (orders(), order_steps), (order_items(), item_steps)]
}

/// `10_small_stream.sql`.
fn short_story() -> Vec<(Arc<TableSchema>, Vec<Step>)> {
    let jon = |first| customer(1004, first, "Doe", "jd@x");
    let mut customer_steps = customers_at_first();
    customer_steps.extend([create(jon("Jon")), update(jon("Jon"), jon("Jonathan")), delete(jon("Jonathan"))]);
    let first = |quantity| item(10003, 1, 101, quantity, Some("49.5000"));
    let second = |quantity| item(10003, 2, 201, quantity, None);
    let mut item_steps = items_at_first();
    item_steps.extend([update(first(1), first(9)), update(second(3), second(9))]);
    vec![
        (customers(), customer_steps),
        (products(), products_at_first()),
        (orders(), orders_at_first()),
        (order_items(), item_steps),
    ]
}

/// Where the recorded event says that it was read.
pub fn origin(event: &Golden) -> (Origin, SnapshotMarker, u32) {
    let envelope = event.envelope();
    let source = &envelope["source"];
    let marker = match source["snapshot"].as_str().unwrap() {
        "false" => SnapshotMarker::False,
        "true" => SnapshotMarker::True,
        "first" => SnapshotMarker::First,
        "first_in_data_collection" => SnapshotMarker::FirstInCollection,
        "last_in_data_collection" => SnapshotMarker::LastInCollection,
        "last" => SnapshotMarker::Last,
        other => panic!("{other}"),
    };
    let origin = Origin {
        transaction: TransactionInfo {
            gtid: source["gtid"].as_str().map(Arc::from),
            file: Arc::from(source["file"].as_str().unwrap()),
            server_id: u32::try_from(source["server_id"].as_u64().unwrap()).unwrap(),
            ts_us: source["ts_us"].as_i64().unwrap(),
        },
        pos: source["pos"].as_u64().unwrap(),
        thread: source["thread"].as_u64(),
        query: source["query"].as_str().map(Arc::from),
        processed_ns: envelope["ts_ns"].as_i64().unwrap(),
    };
    (origin, marker, u32::try_from(source["row"].as_u64().unwrap()).unwrap())
}

fn encoder_config(events: &[Golden], connector: Connector, schemas: bool) -> EncoderConfig {
    let run_id = &events[0].headers.iter().find(|(name, _)| name == "__debezium.context.runId").unwrap().1;
    let run_id: serde_json::Value = serde_json::from_str(run_id).unwrap();
    EncoderConfig::new(PREFIX, connector, Converter::Json { schemas }, run_id["payload"].as_str().unwrap())
}

/// The tail of an envelope from `op` on, without its first letters.
fn times(value: &str) -> &str {
    value.rsplit_once("\"op\":").unwrap().1.split_once(',').unwrap().1
}

fn compare(scenario: &str, connector: Connector, schemas: bool, story: Vec<(Arc<TableSchema>, Vec<Step>)>) {
    let events = load(scenario);
    let config = encoder_config(&events, connector, schemas);
    for (schema, steps) in story {
        let topic = format!("{PREFIX}.{}", schema.table);
        let mut expected: Vec<Golden> = events.iter().filter(|e| e.topic == topic).cloned().collect();
        let (mut rows, mut changes, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0;
        for (op, before, after) in steps {
            let mut image = |row: Option<Vec<Value>>| {
                rows.extend(row.clone());
                if row.is_some() { rows.len() as u32 - 1 } else { NO_IMAGE }
            };
            let (before, after) = (image(before), image(after));
            let (origin, marker, row) = origin(&expected[at]);
            let key_change = op == Op::Update && expected[at].headers.iter().any(|h| h.0 == "__debezium.newkey");
            if key_change {
                // Debezium stamps the create with a clock of its own; ours is one change and has one time.
                let create = expected[at + 2].value.clone().unwrap();
                let stamped = create.replace(times(&create), times(expected[at].value.as_ref().unwrap()));
                expected[at + 2].value = Some(stamped);
            }
            at += match op {
                Op::Update if key_change => 3,
                Op::Delete => 2,
                _ => 1,
            };
            changes.push(Change { op, before, after, origin: origins.len() as u32, row, marker });
            origins.push(origin);
        }
        let images = batch(&schema, &rows);
        let mut encoder = Encoder::new(&config, Arc::clone(&schema), &topic).unwrap();
        let mut sink = RecordList::default();
        let count = encoder.encode(&ChangeBatch { schema, images, changes, origins }, &mut sink).unwrap();
        assert_eq!((count, sink.records().len()), (at, at), "{topic}");
        for (ours, theirs) in sink.records().iter().zip(&expected) {
            let utf8 = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
            let ours = Golden {
                topic: topic.clone(),
                key: ours.key.as_ref().map(utf8),
                value: ours.value.as_ref().map(utf8),
                headers: ours.headers.iter().map(|(name, value)| (name.clone(), utf8(value))).collect(),
            };
            assert_eq!(ours.key, theirs.key, "key in {topic} of {scenario}");
            assert_eq!(ours.value, theirs.value, "value in {topic} of {scenario}");
            assert_eq!(ours.headers, theirs.headers, "headers in {topic} of {scenario}");
        }
    }
}

#[test]
fn mysql_events_with_schemas_are_the_recorded_bytes() {
    compare("mysql-default", Connector::Mysql, true, long_story());
}

#[test]
fn mysql_events_without_schemas_are_the_recorded_bytes() {
    compare("mysql-schemaless", Connector::Mysql, false, short_story());
}

#[test]
fn mariadb_events_with_schemas_are_the_recorded_bytes() {
    compare("mariadb-default", Connector::Mariadb, true, long_story());
}

#[test]
fn mariadb_events_without_schemas_are_the_recorded_bytes() {
    compare("mariadb-schemaless", Connector::Mariadb, false, short_story());
}

#[test]
fn a_truncate_is_the_recorded_bytes() {
    let events = load("mysql-truncate_emit");
    let event = events.iter().find(|e| e.table() == "no_pk").unwrap();
    let columns =
        vec![column("a", integer(32, false), true), string("b", true), column("c", LogicalType::Timestamp { fraction: 0 }, true)];
    let config = encoder_config(&events, Connector::Mysql, true);
    let mut encoder = Encoder::new(&config, table("no_pk", columns, &[]), &event.topic).unwrap();
    let mut sink = RecordList::default();
    encoder.encode_truncate(&origin(event).0, &mut sink);
    let record = &sink.records()[0];
    assert_eq!(record.key, None);
    assert_eq!(String::from_utf8(record.value.clone().unwrap()).unwrap(), *event.value.as_ref().unwrap());
}
