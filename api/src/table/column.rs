//! One column of a built-in kind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::custom::CustomColumn;
use crate::Object;
use crate::meta::Meta;
use crate::time;

/// What an object shows in a column at a time.
pub type Cell = fn(&Object, Timestamp) -> Value;

#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// In the case that upstream sends; printers make it upper case.
    pub name: &'static str,
    /// OpenAPI's: `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// `name` for the column that names the object.
    pub format: &'static str,
    /// 0 is always shown, higher ones in wide output.
    pub priority: i32,
    pub cell: Cell,
}

impl Column {
    pub(super) const NAME: Self =
        Self { name: "Name", kind: "string", format: "name", priority: 0, cell: |object, _| object.name().into() };

    pub(super) const AGE: Self = Self::text("Age", |object, now| {
        let created = object.meta_str("creationTimestamp");
        time::age((!created.is_empty()).then_some(created), now).into()
    });

    /// A cell of which upstream's definitions do not know.
    pub(super) const UNNAMED_AGE: Self = Self { name: "", ..Self::AGE };

    /// What kinds without columns of their own have beside the name.
    pub(super) const CREATED_AT: Self = Self {
        name: "Created At",
        kind: "date",
        format: "",
        priority: 0,
        cell: |object, _| match object.meta_str("creationTimestamp") {
            // Go's zero.
            "" => "0001-01-01T00:00:00Z".into(),
            created => created.into(),
        },
    };

    pub(super) const fn text(name: &'static str, cell: Cell) -> Self {
        Self { name, kind: "string", format: "", priority: 0, cell }
    }

    pub(super) const fn integer(name: &'static str, cell: Cell) -> Self {
        Self { name, kind: "integer", format: "", priority: 0, cell }
    }

    pub(super) const fn boolean(name: &'static str, cell: Cell) -> Self {
        Self { name, kind: "boolean", format: "", priority: 0, cell }
    }

    /// Only in wide output.
    pub(super) const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    fn definition(&self) -> Value {
        definition(self.name, self.kind, self.format, "", self.priority)
    }
}

pub(super) fn definition(name: &str, kind: &str, format: &str, description: &str, priority: i32) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

/// The columns of a resource, built in or custom.
#[derive(Clone, Debug)]
pub enum Columns {
    BuiltIn(&'static [Column]),
    /// After the name.
    Custom(Vec<CustomColumn>),
}

impl Columns {
    /// `columnDefinitions` of the Table.
    pub fn definitions(&self) -> Vec<Value> {
        match self {
            Self::BuiltIn(columns) => {
                columns.iter().filter(|column| !column.name.is_empty()).map(Column::definition).collect()
            }
            Self::Custom(columns) => {
                std::iter::once(Column::NAME.definition()).chain(columns.iter().map(CustomColumn::definition)).collect()
            }
        }
    }

    /// One value per definition, and for columns without a name.
    pub fn cells(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        match self {
            Self::BuiltIn(columns) => columns.iter().map(|column| (column.cell)(object, now)).collect(),
            Self::Custom(columns) => {
                let name = Value::from(object.name());
                std::iter::once(name).chain(columns.iter().map(|column| column.cell(object, now))).collect()
            }
        }
    }
}
