//! The Go type of a field as decoding errors quote it, where `api::schema` cannot derive it from the shape.

use super::golang;
use super::merge::{Shape, split};

pub fn go_type(field: &golang::Field, shape: &Shape, package: &str) -> Option<String> {
    let version = split(package).1;
    let local = |name: &str| match name.starts_with(char::is_uppercase) {
        true => format!("{version}.{name}"),
        false => name.to_owned(),
    };
    let written = field.ty.trim_start_matches('*');
    let quoted = match written.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        Some((key, value)) => format!("map[{}]{}", local(key), local(value)),
        None => {
            let start = written.rfind(['*', ']']).map_or(0, |at| at + 1);
            format!("{}{}", &written[..start], local(&written[start..]))
        }
    };
    let derived = derived(shape);
    // An alias of another package's struct is that struct.
    let alias = quoted.contains("RuleWithOperations");
    (!leafy(shape) && !alias && quoted != derived).then_some(quoted)
}

/// Leaves with a decoder of their own quote other words.
fn leafy(shape: &Shape) -> bool {
    matches!(shape, Shape::Scalar(name) if !matches!(*name, "string" | "bool" | "int32" | "int64" | "float64"))
}

/// The Go type that `api::schema` derives from a shape.
fn derived(shape: &Shape) -> String {
    match shape {
        Shape::Scalar("bytes") => "[]byte".to_owned(),
        Shape::Scalar("quantity") => "resource.Quantity".to_owned(),
        Shape::Scalar("any") => "v1.JSON".to_owned(),
        Shape::Scalar("raw") => "runtime.RawExtension".to_owned(),
        Shape::Scalar(name) => (*name).to_owned(),
        Shape::Struct(name) => {
            let (package, name) = split(name);
            format!("{}.{name}", split(package).1)
        }
        Shape::List(item) => format!("[]{}", derived(item)),
        Shape::Map(item) => format!("map[string]{}", derived(item)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_shape_does_not_say() {
        let text = || Shape::Scalar("string");
        let cases = [
            ("string", text(), None),
            ("RestartPolicy", text(), Some("v1.RestartPolicy")),
            ("*types.UID", text(), Some("types.UID")),
            ("[]Capability", Shape::List(Box::new(text())), Some("[]v1.Capability")),
            ("[]string", Shape::List(Box::new(text())), None),
            ("map[ResourceName]string", Shape::Map(Box::new(text())), Some("map[v1.ResourceName]string")),
            ("PodSpec", Shape::Struct("io.k8s.api.core.v1.PodSpec".into()), None),
            ("*v1.LabelSelector", Shape::Struct("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector".into()), None),
            ("v1.Time", Shape::Scalar("time"), None),
        ];
        for (ty, shape, expected) in cases {
            let field = golang::Field { ty: ty.to_owned(), ..Default::default() };
            assert_eq!(go_type(&field, &shape, "io.k8s.api.core.v1").as_deref(), expected, "{ty}");
        }
    }
}
