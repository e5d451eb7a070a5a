use crate::error::{Error, Result};
use std::fmt;

/// A password. Never printed: `Debug` shows that there is one, and nothing else does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// Why it could not be had, where it is named by a reference.
    missing: Option<String>,
}

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { text: secret.into(), missing: None }
    }

    /// One that could not be had, which matters once it is needed: whoever only looks around goes without.
    pub(super) fn missing(why: String) -> Self {
        Self { text: String::new(), missing: Some(why) }
    }

    /// The secret, where it is needed.
    pub(crate) fn needed(&self) -> Result<&str> {
        match &self.missing {
            Some(why) => Err(Error::configuration(why)),
            None => Ok(&self.text),
        }
    }

    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// True if it is the empty text.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "none" } else { "(hidden)" })
    }
}
