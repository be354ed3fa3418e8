//! Label selectors as data: matching, printing, and the object form.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::parse::{self, LabelSelectorError};
use crate::field::{FieldError, Path};
use crate::names;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl Operator {
    /// What upstream calls the operator in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::DoubleEquals => "==",
            Self::NotEquals => "!=",
            Self::In => "in",
            Self::NotIn => "notin",
            Self::Exists => "exists",
            Self::DoesNotExist => "!",
            Self::GreaterThan => "gt",
            Self::LessThan => "lt",
        }
    }
}

/// One condition on one label. Values are sorted and without duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: Vec<String>,
}

/// Labels to match against.
pub trait Labels {
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for serde_json::Map<String, Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

/// A JSON object of labels; `null` has none.
impl Labels for Value {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelSelector {
    /// Matches no object: what an absent `metav1.LabelSelector` means.
    Nothing,
    /// All must hold; none matches everything. Sorted by key.
    All(Vec<Requirement>),
}

impl Default for LabelSelector {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl LabelSelector {
    /// The syntax of the query parameter: `a=b,c!=d,e in (x,y),!f`.
    pub fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        Ok(Self::from_requirements(parse::parse(text)?))
    }

    pub fn from_requirements(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self::All(requirements)
    }

    /// Equality with every label of a map, as in `Service.spec.selector`. Not validated. An empty map matches everything.
    pub fn from_map<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let equals = |(key, value): (&str, &str)| Requirement {
            key: key.to_owned(),
            operator: Operator::Equals,
            values: vec![value.to_owned()],
        };
        Self::from_requirements(labels.into_iter().map(equals).collect())
    }

    /// A `metav1.LabelSelector`: absent or null matches nothing, `{}` everything.
    pub fn from_object(selector: Option<&Value>) -> Result<Self, LabelSelectorError> {
        let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return Ok(Self::Nothing) };
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(Requirement::new(key, Operator::Equals, values)?);
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let name = expression["operator"].as_str().unwrap_or_default();
            let operator = match name {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                _ => return Err(LabelSelectorError::Operator(name.to_owned())),
            };
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::new(expression["key"].as_str().unwrap_or_default(), operator, values)?);
        }
        Ok(Self::from_requirements(requirements))
    }

    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(requirements) => requirements.iter().all(|each| each.matches(labels.label(&each.key))),
        }
    }

    /// Whether an object's `metadata.labels` match.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(&object["metadata"]["labels"])
    }

    /// Whether it restricts nothing.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::All(requirements) if requirements.is_empty())
    }

    /// The one value that the selector demands of a label.
    pub fn requires_exact_match(&self, key: &str) -> Option<&str> {
        let Self::All(requirements) = self else { return None };
        let requirement = requirements.iter().find(|each| each.key == key)?;
        match (requirement.operator, &requirement.values[..]) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::All(requirements) = self else { return Ok(()) };
        for (index, requirement) in requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl Requirement {
    /// Checks key, values and their number.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, LabelSelectorError> {
        let mut errors = Vec::new();
        let path = Path::new("values");
        if let Some(error) = joined(&Path::new("key"), key, names::qualified_name(key)) {
            errors.push(error);
        }
        let wrong_number = match operator {
            Operator::In | Operator::NotIn => {
                values.is_empty().then_some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                (values.len() != 1).then_some("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist => {
                (!values.is_empty()).then_some("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan => {
                (values.len() != 1).then_some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
        };
        errors.extend(wrong_number.map(|detail| FieldError::invalid(&path, values.clone(), detail)));
        for (index, value) in values.iter().enumerate() {
            let number = matches!(operator, Operator::GreaterThan | Operator::LessThan);
            if number && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&path.index(index), value.as_str(), detail));
            }
        }
        for (index, value) in values.iter().enumerate() {
            errors.extend(joined(&path.index(index).key(key), value, names::label_value(value)));
        }
        if !errors.is_empty() {
            return Err(LabelSelectorError::Invalid(errors));
        }
        Ok(Self { key: key.to_owned(), operator, values })
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let has = |label: &str| self.values.iter().any(|value| value == label);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(has),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(has),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = |text: &str| text.parse::<i64>().ok();
                let (Some(label), [value]) = (label.and_then(number), &self.values[..]) else { return false };
                let Some(value) = number(value) else { return false };
                if self.operator == Operator::GreaterThan { label > value } else { label < value }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut values = self.values.clone();
        values.sort();
        let values = values.join(",");
        let key = &self.key;
        match self.operator {
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Exists => f.write_str(key),
            Operator::In | Operator::NotIn => write!(f, "{key} {} ({values})", self.operator.as_str()),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            _ => write!(f, "{key}{}{values}", self.operator.as_str()),
        }
    }
}

pub(super) fn joined(path: &Path, value: &str, messages: Vec<String>) -> Option<FieldError> {
    (!messages.is_empty()).then(|| FieldError::invalid(path, value, messages.join("; ")))
}

/// Validates a `metav1.LabelSelector` field of an object.
pub fn validate_label_selector(selector: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    errors.extend(names::validate_labels(&labels, &path.child("matchLabels")));
    for (index, expression) in selector["matchExpressions"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = expression["values"].as_array().map(Vec::as_slice).unwrap_or_default();
        match expression["operator"].as_str().unwrap_or_default() {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&path.child("values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(&path.child("operator"), other, "not a valid selector operator")),
        }
        let key = expression["key"].as_str().unwrap_or_default();
        let wrong = names::qualified_name(key).into_iter();
        errors.extend(wrong.map(|message| FieldError::invalid(&path.child("key"), key, message)));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let path = path.child("values").index(index);
            errors.extend(names::label_value(value).into_iter().map(|text| FieldError::invalid(&path, value, text)));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_match() {
        let labels = json!({"app": "web", "tier": "front", "n": "5"});
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("missing!=web", true),
            ("app in (web,db)", true),
            ("app notin (web)", false),
            ("missing notin (web)", true),
            ("app", true),
            ("!app", false),
            ("!missing", true),
            ("n>4", true),
            ("n<5", false),
            ("app>4", false),
            ("missing=", false),
        ];
        for (text, expected) in cases {
            let selector = LabelSelector::parse(text).unwrap();
            assert_eq!(selector.matches(&labels), expected, "{text}");
        }
    }

    #[test]
    fn object_form() {
        let cases = [
            (Value::Null, "", false),
            (json!({}), "", true),
            (json!({"matchLabels": {"b": "1", "a": "x"}}), "a=x,b=1", true),
            (json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}), "a in (x,y)", true),
            (json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]}), "a", true),
            (json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}), "!a", false),
        ];
        for (object, text, matches) in cases {
            let selector = LabelSelector::from_object(Some(&object)).unwrap();
            assert_eq!(selector.to_string(), text);
            assert_eq!(selector.matches(&json!({"a": "x", "b": "1"})), matches, "{object}");
        }
        let wrong = json!({"matchExpressions": [{"key": "a", "operator": "Near"}]});
        let error = LabelSelector::from_object(Some(&wrong)).unwrap_err();
        assert_eq!(error.to_string(), "\"Near\" is not a valid label selector operator");
    }

    #[test]
    fn object_form_is_validated_with_paths() {
        let selector = json!({"matchLabels": {"a b": "1"}, "matchExpressions": [
            {"key": "a", "operator": "In"}, {"key": "a", "operator": "Exists", "values": ["x"]}, {"key": "", "operator": "Gt"}]});
        let errors = validate_label_selector(&selector, &Path::new("spec").child("selector"));
        let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        let expected = [
            "spec.selector.matchLabels",
            "spec.selector.matchExpressions[0].values",
            "spec.selector.matchExpressions[1].values",
            "spec.selector.matchExpressions[2].operator",
            "spec.selector.matchExpressions[2].key",
            "spec.selector.matchExpressions[2].key",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn exact_match() {
        let selector = LabelSelector::parse("a=1,b in (x),c in (x,y),d").unwrap();
        let found: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|key| selector.requires_exact_match(key)).collect();
        assert_eq!(found, [Some("1"), Some("x"), None, None, None]);
    }
}
