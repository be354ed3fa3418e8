//! Accessors of `metadata` on an object in flight. Reads take a reference and copy nothing; an absent field, a null and a
//! field of the wrong type read alike (as `None` or empty), for what validation refuses needs no second opinion here.

use serde_json::{Map, Value};

use crate::Object;

/// Read access. Implemented by [`Object`].
pub trait Meta {
    fn metadata(&self) -> Option<&Map<String, Value>>;

    fn meta_str(&self, key: &str) -> &str {
        self.metadata().and_then(|meta| meta.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    fn meta_map(&self, key: &str) -> Option<&Map<String, Value>> {
        self.metadata()?.get(key)?.as_object()
    }

    fn meta_list(&self, key: &str) -> &[Value] {
        self.metadata().and_then(|meta| meta.get(key)).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// Empty when absent, as are all strings below.
    fn name(&self) -> &str {
        self.meta_str("name")
    }

    fn generate_name(&self) -> &str {
        self.meta_str("generateName")
    }

    fn namespace(&self) -> &str {
        self.meta_str("namespace")
    }

    fn uid(&self) -> &str {
        self.meta_str("uid")
    }

    fn resource_version(&self) -> &str {
        self.meta_str("resourceVersion")
    }

    fn deletion_timestamp(&self) -> Option<&str> {
        Some(self.meta_str("deletionTimestamp")).filter(|text| !text.is_empty())
    }

    fn deletion_grace_period_seconds(&self) -> Option<i64> {
        self.metadata()?.get("deletionGracePeriodSeconds")?.as_i64()
    }

    /// 0 when absent.
    fn generation(&self) -> i64 {
        self.metadata().and_then(|meta| meta.get("generation")).and_then(Value::as_i64).unwrap_or_default()
    }

    fn labels(&self) -> Option<&Map<String, Value>> {
        self.meta_map("labels")
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key)?.as_str()
    }

    fn annotations(&self) -> Option<&Map<String, Value>> {
        self.meta_map("annotations")
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations()?.get(key)?.as_str()
    }

    fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.meta_list("finalizers").iter().filter_map(Value::as_str)
    }

    fn owner_references(&self) -> &[Value] {
        self.meta_list("ownerReferences")
    }
}

impl Meta for Object {
    fn metadata(&self) -> Option<&Map<String, Value>> {
        self.get("metadata")?.as_object()
    }
}

/// `metadata` for writing, made an object when it is absent or something else. `object` itself is made an object too.
pub fn metadata_mut(object: &mut Object) -> &mut Map<String, Value> {
    as_map(as_map(object).entry("metadata").or_insert_with(|| Value::Object(Map::new())))
}

/// Sets a member of metadata; `Value::Null` removes it.
pub fn set(object: &mut Object, key: &str, value: impl Into<Value>) {
    match value.into() {
        Value::Null => {
            metadata_mut(object).remove(key);
        }
        value => {
            metadata_mut(object).insert(key.to_owned(), value);
        }
    }
}

/// Replaces finalizers; an empty list removes the field.
pub fn set_finalizers(object: &mut Object, finalizers: Vec<String>) {
    let value = if finalizers.is_empty() { Value::Null } else { Value::from(finalizers) };
    set(object, "finalizers", value);
}

fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_is_there_and_forgives_what_is_not() {
        let object = json!({"metadata": {"name": "a", "generation": 3, "labels": {"x": "y"}, "finalizers": ["f", 1]}});
        assert_eq!((object.name(), object.namespace(), object.generation()), ("a", "", 3));
        assert_eq!((object.label("x"), object.annotation("x")), (Some("y"), None));
        assert_eq!(object.finalizers().collect::<Vec<_>>(), ["f"]);
        assert_eq!(json!({"metadata": null}).name(), "");
        assert_eq!(json!([]).deletion_timestamp(), None);
    }

    #[test]
    fn writes_make_the_way() {
        let mut object = json!({"metadata": null});
        set(&mut object, "name", "a");
        set_finalizers(&mut object, vec!["f".into()]);
        assert_eq!(object, json!({"metadata": {"name": "a", "finalizers": ["f"]}}));
        set_finalizers(&mut object, Vec::new());
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }
}
