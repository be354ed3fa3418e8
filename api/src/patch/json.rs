//! JSON patch (`application/json-patch+json`, RFC 6902), with the deviations and the messages of the library that upstream uses
//! (evanphx/json-patch v4): negative indices count from the end, and `replace` of an absent object member adds it.

use serde_json::{Map, Value};

use crate::nesting::{self, MAX_UNSEEN, Nesting};
use crate::schema::check::json_type;

/// Upstream's limit on operations in one request.
pub const MAX_OPERATIONS: usize = 10_000;
/// How much all copies of one patch may add, as serialized bytes: without a limit, copies of copies grow exponentially.
pub const MAX_COPIED: usize = 3 * 1024 * 1024;
const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPatchError {
    /// No list of objects: a bad request.
    #[error("json: cannot unmarshal {found} into Go value of type {wanted}")]
    Decode { found: &'static str, wanted: &'static str },
    /// A member of an operation is no text.
    #[error("json: cannot unmarshal {found} into Go struct field jsonPatchOp.{member} of type string")]
    DecodeMember { found: &'static str, member: &'static str },
    /// Request entity too large.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooMany(usize),
    /// An operation that cannot be done on this object: an unprocessable entity.
    #[error("{0}")]
    Apply(ApplyError),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("{0} operation failed to decode path: missing value")]
    NoPath(&'static str),
    #[error("{0} operation failed to decode from: operation, missing from field: missing value")]
    NoFrom(&'static str),
    #[error("{what}: {path}: missing value")]
    Missing { what: &'static str, path: String },
    #[error("replace operation value must be object or array: %!w(<nil>)")]
    RootMustBeDocument,
    #[error("{what} '{path}': {cause}")]
    Member { what: &'static str, path: String, cause: MemberError },
    #[error("error while adding value during copy: {0}")]
    Copy(MemberError),
    #[error(
        "Unable to complete the copy, the accumulated size increase of copy is {0}, exceeding the limit {MAX_COPIED}"
    )]
    CopiedTooMuch(usize),
    #[error("testing value {0} failed: test failed")]
    Test(String),
    #[error("Unexpected kind: {0}")]
    Kind(String),
    /// Ours: what is deeper could not be read again. Go's reader goes to 10,000.
    #[error("the patched object is nested too deep")]
    TooDeep,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    #[error("Unable to remove nonexistent key: {0}: missing value")]
    NoKey(String),
    #[error("Unable to access invalid index: {0}: invalid index referenced")]
    Index(i64),
    #[error("strconv.Atoi: parsing {0:?}: invalid syntax")]
    NotANumber(String),
    #[error("value was not a proper array index: '{0}': strconv.Atoi: parsing {0:?}: invalid syntax")]
    NotAnIndex(String),
}

impl JsonPatchError {
    /// The object is not what a `test` operation wants.
    pub fn is_failed_test(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::Test(_)))
    }
}

/// The types that upstream reads a patch into.
pub struct Types {
    list: &'static str,
    operation: &'static str,
    /// Whether texts must be texts.
    checked: bool,
}

/// When fields are validated, and when not.
pub const VALIDATED: Types = Types { list: "[]handlers.jsonPatchOp", operation: "handlers.jsonPatchOp", checked: true };
pub const UNCHECKED: Types = Types { list: "jsonpatch.Patch", operation: "jsonpatch.Operation", checked: false };

/// A decoded patch.
#[derive(Clone, Debug)]
pub struct Patch(Vec<Map<String, Value>>);

impl Patch {
    pub fn decode(patch: Value, types: &Types) -> Result<Self, JsonPatchError> {
        let operations = match patch {
            Value::Array(operations) => operations,
            Value::Null => Vec::new(),
            other => return Err(JsonPatchError::Decode { found: json_type(&other), wanted: types.list }),
        };
        if types.checked {
            operations.iter().try_for_each(check_members)?;
        }
        if operations.len() > MAX_OPERATIONS {
            return Err(JsonPatchError::TooMany(operations.len()));
        }
        let operations = operations.into_iter().map(|operation| match operation {
            Value::Object(members) => Ok(members),
            Value::Null => Ok(Map::new()),
            other => Err(JsonPatchError::Decode { found: json_type(&other), wanted: types.operation }),
        });
        Ok(Self(operations.collect::<Result<_, _>>()?))
    }

    /// What `fieldValidation` reports about the patch itself.
    pub fn unknown_fields(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        for (index, operation) in self.0.iter().enumerate() {
            let keys = operation.keys().filter(|key| !MEMBERS.contains(&key.as_str()));
            unknown.extend(keys.map(|key| format!("unknown field \"[{index}].{key}\"")));
        }
        unknown
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All operations, or an error and an object of no use.
    pub fn apply(&self, object: &mut Value) -> Result<(), JsonPatchError> {
        let mut copied = 0;
        let mut nesting = Nesting::of(object);
        for operation in &self.0 {
            let levels = levels(operation);
            let applied =
                if levels > MAX_UNSEEN { Err(ApplyError::TooDeep) } else { apply(object, operation, &mut copied) };
            applied.map_err(JsonPatchError::Apply)?;
            if !nesting.grow(levels, object) {
                return Err(JsonPatchError::Apply(ApplyError::TooDeep));
            }
        }
        if nesting.fits(object) { Ok(()) } else { Err(JsonPatchError::Apply(ApplyError::TooDeep)) }
    }
}

fn check_members(operation: &Value) -> Result<(), JsonPatchError> {
    let texts = ["op", "path", "from"].into_iter();
    let wrong =
        texts.map(|member| (member, &operation[member])).find(|(_, value)| !value.is_null() && !value.is_string());
    wrong.map_or(Ok(()), |(member, value)| Err(JsonPatchError::DecodeMember { found: json_type(value), member }))
}

/// How much deeper an operation can make an object.
fn levels(operation: &Map<String, Value>) -> usize {
    let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
    path.matches('/').count() + operation.get("value").map_or(0, nesting::depth)
}

fn apply(object: &mut Value, operation: &Map<String, Value>, copied_bytes: &mut usize) -> Result<(), ApplyError> {
    let value = || operation.get("value").cloned().unwrap_or_default();
    let path = |op| operation.get("path").and_then(Value::as_str).ok_or(ApplyError::NoPath(op));
    let from = |op| operation.get("from").and_then(Value::as_str).ok_or(ApplyError::NoFrom(op));
    match operation.get("op").and_then(Value::as_str).unwrap_or("unknown") {
        "add" => {
            let path = path("add")?;
            let what = "add operation does not apply: doc is missing path";
            let (parent, key) = find(object, path).ok_or_else(|| missing(what, &format!("{path:?}")))?;
            add(parent, &key, value()).map_err(member("error in add for path:", path))
        }
        "remove" => {
            let path = path("remove")?;
            let what = "remove operation does not apply: doc is missing path";
            let (parent, key) = find(object, path).ok_or_else(|| missing(what, &format!("{path:?}")))?;
            remove(parent, &key).map(drop).map_err(member("error in remove for path:", path))
        }
        "replace" => replace(object, path("replace")?, value()),
        "move" => {
            let (from, path) = (from("move")?, path("move")?);
            let what = "move operation does not apply: doc is missing from path";
            let (parent, key) = find(object, from).ok_or_else(|| missing(what, from))?;
            let moved = remove(parent, &key).map_err(member("error in move for path:", &key))?;
            let what = "move operation does not apply: doc is missing destination path";
            let (parent, key) = find(object, path).ok_or_else(|| missing(what, path))?;
            add(parent, &key, moved).map_err(member("error in move for path:", path))
        }
        "copy" => {
            let (from, path) = (from("copy")?, path("copy")?);
            let what = "copy operation does not apply: doc is missing from path";
            let (parent, key) = find(object, from).ok_or_else(|| missing(what, from))?;
            let copied = get(parent, &key).map_err(member("error in copy for from:", from))?;
            let copied = copied.cloned().unwrap_or_default();
            let what = "copy operation does not apply: doc is missing destination path";
            let (parent, key) = find(object, path).ok_or_else(|| missing(what, path))?;
            *copied_bytes += copied.to_string().len();
            if *copied_bytes > MAX_COPIED {
                return Err(ApplyError::CopiedTooMuch(*copied_bytes));
            }
            add(parent, &key, copied).map_err(ApplyError::Copy)
        }
        "test" => test(object, path("test")?, &value()),
        other => Err(ApplyError::Kind(other.to_owned())),
    }
}

fn missing(what: &'static str, path: &str) -> ApplyError {
    ApplyError::Missing { what, path: path.to_owned() }
}

fn member(what: &'static str, path: &str) -> impl FnOnce(MemberError) -> ApplyError {
    let path = path.to_owned();
    move |cause| ApplyError::Member { what, path, cause }
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), ApplyError> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err(ApplyError::RootMustBeDocument);
        }
        *object = value;
        return Ok(());
    }
    let what = "replace operation does not apply: doc is missing path";
    let (parent, key) = find(object, path).ok_or_else(|| missing(what, path))?;
    match parent {
        Value::Array(items) => {
            let what = "replace operation does not apply: doc is missing key";
            let index = index(&key, items.len()).map_err(|_| missing(what, path))?;
            items[index] = value;
        }
        parent => set(parent, &key, value),
    }
    Ok(())
}

fn test(object: &mut Value, path: &str, expected: &Value) -> Result<(), ApplyError> {
    let equal = if path.is_empty() {
        object == expected
    } else {
        let what = "test operation does not apply: is missing path";
        let (parent, key) = find(object, path).ok_or_else(|| missing(what, path))?;
        let found = get(parent, &key).map_err(member("error in test for path:", path))?;
        found.unwrap_or(&Value::Null) == expected
    };
    if equal { Ok(()) } else { Err(ApplyError::Test(path.to_owned())) }
}

/// The container that holds the path's last member, and that member's name.
fn find<'a>(object: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let decode = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let mut parts = path.split('/').skip(1).map(decode);
    let mut key = parts.next()?;
    let mut container = object;
    for part in parts {
        container = match container {
            Value::Array(items) => {
                let index = index(&key, items.len()).ok()?;
                &mut items[index]
            }
            Value::Object(members) => members.get_mut(&key)?,
            _ => return None,
        };
        key = part;
    }
    (container.is_object() || container.is_array()).then_some((container, key))
}

/// An index of an existing element.
fn index(key: &str, length: usize) -> Result<usize, MemberError> {
    let index: i64 = key.parse().map_err(|_| MemberError::NotANumber(key.to_owned()))?;
    let from_start = if index < 0 { index + length as i64 } else { index };
    usize::try_from(from_start).ok().filter(|index| *index < length).ok_or(MemberError::Index(index))
}

fn get<'a>(container: &'a Value, key: &str) -> Result<Option<&'a Value>, MemberError> {
    match container {
        Value::Array(items) => Ok(Some(&items[index(key, items.len())?])),
        other => Ok(other.get(key)),
    }
}

fn set(container: &mut Value, key: &str, value: Value) {
    if let Value::Object(members) = container {
        members.insert(key.to_owned(), value);
    }
}

fn add(container: &mut Value, key: &str, value: Value) -> Result<(), MemberError> {
    let Value::Array(items) = container else {
        set(container, key, value);
        return Ok(());
    };
    if key == "-" {
        items.push(value);
        return Ok(());
    }
    // One past the end is a place, and so negative indices count from there.
    let at = index(key, items.len() + 1).map_err(|error| match error {
        MemberError::NotANumber(key) => MemberError::NotAnIndex(key),
        other => other,
    })?;
    items.insert(at, value);
    Ok(())
}

fn remove(container: &mut Value, key: &str) -> Result<Value, MemberError> {
    match container {
        Value::Array(items) => {
            let index = index(key, items.len())?;
            Ok(items.remove(index))
        }
        Value::Object(members) => members.remove(key).ok_or_else(|| MemberError::NoKey(key.to_owned())),
        _ => Err(MemberError::NoKey(key.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(object: Value, patch: Value) -> Result<Value, JsonPatchError> {
        let mut object = object;
        Patch::decode(patch, &VALIDATED)?.apply(&mut object)?;
        Ok(object)
    }

    #[test]
    fn operations() {
        let cases = [
            (json!({}), json!([{"op": "add", "path": "/a", "value": 1}]), json!({"a": 1})),
            (json!({"a": [1, 2]}), json!([{"op": "add", "path": "/a/1", "value": 9}]), json!({"a": [1, 9, 2]})),
            (json!({"a": [1]}), json!([{"op": "add", "path": "/a/-", "value": 9}]), json!({"a": [1, 9]})),
            (json!({"a": [1, 2]}), json!([{"op": "add", "path": "/a/-1", "value": 9}]), json!({"a": [1, 2, 9]})),
            (json!({"a": [1, 2]}), json!([{"op": "remove", "path": "/a/-1"}]), json!({"a": [1]})),
            (json!({"a/b": {"~": 1}}), json!([{"op": "remove", "path": "/a~1b/~0"}]), json!({"a/b": {}})),
            (json!({"a": 1}), json!([{"op": "replace", "path": "/b", "value": 2}]), json!({"a": 1, "b": 2})),
            (json!({"a": 1}), json!([{"op": "replace", "path": "", "value": {"b": 2}}]), json!({"b": 2})),
            (json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1})),
            (json!({"a": 1}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": 1, "b": 1})),
            (
                json!({"a": {"b": [1]}}),
                json!([{"op": "test", "path": "/a", "value": {"b": [1]}}]),
                json!({"a": {"b": [1]}}),
            ),
            (json!({}), json!([{"op": "test", "path": "/a"}]), json!({})),
            (json!({}), json!([]), json!({})),
        ];
        for (object, patch, expected) in cases {
            assert_eq!(patched(object, patch.clone()), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn refused_in_upstreams_words() {
        let cases = [
            (json!({}), "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
            (json!(["x"]), "json: cannot unmarshal string into Go value of type handlers.jsonPatchOp"),
            (json!([{"op": 1}]), "json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"),
            (json!([null]), "Unexpected kind: unknown"),
            (json!([{"op": "jump", "path": "/a"}]), "Unexpected kind: jump"),
            (json!([{"path": "/a"}]), "Unexpected kind: unknown"),
            (json!([{"op": "add", "value": 1}]), "add operation failed to decode path: missing value"),
            (
                json!([{"op": "add", "path": "/x/y", "value": 1}]),
                "add operation does not apply: doc is missing path: \"/x/y\": missing value",
            ),
            (
                json!([{"op": "add", "path": "/l/7", "value": 1}]),
                "error in add for path: '/l/7': Unable to access invalid index: 7: invalid index referenced",
            ),
            (
                json!([{"op": "add", "path": "/l/x", "value": 1}]),
                "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            (
                json!([{"op": "remove", "path": "/x"}]),
                "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
            ),
            (
                json!([{"op": "replace", "path": "/x/y", "value": 1}]),
                "replace operation does not apply: doc is missing path: /x/y: missing value",
            ),
            (
                json!([{"op": "replace", "path": "/l/3", "value": 1}]),
                "replace operation does not apply: doc is missing key: /l/3: missing value",
            ),
            (json!([{"op": "test", "path": "/a", "value": 2}]), "testing value /a failed: test failed"),
            (
                json!([{"op": "test", "path": "/a/b/c", "value": 2}]),
                "test operation does not apply: is missing path: /a/b/c: missing value",
            ),
            (
                json!([{"op": "move", "from": "/x", "path": "/y"}]),
                "error in move for path: 'x': Unable to remove nonexistent key: x: missing value",
            ),
            (
                json!([{"op": "copy", "from": "/x/y", "path": "/y"}]),
                "copy operation does not apply: doc is missing from path: /x/y: missing value",
            ),
        ];
        for (patch, message) in cases {
            let error = patched(json!({"a": 1, "l": [1]}), patch.clone()).unwrap_err();
            assert_eq!(error.to_string(), message, "{patch}");
        }
        let unchecked = Patch::decode(json!({}), &UNCHECKED).unwrap_err().to_string();
        assert_eq!(unchecked, "json: cannot unmarshal object into Go value of type jsonpatch.Patch");
        // Each copy goes to the end of what the last one made.
        let deeper = |times: u32| json!({"op": "copy", "from": "/a", "path": format!("/a{}", "/b".repeat(1 << times))});
        let deep: Vec<Value> = (0..17).map(deeper).collect();
        let error = patched(json!({"a": {"b": {}}}), deep.into()).unwrap_err();
        assert_eq!(error.to_string(), "the patched object is nested too deep");
        let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        let error = patched(json!({"a": [1]}), vec![double; 64].into()).unwrap_err();
        assert!(error.to_string().starts_with("Unable to complete the copy, the accumulated size"), "{error}");
        let many: Vec<Value> = (0..=MAX_OPERATIONS).map(|_| json!({})).collect();
        let error = Patch::decode(many.into(), &VALIDATED).unwrap_err();
        assert_eq!(error.to_string(), "The allowed maximum operations in a JSON patch is 10000, got 10001");
    }

    #[test]
    fn unknown_members_are_reported() {
        let patch = Patch::decode(json!([{"op": "test", "path": "/a", "note": 1}]), &VALIDATED).unwrap();
        assert_eq!(patch.unknown_fields(), ["unknown field \"[0].note\""]);
    }
}
