//! `${env:NAME}` and the like in values, as Kafka Connect's configuration providers understand them.

use super::properties;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Where a reference is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Provider {
    /// `EnvVarConfigProvider`.
    Environment,
    /// `FileConfigProvider`: a key of a `.properties` file, and our own: a whole file.
    File,
    /// `DirectoryConfigProvider`: a file of a directory.
    Directory,
    /// One that is not read from here.
    Elsewhere(&'static str),
}

const KUBERNETES: &str = "Kubernetes is not asked: mount the secret as files, or hand it on as environment variables";

/// The names before the first colon of references.
#[derive(Debug, Clone)]
pub(super) struct Providers {
    declared: BTreeMap<String, Provider>,
}

impl Providers {
    /// Those that everybody calls the same.
    pub(super) fn new() -> Self {
        Self { declared: BTreeMap::new() }
    }

    /// One that a worker's file declares: `config.providers.<name>.class`.
    pub(super) fn declare(&mut self, name: &str, class: &str) {
        let provider = match class.rsplit('.').next().unwrap_or_default() {
            "EnvVarConfigProvider" => Provider::Environment,
            "FileConfigProvider" => Provider::File,
            "DirectoryConfigProvider" => Provider::Directory,
            "KubernetesSecretConfigProvider" | "KubernetesConfigMapConfigProvider" => Provider::Elsewhere(KUBERNETES),
            _ => Provider::Elsewhere("its provider is a Java class that is not known here"),
        };
        self.declared.insert(name.to_owned(), provider);
    }

    fn find(&self, name: &str) -> Option<Provider> {
        if let Some(declared) = self.declared.get(name) {
            return Some(declared.clone());
        }
        Some(match name {
            "env" | "strimzienv" => Provider::Environment,
            "file" | "strimzifile" => Provider::File,
            "dir" | "directory" | "strimzidir" => Provider::Directory,
            "secrets" | "strimzisecrets" | "configmaps" => Provider::Elsewhere(KUBERNETES),
            "vault" | "secretsmanager" | "gcp" | "azure" => {
                Provider::Elsewhere("secret stores are not asked: hand the secret on as a file or an environment variable")
            }
            _ => return None,
        })
    }

    /// Replaces `${env:NAME}`, `${file:PATH}`, `${file:PATH:KEY}` and `${directory:PATH:NAME}` in a setting's value.
    ///
    /// Paths are relative to `base`. A file's text is taken without its final line break.
    ///
    /// # Errors
    /// What cannot be resolved: the error names the setting, never its value.
    pub(super) fn resolve(&self, key: &str, value: &str, base: &Path) -> Result<String> {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        while let Some((before, inner)) = rest.split_once("${") {
            out.push_str(before);
            let (reference, behind) = inner.split_once('}').ok_or_else(|| {
                Error::configuration(format!("{key} has a ${{ without its }}\n  → write ${{env:NAME}} or ${{file:PATH}}"))
            })?;
            out.push_str(&self.look_up(key, reference, base)?);
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn look_up(&self, key: &str, reference: &str, base: &Path) -> Result<String> {
        let found = reference.split_once(':').and_then(|(name, place)| Some((self.find(name)?, place)));
        match found {
            Some((Provider::Environment, place)) => {
                // Connect has an empty path before the name, if any.
                let name = place.strip_prefix(':').unwrap_or(place);
                std::env::var(name).map_err(|_| {
                    Error::configuration(format!(
                        "{key} names the environment variable {name}, which is not set\n  → export {name}=..., or name a file: ${{file:PATH}}"
                    ))
                })
            }
            Some((Provider::File, place)) => from_file(key, place, base),
            Some((Provider::Directory, place)) => match place.rsplit_once(':') {
                Some((directory, name)) => from_file(key, &format!("{directory}/{name}"), base),
                None => Err(Error::configuration(format!(
                    "{key} names a directory, but no file in it\n  → write ${{directory:PATH:NAME}}"
                ))),
            },
            Some((Provider::Elsewhere(why), _)) => Err(Error::configuration(format!(
                "{key} has ${{{reference}}}, which cannot be looked up: {why}\n  → write ${{env:NAME}} or ${{file:PATH}} in its place, or --set {key}='${{env:NAME}}'"
            ))),
            None => Err(Error::configuration(format!(
                "{key} has ${{{reference}}}, which is not understood\n  → write ${{env:NAME}} or ${{file:PATH}}"
            ))),
        }
    }
}

fn from_file(key: &str, reference: &str, base: &Path) -> Result<String> {
    let read = |path: &str| std::fs::read_to_string(base.join(path));
    let (text, wanted) = match (read(reference), reference.rsplit_once(':')) {
        (Ok(text), _) => (text, None),
        (Err(_), Some((path, wanted))) => (read(path).map_err(|e| unreadable(key, path, e))?, Some(wanted)),
        (Err(e), None) => return Err(unreadable(key, reference, e)),
    };
    let Some(wanted) = wanted else { return Ok(text.trim_end_matches(['\r', '\n']).to_owned()) };
    let all = properties::parse(&text)
        .map_err(|e| Error::configuration(format!("{key} names a properties file with {} on line {}", e.what, e.line)))?;
    // Of a key that is there twice the last counts, as for Java.
    all.into_iter()
        .rev()
        .find(|p| p.key == wanted)
        .map(|p| p.value.trim_end().to_owned())
        .ok_or_else(|| Error::configuration(format!("{key} names the key {wanted} of a file that has no such key")))
}

fn unreadable(key: &str, path: &str, e: std::io::Error) -> Error {
    Error::configuration(format!(
        "{key} names the file {path}, which cannot be read: {e}\n  → paths are relative to the configuration file"
    ))
    .with_source(e)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn resolve(value: &str, base: &Path) -> Result<String> {
        Providers::new().resolve("k", value, base)
    }

    fn refused(value: &str) -> String {
        resolve(value, Path::new(".")).unwrap_err().to_string()
    }

    #[test]
    fn a_secret_comes_from_a_file_beside_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "s3cret\n").unwrap();
        std::fs::write(dir.path().join("all.properties"), "user=me\npw : hid\\u0064en \nuser=you").unwrap();
        for (value, expected) in [
            ("${file:pw}", "s3cret"),
            ("a-${file:all.properties:pw}-b", "a-hidden-b"),
            ("${strimzifile:all.properties:user}", "you"),
            ("${directory:.:pw}", "s3cret"),
            ("no $ {reference}", "no $ {reference}"),
        ] {
            assert_eq!(resolve(value, dir.path()).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn an_environment_variable_is_named_as_here_or_as_in_connect() {
        let expected = std::env::var("CARGO_PKG_NAME").unwrap();
        for value in ["${env:CARGO_PKG_NAME}", "${env::CARGO_PKG_NAME}", "${strimzienv:CARGO_PKG_NAME}"] {
            assert_eq!(resolve(value, Path::new(".")).unwrap(), expected, "{value}");
        }
    }

    #[test]
    fn a_provider_has_the_name_that_a_workers_file_gives_it() {
        let mut providers = Providers::new();
        providers.declare("mine", "org.apache.kafka.common.config.provider.EnvVarConfigProvider");
        providers.declare("env", "com.example.Vault");
        assert!(providers.resolve("k", "${mine:CARGO_PKG_NAME}", Path::new(".")).is_ok());
        let said = providers.resolve("k", "${env:X}", Path::new(".")).unwrap_err().to_string();
        assert!(said.contains("its provider is a Java class that is not known here"), "{said}");
    }

    #[test]
    fn what_cannot_be_resolved_names_the_setting() {
        let unset = "k names the environment variable NO_SUCH_VARIABLE_HERE, which is not set";
        assert!(refused("${env:NO_SUCH_VARIABLE_HERE}").starts_with(unset));
        assert!(refused("${secrets:ns/name:key}").starts_with("k has ${secrets:ns/name:key}, which cannot be looked up: Kub"));
        assert!(refused("${unheard:x}").contains("is not understood"));
        assert!(refused("${env:X").contains("without its }"));
        assert!(refused("${directory:x}").contains("no file in it"));
        assert!(refused("${file:nowhere}").contains("cannot be read"));
    }
}
