//! Runs a statement and prints its rows, tab by tab:
//!
//!     cargo run --example query -- http://127.0.0.1:8080 "SELECT name, regionkey FROM tpch.tiny.nation LIMIT 3"
//!
//! The user is `TRINO_USER`, the password `TRINO_PASSWORD`, and the file with your own authority's certificate `TRINO_CA`.

use std::env::{args, var};
use std::io::{self, Write};
use std::process::ExitCode;
use trino_client::{Client, Value};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (Some(url), Some(sql)) = (args().nth(1), args().nth(2)) else {
        return Err("usage: query URL STATEMENT".into());
    };
    let mut client = Client::builder(url).user(var("TRINO_USER").unwrap_or_else(|_| "example".to_owned()));
    if let Ok(password) = var("TRINO_PASSWORD") {
        client = client.password(password);
    }
    if let Ok(file) = var("TRINO_CA") {
        client = client.root_certificates(file);
    }
    let mut query = client.build()?.query(sql).await?;

    let columns: Vec<String> = query.columns().iter().map(|c| format!("{} {}", c.name(), c.r#type())).collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{}", columns.join("\t"))?;
    // Page by page: however many rows there are, two pages are held.
    while let Some(page) = query.next_page().await? {
        for row in page.rows() {
            let values: Vec<String> = row.values().map(|value: Value<'_>| value.to_string()).collect();
            writeln!(out, "{}", values.join("\t"))?;
        }
    }
    let done = query.finish().await?;
    let kind = done.update_type.unwrap_or_else(|| "SELECT".to_owned());
    eprintln!("query {}: {kind}, {} rows changed", done.query_id, done.update_count.unwrap_or(0));
    Ok(())
}
