//! Equality and order.

use std::cmp::Ordering;

use super::{Opaque, Value};
use crate::error::Error;

/// Values of different types are different, but numbers are equal by what they are.
pub fn equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
            numbers(a, b) == Some(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => **a == **b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a.instant == b.instant,
        (Value::List(a), Value::List(b)) => a.equals(b),
        (Value::Map(a), Value::Map(b)) => a.equals(b),
        (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => equal(a, b),
        (Value::Struct(a, own), Value::Struct(b, others)) => {
            a == b
                && own.len() == others.len()
                && own.iter().zip(others.iter()).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1))
        }
        (Value::Unknown(a), Value::Unknown(b)) => a == b,
        (Value::Opaque(a), Value::Opaque(b)) => match (a, b) {
            (Opaque::Quantity(a), Opaque::Quantity(b)) => a == b,
            (Opaque::Ip(a), Opaque::Ip(b)) => a == b,
            (Opaque::Cidr(a), Opaque::Cidr(b)) => a == b,
            (Opaque::Url(a), Opaque::Url(b)) => a.text == b.text,
            (Opaque::Semver(a), Opaque::Semver(b)) => a.cmp(b) == Ordering::Equal,
            (Opaque::Format(a), Opaque::Format(b)) => a.name == b.name,
            _ => false,
        },
        _ => false,
    }
}

/// # Errors
/// There is no order between them.
pub fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, Error> {
    match (a, b) {
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), Value::Int(_) | Value::Uint(_) | Value::Double(_)) => {
            numbers(a, b).ok_or(Error::new("NaN values cannot be ordered"))
        }
        (Value::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Ok((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Ok(a.instant.cmp(&b.instant)),
        _ => Err(Error::NO_OVERLOAD),
    }
}

/// `None` when one is not a number.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let exact = |value: &Value<'_>| match value {
        Value::Int(int) => Some(i128::from(*int)),
        Value::Uint(uint) => Some(i128::from(*uint)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(double), other) => with_double(*double, other),
        (other, Value::Double(double)) => with_double(*double, other).map(Ordering::reverse),
        _ => Some(exact(a)?.cmp(&exact(b)?)),
    }
}

fn with_double(double: f64, other: &Value<'_>) -> Option<Ordering> {
    let (low, high, rounded) = match other {
        Value::Int(int) => (i64::MIN as f64, i64::MAX as f64, *int as f64),
        Value::Uint(uint) => (0.0, u64::MAX as f64, *uint as f64),
        _ => return None,
    };
    if double < low {
        Some(Ordering::Less)
    } else if double > high {
        Some(Ordering::Greater)
    } else {
        double.partial_cmp(&rounded)
    }
}
