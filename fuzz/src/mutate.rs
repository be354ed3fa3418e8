//! Other inputs of an input. JSON is changed as the tree it is, with the fields that the schema of its kind has; texts by words of their
//! language; both by bytes, too.

use api::schema::{Scalar, SchemaSet, Shape, TypeId};
use serde_json::{Map, Value, json};

use crate::{Random, Target};

/// How deep new values are.
const DEPTH: usize = 3;
const LEAVES: [&str; 12] = [
    "",
    "a",
    "b",
    "Always",
    "1",
    "100m",
    "1Gi",
    "-1",
    "2026-01-01T00:00:00Z",
    "$patch",
    "example.com/a",
    "\u{0}\u{7f}ä",
];

/// Changes an input in one to three places.
pub fn mutate(target: &Target, data: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = data.to_vec();
    if data.len() < target.header {
        data.resize(target.header, 0);
    }
    if target.header > 0 && random.below(4) == 0 {
        data[random.below(target.header)] = random.bits() as u8;
    }
    let (header, rest) = data.split_at(target.header);
    let (kind, parsed) = (target.tree.map(|kind| kind(header, rest)), serde_json::from_slice::<Value>(rest));
    if let (Some(kind), Ok(mut tree), false) = (kind, parsed, random.below(8) == 0) {
        let ty = SchemaSet::builtin().of_kind(&kind);
        for _ in 0..=random.below(3) {
            change(&mut tree, ty.map_or(Shape::default(), Shape::Struct), random);
        }
        return [header, tree.to_string().as_bytes()].concat();
    }
    for _ in 0..=random.below(3) {
        text(target, &mut data, random);
    }
    data
}

fn text(target: &Target, data: &mut Vec<u8>, random: &mut Random) {
    let at = target.header + random.below(data.len() + 1 - target.header);
    let end = (at + random.below(8)).min(data.len());
    match random.below(5) {
        0 if !target.words.is_empty() => drop(data.splice(at..end, random.pick(target.words).bytes())),
        1 if !target.words.is_empty() => drop(data.splice(at..at, random.pick(target.words).bytes())),
        2 => drop(data.drain(at..end)),
        3 => {
            let copy = data[at..end].to_vec();
            data.splice(at..at, copy);
        }
        _ if at < data.len() => data[at] = random.bits() as u8,
        _ => data.push(random.bits() as u8),
    }
}

/// Goes down from here for a while, and changes what is there.
fn change(value: &mut Value, shape: Shape, random: &mut Random) {
    let set = SchemaSet::builtin();
    let goes_on = random.below(4) != 0;
    match value {
        Value::Object(members) if goes_on && !members.is_empty() => {
            let at = random.below(members.len());
            let Some((name, member)) = members.iter_mut().nth(at) else { return };
            let below = match &shape {
                Shape::Struct(ty) => set.get(*ty).field(name).map(|field| field.shape.clone()).unwrap_or_default(),
                Shape::Map(shape) => (**shape).clone(),
                _ => Shape::default(),
            };
            change(member, below, random);
        }
        Value::Array(elements) if goes_on && !elements.is_empty() => {
            let at = random.below(elements.len());
            let below = if let Shape::List(shape) = &shape { (**shape).clone() } else { Shape::default() };
            change(&mut elements[at], below, random);
        }
        Value::Object(members) => object(members, &shape, random),
        Value::Array(elements) => list(elements, &shape, random),
        leaf => *leaf = if random.below(3) == 0 { any(random) } else { fitting(&shape, DEPTH, random) },
    }
}

fn object(members: &mut Map<String, Value>, shape: &Shape, random: &mut Random) {
    let at = random.below(members.len());
    let name = members.keys().nth(at).cloned();
    match (random.below(4), name, shape) {
        (0, Some(name), _) => drop(members.remove(&name)),
        (1, Some(name), _) => drop(members.insert(name, any(random))),
        (_, _, Shape::Struct(ty)) if !SchemaSet::builtin().get(*ty).fields.is_empty() => {
            let field = random.pick(&SchemaSet::builtin().get(*ty).fields);
            members.insert(field.name.clone(), fitting(&field.shape, DEPTH, random));
        }
        (_, _, Shape::Map(shape)) => {
            drop(members.insert((*random.pick(&LEAVES)).to_owned(), fitting(shape, DEPTH, random)))
        }
        _ => drop(members.insert((*random.pick(&["a", "spec", "size", "$patch", "name"])).to_owned(), any(random))),
    }
}

fn list(elements: &mut Vec<Value>, shape: &Shape, random: &mut Random) {
    let at = random.below(elements.len());
    match (random.below(4), shape) {
        (0, _) if !elements.is_empty() => drop(elements.remove(at)),
        (1, _) if !elements.is_empty() => elements.push(elements[at].clone()),
        (2, _) if !elements.is_empty() => {
            let other = random.below(elements.len());
            elements.swap(at, other);
        }
        (_, Shape::List(shape)) => elements.push(fitting(shape, DEPTH, random)),
        _ => elements.push(any(random)),
    }
}

fn any(random: &mut Random) -> Value {
    match random.below(9) {
        0 => Value::Null,
        1 => json!({}),
        2 => json!([]),
        3 => json!(i64::MIN),
        4 => json!(1e300),
        5 => json!({"$patch": "delete", "name": "a"}),
        6 => json!([null, {"name": "a"}, "a"]),
        7 => json!(random.below(2) == 0),
        _ => json!(*random.pick(&LEAVES)),
    }
}

/// A value that the schema allows.
fn fitting(shape: &Shape, depth: usize, random: &mut Random) -> Value {
    match shape {
        Shape::Struct(ty) => structure(*ty, depth, random),
        Shape::List(shape) => (0..random.below(3)).map(|_| fitting(shape, depth, random)).collect(),
        Shape::Map(shape) => {
            let pairs =
                (0..random.below(3)).map(|_| ((*random.pick(&LEAVES)).to_owned(), fitting(shape, depth, random)));
            Value::Object(pairs.collect())
        }
        Shape::Scalar(scalar) => match scalar {
            Scalar::Boolean => json!(random.below(2) == 0),
            Scalar::Int32 | Scalar::Int64 => json!(*random.pick(&[0, 1, 80, -1, i64::from(i32::MAX), i64::MAX])),
            Scalar::Float64 => json!(*random.pick(&[0.0, 1.5, -1e300])),
            Scalar::Bytes => json!("YQ=="),
            Scalar::Time | Scalar::MicroTime => {
                json!(*random.pick(&["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"]))
            }
            Scalar::Duration => json!("1h2m3s"),
            Scalar::Quantity => json!(*random.pick(&["1", "100m", "1Gi", "1e3", "0", "-1", "0.1"])),
            Scalar::IntOrString => random.pick(&[json!(1), json!("25%"), json!("http")]).clone(),
            Scalar::FieldsV1 => json!({"f:spec": {"f:a": {}}}),
            Scalar::RawExtension => json!({"apiVersion": "v1", "kind": "Pod"}),
            Scalar::Any => any(random),
            Scalar::String => json!(*random.pick(&LEAVES)),
        },
    }
}

fn structure(ty: TypeId, depth: usize, random: &mut Random) -> Value {
    let fields = &SchemaSet::builtin().get(ty).fields;
    let mut members = Map::new();
    for field in fields {
        let more = depth > 0 && random.below(fields.len()) < 2;
        if more || (field.required && random.below(8) != 0) {
            members.insert(field.name.clone(), fitting(&field.shape, depth.saturating_sub(1), random));
        }
    }
    Value::Object(members)
}
