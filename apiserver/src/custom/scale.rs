//! Where a custom resource has what its Scale shows.

use api::Object;
use api::field::{FieldError, Path};
use serde_json::{Map, Value};

use crate::verbs::go_text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    pub spec_replicas: Member,
    pub status_replicas: Member,
    pub label_selector: Option<Member>,
}

/// A member some maps deep: `.spec.replicas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As the definition has it.
    path: String,
    names: Vec<String>,
}

impl ScalePaths {
    /// From `subresources.scale` of a definition.
    pub fn read(scale: &Value) -> Option<Self> {
        let path = |key: &str| Some(Member::new(scale[key].as_str().filter(|path| !path.is_empty())?));
        Some(Self {
            spec_replicas: path("specReplicasPath")?,
            status_replicas: path("statusReplicasPath")?,
            label_selector: path("labelSelectorPath"),
        })
    }

    pub fn spec_errors(&self, object: &Object) -> Vec<FieldError> {
        self.spec_replicas.count_errors(object)
    }

    pub fn status_errors(&self, object: &Object) -> Vec<FieldError> {
        let mut errors = self.status_replicas.count_errors(object);
        if let Some(member) = &self.label_selector {
            errors.extend(member.text(object).err().map(|why| FieldError::invalid(&Path::new(&member.path), "", why)));
        }
        errors
    }
}

impl Member {
    pub fn new(path: &str) -> Self {
        let names = path.strip_prefix('.').unwrap_or(path).split('.').map(str::to_owned).collect();
        Self { path: path.to_owned(), names }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// `Ok(None)` when it is not there.
    fn value<'o>(&self, object: &'o Object) -> Result<Option<&'o Value>, String> {
        let mut value = object;
        for (index, name) in self.names.iter().enumerate() {
            if value.is_null() {
                return Ok(None);
            }
            let Value::Object(members) = value else {
                return Err(self.wrong(&self.names[..=index], value, "map[string]interface{}"));
            };
            let Some(member) = members.get(name) else { return Ok(None) };
            value = member;
        }
        Ok(Some(value))
    }

    fn wrong(&self, names: &[String], value: &Value, wanted: &str) -> String {
        let kind = match value {
            Value::Null => "<nil>",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_i64() => "int64",
            Value::Number(_) => "float64",
            Value::String(_) => "string",
            Value::Array(_) => "[]interface {}",
            Value::Object(_) => "map[string]interface {}",
        };
        let shown = go_text(value);
        format!(".{} accessor error: {shown} is of the type {kind}, expected {wanted}", names.join("."))
    }

    /// # Errors
    /// What stands there instead of a number.
    pub fn count(&self, object: &Object) -> Result<Option<i64>, String> {
        let Some(value) = self.value(object)? else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| self.wrong(&self.names, value, "int64"))
    }

    /// # Errors
    /// What stands there instead of a text.
    pub fn text<'o>(&self, object: &'o Object) -> Result<&'o str, String> {
        let Some(value) = self.value(object)? else { return Ok("") };
        value.as_str().ok_or_else(|| self.wrong(&self.names, value, "string"))
    }

    /// Makes the maps around it where they are missing.
    pub fn set(&self, object: &mut Object, value: Value) {
        let mut place = object;
        for name in &self.names {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[name.as_str()];
        }
        *place = value;
    }

    fn count_errors(&self, object: &Object) -> Vec<FieldError> {
        let path = Path::new(&self.path);
        match self.count(object) {
            Err(why) => vec![FieldError::invalid(&path, 0, why)],
            Ok(Some(count)) if count < 0 => {
                vec![FieldError::invalid(&path, count, "should be a non-negative integer")]
            }
            Ok(Some(count)) if count > i64::from(i32::MAX) => {
                let detail = format!("should be less than or equal to {}", i32::MAX);
                vec![FieldError::invalid(&path, count, detail)]
            }
            Ok(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_number_is_shown_as_go_prints_it() {
        let member = Member { path: ".spec.replicas".into(), names: vec!["spec".into(), "replicas".into()] };
        let table = [
            (json!("x"), "x is of the type string"),
            (json!({}), "map[] is of the type map[string]interface {}"),
            (json!([1, {"a": "b"}]), "[1 map[a:b]] is of the type []interface {}"),
        ];
        for (value, shown) in table {
            let expected = format!(".spec.replicas accessor error: {shown}, expected int64");
            assert_eq!(member.count(&json!({"spec": {"replicas": value}})), Err(expected));
        }
    }
}
