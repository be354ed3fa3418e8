//! `format`: texts with places for values (`ext/formatting.go`, in American English).

use super::go_float;
use crate::error::Error;
use crate::types::Type;
use crate::value::{List, Value, to_string};

const PRECISION: usize = 6;

/// One place: what letter it has and how many digits it wants.
#[derive(Clone, Copy)]
struct Clause {
    letter: char,
    precision: usize,
}

/// Goes through the format and puts in what `show` makes of each place and its number.
fn fill(
    format: &str,
    count: usize,
    show: &mut dyn FnMut(Clause, usize) -> Result<String, Error>,
) -> Result<String, Error> {
    let mut out = String::with_capacity(format.len());
    let mut chars = format.chars().peekable();
    let mut index = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        if chars.peek().is_none() {
            return Err(Error::new("unexpected end of string"));
        }
        if index >= count {
            return Err(Error::new(format!("index {index} out of range")));
        }
        let mut precision = PRECISION;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if chars.peek().is_none() {
                return Err(unparsed("error while parsing precision: could not find end of precision specifier"));
            }
            precision = digits.parse().map_err(|_| {
                let why = format!("strconv.Atoi: parsing {digits:?}: invalid syntax");
                unparsed(&format!("error while parsing precision: error while converting precision to integer: {why}"))
            })?;
        }
        let letter = chars.next().unwrap_or_default();
        if !"sdfebxXo".contains(letter) {
            return Err(unparsed(&format!("unrecognized formatting clause \"{letter}\"")));
        }
        out += &show(Clause { letter, precision }, index)?;
        index += 1;
    }
    Ok(out)
}

fn unparsed(why: &str) -> Error {
    Error::new(format!("could not parse formatting clause: {why}"))
}

fn refused(clause: Clause, given: &str) -> Error {
    let what = match clause.letter {
        'd' => "decimal clause can only be used on integers",
        'f' => "fixed-point clause can only be used on doubles",
        'e' => "scientific clause can only be used on doubles",
        'b' => "only integers and bools can be formatted as binary",
        'x' | 'X' => "only integers, byte buffers, and strings can be formatted as hex",
        'o' => "octal clause can only be used on integers",
        _ => {
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and \
              timestamps"
        }
    };
    Error::new(format!("error during formatting: {what}, was given {given}"))
}

pub(super) fn format(format: &str, values: &List<'_>) -> Result<String, Error> {
    fill(format, values.len(), &mut |clause, index| {
        let value = values.get(index).unwrap_or(Err(Error::NO_OVERLOAD))?;
        one(clause, &value).ok_or_else(|| refused(clause, value.type_of().name()))
    })
}

fn one(clause: Clause, value: &Value<'_>) -> Option<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Some(match (clause.letter, value) {
        ('s', value) => string(value)?,
        ('d', Value::Int(int)) => int.to_string(),
        ('d', Value::Uint(uint)) => uint.to_string(),
        ('f', value) => go_float::fixed(double(value)?, clause.precision),
        ('e', value) => go_float::scientific(double(value)?, clause.precision),
        ('b', Value::Int(int)) => signed(*int, &format!("{:b}", int.unsigned_abs())),
        ('b', Value::Uint(uint)) => format!("{uint:b}"),
        ('b', Value::Bool(value)) => u8::from(*value).to_string(),
        ('x', Value::Int(int)) => signed(*int, &format!("{:x}", int.unsigned_abs())),
        ('x', Value::Uint(uint)) => format!("{uint:x}"),
        ('x', Value::String(text)) => hex(text.as_bytes()),
        ('x', Value::Bytes(bytes)) => hex(bytes),
        ('X', value) => one(Clause { letter: 'x', ..clause }, value)?.to_uppercase(),
        ('o', Value::Int(int)) => signed(*int, &format!("{:o}", int.unsigned_abs())),
        ('o', Value::Uint(uint)) => format!("{uint:o}"),
        _ => return None,
    })
}

fn signed(int: i64, digits: &str) -> String {
    if int < 0 { format!("-{digits}") } else { digits.to_owned() }
}

/// Doubles, and the names of what is no number.
fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Double(double) => Some(*double),
        Value::String(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn string(value: &Value<'_>) -> Option<String> {
    match value {
        Value::List(list) => {
            let shown: Option<Vec<String>> = list.iter().map(|item| inner(&item.ok()?)).collect();
            Some(format!("[{}]", shown?.join(", ")))
        }
        Value::Map(map) => {
            let pair = |key: Value<'_>| Some(format!("{}:{}", inner(&key)?, inner(&map.get(&key).ok()??)?));
            let keys = map.keys();
            let mut pairs: Vec<String> = keys.into_iter().map(pair).collect::<Option<_>>()?;
            pairs.sort();
            Some(format!("{{{}}}", pairs.join(", ")))
        }
        Value::Null => Some("null".to_owned()),
        Value::Opaque(_) | Value::Optional(_) | Value::Struct(..) | Value::Unknown(_) => None,
        value => to_string(value).ok()?.as_str().map(str::to_owned),
    }
}

/// A value in a list or map, as an expression would write it.
fn inner(value: &Value<'_>) -> Option<String> {
    let quoted = |text: &str| api::field::go_quoted(text);
    Some(match value {
        Value::String(text) => quoted(text),
        Value::Bytes(bytes) => format!("b{}", quoted(&String::from_utf8_lossy(bytes))),
        Value::Timestamp(_) => format!("timestamp({})", quoted(&string(value)?)),
        Value::Duration(_) => format!("duration({})", quoted(&string(value)?)),
        Value::Double(double) if double.is_nan() => "\"NaN\"".to_owned(),
        Value::Double(double) if double.is_infinite() => if *double > 0.0 { "\"+Inf\"" } else { "\"-Inf\"" }.to_owned(),
        Value::Double(double) => format!("{double:.PRECISION$}"),
        value => string(value)?,
    })
}

/// What is wrong with a format that is known, given the types of its values; and with which of them.
pub fn literal_problem(format: &str, types: &[Type]) -> Option<(Option<usize>, String)> {
    let mut wrong = None;
    let mut seen = 0;
    let filled = fill(format, types.len(), &mut |clause, index| {
        seen = index + 1;
        let ty = &types[index];
        let fits = match clause.letter {
            _ if *ty == Type::Dyn => true,
            'd' | 'o' => matches!(ty, Type::Int | Type::Uint),
            'f' | 'e' => matches!(ty, Type::Double | Type::String),
            'b' => matches!(ty, Type::Int | Type::Uint | Type::Bool),
            'x' | 'X' => matches!(ty, Type::Int | Type::Uint | Type::String | Type::Bytes),
            _ => !matches!(ty, Type::Object(_) | Type::Opaque(..) | Type::Error | Type::Param(_)),
        };
        if fits {
            return Ok(String::new());
        }
        wrong = Some(index);
        Err(refused(clause, ty.name()))
    });
    match filled {
        Err(error) => Some((wrong, error.to_string())),
        Ok(_) if types.len() > seen => {
            let got = types.len();
            Some((None, format!("too many arguments supplied to string.format (expected {seen}, got {got})")))
        }
        Ok(_) => None,
    }
}
