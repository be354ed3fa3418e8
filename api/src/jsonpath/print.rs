//! Values as text, the way Go prints and marshals them.

use serde_json::Value;

/// Strings bare, numbers as Go's `%v`, null as `null`, all else as JSON.
pub fn to_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => go_float(number.as_f64().unwrap_or_default()),
        Value::Array(_) | Value::Object(_) => to_json(value),
        other => other.to_string(),
    }
}

/// Compact JSON as `encoding/json` writes it: `<`, `>` and `&` escaped, whole floats without a fraction.
pub fn to_json(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, None);
    out
}

/// Indented by four spaces.
pub(super) fn indented(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, Some(0));
    out
}

fn write(out: &mut String, value: &Value, depth: Option<usize>) {
    let (open, close, count) = match value {
        Value::Array(items) => ('[', ']', items.len()),
        Value::Object(members) => ('{', '}', members.len()),
        Value::String(text) => return write_string(out, text),
        Value::Number(number) if number.is_f64() => {
            return out.push_str(&json_float(number.as_f64().unwrap_or_default()));
        }
        other => return out.push_str(&other.to_string()),
    };
    let line = |out: &mut String, depth: Option<usize>| {
        if let Some(depth) = depth.filter(|_| count > 0) {
            out.push('\n');
            out.push_str(&"    ".repeat(depth));
        }
    };
    let inner = depth.map(|depth| depth + 1);
    let next = |out: &mut String, index: usize| {
        if index > 0 {
            out.push(',');
        }
        line(out, inner);
    };
    out.push(open);
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                next(out, index);
                write(out, item, inner);
            }
        }
        Value::Object(members) => {
            for (index, (key, member)) in members.iter().enumerate() {
                next(out, index);
                write_string(out, key);
                out.push_str(if depth.is_some() { ": " } else { ":" });
                write(out, member, inner);
            }
        }
        _ => {}
    }
    line(out, depth);
    out.push(close);
}

fn write_string(out: &mut String, text: &str) {
    let json = Value::from(text).to_string();
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}

/// `%v`: an exponent below -4 and from 6 on.
fn go_float(value: f64) -> String {
    exponent_form(value, -4, 6, 2)
}

/// `encoding/json`: an exponent below -6 and from 21 on, without padding.
fn json_float(value: f64) -> String {
    exponent_form(value, -6, 21, 1)
}

fn exponent_form(value: f64, low: i32, high: i32, width: usize) -> String {
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if value == 0.0 || (low..high).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:0width$}", exponent.unsigned_abs())
}
