//! The walk through a tree that gives every node its type.

use super::unify::{Mapping, most_general};
use super::{Checked, literals};
use crate::env::Env;
use crate::issue::{Issue, Issues};
use crate::library::{Overload, overloads};
use crate::syntax::{Comprehension, Entry, Expr, Field, Item, Kind, Tree};
use crate::types::Type;
use crate::value::Value;

/// # Errors
/// Where types do not fit.
pub(crate) fn check(env: &Env, source: &str, tree: &Tree) -> Result<Checked, Issues> {
    let mut checked = Checked::new(tree);
    let mut root = tree.root.clone();
    let places = &tree.places;
    let mut checker = Checker {
        env,
        places,
        checked: &mut checked,
        mapping: Mapping::default(),
        letters: 0,
        locals: Vec::new(),
        issues: Vec::new(),
    };
    checker.node(&mut root);
    let (mapping, mut issues) = (checker.mapping, checker.issues);
    for ty in &mut checked.types {
        *ty = mapping.substitute(ty, true);
    }
    checked.root = root;
    if issues.is_empty() {
        literals::check(env, &checked, &mut |expr, text| issues.push(Issue::new(place(places, expr.id), text)));
    }
    if issues.is_empty() { Ok(checked) } else { Err(Issues::new(source, issues)) }
}

fn place(places: &[u32], id: u32) -> u32 {
    places.get(id as usize).copied().unwrap_or_default()
}

struct Checker<'c> {
    env: &'c Env,
    places: &'c [u32],
    checked: &'c mut Checked,
    mapping: Mapping,
    /// Letters that were given out.
    letters: usize,
    /// Variables of loops, the innermost last.
    locals: Vec<(String, Type)>,
    issues: Vec<Issue>,
}

/// What a name means.
enum Named {
    Variable(Type),
    /// A type, as a value.
    Type(Type),
}

impl Checker<'_> {
    fn issue(&mut self, id: u32, text: impl Into<String>) {
        self.issues.push(Issue::new(place(self.places, id), text));
    }

    fn mismatch(&mut self, at: &Expr, expected: &Type, found: &Type) {
        self.issue(at.id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn undeclared(&mut self, id: u32, name: &str) -> Type {
        self.issue(id, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    fn ty(&self, expr: &Expr) -> Type {
        self.checked.type_of(expr).clone()
    }

    fn letter(&mut self) -> Type {
        self.letters += 1;
        Type::Param(format!("_var{}", self.letters - 1).into())
    }

    fn lookup(&self, name: &str) -> Option<Named> {
        let local = self.locals.iter().rev().find(|(local, _)| local == name);
        if let Some((_, ty)) = local {
            return Some(Named::Variable(ty.clone()));
        }
        let name = name.strip_prefix('.').unwrap_or(name);
        let variable = self.env.variable_type(name).cloned().map(Named::Variable);
        variable.or_else(|| Some(Named::Type(self.env.type_named(name)?)))
    }

    /// The name stands for a value: the node becomes that. `false` when it stands for nothing.
    fn name(&mut self, expr: &mut Expr, name: &str) -> bool {
        let Some(named) = self.lookup(name) else { return false };
        let name = name.strip_prefix('.').unwrap_or(name);
        let ty = match named {
            Named::Variable(ty) => {
                if !self.locals.iter().any(|(local, _)| local == name) {
                    self.checked.variables.insert(name.to_owned());
                }
                expr.kind = Kind::Ident(name.to_owned());
                ty
            }
            Named::Type(ty) => {
                expr.kind = Kind::Literal(Value::Type(ty.clone()));
                Type::Type(Some(ty.into()))
            }
        };
        self.set(expr, ty);
        true
    }

    fn set(&mut self, expr: &Expr, ty: Type) {
        if let Some(place) = self.checked.types.get_mut(expr.id as usize) {
            *place = ty;
        }
    }

    fn node(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let ty = match &mut expr.kind {
            Kind::Literal(value) => match value {
                Value::Type(ty) => Type::Type(Some(ty.clone().into())),
                value => value.type_of(),
            },
            Kind::Ident(name) => {
                let name = name.clone();
                if self.name(expr, &name) {
                    return;
                }
                self.undeclared(id, &name)
            }
            Kind::Select { .. } => {
                if let Some(name) = expr.qualified_name()
                    && self.name(expr, &name)
                {
                    return;
                }
                let Kind::Select { operand, field, test } = &mut expr.kind else { return };
                let found = self.field(id, operand, field, false);
                if *test { Type::Bool } else { self.mapping.substitute(&found, false) }
            }
            Kind::Call { .. } => self.call(expr),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.object(id, name, fields),
            Kind::Comprehension(all) => self.comprehension(all),
        };
        self.set(expr, ty);
    }

    fn field(&mut self, id: u32, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.node(operand);
        let whole = self.mapping.substitute(&self.ty(operand), false);
        let inner = whole.unwrapped().cloned();
        let is_optional = inner.is_some();
        let target = inner.unwrap_or(whole);
        let found = match &target {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(name) => match self.env.field(name, field) {
                Some(ty) => ty.clone(),
                None => {
                    self.issue(id, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Param(_) => {
                self.mapping.assign(&Type::Dyn, &target);
                Type::Dyn
            }
            other => {
                if !other.is_dyn_or_error() {
                    self.issue(id, format!("type '{other}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if is_optional || optional { Type::optional(found) } else { found }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let id = expr.id;
        let Kind::Call { function, target, args } = &mut expr.kind else { return Type::Error };
        if function == "_?._"
            && let [operand, Expr { kind: Kind::Literal(Value::String(field)), id: of_field }] = args.as_mut_slice()
        {
            let (field, of_field) = (field.to_string(), *of_field);
            let found = self.field(id, operand, &field, true);
            if let Some(place) = self.checked.types.get_mut(of_field as usize) {
                *place = Type::String;
            }
            self.checked.calls[id as usize] = overloads("_?._", self.env.libraries).collect();
            return self.mapping.substitute(&found, false);
        }
        args.iter_mut().for_each(|arg| self.node(arg));
        // `a.b.c()` is a function of that name, or the function `c` of `a.b`.
        let joined =
            target.as_ref().and_then(|target| target.qualified_name()).map(|name| format!("{name}.{function}"));
        if let Some(name) = joined
            && overloads(name.trim_start_matches('.'), self.env.libraries).next().is_some()
        {
            (*function, *target) = (name, None);
        }
        let name = function.trim_start_matches('.').to_owned();
        function.clone_from(&name);
        if let Some(target) = target {
            self.node(target);
        }
        if overloads(&name, self.env.libraries).next().is_none() {
            return self.undeclared(id, &name);
        }
        let mut types: Vec<Type> = target.iter().map(|target| self.ty(target)).collect();
        types.extend(args.iter().map(|arg| self.ty(arg)));
        let is_member = target.is_some();
        if matches!(name.as_str(), "_&&_" | "_||_") {
            return self.logical(id, &name, args, &types);
        }
        self.resolve(id, &name, &types, is_member)
    }

    fn logical(&mut self, id: u32, name: &str, args: &[Expr], types: &[Type]) -> Type {
        let mut result = Type::Bool;
        for (arg, ty) in args.iter().zip(types) {
            if !self.mapping.assign(ty, &Type::Bool) {
                self.mismatch(arg, &Type::Bool, ty);
                result = Type::Error;
            }
        }
        self.checked.calls[id as usize] = overloads(name, self.env.libraries).collect();
        result
    }

    /// All overloads that take these types; the type is that of their results when they agree.
    fn resolve(&mut self, id: u32, name: &str, types: &[Type], is_member: bool) -> Type {
        let mut found: Vec<&'static Overload> = Vec::new();
        let mut result: Option<Type> = None;
        for overload in overloads(name, self.env.libraries).filter(|overload| overload.member == is_member) {
            let mut fresh = Mapping::default();
            for param in &overload.params {
                let letter = self.letter();
                fresh.assign(&letter, &Type::Param(param.clone()));
            }
            let args: Vec<Type> = overload.args.iter().map(|arg| fresh.substitute(arg, false)).collect();
            if !self.mapping.assign_all(types, &args) {
                continue;
            }
            found.push(overload);
            let own = self.mapping.substitute(&fresh.substitute(&overload.result, false), false);
            result = Some(match result {
                None => own,
                Some(known) if known.is_dyn() || known == own => known,
                Some(_) => Type::Dyn,
            });
        }
        let Some(result) = result else {
            let shown: Vec<String> = types.iter().map(|ty| self.mapping.substitute(ty, true).to_string()).collect();
            let signature = match shown.split_first() {
                Some((target, args)) if is_member => format!("{target}.({})", args.join(", ")),
                _ => format!("({})", shown.join(", ")),
            };
            self.issue(id, format!("found no matching overload for '{name}' applied to '{signature}'"));
            return Type::Error;
        };
        self.checked.calls[id as usize] = found;
        result
    }

    /// The type of what stands together in a list or map.
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        match previous {
            None => current,
            Some(previous) if self.mapping.assign(&previous, &current) => most_general(&previous, &current),
            Some(_) => Type::Dyn,
        }
    }

    /// What an optional element or value has inside.
    fn inner(&mut self, at: &Expr, optional: bool) -> Type {
        let ty = self.ty(at);
        if !optional {
            return ty;
        }
        match ty.unwrapped() {
            Some(inner) => inner.clone(),
            None => {
                if !ty.is_dyn() {
                    self.mismatch(at, &Type::optional(ty.clone()), &ty);
                }
                ty
            }
        }
    }

    fn list(&mut self, items: &mut [Item]) -> Type {
        let mut joined = None;
        for item in items {
            self.node(&mut item.value);
            let ty = self.inner(&item.value, item.optional);
            joined = Some(self.join(joined, ty));
        }
        Type::list(joined.unwrap_or_else(|| self.letter()))
    }

    fn map(&mut self, entries: &mut [Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.node(&mut entry.key);
            let key = self.ty(&entry.key);
            keys = Some(self.join(keys, key));
            self.node(&mut entry.value);
            let value = self.inner(&entry.value, entry.optional);
            values = Some(self.join(values, value));
        }
        match (keys, values) {
            (Some(key), Some(value)) => Type::map(key, value),
            _ => Type::map(self.letter(), self.letter()),
        }
    }

    fn object(&mut self, id: u32, name: &mut String, fields: &mut [Field]) -> Type {
        let plain = name.trim_start_matches('.').to_owned();
        let ty = match self.lookup(&plain) {
            Some(Named::Type(ty @ Type::Object(_))) => ty,
            Some(Named::Type(_)) => {
                self.issue(id, format!("'{plain}' is not a message type"));
                Type::Error
            }
            Some(Named::Variable(ty)) => {
                self.issue(id, format!("'{ty}' is not a type"));
                Type::Error
            }
            None => return self.undeclared(id, name),
        };
        *name = plain;
        for field in fields {
            self.node(&mut field.value);
            let wanted = match self.env.field(name, &field.name) {
                Some(wanted) => wanted.clone(),
                None if ty == Type::Error => Type::Error,
                None => {
                    self.issue(field.id, format!("undefined field '{}'", field.name));
                    Type::Error
                }
            };
            let given = self.inner(&field.value, field.optional);
            if !self.mapping.assign(&wanted, &given) {
                let text =
                    format!("expected type of field '{}' is '{wanted}' but provided type is '{given}'", field.name);
                self.issue(field.id, text);
            }
        }
        ty
    }

    fn comprehension(&mut self, all: &mut Comprehension) -> Type {
        self.node(&mut all.range);
        self.node(&mut all.init);
        let range = self.mapping.substitute(&self.ty(&all.range), false);
        let accu = self.ty(&all.init);
        let two = all.var2.is_some();
        let (first, second) = match &range {
            Type::List(of) if two => (Type::Int, (**of).clone()),
            Type::List(of) => ((**of).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.mapping.assign(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let text = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.issue(all.range.id, text);
                (Type::Error, Type::Error)
            }
        };
        self.locals.push((all.accu.clone(), accu.clone()));
        let outside = self.locals.len();
        self.locals.push((all.var.clone(), first));
        self.locals.extend(all.var2.clone().map(|name| (name, second)));
        self.node(&mut all.condition);
        self.assert(&all.condition, &Type::Bool);
        self.node(&mut all.step);
        self.assert(&all.step, &accu);
        self.locals.truncate(outside);
        self.node(&mut all.result);
        self.locals.pop();
        self.mapping.substitute(&self.ty(&all.result), false)
    }

    fn assert(&mut self, expr: &Expr, wanted: &Type) {
        let ty = self.ty(expr);
        if !self.mapping.assign(wanted, &ty) {
            self.mismatch(expr, wanted, &ty);
        }
    }
}
