//! What can be told of literals before anything is computed (`cel/validator.go`, `ext/formatting.go`): times, patterns, formats, and
//! lists and maps of one type.

use super::Checked;
use crate::env::Env;
use crate::library::{compile_regex, literal_problem};
use crate::syntax::{Expr, Kind};
use crate::types::Type;
use crate::value::{self, Value};

type Report<'r, 'e> = &'r mut dyn FnMut(&'e Expr, String);

pub(super) fn check<'e>(env: &Env, checked: &'e Checked, report: Report<'_, 'e>) {
    if !env.strict {
        return;
    }
    times_and_patterns(checked, report);
    one_type(checked, &checked.root, report);
    formats(checked, report);
}

fn times_and_patterns<'e>(checked: &'e Checked, report: Report<'_, 'e>) {
    for wanted in ["duration", "timestamp", "matches"] {
        checked.root.walk(&mut |expr| {
            let Kind::Call { function, args, .. } = &expr.kind else { return };
            let Some(arg) = args.first().filter(|_| function == wanted) else { return };
            let Kind::Literal(literal) = &arg.kind else { return };
            let fine = match (wanted, literal) {
                ("duration", literal) => value::to_duration(literal).is_ok(),
                ("timestamp", literal) => value::to_timestamp(literal).is_ok(),
                (_, Value::String(pattern)) => compile_regex(pattern).is_ok(),
                _ => true,
            };
            if !fine {
                report(arg, format!("invalid {wanted} argument"));
            }
        });
    }
}

/// Elements have the same type, but for those that `format` gets.
fn one_type<'e>(checked: &'e Checked, root: &'e Expr, report: Report<'_, 'e>) {
    let mut exempt = Vec::new();
    root.walk(&mut |expr| {
        if matches!(&expr.kind, Kind::Call { function, .. } if function == "format") {
            expr.walk(&mut |below| exempt.push(below.id));
        }
    });
    let mut aggregates = Vec::new();
    root.walk(&mut |expr| aggregates.push(expr));
    let inner = |expr: &Expr, optional: bool| {
        let ty = checked.type_of(expr);
        ty.unwrapped().filter(|_| optional).unwrap_or(ty).clone()
    };
    let differs = |a: &Type, b: &Type| format!("expected type '{a}' but found '{b}'");
    for expr in aggregates.iter().filter(|expr| !exempt.contains(&expr.id)) {
        match &expr.kind {
            Kind::List(items) => {
                let types: Vec<Type> = items.iter().map(|item| inner(&item.value, item.optional)).collect();
                if let Some(at) = types.iter().position(|ty| *ty != types[0]) {
                    report(&items[at].value, differs(&types[0], &types[at]));
                }
            }
            Kind::Map(entries) => {
                let Some(first) = entries.first() else { continue };
                let (key, value) = (inner(&first.key, false), inner(&first.value, first.optional));
                for entry in entries {
                    let (own_key, own_value) = (inner(&entry.key, false), inner(&entry.value, entry.optional));
                    if own_key != key {
                        report(&entry.key, differs(&key, &own_key));
                    }
                    if own_value != value {
                        report(&entry.value, differs(&value, &own_value));
                    }
                }
            }
            _ => {}
        }
    }
}

fn formats<'e>(checked: &'e Checked, report: Report<'_, 'e>) {
    checked.root.walk(&mut |expr| {
        let Kind::Call { function, target: Some(target), args } = &expr.kind else { return };
        let (Kind::Literal(Value::String(format)), [Expr { kind: Kind::List(items), .. }]) =
            (&target.kind, args.as_slice())
        else {
            return;
        };
        if function != "format" {
            return;
        }
        let types: Vec<Type> = items.iter().map(|item| checked.type_of(&item.value).clone()).collect();
        if let Some((at, text)) = literal_problem(format, &types) {
            report(at.map_or(expr, |at| &items[at].value), text);
        }
    });
}
