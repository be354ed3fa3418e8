//! Quantities (`library/quantity.go`).

use std::sync::Arc;

use api::quantity::{Format, Quantity};

use super::{Row, member, row, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    row("quantity", "string_to_quantity", "string", "quantity", Rule::Parse, |args| {
        let parsed = Quantity::parse(text(args, 0)?).map_err(|error| Error::new(error.to_string()))?;
        Ok(Value::Opaque(Opaque::Quantity(Arc::new(parsed))))
    }),
    row("isQuantity", "is_quantity_string", "string", "bool", Rule::Parse, |args| {
        Ok(Quantity::parse(text(args, 0)?).is_ok().into())
    }),
    // Upstream declares it as a function, not as a member.
    row("sign", "quantity_sign", "quantity", "int", Rule::Unit, |args| {
        let quantity = quantity(args, 0)?;
        Ok(Value::Int(i64::from(!quantity.is_zero()) * if quantity.is_negative() { -1 } else { 1 }))
    }),
    member("isGreaterThan", "quantity_is_greater_than", "quantity, quantity", "bool", Rule::Unit, |args| {
        Ok((quantity(args, 0)? > quantity(args, 1)?).into())
    }),
    member("isLessThan", "quantity_is_less_than", "quantity, quantity", "bool", Rule::Unit, |args| {
        Ok((quantity(args, 0)? < quantity(args, 1)?).into())
    }),
    member("compareTo", "quantity_compare_to", "quantity, quantity", "int", Rule::Unit, |args| {
        Ok(Value::Int(quantity(args, 0)?.cmp(quantity(args, 1)?) as i64))
    }),
    member("asApproximateFloat", "quantity_get_float", "quantity", "double", Rule::Unit, |args| {
        Ok(Value::Double(quantity(args, 0)?.to_f64()))
    }),
    member("asInteger", "quantity_get_int", "quantity", "int", Rule::Unit, |args| {
        quantity(args, 0)?.to_i64().map(Value::Int).ok_or(Error::new("cannot convert value to integer"))
    }),
    member("isInteger", "quantity_is_integer", "quantity", "bool", Rule::Unit, |args| {
        Ok(quantity(args, 0)?.to_i64().is_some().into())
    }),
    member("add", "quantity_add", "quantity, quantity", "quantity", Rule::Unit, |args| combine(args, Quantity::add)),
    member("add", "quantity_add_int", "quantity, int", "quantity", Rule::Unit, |args| combine(args, Quantity::add)),
    member("sub", "quantity_sub", "quantity, quantity", "quantity", Rule::Unit, |args| combine(args, Quantity::sub)),
    member("sub", "quantity_sub_int", "quantity, int", "quantity", Rule::Unit, |args| combine(args, Quantity::sub)),
];

fn quantity<'a>(args: &'a [Value<'_>], index: usize) -> Result<&'a Quantity, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Quantity(quantity))) => Ok(quantity),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn combine<'v>(args: &[Value<'v>], with: fn(&mut Quantity, &Quantity)) -> Result<Value<'v>, Error> {
    let mut result = quantity(args, 0)?.clone();
    match args.get(1) {
        Some(Value::Int(int)) => with(&mut result, &Quantity::new(*int, Format::DecimalExponent)),
        _ => with(&mut result, quantity(args, 1)?),
    }
    Ok(Value::Opaque(Opaque::Quantity(Arc::new(result))))
}
