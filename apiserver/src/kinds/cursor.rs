//! Reading a JSON tree with the path one came by, and collecting what is wrong with it.
//!
//! A [`Cursor`] costs no allocation: it points at its parent, and the path is spelled only when an error is reported.

use api::field::{ErrorKind, FieldError, Path};
use serde_json::Value;

static NULL: Value = Value::Null;

/// A place in an object: its value (null where absent) and the way to it.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'v, 'p> {
    pub value: &'v Value,
    parent: Option<&'p Cursor<'v, 'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Field(&'p str),
    Index(usize),
    Key(&'p str),
}

impl<'v, 'p> Cursor<'v, 'p> {
    /// The field `name` of a whole object: `Cursor::root(pod, "spec")`.
    pub fn root(object: &'v Value, name: &'p str) -> Self {
        Self { value: field(object, name), parent: None, step: Step::Field(name) }
    }

    pub fn child<'s>(&'s self, name: &'s str) -> Cursor<'v, 's> {
        Cursor { value: field(self.value, name), parent: Some(self), step: Step::Field(name) }
    }

    pub fn index<'s>(&'s self, index: usize) -> Cursor<'v, 's> {
        Cursor { value: self.value.get(index).unwrap_or(&NULL), parent: Some(self), step: Step::Index(index) }
    }

    pub fn key<'s>(&'s self, key: &'s str) -> Cursor<'v, 's> {
        Cursor { value: field(self.value, key), parent: Some(self), step: Step::Key(key) }
    }

    /// This place with another value: for what is reported elsewhere than it stands.
    pub fn showing<'w>(&self, value: &'w Value) -> Cursor<'w, 'p>
    where
        'v: 'w,
    {
        Cursor { value, ..*self }
    }

    /// The elements of a list; none where it is absent.
    pub fn items<'s>(&'s self) -> impl Iterator<Item = Cursor<'v, 's>> {
        let count = self.value.as_array().map_or(0, Vec::len);
        (0..count).map(move |index| self.index(index))
    }

    /// The members of a map, under paths like `limits[cpu]`.
    pub fn entries<'s>(&'s self) -> impl Iterator<Item = (&'v str, Cursor<'v, 's>)>
    where
        'v: 's,
    {
        let members = self.value.as_object().into_iter().flatten();
        members.map(move |(key, value)| (key.as_str(), Cursor { value, parent: Some(self), step: Step::Key(key) }))
    }

    /// Present and not null: what is a non-nil pointer in Go.
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The text here; `""` where absent, as in Go.
    pub fn str(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    pub fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    pub fn len(&self) -> usize {
        size(self.value)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn has(&self, name: &str) -> bool {
        !field(self.value, name).is_null()
    }

    pub fn text(&self, name: &str) -> &'v str {
        text(self.value, name)
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        number(self.value, name)
    }

    pub fn flag(&self, name: &str) -> Option<bool> {
        flag(self.value, name)
    }

    pub fn path(&self) -> Path {
        let parent = self.parent.map_or_else(Path::default, Cursor::path);
        match self.step {
            Step::Field(name) => parent.child(name),
            Step::Index(index) => parent.index(index),
            Step::Key(key) => parent.key(key),
        }
    }
}

/// A member; null where absent.
pub fn field<'v>(object: &'v Value, name: &str) -> &'v Value {
    object.get(name).unwrap_or(&NULL)
}

pub fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    field(object, name).as_str().unwrap_or_default()
}

pub fn number(object: &Value, name: &str) -> Option<i64> {
    field(object, name).as_i64()
}

pub fn flag(object: &Value, name: &str) -> Option<bool> {
    field(object, name).as_bool()
}

/// The elements of the list `name`; none where it is absent.
pub fn list<'v>(object: &'v Value, name: &str) -> &'v [Value] {
    field(object, name).as_array().map_or(&[], Vec::as_slice)
}

/// Elements of a list, members of a map, bytes of a text; 0 for everything else.
pub fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::String(text) => text.len(),
        _ => 0,
    }
}

/// The field errors of one validation, in the order of the checks.
#[derive(Debug, Default)]
pub struct Errors(Vec<FieldError>);

impl Errors {
    pub fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// Missing, with no further explanation.
    pub fn required(&mut self, at: &Cursor) {
        self.required_because(at, "");
    }

    pub fn required_because(&mut self, at: &Cursor, detail: impl Into<String>) {
        self.push(FieldError::required(&at.path(), detail));
    }

    pub fn forbidden(&mut self, at: &Cursor, detail: impl Into<String>) {
        self.push(FieldError::forbidden(&at.path(), detail));
    }

    pub fn internal(&mut self, at: &Cursor, detail: String) {
        self.push(FieldError { kind: ErrorKind::Internal, path: at.path(), value: Value::Null, detail });
    }

    /// The value at the cursor is wrong.
    pub fn invalid(&mut self, at: &Cursor, detail: impl Into<String>) {
        self.invalid_as(at, at.value.clone(), detail);
    }

    /// As `invalid`, for a text: an absent one is shown as `""`.
    pub fn invalid_text(&mut self, at: &Cursor, detail: impl Into<String>) {
        self.invalid_as(at, at.str(), detail);
    }

    /// Wrong, showing another value than the one at the cursor.
    pub fn invalid_as(&mut self, at: &Cursor, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(FieldError::invalid(&at.path(), value, detail));
    }

    /// Wrong, without showing the value.
    pub fn invalid_hidden(&mut self, at: &Cursor, detail: impl Into<String>) {
        self.push(FieldError::invalid_hidden(&at.path(), detail));
    }

    /// One error for each message that a check of [`api::names`] gave about the text at the cursor.
    pub fn messages(&mut self, at: &Cursor, messages: impl IntoIterator<Item = String>) {
        for message in messages {
            self.invalid_text(at, message);
        }
    }

    pub fn duplicate(&mut self, at: &Cursor) {
        self.duplicate_as(at, at.value.clone());
    }

    pub fn duplicate_as(&mut self, at: &Cursor, value: impl Into<Value>) {
        self.push(FieldError::duplicate(&at.path(), value));
    }

    pub fn not_found(&mut self, at: &Cursor) {
        self.push(FieldError::not_found(&at.path(), at.str()));
    }

    pub fn not_supported(&mut self, at: &Cursor, valid: &[&str]) {
        let shown = if at.is_set() { at.value.clone() } else { "".into() };
        self.push(FieldError::not_supported(&at.path(), shown, valid));
    }

    /// As `not_supported`, of a value that is not the one there.
    pub fn not_supported_as(&mut self, at: &Cursor, value: &str, valid: &[&str]) {
        self.push(FieldError::not_supported(&at.path(), value, valid));
    }

    pub fn too_long(&mut self, at: &Cursor, max_bytes: usize) {
        self.push(FieldError::too_long(&at.path(), max_bytes));
    }

    /// More elements than `max`.
    pub fn too_many(&mut self, at: &Cursor, max: usize) {
        let detail = format!("must have at most {max} items");
        self.push(FieldError { kind: ErrorKind::TooMany, path: at.path(), value: at.len().into(), detail });
    }

    /// Required and one of `valid`; the two errors that follow from that.
    pub fn one_of(&mut self, at: &Cursor, valid: &[&str]) {
        if at.str().is_empty() {
            self.required(at);
        } else if !valid.contains(&at.str()) {
            self.not_supported(at, valid);
        }
    }

    /// One of `valid` where it is set at all.
    pub fn one_of_if_set(&mut self, at: &Cursor, valid: &[&str]) {
        if at.is_set() && !valid.contains(&at.str()) {
            self.not_supported(at, valid);
        }
    }

    pub fn not_negative(&mut self, at: &Cursor) {
        if at.int().unwrap_or_default() < 0 {
            self.invalid(at, IS_NEGATIVE);
        }
    }

    /// For checks that spell their paths themselves.
    pub fn with(&mut self, check: impl FnOnce(&mut Vec<FieldError>)) {
        check(&mut self.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn into_vec(self) -> Vec<FieldError> {
        self.0
    }
}

pub const IS_NEGATIVE: &str = "must be greater than or equal to 0";
pub const IS_IMMUTABLE: &str = "field is immutable";
