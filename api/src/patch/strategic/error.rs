//! Why a strategic merge patch cannot be applied, in upstream's words.

use serde_json::Value;
use thiserror::Error;

use crate::jsonpath::to_text;

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StrategicPatchError {
    #[error("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")]
    NotAnObject { found: &'static str },
    #[error("invalid patch format of primitive list")]
    PrimitiveListFormat,
    #[error("invalid patch format of retainKeys")]
    RetainKeysFormat,
    #[error("invalid patch format of setElementOrder list")]
    SetElementOrderFormat,
    #[error("invalid value for special key: $patch")]
    DirectiveInObject,
    #[error("lists of lists are not supported")]
    ListOfLists,
    #[error("map: {element} does not contain declared merge key: {key}")]
    NoMergeKey { element: String, key: String },
    #[error("expected a {expected}, but received a {received}")]
    BadArgument { expected: &'static str, received: &'static str },
    #[error("unknown patch type: {directive} in map: {element}")]
    BadDirective { directive: String, element: String },
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    Order { patch: String, order: String },
    #[error("list element types are not identical: {lists}")]
    ElementTypes { lists: String },
    #[error("no elements in any of the given slices")]
    NoElements,
    #[error("merging lists cannot yet be specified in the patch")]
    MergeDirectiveInList,
    #[error("cannot merge lists without merge key for {element}")]
    NoDeclaredMergeKey { element: &'static str },
    #[error("value for key {0} is not a map")]
    NotAMap(usize),
    #[error("unable to find api field in struct {owner} for the json field {field:?}")]
    UnknownField { owner: String, field: String },
    #[error("merging an object in json but data type is not struct, instead is: {0}")]
    NotAStruct(&'static str),
    #[error("expected slice or array type, but got: struct")]
    NotAList,
}

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    BadRequest,
    Unprocessable,
    /// Upstream passes these on as they are: 500, without a reason.
    Unknown,
}

impl StrategicPatchError {
    pub fn answer(&self) -> Answer {
        match self {
            Self::NotAnObject { .. }
            | Self::PrimitiveListFormat
            | Self::RetainKeysFormat
            | Self::SetElementOrderFormat => Answer::BadRequest,
            Self::ListOfLists => Answer::Unprocessable,
            _ => Answer::Unknown,
        }
    }

    pub(super) fn no_merge_key(element: &Value, key: &str) -> Self {
        Self::NoMergeKey { element: go_text(element), key: key.to_owned() }
    }

    pub(super) fn bad_list(received: &Value) -> Self {
        Self::BadArgument { expected: "[]interface {}", received: go_type(received) }
    }

    pub(super) fn bad_map(received: &Value) -> Self {
        Self::BadArgument { expected: "map[string]interface {}", received: go_type(received) }
    }

    pub(super) fn bad_directive(directive: &Value, element: &Value) -> Self {
        let directive = match directive {
            Value::String(text) => text.clone(),
            other => format!("%!s({}={})", go_type(other), go_text(other)),
        };
        Self::BadDirective { directive, element: go_text(element) }
    }
}

fn go_type(value: &Value) -> &'static str {
    crate::schema::check::go_type_of(value, "%!s(<nil>)")
}

/// `%v` of Go.
pub(super) fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Array(items) => list_text(items),
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
            format!("map[{}]", members.join(" "))
        }
        scalar => to_text(scalar),
    }
}

pub(super) fn list_text(items: &[Value]) -> String {
    let items: Vec<String> = items.iter().map(go_text).collect();
    format!("[{}]", items.join(" "))
}
