//! How the failures of a server become errors that say what happened, to what, and what to do next.

use crate::config::MysqlSourceConfig;
use cdc_core::{Error, ErrorKind};
use mysql_async::{DriverError, Error as Driver, IoError};
use std::fmt::Write;

/// The server's error numbers that have a meaning of their own here.
pub(crate) mod code {
    pub(crate) const HOST_NOT_ALLOWED: u16 = 1130;
    pub(crate) const DATABASE_DENIED: u16 = 1044;
    pub(crate) const ACCESS_DENIED: u16 = 1045;
    pub(crate) const UNKNOWN_DATABASE: u16 = 1049;
    pub(crate) const UNKNOWN_COLUMN: u16 = 1054;
    pub(crate) const TABLE_DENIED: u16 = 1142;
    pub(crate) const COLUMN_DENIED: u16 = 1143;
    pub(crate) const NO_SUCH_TABLE: u16 = 1146;
    pub(crate) const PRIVILEGE_MISSING: u16 = 1227;
    pub(crate) const BINLOG_UNREADABLE: u16 = 1236;
}

/// An error in the form of the command line: a headline, then indented lines; hints begin with an arrow.
pub(crate) fn problem(kind: ErrorKind, headline: impl Into<String>, details: &[&str], hints: &[&str]) -> Error {
    let mut message = headline.into();
    for line in details {
        let _ = write!(message, "\n  {line}");
    }
    for hint in hints {
        let _ = write!(message, "\n  → {hint}");
    }
    Error::new(kind, message)
}

/// The grants that a source needs, as one statement.
pub(crate) fn grant_statement(user: &str) -> String {
    format!("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {}", account(user))
}

/// A user as SQL names it, from any host.
pub(crate) fn account(user: &str) -> String {
    format!("'{}'@'%'", user.replace('\\', r"\\").replace('\'', "''"))
}

/// True if trying again on a new connection may help.
pub(crate) fn is_lost_connection(error: &Driver) -> bool {
    match error {
        Driver::Io(IoError::Io(_)) => true,
        Driver::Driver(DriverError::ConnectionClosed | DriverError::PacketOutOfOrder) => true,
        Driver::Server(e) if e.code == code::BINLOG_UNREADABLE => !is_gap(&e.message),
        // Shutdown in progress, killed session, killed query, server gone, too many connections.
        Driver::Server(e) => {
            matches!(e.code, 1040 | 1053 | 1077 | 1079 | 1152 | 1158 | 1159 | 1160 | 1161 | 1184 | 1317 | 1927 | 3169 | 4031)
        }
        _ => false,
    }
}

/// True if the server lacks what it was asked to send. (It uses one error number for that and for a stream that it ends.)
fn is_gap(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["purged", "missing", "could not find", "position", "gtid", "corrupt"].iter().any(|word| message.contains(word))
}

/// The number of a server's own error.
pub(crate) fn server_code(error: &Driver) -> Option<u16> {
    match error {
        Driver::Server(e) => Some(e.code),
        _ => None,
    }
}

/// The number of the server's own error behind one of ours.
pub(crate) fn code_of(error: &Error) -> Option<u16> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref::<Driver>()).and_then(server_code)
}

/// What a driver error means, `doing` something (`reading the schema`) on the server.
pub(crate) fn explain(config: &MysqlSourceConfig, doing: &str, error: Driver) -> Error {
    let address = config.address();
    let user = &config.user;
    let unavailable = ErrorKind::Unavailable;
    let explained = match &error {
        Driver::Server(e) => {
            let said = format!("the server said: {} (error {})", e.message, e.code);
            match e.code {
                code::ACCESS_DENIED => problem(
                    unavailable,
                    format!("cannot log in to {address} as {user:?}"),
                    &[&said],
                    &[
                        match config.password.is_empty() {
                            true => "no password was given: set database.password, and check database.user",
                            false => "check database.user and database.password",
                        },
                        "the user must be allowed from this host: see mysql.user on the server",
                    ],
                ),
                code::HOST_NOT_ALLOWED => problem(
                    unavailable,
                    format!("{address} does not let this host in"),
                    &[&said],
                    &[&format!("make the user for any host: CREATE USER {} ..., then {}", account(user), grant_statement(user))],
                ),
                code::DATABASE_DENIED | code::TABLE_DENIED | code::COLUMN_DENIED | code::PRIVILEGE_MISSING => problem(
                    unavailable,
                    format!("{user:?} on {address} lacks a privilege for {doing}"),
                    &[&said],
                    &[&grant_statement(user)],
                ),
                code::UNKNOWN_DATABASE => problem(
                    unavailable,
                    format!("a database is not on {address}"),
                    &[&said],
                    &["check database.include.list against SHOW DATABASES"],
                ),
                code::BINLOG_UNREADABLE if !is_gap(&e.message) => {
                    problem(unavailable, format!("{address} has ended the stream of its binary log"), &[&said], &[])
                }
                code::BINLOG_UNREADABLE => problem(
                    ErrorKind::Unsafe,
                    format!("cannot read the binary log of {address}"),
                    &[&said],
                    &[
                        "keep binary logs longer: SET PERSIST binlog_expire_logs_seconds = 604800",
                        "go on now: lakehouse resnapshot --only-needed",
                    ],
                ),
                _ => problem(unavailable, format!("{doing} failed on {address}"), &[&said], &[]),
            }
        }
        Driver::Io(IoError::Io(io)) if io.to_string().contains("certificate") => tls_problem(&address, &io.to_string()),
        Driver::Io(IoError::Io(io)) => {
            let text = io.to_string();
            let hint = match io.kind() {
                std::io::ErrorKind::ConnectionRefused => "nothing listens there: is the server up, and are host and port right?",
                _ if text.contains("lookup") || text.contains("resolve") => "the host name is not known: check database.hostname",
                std::io::ErrorKind::TimedOut => "no answer in time: is the host right, does a firewall drop the packets?",
                _ => "the connection was lost: is the server up?",
            };
            let headline = match doing {
                "connecting" => format!("cannot reach {address}"),
                _ => format!("cannot reach {address} for {doing}"),
            };
            problem(unavailable, headline, &[&text], &[hint])
        }
        Driver::Io(IoError::Tls(tls)) => tls_problem(&address, &tls.to_string()),
        Driver::Driver(DriverError::NoClientSslFlagFromServer) => problem(
            unavailable,
            format!("{address} offers no encrypted connections, and database.ssl.mode asks for one"),
            &[],
            &["set up TLS on the server, or use database.ssl.mode = \"preferred\""],
        ),
        Driver::Driver(DriverError::ConnectionClosed) => problem(
            unavailable,
            format!("{address} closed the connection during {doing}"),
            &[],
            &["is the server up? its error log says why"],
        ),
        // MySQL answers so for a user that it does not have.
        Driver::Driver(DriverError::UnknownAuthPlugin { name }) => problem(
            unavailable,
            format!("cannot log in to {address} as {user:?}"),
            &[&format!("the user does not exist, or logs in by {name}, which is not supported")],
            &[
                "check database.user",
                &format!("a user that exists: ALTER USER {} IDENTIFIED WITH caching_sha2_password BY '...'", account(user)),
            ],
        ),
        other => problem(unavailable, format!("{doing} failed on {address}"), &[&other.to_string()], &[]),
    };
    match error {
        // The driver's wrappings only say "Input/output error" again.
        Driver::Io(IoError::Io(io)) => explained.with_source(io),
        other => explained.with_source(other),
    }
}

fn tls_problem(address: &str, said: &str) -> Error {
    problem(
        ErrorKind::Unavailable,
        format!("cannot make an encrypted connection to {address}"),
        &[said],
        &[
            "database.ssl.mode = \"required\" encrypts without looking at the certificate",
            "for verify_ca and verify_identity name the authority's PEM file in database.ssl.truststore",
        ],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_stream_that_ends_is_told_from_a_log_with_a_gap() {
        assert!(is_gap("Cannot replicate because the source purged required binary logs."));
        assert!(is_gap("Could not find first log file name in binary log index file"));
        assert!(!is_gap("A replica with the same server_uuid/server_id as this replica has connected to the source"));
    }

    fn config() -> MysqlSourceConfig {
        MysqlSourceConfig::builder("db").user("o'me").build().unwrap()
    }

    #[test]
    fn a_user_that_is_not_there_is_told_from_a_server_that_is_not() {
        let error = Driver::Driver(DriverError::UnknownAuthPlugin { name: "sha256_password".to_owned() });
        let said = explain(&config(), "connecting", error).to_string();
        let start = "cannot log in to db:3306 as \"o'me\"\n  the user does not exist, or logs in by sha256_password, which is not supported\n  → check database.user\n";
        assert!(said.starts_with(start) && said.contains("ALTER USER 'o''me'@'%' "), "{said}");
        let denied = mysql_async::ServerError {
            code: code::ACCESS_DENIED,
            message: "Access denied".to_owned(),
            state: "28000".to_owned(),
        };
        let said = explain(&config(), "connecting", Driver::Server(denied)).to_string();
        assert!(said.contains("\n  → no password was given: set database.password"), "{said}");
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_told_without_saying_it_twice() {
        let refused = || Driver::Io(IoError::Io(std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused")));
        let e = explain(&config(), "connecting", refused());
        assert!(e.to_string().starts_with("cannot reach db:3306\n  refused\n  → nothing listens there"), "{e}");
        assert_eq!(std::error::Error::source(&e).unwrap().to_string(), "refused");
        let e = explain(&config(), "reading rows", refused());
        assert!(e.to_string().starts_with("cannot reach db:3306 for reading rows\n"), "{e}");
    }

    #[test]
    fn the_key_that_a_certificate_needs_is_one_that_there_is() {
        let e = explain(&config(), "connecting", Driver::Io(IoError::Io(std::io::Error::other("invalid certificate"))));
        assert!(e.to_string().contains("in database.ssl.truststore"), "{e}");
    }

    #[test]
    fn details_and_ways_follow_the_headline() {
        let e = problem(ErrorKind::Unsafe, "cannot read", &["it is gone"], &["read again"]);
        assert_eq!(e.to_string(), "cannot read\n  it is gone\n  → read again");
    }
}
