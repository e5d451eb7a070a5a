//! The shop of the demo, with every change of it.

use crate::support::{Fixture, Row, both, both_over_kafka, caught_up, start, stop};
use std::path::Path;

/// The statements of a file below `dev/`, for this database.
fn script(name: &str, database: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev").join(name)).unwrap();
    let text: String = text.lines().filter(|l| !l.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
    let text = text.replace("inventory", database);
    text.split(';').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

fn some(row: &[&str]) -> Row {
    row.iter().map(|v| Some((*v).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_the_shop_arrives() {
    both("shop", every_change_arrives).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_the_shop_arrives_over_kafka() {
    both_over_kafka("kshop", every_change_arrives).await;
}

async fn every_change_arrives(mut f: Fixture) {
    let statements = script("shop.sql", &f.database);
    f.sql(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mirror = f.caught_up_mirror().await;
    f.assert_equal().await;
    assert_eq!(mirror.status().tables.len(), 6);

    for change in ["1-rename-customer", "2-new-order", "3-delete-order", "4-add-column", "5-order-with-address"] {
        let statements = script(&format!("shop-changes/{change}.sql"), &f.database);
        f.sql(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
        caught_up(&mirror).await;
        f.assert_equal_except(if change == "4-add-column" { &["orders"] } else { &[] }).await;
    }
    assert!(f.mirrored("customers").await.contains(&some(&["1001", "Sarah", "Thomas", "sally.thomas@acme.com"])));
    let orders = f.mirrored("orders").await;
    assert_eq!(orders.len(), 6);
    assert_eq!(orders[0], [some(&["10001", "2016-01-16", "1001", "1", "102"]), vec![None]].concat());
    assert_eq!(orders[5][5].as_deref(), Some("3183 Moore Avenue, Euless, Texas 76036"));

    let order = "INSERT INTO orders (order_date, purchaser, quantity, product_id) VALUES (CURRENT_DATE, 1002, 1, 103)";
    for _ in 0..100 {
        f.sql(&[order]).await;
    }
    caught_up(&mirror).await;
    f.assert_equal().await;
    let status = stop(mirror).await;
    assert_eq!(status.stopped().count(), 0, "{status:#?}");
    let orders = f.events("orders").await;
    assert_eq!(orders.ops, [('r', 4), ('c', 103), ('d', 1), ('-', 1)].into());
    assert_eq!(f.events("customers").await.ops, [('r', 4), ('u', 1)].into());
    assert_eq!(f.events("products_on_hand").await.ops, [('r', 9), ('u', 2)].into());
    f.assert_equal_by_oracle(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_no_row_uses_yet_is_added_to_the_table() {
    both("addcolumn", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"]).await;
        let mirror = start(f.config()).await;
        caught_up(&mirror).await;
        f.sql(&["ALTER TABLE t ADD COLUMN note TEXT DEFAULT NULL"]).await;
        crate::support::poll("the column", async || {
            f.table("t").await.schema().field_by_name("note").map(|field| assert!(!field.required))
        })
        .await;
        f.assert_equal().await;
        stop(mirror).await;
    })
    .await;
}
