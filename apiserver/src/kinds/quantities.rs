//! Quantities inside JSON trees.

use api::quantity::Quantity;
use serde_json::Value;

use super::cursor::{Cursor, field};
use super::edit::{get_mut, set};

/// `None` for what is no quantity; the schema stage reports that.
pub fn parse(text: &str) -> Option<Quantity> {
    Quantity::parse(text).ok()
}

pub fn parse_value(value: &Value) -> Option<Quantity> {
    if value.is_null() { None } else { Quantity::from_json(value).ok() }
}

pub fn is_integer(quantity: &Quantity) -> bool {
    quantity.to_i64().is_some() || quantity.value() == i64::MAX
}

pub fn parse_at(at: &Cursor) -> Option<Quantity> {
    parse_value(at.value)
}

/// Upstream's SetDefaults_ResourceList: amounts are rounded up to thousandths, and stored in canonical form.
pub fn canonicalize(object: &mut Value, name: &str) {
    let Some(Value::Object(amounts)) = get_mut(object, name) else { return };
    for amount in amounts.values_mut() {
        if let Some(quantity) = parse_value(amount) {
            *amount = round_up(quantity).to_string().into();
        }
    }
}

fn round_up(quantity: Quantity) -> Quantity {
    let milli = Quantity::from_milli(quantity.milli_value(), quantity.format());
    // Beyond the range of thousandths in 64 bits there are none to round.
    if milli > quantity { milli } else { quantity }
}

pub fn canonicalize_requirements(requirements: &mut Value) {
    canonicalize(requirements, "limits");
    canonicalize(requirements, "requests");
}

/// A single quantity, stored in canonical form.
pub fn canonicalize_one(object: &mut Value, name: &str) {
    if let Some(quantity) = parse_value(field(object, name)) {
        set(object, name, quantity.to_string());
    }
}
