//! Resource quantities (`500m`, `1Gi`, `1e3`): exact decimal numbers that remember how they want to be written.
//!
//! The rules are those of `k8s.io/apimachinery/pkg/api/resource`: no limit on size, but nothing finer than a nano (rounded away
//! from zero when parsed), and binary suffixes end at the largest `i64`. `text` reads, `format` writes, this file computes.

mod format;
mod text;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use num_bigint::{BigInt, Sign};
use serde_json::Value;

pub use text::QuantityError;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `12e6`.
    DecimalExponent,
    /// `12Mi`.
    BinarySi,
    /// `12M`.
    #[default]
    DecimalSi,
}

/// Equality and order are those of the numbers: `1` equals `1000m`.
#[derive(Clone, Debug, Default)]
pub struct Quantity {
    /// The value is `unscaled * 10^exponent`.
    unscaled: BigInt,
    exponent: i32,
    format: Format,
    /// What was parsed, where upstream writes it back unchanged.
    text: Option<String>,
}

impl Quantity {
    pub fn new(value: i64, format: Format) -> Self {
        Self { unscaled: value.into(), exponent: 0, format, text: None }
    }

    pub fn from_milli(value: i64, format: Format) -> Self {
        Self { unscaled: value.into(), exponent: -3, format, text: None }
    }

    pub fn zero() -> Self {
        Self::default()
    }

    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        text::parse(text)
    }

    /// A string or a number, as JSON and YAML have them; null is zero.
    pub fn from_json(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::Null => Ok(Self::zero()),
            Value::String(text) => text::parse(text.trim()),
            Value::Number(number) => text::parse(&number.to_string()),
            _ => Err(QuantityError::Format),
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn is_zero(&self) -> bool {
        self.unscaled.sign() == Sign::NoSign
    }

    pub fn is_negative(&self) -> bool {
        self.unscaled.sign() == Sign::Minus
    }

    /// Rounded away from zero to an integer; saturates.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// In thousandths, rounded away from zero; saturates.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    /// As [`Self::value`] where it fits. What does not is what Go's `Quantity.Value` makes of it: the lower 64 bits; or nothing, where
    /// a short number is multiplied in steps.
    pub fn wrapped_value(&self) -> i64 {
        /// Of these powers of ten it multiplies at once.
        const AT_ONCE: [i32; 5] = [1, 2, 3, 6, 9];
        let (value, _) = self.rounded(0);
        if let Ok(value) = i64::try_from(&value) {
            return value;
        }
        let is_short = self.unscaled.magnitude() < power_of_ten(18).magnitude();
        if is_short && !AT_ONCE.contains(&self.exponent) {
            return 0;
        }
        let low = value.iter_u64_digits().next().unwrap_or_default().cast_signed();
        if self.is_negative() { low.wrapping_neg() } else { low }
    }

    /// The value, if it is an integer that fits.
    pub fn to_i64(&self) -> Option<i64> {
        let (value, exact) = self.rounded(0);
        if exact { i64::try_from(value).ok() } else { None }
    }

    /// For graphs and percentages only: inexact.
    pub fn to_f64(&self) -> f64 {
        let digits = self.unscaled.to_string();
        format!("{digits}e{}", self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// In units of `10^exponent`, rounded away from zero; saturates.
    pub fn scaled(&self, exponent: i32) -> i64 {
        let limit = if self.is_negative() { i64::MIN } else { i64::MAX };
        i64::try_from(self.rounded(exponent).0).unwrap_or(limit)
    }

    /// In units of `10^exponent`, rounded away from zero, and whether nothing was lost.
    fn rounded(&self, exponent: i32) -> (BigInt, bool) {
        let difference = self.exponent - exponent;
        if difference >= 0 || self.is_zero() {
            return (&self.unscaled * power_of_ten(difference.max(0)), true);
        }
        let sign = if self.is_negative() { BigInt::from(-1) } else { BigInt::from(1) };
        // A digit string is longer than bits / 4, so this much division leaves nothing.
        if i64::from(-difference) > self.unscaled.bits() as i64 / 3 + 1 {
            return (sign, false);
        }
        let divisor = power_of_ten(-difference);
        let quotient = &self.unscaled / &divisor;
        let exact = &quotient * &divisor == self.unscaled;
        (if exact { quotient } else { quotient + sign }, exact)
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a + b);
    }

    pub fn sub(&mut self, other: &Self) {
        self.combine(other, |a, b| a - b);
    }

    pub fn mul(&mut self, factor: i64) {
        self.text = None;
        self.unscaled *= factor;
    }

    pub fn neg(&mut self) {
        self.text = None;
        self.unscaled = -std::mem::take(&mut self.unscaled);
    }

    /// A zero takes over the format of what is added to it.
    fn combine(&mut self, other: &Self, operation: fn(BigInt, BigInt) -> BigInt) {
        self.text = None;
        if self.is_zero() {
            self.format = other.format;
        }
        let (a, b, exponent) = self.aligned(other);
        self.unscaled = operation(a, b);
        self.exponent = exponent;
    }

    fn aligned(&self, other: &Self) -> (BigInt, BigInt, i32) {
        let exponent = match (self.is_zero(), other.is_zero()) {
            (true, _) => other.exponent,
            (_, true) => self.exponent,
            _ => self.exponent.min(other.exponent),
        };
        (self.rounded(exponent).0, other.rounded(exponent).0, exponent)
    }
}

fn power_of_ten(exponent: i32) -> BigInt {
    BigInt::from(10).pow(exponent.unsigned_abs())
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.exponent == other.exponent {
            return self.unscaled.cmp(&other.unscaled);
        }
        let (a, b, _) = self.aligned(other);
        a.cmp(&b)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

/// The canonical form: the largest suffix that needs no fraction.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(text),
            None => f.write_str(&format::canonical(self)),
        }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(quantities: I) -> Self {
        let mut total = Self::zero();
        quantities.for_each(|quantity| total.add(&quantity));
        total
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn numbers_compare_across_formats() {
        let cases = [
            ("1", "1000m", Ordering::Equal),
            ("1Ki", "1024", Ordering::Equal),
            ("1Ki", "1k", Ordering::Greater),
            ("-1", "0", Ordering::Less),
            ("0", "0m", Ordering::Equal),
            ("1e30", "1E", Ordering::Greater),
            ("99999999999999999999999999", "99999999999999999999999998", Ordering::Greater),
        ];
        for (a, b, expected) in cases {
            assert_eq!(quantity(a).cmp(&quantity(b)), expected, "{a} {b}");
            assert_eq!(quantity(b).cmp(&quantity(a)), expected.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn arithmetic_keeps_the_format_of_the_first() {
        let cases = [
            ("1", "500m", "1500m", "500m"),
            ("1Gi", "1Mi", "1025Mi", "1023Mi"),
            ("0", "1Gi", "1Gi", "-1Gi"),
            ("1Gi", "1G", "2073741824", "73741824"),
            ("1k", "1Ki", "2024", "-24"),
            ("9223372036854775807", "1", "9223372036854775808", "9223372036854775806"),
        ];
        for (a, b, sum, difference) in cases {
            let mut plus = quantity(a);
            plus.add(&quantity(b));
            let mut minus = quantity(a);
            minus.sub(&quantity(b));
            assert_eq!((plus.to_string(), minus.to_string()), (sum.to_owned(), difference.to_owned()), "{a} {b}");
        }
        let mut product = quantity("1500m");
        product.mul(4);
        product.neg();
        assert_eq!(product.to_string(), "-6");
        let total: Quantity = ["1Gi", "1Gi"].map(quantity).into_iter().sum();
        assert_eq!(total.to_string(), "2Gi");
    }

    #[test]
    fn integers() {
        let cases = [
            ("1", 1, 1000, Some(1)),
            ("1.1", 2, 1100, None),
            ("-1.1", -2, -1100, None),
            ("1n", 1, 1, None),
            ("100m", 1, 100, None),
            ("1Gi", 1 << 30, (1 << 30) * 1000, Some(1 << 30)),
            ("1e30", i64::MAX, i64::MAX, None),
            ("-1e30", i64::MIN, i64::MIN, None),
            ("0", 0, 0, Some(0)),
        ];
        for (text, value, milli, exact) in cases {
            let got = quantity(text);
            assert_eq!((got.value(), got.milli_value(), got.to_i64()), (value, milli, exact), "{text}");
        }
        assert_eq!(quantity("1500m").to_f64(), 1.5);
        let wrapped = [
            ("1.1", 2),
            ("3.6893488147419103e+19", -232),
            ("1e30", 0),
            ("12345678901234567890123", 4_807_115_922_877_859_019),
        ];
        for (text, value) in wrapped {
            assert_eq!(quantity(text).wrapped_value(), value, "{text}");
        }
    }

    #[test]
    fn json_has_strings_and_numbers() {
        let cases =
            [(json!("1Gi"), "1Gi"), (json!(" 1 "), "1"), (json!(0.5), "500m"), (json!(2), "2"), (json!(null), "0")];
        for (value, text) in cases {
            assert_eq!(Quantity::from_json(&value).unwrap().to_string(), text, "{value}");
        }
        assert_eq!(Quantity::from_json(&json!([])), Err(QuantityError::Format));
    }
}
