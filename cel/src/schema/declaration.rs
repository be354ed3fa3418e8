//! The types that a schema declares, and the largest sizes that its data can have in one request (`pkg/cel/common/schemas.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Schema, escape};
use crate::cost::Range;
use crate::types::Type;

/// The largest request that a server takes, in bytes.
pub const MAX_REQUEST: i64 = 3 * 1024 * 1024;
const BRACKETS: i64 = 2;

/// Fields of object types, by the type's name and the field's.
pub type ObjectTypes = BTreeMap<Arc<str>, BTreeMap<String, Type>>;

#[derive(Clone, Debug)]
pub struct Declaration {
    pub ty: Type,
    /// Of an object, by escaped names.
    pub fields: BTreeMap<String, Self>,
    /// Of lists and maps.
    element: Option<Box<Self>>,
    key: Option<Box<Self>>,
    /// How many elements, members, bytes or characters there can be.
    pub max_elements: i64,
    /// The fewest bytes that it takes as JSON.
    pub min_size: i64,
}

impl Declaration {
    /// `None` for data that no expression can see.
    pub fn of(schema: &Schema, name: &str) -> Option<Self> {
        if schema.int_or_string {
            let max_elements = schema.max_length.map_or(MAX_REQUEST - BRACKETS, |length| length.max(0) * 4);
            return Some(Self { max_elements, ..Self::scalar(Type::Dyn, 1) });
        }
        match schema.kind.as_str() {
            "array" => {
                let element = Self::of(schema.items.as_deref()?, &format!("{name}.@idx"))?;
                let most = (MAX_REQUEST - BRACKETS) / (element.min_size + 1);
                let max_elements = schema.max_items.map_or(most, |max| max.max(0));
                let ty = Type::list(element.ty.clone());
                let element = Some(Box::new(element));
                Some(Self { element, max_elements, ..Self::scalar(ty, BRACKETS) })
            }
            "object" => match &schema.additional {
                Some(values) => {
                    let element = Self::of(values, &format!("{name}.@elem"))?;
                    // A key has quotes, a colon, a comma, and at least two letters.
                    let most = (MAX_REQUEST - BRACKETS) / (element.min_size + 6);
                    let max_elements = schema.max_properties.map_or(most, |max| max.max(0));
                    let ty = Type::map(Type::String, element.ty.clone());
                    let key = Some(Box::new(Self::scalar(Type::String, BRACKETS)));
                    let element = Some(Box::new(element));
                    Some(Self { key, element, max_elements, ..Self::scalar(ty, BRACKETS) })
                }
                None => Some(Self::object(schema, name)),
            },
            "string" => Some(Self::string(schema)),
            "boolean" => Some(Self::scalar(Type::Bool, 4)),
            "number" => Some(Self::scalar(Type::Double, 1)),
            "integer" => Some(Self::scalar(Type::Int, 1)),
            _ => None,
        }
    }

    fn scalar(ty: Type, min_size: i64) -> Self {
        Self { ty, fields: BTreeMap::new(), element: None, key: None, max_elements: 0, min_size }
    }

    fn object(schema: &Schema, name: &str) -> Self {
        let mut object = Self::scalar(Type::object(name), BRACKETS);
        for (property, schema_of) in &schema.properties {
            let escaped = escape(property);
            let shown = escaped.as_deref().unwrap_or(property);
            let Some(field) = Self::of(schema_of, &format!("{name}.{shown}")) else { continue };
            // What has a default need not be in the request.
            if schema.required.contains(property) && !schema_of.has_default {
                object.min_size += i64::try_from(property.len()).unwrap_or(i64::MAX) + field.min_size + 4;
            }
            if let Some(escaped) = escaped {
                object.fields.insert(escaped, field);
            }
        }
        object
    }

    fn string(schema: &Schema) -> Self {
        let free = MAX_REQUEST - BRACKETS;
        let (ty, min_size, max_elements) = match schema.format.as_str() {
            "byte" => (Type::Bytes, 2, schema.max_length.map_or(free, |max| max.max(0))),
            "duration" => (Type::Duration, 3, 32),
            "date" => (Type::Timestamp, 12, 12),
            "date-time" => (Type::Timestamp, 21, 32),
            // A character takes up to four bytes.
            _ => match (schema.max_length, schema.longest) {
                (Some(max), _) => (Type::String, 2, max.max(0) * 4),
                (None, Some(longest)) => (Type::String, 2, longest),
                (None, None) => (Type::String, 2, free),
            },
        };
        Self { max_elements, ..Self::scalar(ty, min_size) }
    }

    /// The elements of a list or the values of a map.
    pub fn element(&self) -> Option<&Self> {
        self.element.as_deref()
    }

    /// All object types in it.
    pub fn types(&self) -> ObjectTypes {
        let mut types = ObjectTypes::new();
        self.collect(&mut types);
        types
    }

    fn collect(&self, types: &mut ObjectTypes) {
        if let Type::Object(name) = &self.ty {
            let fields = self.fields.iter().map(|(name, field)| (name.clone(), field.ty.clone()));
            types.insert(name.clone(), fields.collect());
        }
        self.element.iter().for_each(|element| element.collect(types));
        self.fields.values().for_each(|field| field.collect(types));
    }

    /// The size of what a path leads to; the first part is the variable that this declares.
    pub fn size(&self, path: &[String]) -> Option<Range> {
        let mut node = self;
        for part in path.get(1..)? {
            node = match part.as_str() {
                "@items" | "@values" => node.element.as_deref()?,
                "@keys" => node.key.as_deref()?,
                name => node.fields.get(name)?,
            };
        }
        Some(Range { min: 0, max: u64::try_from(node.max_elements).unwrap_or_default() })
    }
}
