//! Makes changes at a steady rate, for `dev/bench/run fresh` and `load`: one connection, in turn an UPDATE and an INSERT of one row of
//! `bench.orders`, each its own transaction.
//!
//! paced-writer PORT RATE SECONDS ROWS FILE
//!
//! SECONDS may be 0: then it ends when its standard input does.
//!
//! Updates take turns on the keys 1 to ROWS, inserted rows have keys from 1,000,000,000 on. Writes one line for each transaction into FILE: when it was
//! due, when it was sent and when its COMMIT had returned, seconds since the Unix epoch. A transaction that waits makes those
//! behind it late; their users would have waited as well, so who asks for delays counts from when a transaction was due.

use harness::Result;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Inserted rows have keys from here on.
const NEW_KEYS: u64 = 1_000_000_000;
/// The timer is not more exact than this.
const SHORT: Duration = Duration::from_millis(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            std::process::ExitCode::from(3)
        }
    }
}

async fn run(arguments: &[String]) -> Result<()> {
    let [port, rate, seconds, rows, file] = arguments else {
        return Err("usage: paced-writer PORT RATE SECONDS ROWS FILE".into());
    };
    let (rate, seconds, rows): (u64, u64, u64) = (rate.parse()?, seconds.parse()?, rows.parse()?);
    if rate == 0 || rows == 0 {
        return Err("RATE and ROWS are at least 1".into());
    }
    let options =
        OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port.parse()?).user(Some("admin")).pass(Some("admin"));
    let mut connection = Conn::new(options).await?;
    let update = connection.prep("UPDATE bench.orders SET qty = ? WHERE id = ?").await?;
    let insert = connection
        .prep("INSERT INTO bench.orders (id, customer_id, status, amount, qty, email, is_paid, created_at) VALUES (?, 1, 'new', 9.90, ?, 'new@example.com', 0, NOW(6))")
        .await?;
    let (epoch, began) = (SystemTime::now().duration_since(UNIX_EPOCH)?, Instant::now());
    let at = |instant: Instant| (epoch + (instant - began)).as_secs_f64();
    let (mut lines, ended) = (String::new(), Arc::new(AtomicBool::new(false)));
    if seconds == 0 {
        let ended = Arc::clone(&ended);
        std::thread::spawn(move || {
            // Whatever comes, an error too, is the end.
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
            ended.store(true, Ordering::Relaxed);
        });
    }
    let last = if seconds == 0 { u64::MAX } else { rate * seconds };
    for number in 1..=last {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let due = began + Duration::from_micros(number.saturating_mul(1_000_000) / rate);
        if let Some(early) = due.checked_duration_since(Instant::now()).filter(|early| *early > SHORT) {
            tokio::time::sleep(early).await;
        }
        let sent = Instant::now();
        // Never the value that is there: an UPDATE that changes nothing is not in the binary log.
        if number % 2 == 0 {
            connection.exec_drop(&insert, (NEW_KEYS + number, number)).await?;
        } else {
            connection.exec_drop(&update, (number + 1_000, 1 + number / 2 % rows)).await?;
        }
        writeln!(lines, "{:.6} {:.6} {:.6}", at(due.min(sent)), at(sent), at(Instant::now()))?;
    }
    connection.disconnect().await?;
    std::fs::write(file, lines)?;
    Ok(())
}
