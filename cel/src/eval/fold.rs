//! Lists, maps and conversions of constants are constants: they cost nothing when a program runs (`interpreter/decorators.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::check::Checked;
use crate::error::Error;
use crate::library::Overload;
use crate::syntax::{Expr, Kind};
use crate::value::{Key, Map, Value};

const CONVERSIONS: [&str; 10] =
    ["bool", "bytes", "double", "dyn", "duration", "int", "string", "timestamp", "type", "uint"];

pub(super) fn fold(checked: &mut Checked) -> Result<(), Error> {
    let mut root = checked.root.clone();
    node(checked, &mut root)?;
    checked.root = root;
    Ok(())
}

fn literal(expr: &Expr) -> Option<&Value<'static>> {
    match &expr.kind {
        Kind::Literal(value) => Some(value),
        _ => None,
    }
}

fn node(checked: &Checked, expr: &mut Expr) -> Result<(), Error> {
    let overloads = checked.overloads(expr);
    let constant = match &mut expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => None,
        Kind::Select { operand, .. } => {
            node(checked, operand)?;
            None
        }
        Kind::Call { function, target, args } => {
            for part in target.iter_mut().map(AsMut::as_mut).chain(args.iter_mut()) {
                node(checked, part)?;
            }
            call(function, target.is_some(), args, overloads)?
        }
        Kind::List(items) => {
            for item in items.iter_mut() {
                node(checked, &mut item.value)?;
            }
            let plain = items.iter().map(|item| literal(&item.value).filter(|_| !item.optional).cloned());
            plain.collect::<Option<Vec<_>>>().map(Value::list)
        }
        Kind::Map(entries) => {
            for entry in entries.iter_mut() {
                node(checked, &mut entry.key)?;
                node(checked, &mut entry.value)?;
            }
            let pairs = entries.iter().map(|entry| {
                let value = literal(&entry.value).filter(|_| !entry.optional)?;
                Some((Key::new(literal(&entry.key)?)?, value.clone()))
            });
            pairs.collect::<Option<BTreeMap<_, _>>>().map(|members| Value::Map(Map::Members(Arc::new(members))))
        }
        Kind::Struct { fields, .. } => {
            for field in fields {
                node(checked, &mut field.value)?;
            }
            None
        }
        Kind::Comprehension(all) => {
            for part in [&mut all.range, &mut all.init, &mut all.condition, &mut all.step, &mut all.result] {
                node(checked, part)?;
            }
            None
        }
    };
    if let Some(constant) = constant {
        expr.kind = Kind::Literal(constant);
    }
    Ok(())
}

fn call(
    function: &str,
    is_member: bool,
    args: &[Expr],
    overloads: &[&'static Overload],
) -> Result<Option<Value<'static>>, Error> {
    let known: Option<Vec<Value<'static>>> = args.iter().map(|arg| literal(arg).cloned()).collect();
    match (overloads, known) {
        ([only], Some(mut known)) if !is_member && known.len() == 1 && CONVERSIONS.contains(&function) => {
            (only.run)(&mut known).map(Some)
        }
        // Nothing is in an empty list.
        ([only], _) if only.id == "in_list" => match args.get(1).and_then(literal) {
            Some(Value::List(list)) if list.is_empty() => Ok(Some(Value::Bool(false))),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Whether looking for something in a list is one step: the list is a constant of plain values.
pub(super) fn is_set(args: &[Expr], overloads: &[&'static Overload]) -> bool {
    let plain = |value: &Value<'_>| {
        matches!(value, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_))
    };
    match (overloads, args.get(1).and_then(literal)) {
        ([only], Some(Value::List(list))) if only.id == "in_list" => {
            list.iter().all(|item| item.is_ok_and(|v| plain(&v)))
        }
        _ => false,
    }
}
