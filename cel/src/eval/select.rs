//! A step into a value: a field, a key, an index.

use crate::error::Error;
use crate::library::shown;
use crate::value::{Key, Value};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Value,
    /// An optional, which is empty when it is not there.
    Optional,
    /// Whether it is there.
    Presence,
}

/// From an optional comes an optional.
pub(super) fn select<'v>(from: &Value<'v>, key: &Value<'v>, wanted: Wanted) -> Result<Value<'v>, Error> {
    let (inside, wanted) = match (from, wanted) {
        (Value::Optional(None), Wanted::Presence) => return Ok(Value::Bool(false)),
        (Value::Optional(None), _) => return Ok(Value::none()),
        (Value::Optional(Some(inside)), Wanted::Presence) => (&**inside, Wanted::Presence),
        (Value::Optional(Some(inside)), _) => (&**inside, Wanted::Optional),
        (value, wanted) => (value, wanted),
    };
    let found = find(inside, key)?;
    match (wanted, found) {
        (Wanted::Presence, found) => Ok(Value::Bool(found.is_some())),
        (Wanted::Optional, found) => Ok(found.map_or(Value::none(), Value::some)),
        (Wanted::Value, Some(found)) => Ok(found),
        (Wanted::Value, None) => Err(match inside {
            Value::List(_) => Error::new(format!("index out of bounds: {}", shown(key))),
            _ => Error::new(format!("no such key: {}", shown(key))),
        }),
    }
}

fn find<'v>(from: &Value<'v>, key: &Value<'v>) -> Result<Option<Value<'v>>, Error> {
    match from {
        Value::Map(map) => map.get(key),
        Value::List(list) => {
            let index = match key {
                Value::Int(int) => usize::try_from(*int).ok(),
                Value::Uint(uint) => usize::try_from(*uint).ok(),
                Value::Double(double) if double.fract() == 0.0 => usize::try_from(*double as i64).ok(),
                Value::Double(double) => {
                    return Err(Error::new(format!("unsupported index value {double} in list")));
                }
                other => {
                    return Err(Error::new(format!("unsupported index type '{}' in list", other.type_of().name())));
                }
            };
            index.and_then(|index| list.get(index)).transpose()
        }
        Value::Struct(_, members) => Ok(Key::new(key).and_then(|key| members.get(&key).cloned())),
        _ => Ok(None),
    }
}
