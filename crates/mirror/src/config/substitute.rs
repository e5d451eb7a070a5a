use crate::error::{Error, Result};
use std::path::Path;

/// Replaces `${env:NAME}` and `${file:PATH}` (or `${file:PATH:KEY}` for one key of a properties file) in a setting's value.
///
/// Paths are relative to `base`. A file's text is taken without its final line break. What cannot be resolved is an error that
/// names the setting, never its value.
pub(super) fn substitute(key: &str, value: &str, base: &Path) -> Result<String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or_else(|| {
            Error::configuration(format!("{key} has a ${{ without its }}\n  → write ${{env:NAME}} or ${{file:PATH}}"))
        })?;
        let reference = &inner[..end];
        match reference.split_once(':') {
            Some(("env", name)) => out.push_str(&std::env::var(name).map_err(|_| {
                Error::configuration(format!(
                    "{key} names the environment variable {name}, which is not set\n  → export {name}=..., or name a file: ${{file:PATH}}"
                ))
            })?),
            Some(("file", path)) => out.push_str(&from_file(key, path, base)?),
            _ => {
                return Err(Error::configuration(format!(
                    "{key} has ${{{reference}}}, which is not understood\n  → write ${{env:NAME}} or ${{file:PATH}}"
                )));
            }
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn from_file(key: &str, reference: &str, base: &Path) -> Result<String> {
    let read = |path: &str| std::fs::read_to_string(base.join(path));
    let (text, wanted) = match (read(reference), reference.rsplit_once(':')) {
        (Ok(text), _) => (text, None),
        (Err(_), Some((path, wanted))) => (read(path).map_err(|e| unreadable(key, path, e))?, Some(wanted)),
        (Err(e), None) => return Err(unreadable(key, reference, e)),
    };
    let Some(wanted) = wanted else { return Ok(text.trim_end_matches(['\r', '\n']).to_owned()) };
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == wanted)
        .map(|(_, value)| value.trim().to_owned())
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

    #[test]
    fn a_secret_comes_from_a_file_beside_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "s3cret\n").unwrap();
        std::fs::write(dir.path().join("all.properties"), "user=me\npw = hidden \n").unwrap();
        assert_eq!(substitute("k", "${file:pw}", dir.path()).unwrap(), "s3cret");
        assert_eq!(substitute("k", "a-${file:all.properties:pw}-b", dir.path()).unwrap(), "a-hidden-b");
    }

    #[test]
    fn what_cannot_be_resolved_names_the_setting() {
        let e = substitute("database.password", "${env:NO_SUCH_VARIABLE_HERE}", Path::new(".")).unwrap_err().to_string();
        assert!(e.starts_with("database.password names the environment variable NO_SUCH_VARIABLE_HERE"), "{e}");
        assert!(substitute("k", "${vault:x}", Path::new(".")).is_err());
        assert!(substitute("k", "${env:X", Path::new(".")).is_err());
    }
}
