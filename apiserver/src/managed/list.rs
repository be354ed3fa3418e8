//! The list of managers beside an object.

use std::fmt;

use api::Object;
use api::apply::ManagedFields;
use api::field::{FieldError, Path};
use api::meta;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::options::field_manager_errors;

pub(crate) const KEY: &str = "managedFields";
/// Upstream's `MaxSubresourceNameLength`.
const MAX_SUBRESOURCE: usize = 256;

#[derive(Clone, Debug, Default)]
pub(crate) enum Managers {
    /// Nobody is tracked.
    #[default]
    None,
    /// As stored.
    Stored(Box<RawValue>),
    Known(ManagedFields),
}

impl Managers {
    pub fn new(managed: ManagedFields) -> Self {
        if managed.is_empty() { Self::None } else { Self::Known(managed) }
    }

    /// A list that cannot be read is none, as upstream has it.
    pub fn decode(&self) -> ManagedFields {
        match self {
            Self::None => ManagedFields::default(),
            Self::Stored(text) => ManagedFields::parse(text.get()).unwrap_or_default(),
            Self::Known(managed) => managed.clone(),
        }
    }

    /// The list as a tree, for the few who want it in the object. `None` when nobody is tracked.
    pub fn to_value(&self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Stored(text) => serde_json::from_str(text.get()).ok(),
            Self::Known(managed) => Some(managed.to_value()),
        }
    }

    /// The object with the list in it.
    pub fn put_into(&self, object: &mut Object) {
        meta::set(object, KEY, self.to_value().unwrap_or_default());
    }

    /// As JSON; nothing when nobody is tracked.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Stored(text) => out.extend_from_slice(text.get().as_bytes()),
            Self::Known(managed) => managed.write(out),
        }
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// What makes the list invalid; what is stored is not.
    pub fn errors(&self) -> Vec<FieldError> {
        let Self::Known(managed) = self else { return Vec::new() };
        let mut errors = Vec::new();
        let path = Path::new("metadata").child(KEY);
        for (index, id) in managed.ids().enumerate() {
            errors.extend(field_manager_errors(&path.index(index).child("manager"), &id.manager));
            if id.subresource.len() > MAX_SUBRESOURCE {
                let path = path.index(index).child("subresource");
                errors.push(FieldError::too_long(&path, MAX_SUBRESOURCE));
            }
        }
        errors
    }

    /// Equal but for times: upstream makes no new revision for those alone.
    pub fn same_but_times(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Stored(a), Self::Stored(b)) if a.get() == b.get() => true,
            (Self::None, _) | (_, Self::None) => false,
            (a, b) => a.decode().same_but_times(&b.decode()),
        }
    }
}

/// A stored object as a tree, and its managers.
pub(crate) fn read_stored(json: &[u8]) -> Result<(Object, Managers), serde_json::Error> {
    let mut managers = Managers::None;
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let object = Part { is_metadata: false, managers: &mut managers }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((object, managers))
}

/// Reads all but `metadata.managedFields` into a tree.
struct Part<'a> {
    is_metadata: bool,
    managers: &'a mut Managers,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = if self.is_metadata && key == KEY {
                *self.managers = Managers::Stored(map.next_value()?);
                continue;
            } else if !self.is_metadata && key == "metadata" {
                map.next_value_seed(Part { is_metadata: true, managers: &mut *self.managers })?
            } else {
                map.next_value()?
            };
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

/// An empty list takes all managers out, but decoding does not tell it from none. So it is written in the other form that means
/// the same: one empty entry. Of a custom resource it is none (upstream reads its metadata twice).
pub(crate) fn keep_reset(object: &mut Object) {
    if let Some(list) = object.pointer_mut("/metadata/managedFields")
        && list.as_array().is_some_and(Vec::is_empty)
    {
        *list = json!([{}]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_are_beside_the_tree() {
        let entry = json!({"manager": "a", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {}}});
        let mut object = json!({"metadata": {"name": "a", "managedFields": [entry]}, "data": {"managedFields": "x"},
            "spec": {"metadata": {"managedFields": [1]}}});
        let (tree, managers) = read_stored(object.to_string().as_bytes()).unwrap();
        let list = object["metadata"].as_object_mut().unwrap().remove(KEY);
        assert_eq!((tree, managers.to_value()), (object, list.clone()));
        let known = Managers::new(managers.decode());
        assert_eq!(known.to_value(), list);
        assert!(known.same_but_times(&managers) && !known.same_but_times(&Managers::None));
        let mut text = Vec::new();
        known.write(&mut text);
        assert_eq!(serde_json::from_slice::<Value>(&text).ok(), list);
    }

    #[test]
    fn objects_without_managers_are_read_as_well() {
        for text in [r#"{"metadata":null}"#, "{}", r#"{"metadata":{"name":"a"}}"#] {
            let (tree, managers) = read_stored(text.as_bytes()).unwrap();
            assert_eq!(tree.to_string(), text);
            assert!(managers.is_none());
        }
        assert!(read_stored(b"{} x").is_err());
    }
}
