//! `additionalPrinterColumns` of CustomResourceDefinitions.

use jiff::Timestamp;
use serde_json::Value;

use super::column::definition;
use crate::Object;
use crate::jsonpath::{self, JsonPath, ParseError};
use crate::time;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized column definition {path:?}")]
pub struct CustomColumnError {
    pub path: String,
    #[source]
    source: ParseError,
}

#[derive(Clone, Debug)]
pub struct CustomColumn {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i32,
    path: JsonPath,
}

impl CustomColumn {
    /// All columns of a CRD version; without any, the age.
    pub fn from_crd(columns: &[Value]) -> Result<Vec<Self>, CustomColumnError> {
        if columns.is_empty() {
            return Ok(vec![Self::new("Age", "date", ".metadata.creationTimestamp")?]);
        }
        columns.iter().map(Self::from_object).collect()
    }

    fn new(name: &str, kind: &str, json_path: &str) -> Result<Self, CustomColumnError> {
        let path = JsonPath::parse(&format!("{{{json_path}}}"))
            .map_err(|source| CustomColumnError { path: json_path.to_owned(), source })?;
        let description = format!("Custom resource definition column (in JSONPath format): {json_path}");
        let (name, kind, format) = (name.to_owned(), kind.to_owned(), String::new());
        Ok(Self { name, kind, format, description, priority: 0, path: path.allow_missing_keys(true) })
    }

    fn from_object(column: &Value) -> Result<Self, CustomColumnError> {
        let text = |key: &str| column[key].as_str().unwrap_or_default();
        let mut made = Self::new(text("name"), text("type"), text("jsonPath"))?;
        made.format = text("format").to_owned();
        made.priority = column["priority"].as_i64().unwrap_or_default() as i32;
        if !text("description").is_empty() {
            made.description = text("description").to_owned();
        }
        Ok(made)
    }

    pub(super) fn definition(&self) -> Value {
        definition(&self.name, &self.kind, &self.format, &self.description, self.priority)
    }

    /// Null where the path finds nothing, or nothing of the column's type.
    pub(super) fn cell(&self, object: &Object, now: Timestamp) -> Value {
        let found = self.path.find(object).unwrap_or_default();
        let Some(value) = found.first().and_then(|values| values.first()) else { return Value::Null };
        match (self.kind.as_str(), value.as_ref()) {
            ("string", value) => jsonpath::to_text(value).into(),
            (_, Value::Null) => Value::Null,
            ("integer", Value::Number(number)) => match number.as_i64() {
                Some(integer) => integer.into(),
                None => number.as_f64().map_or(Value::Null, |float| (float as i64).into()),
            },
            ("number", Value::Number(number)) => number.as_f64().into(),
            ("boolean", Value::Bool(boolean)) => (*boolean).into(),
            ("date", Value::String(text)) => match text.as_str() {
                "" => "<unknown>".into(),
                text if time::parse_time(text).is_err() => "<invalid>".into(),
                text => time::age(Some(text), now).into(),
            },
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::table::Columns;

    #[test]
    fn cells_follow_the_declared_type() {
        let object = json!({"metadata": {"name": "x", "creationTimestamp": "2024-01-01T00:00:00Z"},
            "spec": {"n": 3, "f": 1.5, "b": true, "s": "t", "o": {"a": [1]}, "d": "never", "null": null}});
        let cases = [
            ("string", ".spec.n", json!("3")),
            ("string", ".spec.o", json!("{\"a\":[1]}")),
            ("string", ".spec.null", json!("null")),
            ("string", ".spec.missing", json!(null)),
            ("integer", ".spec.n", json!(3)),
            ("integer", ".spec.f", json!(1)),
            ("integer", ".spec.s", json!(null)),
            ("number", ".spec.n", json!(3.0)),
            ("boolean", ".spec.b", json!(true)),
            ("boolean", ".spec.null", json!(null)),
            ("date", ".metadata.creationTimestamp", json!("60m")),
            ("date", ".spec.d", json!("<invalid>")),
        ];
        let now = time::parse_time("2024-01-01T01:00:00Z").unwrap();
        for (kind, path, expected) in cases {
            let column = CustomColumn::new("C", kind, path).unwrap();
            assert_eq!(column.cell(&object, now), expected, "{kind} {path}");
        }
    }

    #[test]
    fn definitions() {
        let columns =
            CustomColumn::from_crd(&[json!({"name": "A", "type": "integer", "jsonPath": ".a", "priority": 1})]);
        let definitions = Columns::Custom(columns.unwrap()).definitions();
        assert_eq!(definitions[0]["format"], "name");
        let description = "Custom resource definition column (in JSONPath format): .a";
        assert_eq!(
            definitions[1],
            json!({"name": "A", "type": "integer", "format": "", "description": description, "priority": 1})
        );
        assert_eq!(Columns::Custom(CustomColumn::from_crd(&[]).unwrap()).definitions()[1]["name"], "Age");
        let error = CustomColumn::from_crd(&[json!({"name": "A", "type": "string", "jsonPath": ".a["})]).unwrap_err();
        assert_eq!(error.to_string(), "unrecognized column definition \".a[\"");
    }
}
