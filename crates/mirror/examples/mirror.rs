//! Mirrors a database until Ctrl-C, then compares both sides.
//!
//! `cargo run --release -p mirror --example mirror -- mysql://mirror@127.0.0.1:3306/shop` (the password in `MYSQL_PWD`)

use mirror::{DatabaseUrl, Mirror, MirrorConfig, Secret, VerifyOptions, verify};

#[tokio::main]
async fn main() -> mirror::Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "mysql://mirror@127.0.0.1:3306/shop".into());
    let url = DatabaseUrl::parse(&url)?;
    let password = Secret::new(std::env::var("MYSQL_PWD").unwrap_or_default());

    let mut config = MirrorConfig::new(&url.hostname, url.port, &url.user, password, "mirror-data".as_ref());
    config.source.database_include = Some(url.database.clone());

    let mirror = Mirror::start(config.clone()).await?;
    mirror.caught_up().await?;
    for (table, status) in mirror.status().tables {
        println!("{table}: {:?}, {} of {} records applied", status.phase, status.applied, status.log_end);
    }
    tokio::select! {
        ended = mirror.ended() => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    mirror.stop().await?;

    let report = verify(&config, &VerifyOptions::default(), &|_, _| ()).await?;
    println!("{}", if report.equal() { "equal" } else { "different" });
    Ok(())
}
