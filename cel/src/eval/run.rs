//! The walk through a program.
//!
//! Costs are counted as cel-go counts them: a variable with all that is selected from it is one attribute, which costs one, and one for
//! each step. What a condition chooses costs no more than the choice.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fold::is_set;
use super::select::{Wanted, select};
use super::{Outcome, Variables};
use crate::check::Checked;
use crate::cost::{LIST, MAP, STRUCT};
use crate::error::Error;
use crate::library::Overload;
use crate::syntax::{ACCUMULATOR, Comprehension, Entry, Expr, Field, Item, Kind};
use crate::value::{Key, Map, Text, Value};

pub(super) fn run<'v>(checked: &Checked, variables: &dyn Variables<'v>, limit: u64) -> Outcome<'v> {
    let mut run = Run { checked, variables, limit, locals: Vec::new(), cost: 0 };
    let result = run.eval(&checked.root);
    Outcome { result, cost: run.cost }
}

type Computed<'v> = Result<Value<'v>, Error>;

struct Run<'e, 'v> {
    checked: &'e Checked,
    variables: &'e dyn Variables<'v>,
    limit: u64,
    locals: Vec<Local<'e, 'v>>,
    cost: u64,
}

struct Local<'e, 'v> {
    name: &'e str,
    state: State<'e, 'v>,
    /// Whoever reads it next may have it: it is replaced afterwards.
    given_away: bool,
}

enum State<'e, 'v> {
    Lazy(&'e Expr),
    Known(Computed<'v>),
}

fn is_attribute(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Ident(_) | Kind::Select { .. } => true,
        Kind::Call { function, .. } => matches!(function.as_str(), "_[_]" | "_[?_]" | "_?._" | "_?:_" | "_?_:_"),
        _ => false,
    }
}

/// Questions for presence, and what a condition chooses.
fn is_free(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Select { test: true, .. } => true,
        Kind::Select { operand, .. } => is_chosen(operand),
        _ => is_chosen(expr),
    }
}

fn is_chosen(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::Select { operand, .. } => is_chosen(operand),
        Kind::Call { function, args, .. } => match function.as_str() {
            "_?_:_" => true,
            "_[_]" | "_[?_]" | "_?._" => args.first().is_some_and(is_chosen),
            _ => false,
        },
        _ => false,
    }
}

impl<'e, 'v> Run<'e, 'v> {
    fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Error::CostLimit) } else { Ok(()) }
    }

    fn eval(&mut self, expr: &'e Expr) -> Computed<'v> {
        match &expr.kind {
            _ if is_attribute(expr) => {
                let value = self.resolve(expr);
                if !is_free(expr) && !matches!(value, Err(Error::CostLimit)) {
                    self.charge(1)?;
                }
                value
            }
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(items) => {
                let made = self.list(items);
                self.made(LIST, made)
            }
            Kind::Map(entries) => {
                let made = self.map(entries);
                self.made(MAP, made)
            }
            Kind::Struct { name, fields } => {
                let made = self.object(name, fields);
                self.made(STRUCT, made)
            }
            Kind::Comprehension(all) => self.comprehension(all),
            Kind::Ident(_) | Kind::Select { .. } => self.resolve(expr),
        }
    }

    /// An attribute without its own cost.
    fn resolve(&mut self, expr: &'e Expr) -> Computed<'v> {
        match &expr.kind {
            Kind::Ident(name) => self.variable(name),
            Kind::Select { operand, field, test } => {
                if let Kind::Ident(name) = &operand.kind
                    && !self.locals.iter().any(|local| local.name == name)
                    && let Some(value) = self.variables.field(name, field)
                {
                    self.charge(1)?;
                    return if *test { Ok(Value::Bool(true)) } else { value };
                }
                let from = self.part(operand)?;
                let wanted = if *test { Wanted::Presence } else { Wanted::Value };
                self.select(&from, &Value::String(Text::Shared(field.as_str().into())), wanted)
            }
            Kind::Call { function, args, .. } => match (function.as_str(), args.as_slice()) {
                ("_?_:_", [condition, then, otherwise]) => match self.eval(condition)? {
                    Value::Bool(true) => self.part(then),
                    Value::Bool(false) => self.part(otherwise),
                    _ => Err(Error::NO_OVERLOAD),
                },
                (_, [from, key]) => {
                    let from = self.part(from)?;
                    let key = self.part(key)?;
                    self.select(&from, &key, if function == "_[_]" { Wanted::Value } else { Wanted::Optional })
                }
                _ => Err(Error::NO_OVERLOAD),
            },
            _ => self.eval(expr),
        }
    }

    /// A part of an attribute.
    fn part(&mut self, expr: &'e Expr) -> Computed<'v> {
        if is_attribute(expr) { self.resolve(expr) } else { self.eval(expr) }
    }

    fn select(&mut self, from: &Value<'v>, key: &Value<'v>, wanted: Wanted) -> Computed<'v> {
        let found = select(from, key, wanted);
        // A step to something that is optional and not there costs nothing.
        let nowhere = matches!(from, Value::Optional(None))
            || (wanted != Wanted::Presence && matches!(found, Ok(Value::Optional(None))));
        if !nowhere {
            self.charge(1)?;
        }
        found
    }

    fn variable(&mut self, name: &str) -> Computed<'v> {
        let Some(at) = self.locals.iter().rposition(|local| local.name == name) else {
            let missing = || Err(Error::new(format!("no such attribute(s): {name}")));
            return self.variables.get(name).unwrap_or_else(missing);
        };
        if let State::Lazy(init) = self.locals[at].state {
            // It knows only what was there before it.
            let later = self.locals.split_off(at);
            let value = self.eval(init);
            self.locals.extend(later);
            if matches!(value, Err(Error::CostLimit)) {
                return value;
            }
            self.locals[at].state = State::Known(value);
        }
        let local = &mut self.locals[at];
        match &mut local.state {
            State::Known(value) if local.given_away => std::mem::replace(value, Ok(Value::Null)),
            State::Known(value) => value.clone(),
            State::Lazy(_) => Err(Error::NO_OVERLOAD),
        }
    }

    fn call(&mut self, expr: &'e Expr, function: &str, target: Option<&'e Expr>, args: &'e [Expr]) -> Computed<'v> {
        match (function, target, args) {
            ("_&&_", _, [left, right]) => self.logical(left, right, false),
            ("_||_", _, [left, right]) => self.logical(left, right, true),
            ("@not_strictly_false", _, [arg]) => {
                let value = self.eval(arg);
                self.charge(1)?;
                match value {
                    Err(Error::CostLimit) => Err(Error::CostLimit),
                    Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
                    _ => Ok(Value::Bool(true)),
                }
            }
            ("or" | "orValue", Some(target), [otherwise]) => match self.eval(target)? {
                Value::Optional(None) => self.eval(otherwise),
                Value::Optional(Some(value)) if function == "orValue" => Ok((*value).clone()),
                other => Ok(other),
            },
            ("@in", _, [value, list]) if is_set(args, self.checked.overloads(expr)) => {
                let value = self.eval(value)?;
                match &list.kind {
                    Kind::Literal(Value::List(list)) => list.contains(&value).map(Value::Bool),
                    _ => Err(Error::NO_OVERLOAD),
                }
            }
            _ => self.function(expr, function, target, args),
        }
    }

    /// One side decides, whatever the other is.
    fn logical(&mut self, left: &'e Expr, right: &'e Expr, deciding: bool) -> Computed<'v> {
        let mut failed = None;
        for side in [left, right] {
            match self.eval(side) {
                Err(Error::CostLimit) => return Err(Error::CostLimit),
                Ok(Value::Bool(value)) if value == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.or(Some(Error::NO_OVERLOAD)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Value::Bool(!deciding)), Err)
    }

    fn function(&mut self, expr: &'e Expr, function: &str, target: Option<&'e Expr>, args: &'e [Expr]) -> Computed<'v> {
        let count = args.len() + usize::from(target.is_some());
        let mut values = Vec::with_capacity(count);
        let mut failed = None;
        for arg in target.into_iter().chain(args) {
            match self.eval(arg) {
                Ok(value) => values.push(value),
                Err(Error::CostLimit) => return Err(Error::CostLimit),
                // Of two, the second is computed all the same.
                Err(error) if count > 2 => return Err(error),
                Err(error) => {
                    values.push(Value::Null);
                    failed = failed.or(Some(error));
                }
            }
        }
        let overloads = self.checked.overloads(expr);
        let fits = |overload: &&&Overload| {
            overload.args.len() == values.len() && overload.args.iter().zip(&values).all(|(ty, value)| value.is(ty))
        };
        let chosen = overloads.iter().find(fits).or_else(|| overloads.first().filter(|_| failed.is_some()));
        let Some(overload) = chosen else {
            self.charge(1)?;
            return Err(no_overload(function, &values));
        };
        // The cost goes by the overload when that was known before.
        let rule = overload.cost;
        let counted = overloads.len() == 1 || rule.by_name();
        self.charge(if counted { rule.actual(overload.id, &values) } else { 1 })?;
        let result = failed.map_or_else(|| (overload.run)(&mut values), Err);
        if counted {
            self.charge(rule.of_result(result.as_ref().map_or(1, Value::size)))?;
        }
        result
    }

    /// The value of a part, or of an optional part what is inside.
    fn inside(&mut self, expr: &'e Expr, optional: bool, what: &str) -> Result<Option<Value<'v>>, Error> {
        match self.eval(expr)? {
            Value::Optional(inside) if optional => Ok(inside.map(|inside| (*inside).clone())),
            _ if optional => Err(Error::new(format!("cannot initialize optional {what} from non-optional value"))),
            value => Ok(Some(value)),
        }
    }

    /// What is made costs the same when a part of it fails.
    fn made(&mut self, cost: u64, made: Computed<'v>) -> Computed<'v> {
        self.charge(cost)?;
        made
    }

    fn list(&mut self, items: &'e [Item]) -> Computed<'v> {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.extend(self.inside(&item.value, item.optional, "list element")?);
        }
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'e [Entry]) -> Computed<'v> {
        let mut members = BTreeMap::new();
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let value = self.inside(&entry.value, entry.optional, "entry")?;
            let key =
                Key::new(&key).ok_or_else(|| Error::new(format!("unsupported key type: {}", key.type_of().name())))?;
            match value {
                Some(value) => members.insert(key, value),
                None => members.remove(&key),
            };
        }
        Ok(Value::Map(Map::Members(Arc::new(members))))
    }

    fn object(&mut self, name: &str, fields: &'e [Field]) -> Computed<'v> {
        let mut members = BTreeMap::new();
        for field in fields {
            if let Some(value) = self.inside(&field.value, field.optional, "entry")? {
                members.insert(Key::String(Text::Shared(field.name.as_str().into())), value);
            }
        }
        Ok(Value::Struct(name.into(), Arc::new(members)))
    }

    fn comprehension(&mut self, all: &'e Comprehension) -> Computed<'v> {
        let range = self.eval(&all.range)?;
        let two = all.var2.as_deref();
        let each = elements(&range, two.is_some())?;
        let accu = self.locals.len();
        self.locals.push(Local { name: &all.accu, state: State::Lazy(&all.init), given_away: false });
        let looped = self.each(all, two, accu, each);
        self.locals.truncate(accu + 1);
        let result = looped.and_then(|()| self.eval(&all.result));
        self.locals.truncate(accu);
        result
    }

    fn each(
        &mut self,
        all: &'e Comprehension,
        two: Option<&'e str>,
        accu: usize,
        each: Vec<(Computed<'v>, Computed<'v>)>,
    ) -> Result<(), Error> {
        let hidden = all.accu == ACCUMULATOR;
        for (first, second) in each {
            self.locals.truncate(accu + 1);
            self.locals.push(Local { name: &all.var, state: State::Known(first), given_away: false });
            if let Some(name) = two {
                self.locals.push(Local { name, state: State::Known(second), given_away: false });
            }
            match self.eval(&all.condition) {
                Err(Error::CostLimit) => return Err(Error::CostLimit),
                Ok(Value::Bool(false)) => return Ok(()),
                _ => {}
            }
            self.locals[accu].given_away = hidden;
            let step = self.eval(&all.step);
            if matches!(step, Err(Error::CostLimit)) {
                return Err(Error::CostLimit);
            }
            self.locals[accu] = Local { name: &all.accu, state: State::Known(step), given_away: false };
        }
        Ok(())
    }
}

/// What a loop goes through: elements or keys; with two variables, index and element or key and value.
fn elements<'v>(range: &Value<'v>, two: bool) -> Result<Vec<(Computed<'v>, Computed<'v>)>, Error> {
    let nothing = || Ok(Value::Null);
    match range {
        Value::List(list) if two => {
            let index = |at: usize| Ok(Value::Int(i64::try_from(at).unwrap_or(i64::MAX)));
            Ok(list.iter().enumerate().map(|(at, item)| (index(at), item)).collect())
        }
        Value::List(list) => Ok(list.iter().map(|item| (item, nothing())).collect()),
        Value::Map(map) => {
            let value = |key: &Value<'v>| map.get(key).map(|value| value.unwrap_or(Value::Null));
            let pair = |key: Value<'v>| {
                let second = if two { value(&key) } else { nothing() };
                (Ok(key), second)
            };
            Ok(map.keys().into_iter().map(pair).collect())
        }
        other => Err(Error::new(format!("got '{}', expected iterable type", other.type_of().name()))),
    }
}

fn no_overload(function: &str, values: &[Value<'_>]) -> Error {
    if function.starts_with(['_', '@', '!', '-']) {
        return Error::NO_OVERLOAD;
    }
    let types: Vec<String> = values.iter().map(|value| value.type_of().name().to_owned()).collect();
    Error::new(format!("no such overload: {function}({})", types.join(", ")))
}
