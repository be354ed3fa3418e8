//! Types of expressions, and how they are written in tables and in messages.

use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// Something was wrong with the expression.
    Error,
    /// Known only when it is computed.
    Dyn,
    /// As `Dyn`, declared as protobuf's `Any`: messages name it so, and it is not looked into as a list or map.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    List(Arc<Self>),
    Map(Arc<Self>, Arc<Self>),
    /// The type of types; of which, if that is known.
    Type(Option<Arc<Self>>),
    /// A type with fields, or one that only functions look into.
    Object(Arc<str>),
    /// `optional_type(T)`, `net.IP`.
    Opaque(Arc<str>, Vec<Self>),
    /// Stands for any type.
    Param(Arc<str>),
}

/// Types with a short name in tables.
const NAMED: [(&str, &str); 9] = [
    ("url", "kubernetes.URL"),
    ("quantity", "kubernetes.Quantity"),
    ("semver", "kubernetes.Semver"),
    ("format", "kubernetes.NamedFormat"),
    ("authorizer", "kubernetes.authorization.Authorizer"),
    ("path_check", "kubernetes.authorization.PathCheck"),
    ("group_check", "kubernetes.authorization.GroupCheck"),
    ("resource_check", "kubernetes.authorization.ResourceCheck"),
    ("decision", "kubernetes.authorization.Decision"),
];

impl Type {
    pub fn list(of: Self) -> Self {
        Self::List(Arc::new(of))
    }

    pub fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    pub fn optional(of: Self) -> Self {
        Self::Opaque("optional_type".into(), vec![of])
    }

    pub fn object(name: impl Into<Arc<str>>) -> Self {
        Self::Object(name.into())
    }

    pub fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    pub fn is_dyn_or_error(&self) -> bool {
        self.is_dyn() || *self == Self::Error
    }

    /// What an optional has inside.
    pub fn unwrapped(&self) -> Option<&Self> {
        match self {
            Self::Opaque(name, params) if name.as_ref() == "optional_type" => params.first(),
            _ => None,
        }
    }

    /// Types inside of it.
    pub fn params(&self) -> Vec<&Self> {
        match self {
            Self::List(of) => vec![of],
            Self::Map(key, value) => vec![key, value],
            Self::Type(Some(of)) => vec![of],
            Self::Opaque(_, params) => params.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The same with other types inside.
    pub fn map_params(&self, change: &mut dyn FnMut(&Self) -> Self) -> Self {
        match self {
            Self::List(of) => Self::list(change(of)),
            Self::Map(key, value) => Self::map(change(key), change(value)),
            Self::Type(Some(of)) => Self::Type(Some(Arc::new(change(of)))),
            Self::Opaque(name, params) => Self::Opaque(name.clone(), params.iter().map(change).collect()),
            _ => self.clone(),
        }
    }

    /// The name without what is inside: what `type(x)` is equal by.
    pub fn name(&self) -> &str {
        match self {
            Self::Error => "error",
            Self::Dyn => "dyn",
            Self::Any => "google.protobuf.Any",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Type(_) => "type",
            Self::Object(name) | Self::Opaque(name, _) | Self::Param(name) => name,
        }
    }

    /// The whole type by its names, which is not how messages of the compiler write it.
    pub fn full_name(&self) -> String {
        let params: Vec<String> = self.params().into_iter().map(Self::full_name).collect();
        if params.is_empty() { self.name().to_owned() } else { format!("{}({})", self.name(), params.join(", ")) }
    }

    /// A type that an expression may name.
    pub fn by_name(name: &str) -> Option<Self> {
        let any = || Arc::new(Self::Dyn);
        Some(match name {
            "bool" => Self::Bool,
            "bytes" => Self::Bytes,
            "double" => Self::Double,
            "int" => Self::Int,
            "list" => Self::List(any()),
            "map" => Self::Map(any(), any()),
            "null_type" => Self::Null,
            "string" => Self::String,
            "type" => Self::Type(None),
            "uint" => Self::Uint,
            "google.protobuf.Duration" => Self::Duration,
            "google.protobuf.Timestamp" => Self::Timestamp,
            "optional_type" => Self::optional(Self::Dyn),
            "net.IP" | "net.CIDR" => Self::Opaque(name.into(), Vec::new()),
            _ => return None,
        })
    }

    /// As tables write it: `map(string, list(A))`, where one capital letter stands for any type.
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        if let Some((name, inside)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            let mut params = Self::read_list(inside).into_iter();
            let mut next = || params.next().unwrap_or(Self::Dyn);
            return match name {
                "list" => Self::list(next()),
                "map" => Self::map(next(), next()),
                "type" => Self::Type(Some(Arc::new(next()))),
                _ => Self::optional(next()),
            };
        }
        match text {
            "dyn" => Self::Dyn,
            "duration" => Self::Duration,
            "timestamp" => Self::Timestamp,
            "ip" => Self::Opaque("net.IP".into(), Vec::new()),
            "cidr" => Self::Opaque("net.CIDR".into(), Vec::new()),
            _ if text.len() == 1 => Self::Param(text.into()),
            _ => match NAMED.iter().find(|(short, _)| *short == text) {
                Some((_, name)) => Self::object(*name),
                None => Self::by_name(text).unwrap_or(Self::Error),
            },
        }
    }

    /// Types with commas between them.
    pub fn read_list(text: &str) -> Vec<Self> {
        let (mut depth, mut start, mut types) = (0, 0, Vec::new());
        for (at, c) in text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    types.push(Self::read(&text[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
        if !text[start..].trim().is_empty() {
            types.push(Self::read(&text[start..]));
        }
        types
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("!error!"),
            Self::Any => f.write_str("any"),
            Self::Null => f.write_str("null"),
            Self::Duration => f.write_str("duration"),
            Self::Timestamp => f.write_str("timestamp"),
            _ => f.write_str(self.name()),
        }?;
        let params = self.params();
        if params.is_empty() {
            return Ok(());
        }
        let shown: Vec<String> = params.iter().map(ToString::to_string).collect();
        write!(f, "({})", shown.join(", "))
    }
}
