//! Whom a client of HTTP believes: the authorities of its certificates, and how a refusal is told from a lost connection.

use reqwest::{Certificate, Client, ClientBuilder};
use std::path::{Path, PathBuf};

/// Where Linux distributions and others keep the authorities that the whole system trusts, in one file.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whose certificates are believed.
pub(super) enum Authorities {
    /// Those of the system (or of `SSL_CERT_FILE`); on a system that has none, the public ones that are built in.
    System,
    /// Those of a PEM file, or of all files of a folder.
    At(PathBuf),
    /// Those of a text.
    Pem(String),
}

impl Authorities {
    /// A client that believes these alone.
    ///
    /// # Errors
    /// What is wrong with the certificates, in words.
    pub(super) fn connector(&self, builder: impl Fn() -> ClientBuilder) -> Result<Client, String> {
        let believing = |certificates: &[Certificate]| {
            let certificates = certificates.iter().cloned();
            certificates.fold(builder().tls_built_in_root_certs(false), ClientBuilder::add_root_certificate).build()
        };
        let given = match self {
            Self::Pem(pem) => some(parse(pem.as_bytes())?)?,
            Self::At(path) => at(path).map_err(|e| format!("{}: {e}", path.display()))?,
            Self::System => {
                let certificates = of_the_system();
                if certificates.is_empty() {
                    return builder().build().map_err(|e| e.to_string());
                }
                // One that cannot be used is no reason to do without the others.
                let usable = || {
                    certificates.iter().filter(|one| believing(std::slice::from_ref(one)).is_ok()).cloned().collect::<Vec<_>>()
                };
                return believing(&certificates).or_else(|_| believing(&usable())).map_err(|e| e.to_string());
            }
        };
        believing(&given).map_err(|e| std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string))
    }
}

fn of_the_system() -> Vec<Certificate> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let paths = named.into_iter().chain(SYSTEM.into_iter().map(PathBuf::from));
    let mut found = paths.filter_map(|path| std::fs::read(path).ok()).filter_map(|pem| parse(&pem).ok());
    found.find(|certificates| !certificates.is_empty()).unwrap_or_default()
}

fn at(path: &Path) -> Result<Vec<Certificate>, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| e.to_string());
    if !path.is_dir() {
        return some(parse(&read(path)?)?);
    }
    let mut out = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        // There may be keys and lists of revoked ones beside them.
        if path.is_file()
            && let Ok(found) = parse(&read(&path)?)
        {
            out.extend(found);
        }
    }
    some(out)
}

fn parse(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    Certificate::from_pem_bundle(pem).map_err(|_| "it is not PEM".to_owned())
}

fn some(certificates: Vec<Certificate>) -> Result<Vec<Certificate>, String> {
    if certificates.is_empty() { Err("there is no certificate (BEGIN CERTIFICATE)".to_owned()) } else { Ok(certificates) }
}

/// True if there is a server, but not the right one: its certificate does not pass, or it does not speak TLS. With the innermost cause: the
/// errors around it only say that a request failed.
pub(super) fn is_refused(error: &reqwest::Error) -> (bool, String) {
    let (mut refused, mut innermost) = (false, "the connection was lost".to_owned());
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        innermost = cause.to_string();
        // What an I/O error wraps is not its source.
        let io = cause.downcast_ref::<std::io::Error>();
        refused |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::InvalidData);
        next = match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    (refused, innermost)
}
