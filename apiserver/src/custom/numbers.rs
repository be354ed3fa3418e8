//! Numbers of custom resources: Go writes a whole one without a fraction, however it came.

use serde_json::Value;

/// From here on, not every whole number is one of this type.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(settle),
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT);
            if let Some(whole) = whole {
                #[allow(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
                let whole = whole as i64;
                *value = whole.into();
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_have_no_fraction() {
        let mut value: Value = serde_json::from_str(r#"{"a":[2.0,-3.0e2,1.5,7,1e300],"b":"2.0"}"#).unwrap();
        settle(&mut value);
        assert_eq!(value, json!({"a": [2, -300, 1.5, 7, 1e300], "b": "2.0"}));
    }
}
