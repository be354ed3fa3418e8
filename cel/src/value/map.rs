//! Maps: made by an expression, or in a JSON document.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Text, Value, equal};
use crate::error::Error;
use crate::schema::{Schema, escape, unescape};

pub type Members<'v> = Arc<BTreeMap<Key<'v>, Value<'v>>>;

#[derive(Clone, Debug)]
pub enum Map<'v> {
    Members(Members<'v>),
    /// The schema is that of the map or object.
    Json(&'v serde_json::Map<String, Json>, Option<&'v Schema>),
}

/// Numbers are the same key whatever their type.
#[derive(Clone, Debug)]
pub enum Key<'v> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Text<'v>),
}

impl Key<'_> {
    fn rank(&self) -> (u8, i128, &str) {
        match self {
            Self::Bool(value) => (0, i128::from(*value), ""),
            Self::Int(value) => (1, i128::from(*value), ""),
            Self::Uint(value) => (1, i128::from(*value), ""),
            Self::String(text) => (2, 0, text),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl<'v> Key<'v> {
    /// `None` for what can be no key.
    pub fn new(value: &Value<'v>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::Uint(value) => Some(Self::Uint(*value)),
            Value::String(text) => Some(Self::String(text.clone())),
            _ => None,
        }
    }

    /// A double finds the integer that it is.
    fn to_find(value: &Value<'v>) -> Option<Self> {
        match value {
            Value::Double(double) if double.fract() == 0.0 && double.abs() < 9.3e18 => Some(Self::Int(*double as i64)),
            Value::Double(double) if double.fract() == 0.0 && (0.0..1.8e19).contains(double) => {
                Some(Self::Uint(*double as u64))
            }
            value => Self::new(value),
        }
    }

    pub fn value(&self) -> Value<'v> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }
}

impl<'v> Map<'v> {
    pub fn len(&self) -> usize {
        match self {
            Self::Members(members) => members.len(),
            Self::Json(members, _) => members.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// # Errors
    /// What is there is not what the schema says, or the key is of a type that the schema rules out.
    pub fn get(&self, key: &Value<'v>) -> Result<Option<Value<'v>>, Error> {
        match (self, key) {
            (Self::Members(members), key) => Ok(Key::to_find(key).and_then(|key| members.get(&key).cloned())),
            (Self::Json(members, None), Value::String(name)) => Ok(members.get(&**name).map(Value::from_json)),
            (Self::Json(_, None), _) => Ok(None),
            (Self::Json(members, Some(schema)), Value::String(name)) => {
                let is_object = schema.is_object();
                let name = if is_object { unescape(name) } else { Some((**name).to_owned()) };
                let Some((name, member)) = name.and_then(|name| members.get(&name).map(|member| (name, member))) else {
                    return Ok(None);
                };
                // In an object null is as nothing.
                if is_object && member.is_null() {
                    return Ok(None);
                }
                schema.member(&name).map(|schema| Value::typed(member, schema)).transpose()
            }
            (Self::Json(_, Some(_)), _) => Err(Error::NO_OVERLOAD),
        }
    }

    /// Names that an expression can use, in order.
    pub fn keys(&self) -> Vec<Value<'v>> {
        match self {
            Self::Members(members) => members.keys().map(Key::value).collect(),
            Self::Json(members, None) => {
                members.keys().map(|name| Value::String(Text::Borrowed(name.as_str()))).collect()
            }
            Self::Json(members, Some(schema)) => {
                let known = members.keys().filter(|name| schema.member(name).is_some());
                let shown = known.map(|name| match escape(name) {
                    Some(escaped) if schema.is_object() && escaped != *name => Value::text(escaped),
                    _ => Value::String(Text::Borrowed(name.as_str())),
                });
                shown.collect()
            }
        }
    }

    pub fn equals(&self, other: &Map<'_>) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let unknown = |name: &String, schema: &Option<&Schema>| schema.is_some_and(|s| s.member(name).is_none());
        if let (Self::Json(own, schema), Map::Json(others, _)) = (self, other)
            && own
                .iter()
                .any(|(name, value)| unknown(name, schema) && others.get(name).is_some_and(|other| other != value))
        {
            return false;
        }
        self.keys().iter().all(|key| {
            // A shorter life for the key, so that it can be looked for in the other map.
            let here: Map<'_> = self.clone();
            match (here.get(key), other.clone().get(key)) {
                (Ok(Some(a)), Ok(Some(b))) => equal(&a, &b),
                (Ok(None), Ok(None)) => true,
                _ => false,
            }
        })
    }
}
