//! Values. Those that come from JSON stay there: a member is looked at when it is asked for (`json`).
//!
//! `list` and `map` are collections, `compare` says what is equal and what is less, `convert` makes one type of another, `time` reads
//! and writes timestamps and durations.

mod compare;
mod convert;
mod json;
mod list;
mod map;
mod time;

use std::ops::Deref;
use std::sync::Arc;

use crate::library::{Address, Block, Check, Decision, Format, Url, Version};
use crate::types::Type;

pub use compare::{compare, equal};
pub use convert::{to_bool, to_bytes, to_double, to_duration, to_int, to_string, to_timestamp, to_uint};
pub use list::List;
pub use map::{Key, Map, Members};
pub use time::{Time, parse_duration};

/// `'v` is how long the data lives that an expression is computed over.
#[derive(Clone, Debug)]
pub enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'v>),
    Bytes(Arc<[u8]>),
    /// In nanoseconds.
    Duration(i64),
    Timestamp(Time),
    List(List<'v>),
    Map(Map<'v>),
    Type(Type),
    Optional(Option<Arc<Self>>),
    /// An object that an expression made.
    Struct(Arc<str>, Members<'v>),
    /// What only functions look into.
    Opaque(Opaque),
    /// Data of which no schema says what it is. It can be compared.
    Unknown(&'v serde_json::Value),
}

#[derive(Clone, Debug)]
pub enum Opaque {
    Quantity(Arc<api::quantity::Quantity>),
    Ip(Address),
    Cidr(Block),
    Url(Arc<Url>),
    Semver(Arc<Version>),
    Format(&'static Format),
    Check(Arc<Check>),
    Decision(Arc<Decision>),
}

#[derive(Clone, Debug)]
pub enum Text<'v> {
    Borrowed(&'v str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'v> Value<'v> {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::Items(Arc::new(items)))
    }

    pub fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    pub fn none() -> Self {
        Self::Optional(None)
    }

    /// The type as `type(x)` has it; what is inside a list or map is not looked at.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Duration(_) => Type::Duration,
            Self::Timestamp(_) => Type::Timestamp,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Type(_) => Type::Type(None),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Struct(name, _) => Type::Object(name.clone()),
            Self::Opaque(opaque) => opaque.type_of(),
            Self::Unknown(_) => Type::object("unknown"),
        }
    }

    /// Whether a function that wants this type can have this value.
    pub fn is(&self, wanted: &Type) -> bool {
        match (wanted, self) {
            (Type::Dyn | Type::Any | Type::Param(_) | Type::Error, _) => true,
            (Type::Bool, Self::Bool(_))
            | (Type::Int, Self::Int(_))
            | (Type::Uint, Self::Uint(_))
            | (Type::Double, Self::Double(_))
            | (Type::String, Self::String(_))
            | (Type::Bytes, Self::Bytes(_))
            | (Type::Duration, Self::Duration(_))
            | (Type::Timestamp, Self::Timestamp(_))
            | (Type::List(_), Self::List(_))
            | (Type::Map(..), Self::Map(_))
            | (Type::Type(_), Self::Type(_))
            | (Type::Null, Self::Null) => true,
            (Type::Opaque(name, _), Self::Optional(_)) => name.as_ref() == "optional_type",
            (Type::Object(name) | Type::Opaque(name, _), Self::Opaque(opaque)) => {
                opaque.type_of().name() == name.as_ref()
            }
            _ => false,
        }
    }

    /// What `size()` says, and 1 for what has none: what costs go by.
    pub fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Optional(Some(value)) => return value.size(),
            Self::Opaque(Opaque::Ip(address)) => address.size(),
            Self::Opaque(Opaque::Cidr(block)) => block.size(),
            _ => 1,
        };
        size as u64
    }

    /// What `optional.ofNonZeroValue` takes for nothing.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::String(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Duration(nanos) => *nanos == 0,
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            _ => false,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

impl Opaque {
    fn type_of(&self) -> Type {
        Type::read(match self {
            Self::Quantity(_) => "quantity",
            Self::Ip(_) => "ip",
            Self::Cidr(_) => "cidr",
            Self::Url(_) => "url",
            Self::Semver(_) => "semver",
            Self::Format(_) => "format",
            Self::Check(check) => check.type_name(),
            Self::Decision(_) => "decision",
        })
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
