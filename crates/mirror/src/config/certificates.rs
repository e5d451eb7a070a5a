//! Files of certificates and keys, which must be PEM: Java's keystores are told apart and refused with what converts them.

use crate::error::{Error, Result};
use cdc_core::shell_word;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// Authorities to trust.
    Trust,
    /// A key with its certificates.
    #[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "Kafka's clients alone have keys of their own"))]
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pem,
    Jks,
    Pkcs12,
}

/// The path of a PEM file that `key` names; `declared` is the type that a setting gives it, if any.
///
/// A file that cannot be read here is left to whoever uses it, unless its declared type is refused.
///
/// # Errors
/// A keystore of Java, with the command that converts it.
pub(super) fn pem_file(key: &str, path: PathBuf, declared: Option<&str>, store: Store) -> Result<PathBuf> {
    let declared = match declared.map(str::to_ascii_uppercase).as_deref() {
        None | Some("") => None,
        Some("PEM") => Some(Kind::Pem),
        Some("PKCS12" | "P12") => Some(Kind::Pkcs12),
        Some("JKS") => Some(Kind::Jks),
        Some(other) => {
            return Err(Error::configuration(format!(
                "{key} is a store of the type {other}\n  → make it PEM, with the type \"PEM\""
            )));
        }
    };
    // What the file is counts more than what it is called: Java opens a PKCS12 as JKS and the other way round.
    match look_at(&path).or(declared) {
        None | Some(Kind::Pem) => Ok(path),
        Some(kind) => {
            let what = if kind == Kind::Jks { "a Java keystore (JKS)" } else { "a PKCS12 store" };
            Err(Error::configuration(format!(
                "{key} names {}, {what}; certificates and keys are read as PEM\n  → convert it: {}\n  → then name the new file, with the type \"PEM\"",
                path.display(),
                conversion(kind, store, &path)
            )))
        }
    }
}

fn look_at(path: &Path) -> Option<Kind> {
    let mut head = Vec::new();
    std::fs::File::open(path).ok()?.take(4096).read_to_end(&mut head).ok()?;
    match head.as_slice() {
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Some(Kind::Jks),
        // A sequence of ASN.1 with the version 3 at its head (RFC 7292).
        [0x30, 0x82, _, _, 0x02, 0x01, 0x03, ..] | [0x30, 0x80, 0x02, 0x01, 0x03, ..] => Some(Kind::Pkcs12),
        text if text.windows(10).any(|w| w == b"-----BEGIN") => Some(Kind::Pem),
        _ => None,
    }
}

fn conversion(kind: Kind, store: Store, path: &Path) -> String {
    let from = path.display().to_string();
    let to = |extension: &str| shell_word(&path.with_extension(extension).display().to_string());
    let from = shell_word(&from);
    match (kind, store) {
        (Kind::Jks, Store::Trust) => format!("keytool -list -rfc -keystore {from} > {}", to("pem")),
        (Kind::Jks, Store::Key) => format!(
            "keytool -importkeystore -srckeystore {from} -destkeystore {} -deststoretype PKCS12 && openssl pkcs12 -in {} -nodes -out {}",
            to("p12"),
            to("p12"),
            to("pem")
        ),
        (_, Store::Trust) => format!("openssl pkcs12 -in {from} -nokeys -out {}", to("pem")),
        (_, Store::Key) => format!("openssl pkcs12 -in {from} -nodes -out {}", to("pem")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn look(bytes: &[u8], name: &str, declared: Option<&str>, store: Store) -> Result<PathBuf, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let found = pem_file("ssl.truststore.location", path, declared, store).map_err(|e| e.to_string());
        found.map(|path| path.file_name().unwrap().into()).map_err(|e| e.replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn a_store_is_what_its_bytes_say() {
        let pem = b"Bag Attributes\n-----BEGIN CERTIFICATE-----\n";
        assert_eq!(look(pem, "ca", None, Store::Trust), Ok("ca".into()));
        assert_eq!(look(pem, "ca", Some("pem"), Store::Trust), Ok("ca".into()));
        assert_eq!(look(pem, "ca", Some("JKS"), Store::Trust), Ok("ca".into()));
        let jks = look(b"\xfe\xed\xfe\xed\0\0\0\x02", "trust.jks", Some("PEM"), Store::Trust).unwrap_err();
        assert_eq!(
            jks,
            "ssl.truststore.location names trust.jks, a Java keystore (JKS); certificates and keys are read as PEM\n  → convert it: keytool -list -rfc -keystore trust.jks > trust.pem\n  → then name the new file, with the type \"PEM\""
        );
        let p12 = look(b"\x30\x82\x09\x6c\x02\x01\x03", "a b.p12", None, Store::Key).unwrap_err();
        assert!(p12.contains("openssl pkcs12 -in 'a b.p12' -nodes -out 'a b.pem'"), "{p12}");
    }

    #[test]
    fn a_file_that_is_not_there_is_what_its_type_says() {
        let find = |declared| pem_file("k", "/nowhere/x.jks".into(), declared, Store::Key);
        assert!(find(Some("PEM")).is_ok() && find(None).is_ok());
        assert!(find(Some("jks")).unwrap_err().to_string().contains("keytool -importkeystore -srckeystore /nowhere/x.jks"));
        assert!(find(Some("PKCS12")).unwrap_err().to_string().contains("openssl pkcs12 -in /nowhere/x.jks -nodes"));
        assert!(find(Some("BKS")).unwrap_err().to_string().contains("a store of the type BKS"));
    }
}
