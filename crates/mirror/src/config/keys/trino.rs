//! The keys of `[trino]`, all of them our own.

use super::Treatment::Used;
use super::{Key, Section};

const fn key(name: &'static str, default: &'static str, why: &'static str) -> Key {
    Key::new(Section::Trino, name, default, Used, why)
}

pub(super) const KEYS: &[Key] = &[
    key("url", "", "the server's address, as in https://host:8443"),
    key("user", "lakehouse", "the user that queries run as"),
    key("password", "", "sent over https only").secret(),
    key("catalog", "", "the catalog in Trino that reads the mirror's; iceberg.catalog if it is left out"),
    key("ssl.truststore", "", "a PEM file of certificate authorities, instead of the public ones"),
];
