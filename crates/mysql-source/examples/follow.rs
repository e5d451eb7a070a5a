//! Prints what happens in a database, one line for each table and batch.
//!
//! cargo run --release -p mysql-source --example follow -- 127.0.0.1 3306 mirror mirror shop

use cdc_core::{ChangeSource, RecoveredState, SourceItem, TableFilter};
use mysql_source::{MysqlSource, MysqlSourceConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, user, password, database] = arguments.as_slice() else {
        return Err("arguments: HOST PORT USER PASSWORD DATABASE".into());
    };
    let config = MysqlSourceConfig::builder(host)
        .port(port.parse()?)
        .user(user)
        .password(password)
        .tables(TableFilter::new(Some(database), None, None, None)?)
        .build()?;
    let mut source = MysqlSource::start(config, RecoveredState::default()).await?;
    while let Some(batch) = source.next().await? {
        println!("-- {} {}", batch.position.log.file, batch.position.log.offset);
        for item in batch.items {
            match item {
                SourceItem::Changes(c) => println!("{}: {} changes", c.schema.table, c.changes.len()),
                SourceItem::Schema { schema, .. } => println!("{}: {} columns", schema.table, schema.columns.len()),
                SourceItem::Generation(g) => println!("{}: {} rows read, {:?}", g.table, g.rows, g.state),
                SourceItem::Stop(stop) => println!("{}", stop.message),
                other => println!("{other:?}"),
            }
        }
    }
    Ok(())
}
