//! Field paths and validation errors in the words of `k8s.io/apimachinery/pkg/util/validation/field`.

use std::fmt;

use serde_json::Value;

/// The path of a field: `spec.containers[0].name`, `metadata.labels[a/b]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    pub fn new(root: &str) -> Self {
        Self(root.to_owned())
    }

    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    /// Invalid, where showing the value would not help.
    InvalidHidden,
    /// Invalid, with a value that is a text to be shown as it is.
    InvalidShown,
    /// A duplicate, where showing the value would not help.
    DuplicateHidden,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl ErrorKind {
    /// `details.causes[].reason` of the Status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate | Self::DuplicateHidden => "FieldValueDuplicate",
            Self::Invalid | Self::InvalidHidden | Self::InvalidShown => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate | Self::DuplicateHidden => "Duplicate value",
            Self::Invalid | Self::InvalidHidden | Self::InvalidShown | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    pub kind: ErrorKind,
    pub path: Path,
    pub value: Value,
    pub detail: String,
}

impl FieldError {
    pub fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Invalid, path: path.clone(), value: value.into(), detail: detail.into() }
    }

    pub fn invalid_hidden(path: &Path, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidHidden, path: path.clone(), value: Value::Null, detail: detail.into() }
    }

    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Required, path: path.clone(), value: Value::Null, detail: detail.into() }
    }

    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Forbidden, path: path.clone(), value: Value::Null, detail: detail.into() }
    }

    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self { kind: ErrorKind::Duplicate, path: path.clone(), value: value.into(), detail: String::new() }
    }

    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self { kind: ErrorKind::NotFound, path: path.clone(), value: value.into(), detail: String::new() }
    }

    pub fn not_supported(path: &Path, value: impl Into<Value>, valid: &[&str]) -> Self {
        let quoted: Vec<String> = valid.iter().map(|value| format!("{value:?}")).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self { kind: ErrorKind::NotSupported, path: path.clone(), value: value.into(), detail }
    }

    pub fn too_long(path: &Path, max_bytes: usize) -> Self {
        let detail = format!("may not be more than {max_bytes} bytes");
        Self { kind: ErrorKind::TooLong, path: path.clone(), value: Value::Null, detail }
    }

    /// The message without the path: what a Status cause carries.
    pub fn body(&self) -> String {
        let title = self.kind.title();
        let head = match self.kind {
            ErrorKind::Required
            | ErrorKind::Forbidden
            | ErrorKind::TooLong
            | ErrorKind::Internal
            | ErrorKind::DuplicateHidden
            | ErrorKind::InvalidHidden => title.to_owned(),
            kind => match &self.value {
                Value::String(text) if kind == ErrorKind::InvalidShown => format!("{title}: {text}"),
                Value::String(text) => format!("{title}: {}", go_quoted(text)),
                Value::Null => format!("{title}: null"),
                other => format!("{title}: {other}"),
            },
        };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }
}

/// As Go's `strconv.Quote`: its escapes of control characters have other forms than Rust's.
pub fn go_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            '\0'..='\x1f' | '\x7f' if !matches!(c, '\n' | '\r' | '\t') => {
                quoted.push_str(&format!("\\x{:02x}", c as u32))
            }
            '\'' => quoted.push(c),
            c if c.is_ascii() => quoted.extend(c.escape_debug()),
            // Go prints no space but the one of ASCII.
            c if c.is_control() || c.is_whitespace() || matches!(c, '\u{ad}' | '\u{feff}') => {
                quoted.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}
