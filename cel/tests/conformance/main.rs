//! The conformance tests of CEL (`cel.dev/expr`, `tests/simple/testdata`), read from Go's module cache, where building upstream's
//! programs puts them. Without them there is nothing to test, and the test says so.
//!
//! Tests with messages of protocol buffers are left out: Kubernetes' data is JSON.

#![allow(clippy::print_stdout, reason = "the counts are for people")]

mod textproto;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use cel::{Env, Key, Map, Program, Type, Value, equal};
use textproto::{Message, Node};

const FILES: [&str; 18] = [
    "basic",
    "bindings_ext",
    "comparisons",
    "conversions",
    "dynamic",
    "fields",
    "fp_math",
    "integer_math",
    "lists",
    "logic",
    "macros",
    "macros2",
    "optionals",
    "parse",
    "plumbing",
    "string",
    "string_ext",
    "timestamps",
];
const MORE: [&str; 3] = ["namespace", "type_deduction", "wrappers"];

/// What does not come out as the files say, and why.
const KNOWN: &str = include_str!("known.txt");

#[test]
fn conformance() {
    let Some(folder) = folder() else {
        println!("skipped: cel.dev/expr is not in Go's module cache");
        return;
    };
    let known: BTreeMap<&str, &str> = KNOWN.lines().filter_map(|line| line.split_once(": ")).collect();
    let (mut failures, mut found, mut total) = (Vec::new(), BTreeSet::new(), 0);
    for file in FILES.into_iter().chain(MORE) {
        let text = std::fs::read_to_string(folder.join(format!("{file}.textproto"))).unwrap();
        let (mut passed, mut skipped, mut failed) = (0, 0, 0);
        for section in textproto::parse(&text).messages("section") {
            let of = section.text("name").unwrap_or_default();
            for test in section.messages("test") {
                let name = format!("{file}/{of}/{}", test.text("name").unwrap_or_default());
                match check(test) {
                    Verdict::Passed => passed += 1,
                    Verdict::Skipped => skipped += 1,
                    Verdict::Failed(_) if known.contains_key(name.as_str()) => {
                        failed += 1;
                        found.insert(name);
                    }
                    Verdict::Failed(why) => failures.push(format!("{name}: {why}")),
                }
            }
        }
        println!("{file}: {passed} passed, {failed} known to differ, {skipped} left out");
        total += passed;
    }
    println!("{total} passed");
    let stale: Vec<_> = known.keys().filter(|name| !found.contains(**name)).collect();
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(stale.is_empty(), "pass now: {stale:?}");
}

/// The version that cel-go 0.26 names.
fn folder() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = var("HOME").map(|home| home.join("go"));
    let cache = var("GOMODCACHE").or_else(|| Some(var("GOPATH").or(home)?.join("pkg/mod")))?;
    Some(cache.join("cel.dev/expr@v0.24.0/tests/simple/testdata")).filter(|folder| folder.is_dir())
}

enum Verdict {
    Passed,
    /// It needs what Kubernetes has no use for.
    Skipped,
    Failed(String),
}

fn check(test: &Message) -> Verdict {
    if test.is("disable_macros") || test.text("container").is_some_and(|container| !container.is_empty()) {
        return Verdict::Skipped;
    }
    let source = test.text("expr").unwrap_or_default();
    let mut env = Env::common();
    for declaration in test.messages("type_env") {
        let name = declaration.text("name").unwrap_or_default();
        let ty = declaration.message("ident").and_then(|ident| ty(ident.message("type")?));
        let Some(ty) = ty else { return Verdict::Skipped };
        env = env.variable(name, ty);
    }
    let mut bindings: BTreeMap<String, Value<'static>> = BTreeMap::new();
    for binding in test.messages("bindings") {
        let bound = binding.message("value").and_then(|value| value.message("value")).and_then(value);
        let Some(bound) = bound else { return Verdict::Skipped };
        bindings.insert(binding.text("key").unwrap_or_default(), bound);
    }
    let fails = test.message("eval_error").is_some();
    let typed = test.message("typed_result");
    let expected = match test.message("value").or_else(|| typed?.message("result")) {
        None => None,
        Some(message) => match value(message) {
            None => return Verdict::Skipped,
            expected => expected,
        },
    };
    let unchecked = test.is("disable_check");
    let checked = match env.compile(&source) {
        Ok(checked) => checked,
        Err(_) if fails => return Verdict::Passed,
        // A message, or a type that is looked at only when it is there.
        Err(issues) if unchecked || needs_messages(&source, &issues.to_string()) => {
            return Verdict::Skipped;
        }
        Err(issues) => return Verdict::Failed(format!("{source}\n{issues}")),
    };
    if let Some(deduced) = typed.and_then(|typed| typed.message("deduced_type")) {
        let Some(wanted) = ty(deduced) else { return Verdict::Skipped };
        if wanted.to_string() != checked.output().to_string() {
            return Verdict::Failed(format!("{source}: has the type {}, not {wanted}", checked.output()));
        }
    }
    if test.is("check_only") {
        return Verdict::Passed;
    }
    let variables: BTreeMap<&str, Value<'_>> =
        bindings.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let result = match Program::new(checked, u64::MAX) {
        Ok(program) => program.eval(&variables).result,
        Err(error) => Err(error),
    };
    match (result, expected) {
        (Err(_), _) if fails => Verdict::Passed,
        (Ok(got), None) if !fails && matches!(got, Value::Bool(true)) => Verdict::Passed,
        (Ok(got), Some(wanted)) if same(&got, &wanted) => Verdict::Passed,
        (got, wanted) => Verdict::Failed(format!("{source}: is {got:?}, not {wanted:?}")),
    }
}

fn needs_messages(source: &str, issues: &str) -> bool {
    let messages = ["TestAllTypes", "google.protobuf", "cel.expr", "math.", "base64", "NestedTest", "GlobalEnum"];
    messages.iter().any(|name| source.contains(name) || issues.contains(name))
}

/// Equal, and of the same type.
fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    let nan = |value: &Value<'_>| matches!(value, Value::Double(double) if double.is_nan());
    (equal(a, b) && a.type_of().name() == b.type_of().name()) || (nan(a) && nan(b))
}

fn value(message: &Message) -> Option<Value<'static>> {
    let (name, node) = message.only()?;
    let word = || match node {
        Node::Word(word) => word.clone(),
        Node::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Node::Message(_) => String::new(),
    };
    let (bytes, inner) = match node {
        Node::Text(bytes) => (bytes.clone(), Message::default()),
        Node::Message(message) => (Vec::new(), message.clone()),
        Node::Word(_) => (Vec::new(), Message::default()),
    };
    Some(match name {
        "null_value" => Value::Null,
        "bool_value" => Value::Bool(word() == "true"),
        "int64_value" => Value::Int(number(&word())?),
        "uint64_value" => Value::Uint(word().parse().ok()?),
        "double_value" => Value::Double(word().replace("infinity", "inf").parse().ok()?),
        "string_value" => Value::text(word()),
        "bytes_value" => Value::Bytes(bytes.into()),
        "type_value" => Value::Type(Type::by_name(&word())?),
        "list_value" => Value::list(inner.messages("values").map(value).collect::<Option<_>>()?),
        "map_value" => {
            let entry =
                |entry: &Message| Some((Key::new(&value(entry.message("key")?)?)?, value(entry.message("value")?)?));
            let members = inner.messages("entries").map(entry).collect::<Option<BTreeMap<_, _>>>()?;
            Value::Map(Map::Members(Arc::new(members)))
        }
        "object_value" => object(&inner)?,
        _ => return None,
    })
}

fn number(word: &str) -> Option<i64> {
    match word.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// The two messages that are values of CEL's own.
fn object(message: &Message) -> Option<Value<'static>> {
    let (name, Node::Message(inner)) = message.only()? else { return None };
    let part = |name: &str| inner.text(name).map_or(Some(0), |text| text.parse::<i64>().ok());
    let (seconds, nanos) = (part("seconds")?, part("nanos")?);
    match name {
        "type.googleapis.com/google.protobuf.Duration" => {
            Some(Value::Duration(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
        }
        "type.googleapis.com/google.protobuf.Timestamp" => {
            Some(Value::Timestamp(cel::Time::from_seconds(seconds).ok()?.after(nanos).ok()?))
        }
        _ => None,
    }
}

fn ty(message: &Message) -> Option<Type> {
    let (name, node) = message.only()?;
    let inner = match node {
        Node::Message(message) => message.clone(),
        _ => Message::default(),
    };
    Some(match (name, message.text(name).as_deref()) {
        ("primitive", Some("INT64")) => Type::Int,
        ("primitive", Some("UINT64")) => Type::Uint,
        ("primitive", Some(word)) => Type::by_name(&word.to_lowercase())?,
        ("well_known", Some("DURATION")) => Type::Duration,
        ("well_known", Some("TIMESTAMP")) => Type::Timestamp,
        ("dyn", _) => Type::Dyn,
        ("null", _) => Type::Null,
        ("list_type", _) => Type::list(inner.message("elem_type").map_or(Some(Type::Dyn), ty)?),
        ("map_type", _) => Type::map(
            inner.message("key_type").map_or(Some(Type::Dyn), ty)?,
            inner.message("value_type").map_or(Some(Type::Dyn), ty)?,
        ),
        ("type", _) => Type::Type(inner.only().and_then(|_| ty(&inner)).map(Arc::new)),
        ("type_param", Some(name)) => Type::Param(name.into()),
        ("abstract_type", _) if inner.text("name").as_deref() == Some("optional_type") => {
            Type::optional(ty(inner.message("parameter_types")?)?)
        }
        _ => return None,
    })
}
