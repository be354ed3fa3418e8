//! Which devices are meant: expressions in CEL over a `device` (`k8s.io/dynamic-resource-allocation/cel`).

use std::sync::{Arc, LazyLock};

use cel::cost::{Range, Sizes, estimate};
use cel::schema::ObjectTypes;
use cel::{CALL_LIMIT, Env, Libraries, Library, Program, Type};

use super::super::cursor::{Cursor, Errors};
use super::{MAX_ATTRIBUTES, MAX_DOMAIN, MAX_ID, MAX_VALUE, within};

const MAX_SELECTORS: usize = 32;
const MAX_EXPRESSION: usize = 10 * 1024;
const DEVICE: &str = "kubernetes.DRADevice";

static ENV: LazyLock<Env> = LazyLock::new(|| {
    let by_domain = |of: Type| Type::map(Type::String, Type::map(Type::String, of));
    let fields = [
        ("driver", Type::String),
        ("attributes", by_domain(Type::Any)),
        ("capacity", by_domain(Type::object("kubernetes.Quantity"))),
    ];
    let fields = fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)).collect();
    let types = ObjectTypes::from([(Arc::from(DEVICE), fields)]);
    let libraries = Libraries::KUBERNETES.with(Library::Bindings);
    Env::kubernetes().libraries(libraries).types(types).variable("device", Type::object(DEVICE))
});

pub fn selectors(at: &Cursor, errors: &mut Errors) {
    if !within(at, MAX_SELECTORS, errors) {
        return;
    }
    for selector in at.items() {
        let cel = selector.child("cel");
        if cel.is_set() { expression(&cel.child("expression"), errors) } else { errors.required(&cel) }
    }
}

fn expression(at: &Cursor, errors: &mut Errors) {
    if at.len() > MAX_EXPRESSION {
        return errors.too_long(at, MAX_EXPRESSION);
    }
    let checked = match ENV.compile(at.str()) {
        Ok(checked) => checked,
        Err(issues) => return errors.invalid_text(at, format!("compilation failed: {issues}")),
    };
    let output = checked.output();
    if !matches!(output, Type::Bool | Type::Any) {
        let detail = format!("must evaluate to bool or the unknown type, not {}", output.full_name());
        return errors.invalid_text(at, detail);
    }
    let cost = estimate(&checked, &Device).max;
    if let Err(why) = Program::new(checked, CALL_LIMIT) {
        errors.internal(at, format!("program instantiation failed: {why}"));
    } else if cost > CALL_LIMIT {
        errors.forbidden(at, "too complex, exceeds cost limit");
    }
}

/// How large a device can be.
struct Device;

impl Sizes for Device {
    fn size(&self, path: &[String]) -> Option<Range> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let max = match path.as_slice() {
            // An object has no size of its own.
            ["device"] => 0,
            ["device", "driver"] => MAX_DOMAIN,
            ["device", "attributes" | "capacity"] => MAX_ATTRIBUTES,
            ["device", "attributes" | "capacity", "@keys"] => MAX_DOMAIN,
            ["device", "attributes" | "capacity", "@items" | "@values"] => MAX_ATTRIBUTES,
            ["device", "attributes" | "capacity", "@items" | "@values", "@keys"] => MAX_ID,
            // The names of attributes are not known, but how long their values are.
            ["device", "attributes", "@items" | "@values", _] => MAX_VALUE,
            ["device", "capacity", "@items" | "@values", "@items" | "@values"] => 0,
            _ => return None,
        };
        Some(Range { min: 0, max: max as u64 })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_are_compiled() {
        let table = [
            ("true", ""),
            ("device.driver == 'd.example.com'", ""),
            ("device.attributes['d.example.com'].model == 'a'", ""),
            ("device.attributes['d.example.com'].healthy", ""),
            ("device.capacity['d.example.com'].memory.isGreaterThan(quantity('1Gi'))", ""),
            ("cel.bind(d, device.attributes['d'], d.a && d.b)", ""),
            ("a", "compilation failed: ERROR: <input>:1:1: undeclared reference to 'a' (in container '')\n | a\n | ^"),
            (
                "device.allowMultipleAllocations",
                "compilation failed: ERROR: <input>:1:7: undefined field 'allowMultipleAllocations'\n \
                 | device.allowMultipleAllocations\n | ......^",
            ),
            ("device.driver", "must evaluate to bool or the unknown type, not string"),
            ("dyn(true)", "must evaluate to bool or the unknown type, not dyn"),
            (
                "[timestamp('2020-01-01T00:00:00Z')]",
                "must evaluate to bool or the unknown type, not list(google.protobuf.Timestamp)",
            ),
            (
                "device.attributes + 1 == 2",
                "compilation failed: ERROR: <input>:1:19: found no matching overload for '_+_' applied to \
                 '(map(string, map(string, any)), int)'\n | device.attributes + 1 == 2\n | ..................^",
            ),
        ];
        for (source, expected) in table {
            let object = json!({"expression": source});
            let mut errors = Errors::default();
            expression(&Cursor::root(&object, "expression"), &mut errors);
            let details: Vec<String> = errors.into_vec().into_iter().map(|error| error.detail).collect();
            assert_eq!(details.join("\n"), expected, "{source}");
        }
    }

    /// What one expression may cost is what a device can be made of.
    #[test]
    fn costs_are_bounded_by_what_a_device_can_be() {
        let nested = |depth: usize| {
            let all = "device.attributes.all(k, ".repeat(depth);
            format!("{all}true{}", ")".repeat(depth))
        };
        let table = [
            ("device.attributes.all(d, device.attributes[d].all(k, k.contains('a')))".to_owned(), false),
            (nested(3), false),
            (nested(4), true),
        ];
        for (source, refused) in table {
            let object = json!({"selectors": [{"cel": {"expression": source}}]});
            let mut errors = Errors::default();
            selectors(&Cursor::root(&object, "selectors"), &mut errors);
            let shown: Vec<String> = errors.into_vec().iter().map(ToString::to_string).collect();
            let expected = "selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit";
            assert_eq!(shown == [expected], refused, "{source}: {shown:?}");
        }
    }
}
