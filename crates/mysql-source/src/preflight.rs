use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, ServerKind, quoted, text};
use crate::discover::{DiscoveredTable, list_tables};
use crate::error::grant_statement;
use cdc_core::{Result, TableId};

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
    fn new(name: &str, ok: bool, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok, found: found.into(), fix: (!ok).then(|| fix.into()) }
    }

    fn warning(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
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
    let mut results = vec![CheckResult::new("server", true, format!("{} at {}", conn.server.version, config.address()), "")];
    log_settings(&mut conn, &mut results).await?;
    grants(&mut conn, config, &mut results).await?;
    expiry(&mut conn, &mut results).await?;
    let tables = list_tables(&mut conn, config).await?;
    captured_tables(&tables, config, &mut results);
    if conn.server.kind == ServerKind::Mariadb {
        cascades(&mut conn, &tables, &mut results).await?;
    }
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
    results.push(CheckResult::new(
        "whole rows",
        is(&value, "FULL") || is(&value, "FULL_NODUP"),
        format!("binlog_row_image = {}", show(&value)),
        format!("{persist} binlog_row_image = 'FULL'"),
    ));
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
            format!("GRANT {name} ON *.* TO '{}'@'%'", config.user.replace('\'', "''")),
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

fn captured_tables(tables: &[DiscoveredTable], config: &MysqlSourceConfig, results: &mut Vec<CheckResult>) {
    results.push(CheckResult::new(
        "captured tables",
        !tables.is_empty(),
        format!("{} on the server match the include and exclude lists", tables.len()),
        format!(
            "check database.include.list and table.include.list, and SHOW GRANTS: {} sees only what it may read",
            config.user
        ),
    ));
    for table in tables.iter().filter(|t| t.key.is_empty()) {
        results.push(CheckResult::warning(
            &format!("key of {}", table.table),
            "no primary key and no unique key without NULLs: inserts are followed, an update or delete stops the table",
            format!("ALTER TABLE {} ADD PRIMARY KEY (...)", table.table),
        ));
    }
}

/// MariaDB's storage engine runs ON DELETE CASCADE below the binary log: the rows that go are not in it.
async fn cascades(conn: &mut Connection, tables: &[DiscoveredTable], results: &mut Vec<CheckResult>) -> Result<()> {
    for table in tables {
        // One that is gone meanwhile has no keys to warn of.
        for key in unlogged_keys(conn, &table.table).await.unwrap_or_default() {
            results.push(CheckResult::warning(
                &format!("foreign key {} of {}", key.name, table.table),
                format!("{}: MariaDB does not log the rows that it changes by it", key.rules),
                "make the application delete and update these rows itself, or verify the table after such deletes",
            ));
        }
    }
    Ok(())
}

/// A foreign key by which rows of its table change when others do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CascadingKey {
    name: String,
    rules: String,
}

/// The foreign keys by which MariaDB changes rows of the table without logging them.
///
/// From the table's own statement: the information schema has no foreign keys for a user who may only read.
pub(crate) async fn unlogged_keys(conn: &mut Connection, table: &TableId) -> Result<Vec<CascadingKey>> {
    let sql = format!("SHOW CREATE TABLE {}.{}", quoted(&table.database), quoted(&table.table));
    let rows = conn.rows("looking for foreign keys", &sql).await?;
    Ok(cascading_keys(&rows.first().and_then(|r| text(r, 1)).unwrap_or_default()))
}

/// The server prints a constraint on a line of its own, its rules behind the last parenthesis.
fn cascading_keys(create_table: &str) -> Vec<CascadingKey> {
    let keys = create_table.lines().filter_map(|line| {
        let constraint = line.trim_start().strip_prefix("CONSTRAINT `")?;
        let (name, definition) = constraint.split_once("` FOREIGN KEY (")?;
        let rules = definition.rsplit(')').next().unwrap_or_default().trim().trim_end_matches(',');
        let changes = [" CASCADE", " SET NULL", " SET DEFAULT"].iter().any(|rule| rules.contains(rule));
        changes.then(|| CascadingKey { name: name.to_owned(), rules: rules.to_owned() })
    });
    keys.collect()
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
    fn foreign_keys_that_change_rows_are_told_from_those_that_only_forbid() {
        let statement = "CREATE TABLE `c` (\n  `a` int COMMENT 'CONSTRAINT `x` FOREIGN KEY (a) ON DELETE CASCADE',\n  \
            CONSTRAINT `one` FOREIGN KEY (`a`) REFERENCES `p` (`i)d`) ON DELETE CASCADE ON UPDATE NO ACTION,\n  \
            CONSTRAINT `two` FOREIGN KEY (`b`) REFERENCES `p` (`id`) ON UPDATE SET NULL,\n  \
            CONSTRAINT `three` FOREIGN KEY (`c`) REFERENCES `p` (`id`)\n) ENGINE=InnoDB";
        let key = |name: &str, rules: &str| CascadingKey { name: name.to_owned(), rules: rules.to_owned() };
        assert_eq!(
            cascading_keys(statement),
            [key("one", "ON DELETE CASCADE ON UPDATE NO ACTION"), key("two", "ON UPDATE SET NULL")]
        );
    }

    #[test]
    fn a_grant_on_one_database_lets_read_but_not_replicate() {
        let g = grants(&["GRANT USAGE ON *.* TO `u`@`%`", "GRANT SELECT, REPLICATION SLAVE ON `shop`.* TO `u`@`%`"]);
        assert!(g.somewhere("SELECT") && !g.globally(&["REPLICATION SLAVE"]));
    }
}
