//! Follows one topic of a log while another task appends to it: `cargo run -p change-log --example tail [DIRECTORY]`.

use change_log::{Append, ChangeLog, HeaderSet, LocalLog, LocalLogConfig, RecordsBuilder, Result, TopicSpec, Transaction};

#[tokio::main]
async fn main() -> Result<()> {
    let given = std::env::args().nth(1).map(std::path::PathBuf::from);
    let dir = given.unwrap_or_else(|| std::env::temp_dir().join("change-log-tail"));
    let log = LocalLog::open(&dir, LocalLogConfig::default()).await?;
    log.create_topic("events", TopicSpec::new()).await?;
    let start = log.offsets("events", 0).await?.next;
    println!("log {} in {}, going on at offset {start}", log.identity(), dir.display());

    let writer = {
        let log = log.clone();
        tokio::spawn(async move {
            let mut producer = log.producer("example").await?;
            for batch in 0..3 {
                let mut b = RecordsBuilder::new();
                for n in 0..2 {
                    b.push(Some(b"key"), Some(format!("event {n} of batch {batch}").as_bytes()), HeaderSet::NONE, 0)?;
                }
                let append = Append::new("events", 0, b.finish());
                producer.append(Transaction { appends: vec![append] }).await?;
            }
            Result::Ok(())
        })
    };

    let mut from = start;
    while from < start + 6 {
        log.wait("events", 0, from).await?;
        let fetched = log.read("events", 0, from, 1 << 20).await?;
        for r in &fetched.records {
            println!("{}: {}", r.offset, String::from_utf8_lossy(r.value.unwrap_or_default()));
        }
        from = fetched.next_offset;
        log.release("events", 0, from).await?;
    }
    if let Ok(result) = writer.await {
        result?;
    }
    Ok(())
}
