//! The JSON documents that the server answers with.

use crate::error::{Position, ServerError, ServerErrorType};
use serde::Deserialize;
use serde_json::value::RawValue;

/// One page of an answer. Rows stay text until their columns are known.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer<'a> {
    pub(crate) id: String,
    /// Where to go on. A secret: whoever has it may read the rows.
    #[serde(default)]
    pub(crate) next_uri: Option<String>,
    #[serde(default)]
    pub(crate) columns: Option<Vec<AnswerColumn>>,
    #[serde(default, borrow)]
    pub(crate) data: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) error: Option<AnswerError>,
    #[serde(default)]
    pub(crate) update_type: Option<String>,
    #[serde(default)]
    pub(crate) update_count: Option<u64>,
    #[serde(default)]
    pub(crate) warnings: Vec<AnswerWarning>,
}

#[derive(Deserialize)]
pub(crate) struct AnswerColumn {
    pub(crate) name: String,
    pub(crate) r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerWarning {
    #[serde(default)]
    pub(crate) warning_code: WarningCode,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Deserialize, Default)]
pub(crate) struct WarningCode {
    #[serde(default)]
    pub(crate) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerError {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    error_code: i32,
    #[serde(default)]
    error_name: Option<String>,
    #[serde(default)]
    error_type: Option<String>,
    #[serde(default)]
    error_location: Option<AnswerLocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerLocation {
    line_number: u32,
    column_number: u32,
}

impl From<AnswerError> for ServerError {
    fn from(error: AnswerError) -> Self {
        let name = error.error_name.unwrap_or_else(|| "UNNAMED_ERROR".to_owned());
        Self {
            message: error.message.unwrap_or_else(|| format!("the statement failed with {name}, and no message")),
            code: error.error_code,
            error_type: ServerErrorType::from_name(error.error_type.as_deref().unwrap_or_default()),
            position: error.error_location.map(|at| Position { line: at.line_number, column: at.column_number }),
            name,
        }
    }
}
