//! Calls that are written out before anything else sees them: `has`, the loops with one and two variables, `optMap`, `sortBy`,
//! `cel.bind`. The loops become comprehensions whose accumulator no expression can name.

use super::expr::{Comprehension, Entry, Expr, Id, Item, Kind};
use super::parser::Parser;
use crate::issue::Issue;
use crate::library::Library;
use crate::value::Value;

/// The name of the accumulator.
pub const ACCUMULATOR: &str = "@result";
const UNUSED: &str = "#unused";
const SORTED: &str = "@__sortBy_input__";

/// A call, or what it stands for.
pub(super) fn call(
    parser: &mut Parser,
    id: Id,
    function: String,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Result<Expr, Issue> {
    let on = |library: Library| parser.libraries.has(library);
    let (two, optional) = (on(Library::Comprehensions), on(Library::Optional));
    let (sort, bind) = (on(Library::Lists), on(Library::Bindings));
    let is_cel = matches!(&target, Some(Expr { kind: Kind::Ident(name), .. }) if name == "cel");
    let place = parser.place(id);
    let mut making = Making { parser, place };
    match (function.as_str(), target, args.len()) {
        ("has", None, 1) => making.has(args),
        ("all" | "exists" | "exists_one", Some(range), 2) => {
            let [var, test] = exactly(args);
            making.quantifier(&function, range, (var, None), test)
        }
        ("all" | "exists" | "exists_one" | "existsOne", Some(range), 3) if two => {
            let [var, var2, test] = exactly(args);
            making.quantifier(&function, range, (var, Some(var2)), test)
        }
        ("map" | "filter", Some(range), 2) => making.map(&function, range, args),
        ("map", Some(range), 3) => making.map(&function, range, args),
        ("transformList" | "transformMap" | "transformMapEntry", Some(range), 3 | 4) if two => {
            making.transform(&function, range, args)
        }
        ("optMap" | "optFlatMap", Some(target), 2) if optional => making.opt_map(&function, target, args),
        ("sortBy", Some(target), 2) if sort => making.sort_by(target, args),
        ("bind", Some(_), 3) if bind && is_cel => making.bind(args),
        (_, target, _) => Ok(Expr { id, kind: Kind::Call { function, target: target.map(Box::new), args } }),
    }
}

/// The number was looked at before.
fn exactly<const N: usize>(args: Vec<Expr>) -> [Expr; N] {
    let filler = || Expr { id: 0, kind: Kind::Literal(Value::Null) };
    let mut args = args.into_iter();
    std::array::from_fn(|_| args.next().unwrap_or_else(filler))
}

/// Makes nodes at the place of the call.
struct Making<'p> {
    parser: &'p mut Parser,
    place: u32,
}

impl Making<'_> {
    fn make(&mut self, kind: Kind) -> Expr {
        self.parser.make(self.place, kind)
    }

    fn literal(&mut self, value: impl Into<Value<'static>>) -> Expr {
        self.make(Kind::Literal(value.into()))
    }

    fn ident(&mut self, name: &str) -> Expr {
        self.make(Kind::Ident(name.to_owned()))
    }

    fn accu(&mut self) -> Expr {
        self.ident(ACCUMULATOR)
    }

    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.make(Kind::Call { function: function.to_owned(), target: None, args })
    }

    fn member(&mut self, function: &str, target: Expr, args: Vec<Expr>) -> Expr {
        self.make(Kind::Call { function: function.to_owned(), target: Some(Box::new(target)), args })
    }

    fn list(&mut self, items: Vec<Expr>) -> Expr {
        let items = items.into_iter().map(|value| Item { value, optional: false });
        self.make(Kind::List(items.collect()))
    }

    fn wrong<T>(&self, at: &Expr, why: &str) -> Result<T, Issue> {
        Err(Issue::new(self.parser.place(at.id), why))
    }

    /// The same again, with numbers of its own.
    fn copy(&mut self, expr: &Expr) -> Expr {
        let place = self.parser.place(expr.id);
        let mut boxed = |inner: &Expr| Box::new(self.copy(inner));
        let kind = match &expr.kind {
            Kind::Literal(_) | Kind::Ident(_) => expr.kind.clone(),
            Kind::Select { operand, field, test } => {
                Kind::Select { operand: boxed(operand), field: field.clone(), test: *test }
            }
            Kind::Call { function, target, args } => {
                let target = target.as_deref().map(boxed);
                let args = args.iter().map(|arg| self.copy(arg)).collect();
                Kind::Call { function: function.clone(), target, args }
            }
            Kind::List(items) => Kind::List(
                items.iter().map(|item| Item { value: self.copy(&item.value), optional: item.optional }).collect(),
            ),
            Kind::Map(entries) => {
                let copied = entries.iter().map(|entry| Entry {
                    key: self.copy(&entry.key),
                    value: self.copy(&entry.value),
                    optional: entry.optional,
                });
                Kind::Map(copied.collect())
            }
            Kind::Struct { name, fields } => {
                let mut fields = fields.clone();
                for field in &mut fields {
                    field.id = self.parser.id(place);
                    field.value = self.copy(&field.value);
                }
                Kind::Struct { name: name.clone(), fields }
            }
            Kind::Comprehension(inner) => {
                let mut inner = inner.clone();
                for part in
                    [&mut inner.range, &mut inner.init, &mut inner.condition, &mut inner.step, &mut inner.result]
                {
                    *part = self.copy(part);
                }
                Kind::Comprehension(inner)
            }
        };
        self.parser.make(place, kind)
    }

    fn has(&mut self, args: Vec<Expr>) -> Result<Expr, Issue> {
        let [arg] = exactly(args);
        match arg.kind {
            Kind::Select { operand, field, .. } => Ok(self.make(Kind::Select { operand, field, test: true })),
            _ => self.wrong(&arg, "invalid argument to has() macro"),
        }
    }

    /// The name of a variable.
    fn variable(&self, arg: &Expr, why: &str) -> Result<String, Issue> {
        match &arg.kind {
            Kind::Ident(name) if name == ACCUMULATOR || name == "__result__" => {
                self.wrong(arg, "iteration variable overwrites accumulator variable")
            }
            Kind::Ident(name) => Ok(name.clone()),
            _ => self.wrong(arg, why),
        }
    }

    fn variables(&self, var: &Expr, var2: Option<&Expr>) -> Result<(String, Option<String>), Issue> {
        let why = "argument must be a simple name";
        let first = self.variable(var, why)?;
        let second = var2.map(|var2| self.variable(var2, why)).transpose()?;
        match var2 {
            Some(var2) if second.as_ref() == Some(&first) => {
                self.wrong(var2, &format!("duplicate variable name: {first}"))
            }
            _ => Ok((first, second)),
        }
    }

    fn quantifier(
        &mut self,
        function: &str,
        range: Expr,
        (var, var2): (Expr, Option<Expr>),
        test: Expr,
    ) -> Result<Expr, Issue> {
        let (var, var2) = self.variables(&var, var2.as_ref())?;
        let accu = ACCUMULATOR.to_owned();
        let (init, condition, step, result);
        match function {
            "all" => {
                init = self.literal(true);
                let so_far = self.accu();
                condition = self.call("@not_strictly_false", vec![so_far]);
                let so_far = self.accu();
                step = self.call("_&&_", vec![so_far, test]);
                result = self.accu();
            }
            "exists" => {
                init = self.literal(false);
                let so_far = self.accu();
                let not = self.call("!_", vec![so_far]);
                condition = self.call("@not_strictly_false", vec![not]);
                let so_far = self.accu();
                step = self.call("_||_", vec![so_far, test]);
                result = self.accu();
            }
            _ => {
                init = self.literal(0);
                condition = self.literal(true);
                let (so_far, one) = (self.accu(), self.literal(1));
                let more = self.call("_+_", vec![so_far, one]);
                let same = self.accu();
                step = self.call("_?_:_", vec![test, more, same]);
                let (count, one) = (self.accu(), self.literal(1));
                result = self.call("_==_", vec![count, one]);
            }
        }
        let all = Comprehension { range, var, var2, accu, init, condition, step, result };
        Ok(self.make(Kind::Comprehension(Box::new(all))))
    }

    /// A loop through everything, of which each step adds to what there is when `filter` holds.
    fn gather(
        &mut self,
        range: Expr,
        (var, var2): (String, Option<String>),
        init: Expr,
        filter: Option<Expr>,
        step: Expr,
    ) -> Expr {
        let step = match filter {
            None => step,
            Some(filter) => {
                let same = self.accu();
                self.call("_?_:_", vec![filter, step, same])
            }
        };
        let (condition, result) = (self.literal(true), self.accu());
        let accu = ACCUMULATOR.to_owned();
        let all = Comprehension { range, var, var2, accu, init, condition, step, result };
        self.make(Kind::Comprehension(Box::new(all)))
    }

    fn map(&mut self, function: &str, range: Expr, args: Vec<Expr>) -> Result<Expr, Issue> {
        let var = self.variable(&args[0], "argument is not an identifier")?;
        let mut args = args.into_iter();
        let first = args.next();
        let (second, third) = (args.next(), args.next());
        let (filter, element) = match (function, third) {
            ("filter", _) => (second, first),
            (_, None) => (None, second),
            (_, transform) => (second, transform),
        };
        let init = self.list(Vec::new());
        let element = self.list(element.into_iter().collect());
        let so_far = self.accu();
        let step = self.call("_+_", vec![so_far, element]);
        Ok(self.gather(range, (var, None), init, filter, step))
    }

    fn transform(&mut self, function: &str, range: Expr, mut args: Vec<Expr>) -> Result<Expr, Issue> {
        let vars = self.variables(&args[0], Some(&args[1]))?;
        let mut rest = args.split_off(2).into_iter();
        let (filter, transform) = match (rest.next(), rest.next()) {
            (transform, None) => (None, transform),
            (filter, transform) => (filter, transform),
        };
        let so_far = self.accu();
        let mut inputs = vec![so_far];
        let (init, step) = if function == "transformList" {
            let element = self.list(transform.into_iter().collect());
            inputs.push(element);
            (self.list(Vec::new()), self.call("_+_", inputs))
        } else {
            if function == "transformMap" {
                inputs.push(self.ident(&vars.0));
            }
            inputs.extend(transform);
            (self.make(Kind::Map(Vec::new())), self.call("cel.@mapInsert", inputs))
        };
        Ok(self.gather(range, vars, init, filter, step))
    }

    /// `result` with a name for `value`.
    fn named(&mut self, name: &str, value: Expr, result: Expr) -> Expr {
        let all = Comprehension {
            range: self.list(Vec::new()),
            var: UNUSED.to_owned(),
            var2: None,
            accu: name.to_owned(),
            init: value,
            condition: self.literal(false),
            step: self.ident(name),
            result,
        };
        self.make(Kind::Comprehension(Box::new(all)))
    }

    fn opt_map(&mut self, function: &str, target: Expr, args: Vec<Expr>) -> Result<Expr, Issue> {
        let [name, result] = exactly(args);
        let Kind::Ident(name) = &name.kind else {
            return self.wrong(&name, &format!("{function}() variable name must be a simple identifier"));
        };
        let again = self.copy(&target);
        let there = self.member("hasValue", target, Vec::new());
        let value = self.member("value", again, Vec::new());
        let mut mapped = self.named(name, value, result);
        if function == "optMap" {
            mapped = self.call("optional.of", vec![mapped]);
        }
        let none = self.call("optional.none", Vec::new());
        Ok(self.call("_?_:_", vec![there, mapped, none]))
    }

    fn sort_by(&mut self, target: Expr, args: Vec<Expr>) -> Result<Expr, Issue> {
        if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }) {
            let why = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
            return self.wrong(&target, why);
        }
        let input = self.ident(SORTED);
        let keys = self.map("map", input, args)?;
        let input = self.ident(SORTED);
        let sorted = self.member("@sortByAssociatedKeys", input, vec![keys]);
        Ok(self.named(SORTED, target, sorted))
    }

    fn bind(&mut self, args: Vec<Expr>) -> Result<Expr, Issue> {
        let [name, value, result] = exactly(args);
        match &name.kind {
            Kind::Ident(name) => Ok(self.named(name, value, result)),
            _ => self.wrong(&name, "cel.bind() variable names must be simple identifiers"),
        }
    }
}
