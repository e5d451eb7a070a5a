use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, ServerKind, text};
use crate::error::{account, grant_statement};
use crate::preflight_tables;
use cdc_core::Result;

/// One requirement, what was found, and what to do if it is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckResult {
    /// What is required.
    pub name: String,
    /// It is met. A warning is met, and says in `fix` what to think of.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// The statement or setting that helps; `None` if nothing is to be done.
    pub fix: Option<String>,
}

impl CheckResult {
    pub(crate) fn new(name: &str, ok: bool, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok, found: found.into(), fix: (!ok).then(|| fix.into()) }
    }

    pub(crate) fn warning(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: true, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Looks at everything that a source needs of its server. Changes nothing.
///
/// # Errors
/// [`Unavailable`](cdc_core::ErrorKind::Unavailable) if the server cannot be reached or lets the user not in: then there is
/// nothing to look at. What is merely set wrongly is a result that is not ok.
pub async fn preflight(config: &MysqlSourceConfig) -> Result<Vec<CheckResult>> {
    let mut conn = Connection::open(config).await?;
    let mut results = vec![CheckResult::new("server", true, format!("{} at {}", conn.server, config.address()), "")];
    log_settings(&mut conn, &mut results).await?;
    grants(&mut conn, config, &mut results).await?;
    expiry(&mut conn, &mut results).await?;
    row_metadata(&mut conn, &mut results).await?;
    preflight_tables::look(&mut conn, config, &mut results).await?;
    Ok(results)
}

/// The requirements without which a source must not start.
pub(crate) async fn require(conn: &mut Connection, config: &MysqlSourceConfig) -> Result<()> {
    let mut results = Vec::new();
    log_settings(conn, &mut results).await?;
    grants(conn, config, &mut results).await?;
    let failed: Vec<&CheckResult> = results.iter().filter(|r| !r.ok).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let details: Vec<String> = failed.iter().map(|r| format!("{}: {}", r.name, r.found)).collect();
    let fixes: Vec<&str> = failed.iter().filter_map(|r| r.fix.as_deref()).collect();
    Err(crate::error::problem(
        cdc_core::ErrorKind::Unavailable,
        format!("{} is not set up for change capture", config.address()),
        &details.iter().map(String::as_str).collect::<Vec<_>>(),
        &fixes,
    ))
}

async fn log_settings(conn: &mut Connection, results: &mut Vec<CheckResult>) -> Result<()> {
    let mysql = conn.server.kind == ServerKind::Mysql;
    let persist = if mysql { "SET PERSIST" } else { "SET GLOBAL" };
    let is = |value: &Option<String>, wanted: &str| value.as_deref().is_some_and(|v| v.eq_ignore_ascii_case(wanted));
    let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());

    let value = conn.variable("log_bin").await?;
    results.push(CheckResult::new(
        "binary log",
        is(&value, "ON"),
        format!("log_bin = {}", show(&value)),
        "add log_bin = mysql-bin below [mysqld] in the server's configuration and restart it",
    ));
    let value = conn.variable("binlog_format").await?;
    // Servers that have dropped the variable log rows only.
    let ok = is(&value, "ROW") || (mysql && value.is_none());
    results.push(CheckResult::new(
        "row format",
        ok,
        format!("binlog_format = {}", show(&value)),
        format!("{persist} binlog_format = 'ROW' (sessions that are open keep their old format)"),
    ));
    let value = conn.variable("binlog_row_image").await?;
    results.push(whole_rows(value, persist));
    let value = conn.variable("server_id").await?;
    results.push(CheckResult::new(
        "server id",
        value.as_deref().is_some_and(|v| v != "0"),
        format!("server_id = {}", show(&value)),
        format!("{persist} server_id = 1"),
    ));
    if mysql {
        let value = conn.variable("gtid_mode").await?;
        results.push(CheckResult::new(
            "GTIDs",
            is(&value, "ON"),
            format!("gtid_mode = {}", show(&value)),
            "set gtid_mode = ON and enforce_gtid_consistency = ON (step by step online: the manual's \"Enabling GTID Transactions Online\")",
        ));
        let value = conn.variable("binlog_row_value_options").await?;
        results.push(CheckResult::new(
            "whole JSON values",
            value.as_deref().unwrap_or_default().is_empty(),
            format!("binlog_row_value_options = {:?}", value.unwrap_or_default()),
            "SET PERSIST binlog_row_value_options = ''",
        ));
        let value = conn.variable("binlog_transaction_compression").await?;
        results.push(CheckResult::new(
            "uncompressed transactions",
            !is(&value, "ON"),
            format!("binlog_transaction_compression = {}", show(&value)),
            "SET PERSIST binlog_transaction_compression = OFF",
        ));
    } else {
        let value = conn.variable("log_bin_compress").await?;
        results.push(CheckResult::new(
            "uncompressed events",
            !is(&value, "ON"),
            format!("log_bin_compress = {}", show(&value)),
            "SET GLOBAL log_bin_compress = OFF",
        ));
    }
    Ok(())
}

/// FULL_NODUP of MariaDB 11 leaves what did not change out of the new image: it is refused, too.
fn whole_rows(row_image: Option<String>, persist: &str) -> CheckResult {
    CheckResult::new(
        "whole rows",
        row_image.as_deref().is_some_and(|v| v.eq_ignore_ascii_case("FULL")),
        format!("binlog_row_image = {}", row_image.as_deref().unwrap_or("not there")),
        format!("{persist} binlog_row_image = 'FULL' (sessions that are open keep their old one)"),
    )
}

async fn grants(conn: &mut Connection, config: &MysqlSourceConfig, results: &mut Vec<CheckResult>) -> Result<()> {
    let rows = conn.rows("reading grants", "SHOW GRANTS").await?;
    let lines: Vec<String> = rows.iter().filter_map(|r| text(r, 0)).collect();
    let held = Grants::parse(&lines);
    // MariaDB's own words for the two: REPLICATION REPLICA, BINLOG MONITOR.
    for (name, words) in [
        ("REPLICATION SLAVE", &["REPLICATION SLAVE", "REPLICATION REPLICA"][..]),
        ("REPLICATION CLIENT", &["REPLICATION CLIENT", "BINLOG MONITOR"]),
    ] {
        let ok = held.globally(words);
        let found = if ok { "granted" } else { "not granted" };
        results.push(CheckResult::new(
            &format!("privilege {name}"),
            ok,
            format!("{found} to {}", config.user),
            format!("GRANT {name} ON *.* TO {}", account(&config.user)),
        ));
    }
    let ok = held.globally(&["SELECT"]) || held.somewhere("SELECT");
    results.push(CheckResult::new(
        "privilege SELECT",
        ok,
        format!("{} to {}", if ok { "granted" } else { "not granted" }, config.user),
        grant_statement(&config.user),
    ));
    Ok(())
}

/// What SHOW GRANTS says: privileges, and whether on everything.
struct Grants(Vec<(Vec<String>, bool)>);

impl Grants {
    fn parse(lines: &[String]) -> Self {
        let parsed = lines.iter().filter_map(|line| {
            let rest = line.strip_prefix("GRANT ")?;
            let (privileges, target) = rest.split_once(" ON ")?;
            let privileges = privileges.split(',').map(|p| p.trim().to_ascii_uppercase()).collect();
            Some((privileges, target.starts_with("*.*")))
        });
        Self(parsed.collect())
    }

    fn globally(&self, words: &[&str]) -> bool {
        self.0.iter().any(|(held, everywhere)| {
            *everywhere && held.iter().any(|p| p.starts_with("ALL PRIVILEGES") || words.contains(&p.as_str()))
        })
    }

    fn somewhere(&self, word: &str) -> bool {
        self.0.iter().any(|(held, _)| held.iter().any(|p| p.starts_with("ALL PRIVILEGES") || p.starts_with(word)))
    }
}

async fn expiry(conn: &mut Connection, results: &mut Vec<CheckResult>) -> Result<()> {
    const A_DAY: u64 = 86_400;
    let value = conn.variable("binlog_expire_logs_seconds").await?;
    let seconds = value.and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
    let found = match seconds {
        0 => "binary logs are kept until they are purged by hand".to_owned(),
        s => format!("binary logs are kept {:.1} days", s as f64 / A_DAY as f64),
    };
    results.push(match seconds {
        1..A_DAY => CheckResult::warning(
            "log retention",
            found,
            "SET GLOBAL binlog_expire_logs_seconds = 604800 (a mirror that is down longer must read its tables again)",
        ),
        _ => CheckResult::new("log retention", true, found, ""),
    });
    Ok(())
}

/// With names and types beside each row event, a change of columns that was not understood is noticed at the next one.
async fn row_metadata(conn: &mut Connection, results: &mut Vec<CheckResult>) -> Result<()> {
    const NAME: &str = "row metadata";
    // Servers before MySQL 8.0 and MariaDB 10.5 log types alone.
    let Some(value) = conn.variable("binlog_row_metadata").await? else {
        results.push(CheckResult::new(NAME, true, "this server logs no names of columns with their rows", ""));
        return Ok(());
    };
    let persist = if conn.server.kind == ServerKind::Mysql { "SET PERSIST" } else { "SET GLOBAL" };
    let found = format!("binlog_row_metadata = {value}");
    results.push(match value.eq_ignore_ascii_case("FULL") {
        true => CheckResult::new(NAME, true, found, ""),
        false => CheckResult::warning(
            NAME,
            format!(
                "{found}: rows are logged without column names, character sets and ENUM values, so that these cannot be checked against the columns that the mirror knows"
            ),
            format!("{persist} binlog_row_metadata = 'FULL' (a few bytes for each event)"),
        ),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::parse(&lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_grants_of_both_families_are_understood() {
        let mysql = grants(&["GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `mirror`@`%`"]);
        assert!(mysql.globally(&["REPLICATION SLAVE"]) && mysql.globally(&["SELECT"]));
        let mariadb =
            grants(&["GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `mirror`@`%` IDENTIFIED BY PASSWORD '*1'"]);
        assert!(mariadb.globally(&["REPLICATION CLIENT", "BINLOG MONITOR"]));
        assert!(
            grants(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]).globally(&["REPLICATION SLAVE"])
        );
    }

    #[test]
    fn every_row_image_but_the_full_one_is_refused_by_its_name() {
        let check = |value: &str| whole_rows(Some(value.to_owned()), "SET GLOBAL");
        assert!(check("FULL").ok && check("full").ok);
        for value in ["FULL_NODUP", "NOBLOB", "MINIMAL"] {
            let result = check(value);
            assert!(!result.ok && result.found.ends_with(value), "{result:?}");
            assert!(result.fix.is_some_and(|fix| fix.starts_with("SET GLOBAL binlog_row_image = 'FULL'")));
        }
    }

    #[test]
    fn a_grant_on_one_database_lets_read_but_not_replicate() {
        let g = grants(&["GRANT USAGE ON *.* TO `u`@`%`", "GRANT SELECT, REPLICATION SLAVE ON `shop`.* TO `u`@`%`"]);
        assert!(g.somewhere("SELECT") && !g.globally(&["REPLICATION SLAVE"]));
    }
}
