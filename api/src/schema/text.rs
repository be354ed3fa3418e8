//! The text form of schema facts (`api/facts/*.facts`), written by `cargo xtask facts`. One line is one fact:
//!
//! ```text
//! package core.v1 io.k8s.api.core.v1      a short package name for the lines below
//! type core.v1.Volume [atomic]            a type begins
//! kind apps/v1 Deployment                 it is the root of this kind
//! union JSON                              an element of its `x-kubernetes-unions`
//!  hostPath *core.v1.HostPathVolumeSource 2.1
//! ```
//!
//! A line that starts with a space is a field: its JSON name, its shape, then in any order
//! - `2.1`: the protobuf number after the numbers of the nested messages around it;
//! - `omitempty`, `required`; `null` for a pointer that Go writes as null when there is none;
//! - `list=atomic`, `list=set`, `list=map:KEY,KEY`, `map=atomic`, `map=granular`: topology under server-side apply;
//! - `patch=merge`, `patch=retainKeys`, `patch=merge,retainKeys`, `patch=replace`, `key=KEY`: strategic merge;
//! - `enum=VALUE|VALUE`: the values that the documents list, with `~` for a space;
//! - `form=wrapped`, `form=or-bool`, ...: [`Form`]; `in=EMBEDDED`; `go=TYPE`; `default=JSON`.
//!
//! A shape is a scalar or the name of a type, with `[]` before it for a list, `{}` for a map from strings, `*` for a pointer.

use std::collections::HashMap;

use thiserror::Error;

use super::{Field, Form, PatchStrategy, Presence, Scalar, SchemaSet, Shape, Topology, Type, TypeId};
use crate::gvk::GroupVersionKind;

#[derive(Debug, Error)]
#[error("read schema facts, line {line}: {problem}")]
pub struct ParseError {
    pub line: usize,
    pub problem: &'static str,
}

/// Types by the names the lines use.
type Names<'a> = HashMap<&'a str, TypeId>;

pub fn parse(text: &str) -> Result<SchemaSet, ParseError> {
    let mut names = Names::new();
    let mut count = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("type ") {
            names.insert(rest.strip_suffix(" atomic").unwrap_or(rest), TypeId(count));
            count += 1;
        }
    }
    let mut set = SchemaSet { types: Vec::with_capacity(count as usize), ..Default::default() };
    let mut packages = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        parse_line(line, &names, &mut packages, &mut set)
            .map_err(|problem| ParseError { line: number + 1, problem })?;
    }
    for (at, ty) in set.types.iter_mut().enumerate() {
        ty.index_message();
        let id = TypeId(at as u32);
        set.by_name.insert(ty.name.clone(), id);
        set.by_kind.extend(ty.kinds.iter().map(|kind| (kind.clone(), id)));
    }
    Ok(set)
}

fn parse_line<'a>(
    line: &'a str,
    names: &Names<'_>,
    packages: &mut HashMap<&'a str, &'a str>,
    set: &mut SchemaSet,
) -> Result<(), &'static str> {
    if let Some(field) = line.strip_prefix(' ') {
        let field = parse_field(field, names)?;
        set.types.last_mut().ok_or("a field before the first type")?.fields.push(field);
        return Ok(());
    }
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    if let Some(union) = line.strip_prefix("union ") {
        let ty = set.types.last_mut().ok_or("a union before the first type")?;
        ty.union = Some(serde_json::from_str(union).map_err(|_| "a union that is not JSON")?);
        return Ok(());
    }
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("package"), Some(short), Some(package)) => {
            packages.insert(short, package);
        }
        (Some("type"), Some(name), option) => {
            let (package, short) = name.rsplit_once('.').ok_or("a type without a package")?;
            let package = packages.get(package).ok_or("an unknown package")?;
            set.types.push(Type {
                name: format!("{package}.{short}"),
                atomic: option == Some("atomic"),
                ..Default::default()
            });
        }
        (Some("kind"), Some(api_version), Some(kind)) => {
            let kind = GroupVersionKind::from_api_version(api_version, kind);
            set.types.last_mut().ok_or("a kind before the first type")?.kinds.push(kind);
        }
        _ => return Err("an unknown line"),
    }
    Ok(())
}

fn parse_field(line: &str, names: &Names<'_>) -> Result<Field, &'static str> {
    let (line, default) = match line.split_once(" default=") {
        Some((line, json)) => (line, Some(serde_json::from_str(json).map_err(|_| "a default that is not JSON")?)),
        None => (line, None),
    };
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let written = words.next().ok_or("a field without a shape")?;
    let (written, pointer) = written.strip_prefix('*').map_or((written, false), |rest| (rest, true));
    let shape = parse_shape(written, names)?;
    let mut field = Field {
        name: name.to_owned(),
        presence: if pointer { Presence::Explicit } else { Presence::Always },
        // Without a list type, upstream's server-side apply replaces a list whole.
        topology: if matches!(shape, Shape::List(_)) { Topology::Atomic } else { Topology::Granular },
        shape,
        default,
        ..Default::default()
    };
    for word in words {
        match word.split_once('=') {
            None => parse_flag(word, &mut field)?,
            Some((key, value)) => parse_attribute(key, value, &mut field)?,
        }
    }
    Ok(field)
}

fn parse_flag(word: &str, field: &mut Field) -> Result<(), &'static str> {
    match word {
        "omitempty" => field.presence = Presence::OmitEmpty,
        "null" => field.null = true,
        "required" => field.required = true,
        path => {
            for number in path.split('.') {
                let number: u32 = number.parse().map_err(|_| "an unknown flag")?;
                let outer = std::mem::replace(&mut field.number, number);
                if outer != 0 {
                    field.within.push(outer);
                }
            }
        }
    }
    Ok(())
}

fn parse_attribute(key: &str, value: &str, field: &mut Field) -> Result<(), &'static str> {
    match (key, value) {
        ("map", "granular") => field.says_granular = true,
        ("list" | "map", "atomic") => field.topology = Topology::Atomic,
        ("list", "set") => field.topology = Topology::Set,
        ("list", keys) => {
            let keys = keys.strip_prefix("map:").ok_or("an unknown list type")?;
            field.topology = Topology::MapList(keys.split(',').map(str::to_owned).collect());
        }
        ("patch", strategies) => {
            let merge_key = field.patch.merge_key.take();
            let has = |wanted| strategies.split(',').any(|strategy| strategy == wanted);
            field.patch = PatchStrategy {
                merge: has("merge"),
                retain_keys: has("retainKeys"),
                replace: has("replace"),
                merge_key,
            };
        }
        ("key", merge_key) => field.patch.merge_key = Some(merge_key.to_owned()),
        ("enum", values) => field.enumeration = values.split('|').map(|value| value.replace('~', " ").into()).collect(),
        ("form", "wrapped") => field.form = Form::Wrapped,
        ("form", "or-bool") => field.form = Form::SchemaOrBool,
        ("form", "or-array") => field.form = Form::SchemaOrArray,
        ("form", "or-strings") => field.form = Form::SchemaOrStrings,
        ("in", names) => field.embedded = Some(names.to_owned()),
        ("go", name) => field.go_type = Some(name.to_owned()),
        _ => return Err("an unknown attribute"),
    }
    Ok(())
}

fn parse_shape(text: &str, names: &Names<'_>) -> Result<Shape, &'static str> {
    if let Some(item) = text.strip_prefix("[]") {
        return Ok(Shape::List(Box::new(parse_shape(item, names)?)));
    }
    if let Some(item) = text.strip_prefix("{}") {
        return Ok(Shape::Map(Box::new(parse_shape(item, names)?)));
    }
    if let Some(id) = names.get(text) {
        return Ok(Shape::Struct(*id));
    }
    Ok(Shape::Scalar(match text {
        "string" => Scalar::String,
        "bool" => Scalar::Boolean,
        "int32" => Scalar::Int32,
        "int64" => Scalar::Int64,
        "float64" => Scalar::Float64,
        "bytes" => Scalar::Bytes,
        "time" => Scalar::Time,
        "microtime" => Scalar::MicroTime,
        "duration" => Scalar::Duration,
        "quantity" => Scalar::Quantity,
        "intorstring" => Scalar::IntOrString,
        "fieldsv1" => Scalar::FieldsV1,
        "raw" => Scalar::RawExtension,
        "any" => Scalar::Any,
        _ => return Err("an unknown shape"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Entry;

    #[test]
    fn reads_every_kind_of_line() {
        let text = "# comment\npackage a.v1 io.a.v1\npackage b.v1 io.b.v1\ntype a.v1.Root\nkind v1 Root\nkind apps/v1 Root\nunion {\"discriminator\":\"word\"}\n \
                    items []b.v1.Item 3 required list=map:x,y patch=merge,retainKeys key=x\n \
                    labels {}string 2.2.1 omitempty go=v1.Labels map=atomic\n \
                    word *string 2.1 enum=a~b|* default=\"a b\"\ntype b.v1.Item atomic\n x string\n";
        let set = parse(text).expect("valid text");
        let root = set.get(set.of_kind(&GroupVersionKind::new("apps", "v1", "Root")).expect("a kind"));
        assert_eq!((root.name.as_str(), root.kinds.len()), ("io.a.v1.Root", 2));
        assert_eq!(root.union.as_ref().map(|union| &union["discriminator"]), Some(&"word".into()));
        let item = set.named("io.b.v1.Item").expect("a name");
        assert!(set.get(item).atomic);

        let items = root.field("items").expect("a field");
        assert_eq!(items.shape, Shape::List(Box::new(Shape::Struct(item))));
        assert_eq!(items.topology, Topology::MapList(vec!["x".into(), "y".into()]));
        let patch = PatchStrategy { merge: true, retain_keys: true, replace: false, merge_key: Some("x".into()) };
        assert_eq!((&items.patch, items.required, items.presence), (&patch, true, Presence::Always));

        let labels = root.field("labels").expect("a field");
        assert_eq!((labels.number, &labels.within[..]), (1, &[2, 2][..]));
        assert_eq!((&labels.topology, labels.presence), (&Topology::Atomic, Presence::OmitEmpty));
        assert_eq!(labels.go_type.as_deref(), Some("v1.Labels"));

        let word = root.field("word").expect("a field");
        assert_eq!((word.presence, &word.default), (Presence::Explicit, &Some("a b".into())));
        assert_eq!(*word.enumeration, ["a b".into(), "*".into()]);

        let Some(Entry::Nested(nested)) = root.message.get(2) else { panic!("2 is a nested message") };
        assert_eq!(nested.get(1), Some(&Entry::Field(2)));
        assert!(matches!(nested.get(2), Some(Entry::Nested(inner)) if inner.get(1) == Some(&Entry::Field(1))));
        assert_eq!(root.message.get(3), Some(&Entry::Field(0)));
    }

    #[test]
    fn names_the_line_it_cannot_read() {
        let cases = [
            ("# one\n name string", 2),
            ("type a.Unknown", 1),
            ("package a io.a\ntype a.T\n x Missing", 3),
            ("package a io.a\ntype a.T\n x string list=odd", 3),
            ("word", 1),
        ];
        for (text, line) in cases {
            assert_eq!(parse(text).map(|_| ()).map_err(|error| error.line), Err(line), "{text}");
        }
    }
}
