//! The cost of an expression before it is computed (`checker/cost.go`): how large data can be is known from where it comes from.

use std::collections::HashMap;

use super::rule::{Estimate, Known};
use super::{LIST, MAP, Range, Rule, STRUCT};
use crate::check::Checked;
use crate::library::Overload;
use crate::syntax::{Comprehension, Entry, Expr, Id, Item, Kind};
use crate::types::Type;
use crate::value::Value;

/// How large data is.
pub trait Sizes {
    /// By its path: a variable, then names of fields, `@items`, `@keys`, `@values`. `None` when nothing is known of it.
    fn size(&self, path: &[String]) -> Option<Range>;
}

impl Sizes for () {
    fn size(&self, _path: &[String]) -> Option<Range> {
        None
    }
}

impl Sizes for crate::schema::Declaration {
    fn size(&self, path: &[String]) -> Option<Range> {
        self.size(path)
    }
}

pub fn estimate(checked: &Checked, sizes: &dyn Sizes) -> Range {
    let (paths, known, members) = (HashMap::new(), HashMap::new(), HashMap::new());
    Estimator { checked, sizes, paths, known, members, locals: Vec::new() }.cost(&checked.root)
}

/// The sizes of what is in a list or map.
#[derive(Clone, Copy)]
struct Inside {
    is_list: bool,
    key: Range,
    value: Range,
}

impl Inside {
    fn or(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let (a, b) = (a?, b?);
        Some(Self { is_list: a.is_list, key: a.key.or(b.key), value: a.value.or(b.value) })
    }
}

#[derive(Clone)]
struct Local {
    name: String,
    path: Vec<String>,
    size: Option<Range>,
    inside: Option<Inside>,
}

struct Estimator<'c> {
    checked: &'c Checked,
    sizes: &'c dyn Sizes,
    paths: HashMap<Id, Vec<String>>,
    known: HashMap<Id, Range>,
    members: HashMap<Id, Inside>,
    locals: Vec<Local>,
}

const NOTHING: Range = Range { min: 0, max: 0 };
const ONE: Range = Range { min: 1, max: 1 };
/// Of what a union has not begun with.
const EMPTY: Range = Range { min: u64::MAX, max: 0 };

impl Estimator<'_> {
    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn path(&self, expr: &Expr) -> Vec<String> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn path_below(&self, expr: &Expr, name: &str) -> Vec<String> {
        let mut path = self.path(expr);
        path.push(name.to_owned());
        path
    }

    fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(known) = self.known.get(&expr.id) {
            return Some(*known);
        }
        let own = match &expr.kind {
            Kind::Literal(Value::Type(_)) => None,
            Kind::Literal(value) => Some(value.size()),
            Kind::List(items) => Some(items.len() as u64),
            Kind::Map(entries) => Some(entries.len() as u64),
            _ => None,
        };
        if let Some(own) = own {
            return Some(Range::exactly(own));
        }
        let path = self.path(expr);
        if !path.is_empty()
            && let Some(size) = self.sizes.size(&path)
        {
            self.known.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.checked.type_of(expr)) {
            return Some(ONE);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn inside(&self, expr: &Expr) -> Option<Inside> {
        let named = match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.inside),
            _ => None,
        };
        self.members.get(&expr.id).copied().or(named)
    }

    fn remember(&mut self, expr: &Expr, size: Option<Range>, inside: Option<Inside>) {
        size.map(|size| self.known.insert(expr.id, size));
        inside.map(|inside| self.members.insert(expr.id, inside));
    }

    fn cost(&mut self, expr: &Expr) -> Range {
        match &expr.kind {
            // A type is named, as a variable is.
            Kind::Literal(Value::Type(ty)) => {
                self.paths.insert(expr.id, vec![ty.name().to_owned()]);
                ONE
            }
            Kind::Literal(_) => NOTHING,
            Kind::Ident(name) => {
                let path = self.local(name).map_or_else(|| vec![name.clone()], |local| local.path.clone());
                self.paths.insert(expr.id, path);
                ONE
            }
            // Asking whether a field is there is free.
            Kind::Select { operand, test: true, .. } => self.cost(operand),
            Kind::Select { operand, field, .. } => {
                let cost = self.cost(operand);
                let path = self.path_below(operand, field);
                self.paths.insert(expr.id, path);
                match self.checked.type_of(operand) {
                    Type::Map(..) | Type::Object(_) | Type::Param(_) => cost.plus(ONE),
                    _ => cost,
                }
            }
            Kind::Call { function, args, .. } if function == "dyn" => {
                let cost = args.iter().fold(ONE, |cost, arg| cost.plus(self.cost(arg)));
                if let Some(arg) = args.first() {
                    let (size, inside) = (self.size(arg), self.inside(arg));
                    self.remember(expr, size, inside);
                }
                cost
            }
            Kind::Call { target, args, .. } => self.call(expr, target.as_deref(), args),
            Kind::List(items) => self.list(expr, items),
            Kind::Map(entries) => self.map(expr, entries),
            Kind::Struct { fields, .. } => {
                let fields = fields.iter().fold(NOTHING, |cost, field| cost.plus(self.cost(&field.value)));
                fields.plus(Range::exactly(STRUCT))
            }
            Kind::Comprehension(all) if all.is_bind() => {
                let cost = self.cost(&all.range).plus(self.cost(&all.init));
                self.push_value(&all.accu, &all.init);
                let cost = cost.plus(self.cost(&all.result));
                // What it comes to is known while the name is.
                let (size, inside) = (self.size(&all.result), self.inside(&all.result));
                self.locals.pop();
                self.remember(expr, size, inside);
                cost
            }
            Kind::Comprehension(all) => self.comprehension(expr, all),
        }
    }

    fn list(&mut self, expr: &Expr, items: &[Item]) -> Range {
        let (mut cost, mut value) = (Range::exactly(LIST), if items.is_empty() { NOTHING } else { EMPTY });
        for item in items {
            cost = cost.plus(self.cost(&item.value));
            value = value.or(self.size_or_unknown(&item.value));
        }
        self.remember(expr, None, Some(Inside { is_list: true, key: ONE, value }));
        cost
    }

    fn map(&mut self, expr: &Expr, entries: &[Entry]) -> Range {
        let start = if entries.is_empty() { NOTHING } else { EMPTY };
        let (mut cost, mut key, mut value) = (Range::exactly(MAP), start, start);
        for entry in entries {
            cost = cost.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
            key = key.or(self.size_or_unknown(&entry.key));
            value = value.or(self.size_or_unknown(&entry.value));
        }
        self.remember(expr, None, Some(Inside { is_list: false, key, value }));
        cost
    }

    fn push_value(&mut self, name: &str, value: &Expr) {
        let (path, size, inside) = (self.path(value), self.size(value), self.inside(value));
        self.locals.push(Local { name: name.to_owned(), path, size, inside });
    }

    /// A variable of a loop: an index or key (`keys`), or an element or value.
    fn push_variable(&mut self, name: &str, range: &Expr, keys: bool) {
        let inside = self.inside(range);
        let is_list =
            inside.map_or_else(|| matches!(self.checked.type_of(range), Type::List(_)), |inside| inside.is_list);
        let (size, part) = match (keys, is_list) {
            (true, true) => (inside.map(|inside| inside.key), "@indices"),
            (true, false) => (inside.map(|inside| inside.key), "@keys"),
            (false, true) => (inside.map(|inside| inside.value), "@items"),
            (false, false) => (inside.map(|inside| inside.value), "@values"),
        };
        let path = self.path_below(range, part);
        self.locals.push(Local { name: name.to_owned(), path, size, inside: None });
    }

    fn comprehension(&mut self, expr: &Expr, all: &Comprehension) -> Range {
        let mut cost = self.cost(&all.range).plus(self.cost(&all.init));
        self.push_value(&all.accu, &all.init);
        match &all.var2 {
            Some(second) => {
                self.push_variable(&all.var, &all.range, true);
                self.push_variable(second, &all.range, false);
            }
            None => {
                let inside = self.inside(&all.range);
                let is_list = inside
                    .map_or_else(|| matches!(self.checked.type_of(&all.range), Type::List(_)), |inside| inside.is_list);
                self.push_variable(&all.var, &all.range, !is_list);
            }
        }
        let each = self.cost(&all.condition).plus(self.cost(&all.step));
        self.locals.truncate(self.locals.len() - if all.var2.is_some() { 2 } else { 1 });
        cost = cost.plus(self.cost(&all.result));
        self.locals.pop();
        let count = self.size_or_unknown(&all.range);
        cost = cost.plus(count.times(each));
        match &all.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&all.init);
                self.remember(expr, size, None);
            }
            Kind::List(_) | Kind::Map(_) => {
                let inside = self.inside(&all.step);
                self.remember(expr, Some(count), inside);
            }
            _ => {}
        }
        cost
    }

    fn call(&mut self, expr: &Expr, target: Option<&Expr>, args: &[Expr]) -> Range {
        let mut costs = Vec::with_capacity(args.len());
        for arg in args {
            let cost = self.cost(arg);
            // Sizes that a path leads to are looked up while variables are known.
            self.size(arg);
            costs.push(cost);
        }
        let checked = self.checked;
        let overloads = checked.overloads(expr);
        if overloads.is_empty() {
            return NOTHING;
        }
        let of_target = target.map_or(NOTHING, |target| self.cost(target));
        let (mut cost, mut size) = (EMPTY, None);
        for overload in overloads {
            let (own, result) = self.overload(expr, overload, target, args, &costs);
            cost = cost.or(own);
            size = match (size, result) {
                (Some(known), Some(more)) => Some(Range::or(known, more)),
                (known, more) => known.or(more),
            };
            if let ("index_list" | "index_map", Some(first)) = (overload.id, args.first()) {
                size = self.inside(first).map(|inside| inside.value);
                let part = if overload.id == "index_list" { "@items" } else { "@values" };
                let path = self.path_below(first, part);
                self.paths.insert(expr.id, path);
            }
            size = size.or_else(|| self.size(expr));
        }
        self.remember(expr, size, None);
        of_target.plus(cost)
    }

    /// The cost with that of the arguments.
    fn overload(
        &mut self,
        expr: &Expr,
        overload: &Overload,
        target: Option<&Expr>,
        args: &[Expr],
        costs: &[Range],
    ) -> Estimate {
        let all = costs.iter().fold(NOTHING, |sum, cost| sum.plus(*cost));
        match (overload.cost, args, costs) {
            (Rule::Logical, _, [left, right]) => (Range { min: left.min, max: left.plus(*right).max }, None),
            (Rule::Conditional, [_, then, otherwise], [condition, a, b]) => {
                let size = self.size_or_unknown(then).or(self.size_or_unknown(otherwise));
                let inside = Inside::or(self.inside(then), self.inside(otherwise));
                self.remember(expr, None, inside);
                (condition.plus(a.or(*b)), Some(size))
            }
            (rule, _, _) => {
                if let (Rule::AddText | Rule::AddList, [a, b]) = (rule, args) {
                    let inside = Inside::or(self.inside(a), self.inside(b));
                    self.remember(expr, None, inside);
                }
                let known: Vec<Known> = target.into_iter().chain(args).map(|arg| self.known(arg)).collect();
                let (own, size) = rule.estimate(overload.id, &known);
                (own.plus(all), size)
            }
        }
    }

    fn known(&mut self, expr: &Expr) -> Known {
        let path = self.path(expr);
        let of_element = || {
            let mut path = path.clone();
            path.push("@items".to_owned());
            self.sizes.size(&path)
        };
        let element = if path.is_empty() { None } else { of_element() };
        let int = match &expr.kind {
            Kind::Literal(Value::Int(int)) => Some(*int),
            _ => None,
        };
        let ty = self.checked.type_of(expr).clone();
        Known { size: self.size_or_unknown(expr), ty, element: element.unwrap_or(Range::UNKNOWN), int }
    }
}

/// Values of the type have all the same size.
fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        other => other.unwrapped().is_some_and(is_scalar),
    }
}
