//! The tree. Every node has a number, under which its place in the text and its type are found.

use crate::value::Value;

pub type Id = u32;

#[derive(Clone, Debug)]
pub struct Expr {
    pub id: Id,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Literal(Value<'static>),
    Ident(String),
    /// `test` asks whether the field is there: `has(operand.field)`.
    Select {
        operand: Box<Expr>,
        field: String,
        test: bool,
    },
    /// Operators are calls of functions with names such as `_+_`.
    Call {
        function: String,
        target: Option<Box<Expr>>,
        args: Vec<Expr>,
    },
    List(Vec<Item>),
    Map(Vec<Entry>),
    Struct {
        name: String,
        fields: Vec<Field>,
    },
    Comprehension(Box<Comprehension>),
}

impl Expr {
    fn is_ident(&self, wanted: &str) -> bool {
        matches!(&self.kind, Kind::Ident(name) if name == wanted)
    }

    pub fn selects(&self, variable: &str, wanted: &str) -> bool {
        let within = |expr: &Self| expr.selects(variable, wanted);
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => false,
            Kind::Select { operand, field, .. } => operand.is_ident(variable) && field == wanted || within(operand),
            Kind::Call { function, target, args } => {
                let optional = match args.as_slice() {
                    [operand, field] if function == "_?._" => {
                        let named = matches!(&field.kind, Kind::Literal(Value::String(text)) if **text == *wanted);
                        operand.is_ident(variable) && named
                    }
                    _ => false,
                };
                optional || args.iter().any(within) || target.as_deref().is_some_and(within)
            }
            Kind::List(items) => items.iter().any(|item| within(&item.value)),
            Kind::Map(entries) => entries.iter().any(|entry| within(&entry.key) || within(&entry.value)),
            Kind::Struct { fields, .. } => fields.iter().any(|field| within(&field.value)),
            Kind::Comprehension(all) => {
                [&all.range, &all.init, &all.condition, &all.step, &all.result].into_iter().any(within)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct Item {
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub id: Id,
    pub name: String,
    pub value: Expr,
    pub optional: bool,
}

/// `accu` begins as `init`; while `condition` holds it becomes `step` for each element of `range`; `result` is what comes out.
#[derive(Clone, Debug)]
pub struct Comprehension {
    pub range: Expr,
    pub var: String,
    /// With it, `var` is the index or key and this the element or value.
    pub var2: Option<String>,
    pub accu: String,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Comprehension {
    /// A loop over nothing that only names a value: `cel.bind`, `optMap`.
    pub fn is_bind(&self) -> bool {
        let empty = matches!(&self.range.kind, Kind::List(items) if items.is_empty())
            || matches!(&self.range.kind, Kind::Literal(Value::List(items)) if items.is_empty());
        empty && matches!(&self.condition.kind, Kind::Literal(Value::Bool(false))) && self.accu != super::ACCUMULATOR
    }
}

#[derive(Clone, Debug)]
pub struct Tree {
    pub root: Expr,
    /// By the number of a node: where it is, in characters.
    pub places: Vec<u32>,
}

impl Expr {
    /// Calls `visit` with this node and all below it, parents first.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(self);
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => operand.walk(visit),
            Kind::Call { target, args, .. } => {
                target.iter().for_each(|target| target.walk(visit));
                args.iter().for_each(|arg| arg.walk(visit));
            }
            Kind::List(items) => items.iter().for_each(|item| item.value.walk(visit)),
            Kind::Map(entries) => entries.iter().for_each(|entry| {
                entry.key.walk(visit);
                entry.value.walk(visit);
            }),
            Kind::Struct { fields, .. } => fields.iter().for_each(|field| field.value.walk(visit)),
            Kind::Comprehension(comprehension) => {
                let Comprehension { range, init, condition, step, result, .. } = comprehension.as_ref();
                [range, init, condition, step, result].into_iter().for_each(|part| part.walk(visit));
            }
        }
    }

    /// `a.b.c` as a name.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select { operand, field, test: false } => Some(format!("{}.{field}", operand.qualified_name()?)),
            _ => None,
        }
    }
}
