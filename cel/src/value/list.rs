//! Lists: made by an expression, or in a JSON document.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Value, equal};
use crate::error::Error;
use crate::schema::{ListType, Schema};

#[derive(Clone, Debug)]
pub enum List<'v> {
    Items(Arc<Vec<Value<'v>>>),
    /// The schema is that of the list.
    Json(&'v [Json], Option<&'v Schema>),
}

impl<'v> List<'v> {
    pub fn len(&self) -> usize {
        match self {
            Self::Items(items) => items.len(),
            Self::Json(items, _) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// # Errors
    /// The element is not what the schema says.
    pub fn get(&self, index: usize) -> Option<Result<Value<'v>, Error>> {
        match self {
            Self::Items(items) => items.get(index).cloned().map(Ok),
            Self::Json(items, schema) => {
                let item = items.get(index)?;
                Some(match schema {
                    None => Ok(Value::from_json(item)),
                    Some(Schema { items: Some(schema), .. }) => Value::typed(item, schema),
                    Some(_) => Err(Error::new("invalid array type, expected Items with a non-empty Schema")),
                })
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'v>, Error>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// # Errors
    /// An element is not what the schema says.
    pub fn values(&self) -> Result<Vec<Value<'v>>, Error> {
        self.iter().collect()
    }

    pub fn contains(&self, value: &Value<'_>) -> Result<bool, Error> {
        let mut failed = None;
        for item in self.iter() {
            match item {
                Ok(item) if equal(&item, value) => return Ok(true),
                Ok(_) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// Lists that are sets or maps by their schema stay so.
    pub fn concat(&mut self, other: Self) -> Result<(), Error> {
        if let (Self::Json(own, Some(schema)), ListType::Set | ListType::Map(_)) = (&*self, self.kind()) {
            let merged = merge(own, &other, schema)?;
            *self = Self::Items(Arc::new(merged));
            return Ok(());
        }
        if self.is_empty() {
            *self = other;
            return Ok(());
        }
        if other.is_empty() {
            return Ok(());
        }
        if !matches!(self, Self::Items(_)) {
            *self = Self::Items(Arc::new(self.values()?));
        }
        if let Self::Items(items) = self {
            let items = Arc::make_mut(items);
            match other {
                Self::Items(more) => items.extend(more.iter().cloned()),
                more @ Self::Json(..) => items.extend(more.values()?),
            }
        }
        Ok(())
    }

    fn kind(&self) -> ListType {
        match self {
            Self::Json(_, Some(schema)) => schema.list.clone(),
            _ => ListType::Atomic,
        }
    }

    /// Sets and maps are equal in any order.
    pub fn equals(&self, other: &List<'_>) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if let (Self::Json(own, _), List::Json(others, _), ListType::Set | ListType::Map(_)) =
            (self, other, self.kind())
        {
            let keys = |item: &Json| key(item, &self.kind());
            let find = |wanted: &Json| (0..others.len()).find(|index| keys(&others[*index]) == keys(wanted));
            return own.iter().enumerate().all(|(index, item)| {
                let found = find(item).and_then(|at| element(other, at));
                matches!((element(self, index), found), (Some(a), Some(b)) if equal(&a, &b))
            });
        }
        if let (Self::Json(..), ListType::Set) = (self, self.kind()) {
            return other.iter().all(|item| item.is_ok_and(|item| self.contains(&item).unwrap_or_default()));
        }
        (0..self.len())
            .all(|index| matches!((element(self, index), element(other, index)), (Some(a), Some(b)) if equal(&a, &b)))
    }
}

fn element<'v>(list: &List<'v>, index: usize) -> Option<Value<'v>> {
    list.get(index).and_then(Result::ok)
}

/// What tells elements apart.
fn key(item: &Json, kind: &ListType) -> String {
    match kind {
        ListType::Map(keys) => {
            let parts: Vec<&Json> = keys.iter().map(|key| &item[key.as_str()]).collect();
            format!("{parts:?}")
        }
        _ => item.to_string(),
    }
}

/// Elements keep their places; those of the other with the same key take theirs, the rest is added.
fn merge<'v>(own: &'v [Json], other: &List<'v>, schema: &'v Schema) -> Result<Vec<Value<'v>>, Error> {
    let List::Json(others, _) = other else {
        let mut values = List::Json(own, Some(schema)).values()?;
        for item in other.iter() {
            let item = item?;
            if !values.iter().any(|known| equal(known, &item)) {
                values.push(item);
            }
        }
        return Ok(values);
    };
    let mut merged: Vec<&Json> = own.iter().collect();
    let mut known: Vec<String> = own.iter().map(|item| key(item, &schema.list)).collect();
    for item in *others {
        let key = key(item, &schema.list);
        match known.iter().position(|known| *known == key) {
            Some(at) => merged[at] = item,
            None => {
                merged.push(item);
                known.push(key);
            }
        }
    }
    let items = schema.items.as_deref();
    merged
        .into_iter()
        .map(|item| items.map_or(Ok(Value::from_json(item)), |schema| Value::typed(item, schema)))
        .collect()
}

impl<'v> FromIterator<Value<'v>> for List<'v> {
    fn from_iter<I: IntoIterator<Item = Value<'v>>>(items: I) -> Self {
        Self::Items(Arc::new(items.into_iter().collect()))
    }
}
