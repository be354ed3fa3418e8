//! Reading quantities.

use num_bigint::BigInt;

use super::{Format, Quantity, power_of_ten};

/// Longer texts are refused, so that no number costs more than a moment. Upstream has no such limit.
const MAX_TEXT: usize = 512;
/// Larger exponents are refused for the same reason.
const MAX_EXPONENT: i64 = 4096;
/// The digits that always fit an `i64`.
const I64_DIGITS: i32 = 18;
const NANO: i32 = -9;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

struct Parts<'a> {
    negative: bool,
    /// Without leading zeros; empty for none.
    integer: &'a str,
    fraction: &'a str,
    suffix: &'a str,
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn split(text: &str) -> Result<Parts<'_>, QuantityError> {
    let negative = text.starts_with('-');
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (integer, rest) = digits(rest.trim_start_matches('0'));
    let (fraction, suffix) = rest.strip_prefix('.').map(digits).unwrap_or(("", rest));
    let exponent = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    if !digits(exponent).1.is_empty() {
        return Err(QuantityError::Format);
    }
    Ok(Parts { negative, integer, fraction, suffix })
}

/// The power of the suffix (of two for binary ones), and the format it asks for.
fn interpret(suffix: &str) -> Result<(i32, Format), QuantityError> {
    let (power, format) = match suffix {
        "" => (0, Format::DecimalSi),
        "n" => (-9, Format::DecimalSi),
        "u" => (-6, Format::DecimalSi),
        "m" => (-3, Format::DecimalSi),
        "k" => (3, Format::DecimalSi),
        "M" => (6, Format::DecimalSi),
        "G" => (9, Format::DecimalSi),
        "T" => (12, Format::DecimalSi),
        "P" => (15, Format::DecimalSi),
        "E" => (18, Format::DecimalSi),
        "Ki" => (10, Format::BinarySi),
        "Mi" => (20, Format::BinarySi),
        "Gi" => (30, Format::BinarySi),
        "Ti" => (40, Format::BinarySi),
        "Pi" => (50, Format::BinarySi),
        "Ei" => (60, Format::BinarySi),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse::<i64>().ok());
            match exponent {
                Some(exponent) if exponent.abs() <= MAX_EXPONENT => (exponent as i32, Format::DecimalExponent),
                _ => return Err(QuantityError::Suffix),
            }
        }
    };
    Ok((power, format))
}

pub(super) fn parse(text: &str) -> Result<Quantity, QuantityError> {
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(QuantityError::Format);
    }
    let parts = split(text)?;
    let (power, format) = interpret(parts.suffix)?;
    let integer = if parts.integer.is_empty() { "0" } else { parts.integer };
    let shifted = format!("{integer}{}", parts.fraction);
    let mut unscaled: BigInt = shifted.parse().map_err(|_| QuantityError::Numeric)?;
    let mut exponent = -(parts.fraction.len() as i32);
    let kept = keeps_text(&parts, &shifted, power, format).then(|| text.to_owned());
    if format == Format::BinarySi {
        unscaled <<= power as usize;
    } else {
        exponent += power;
    }
    if parts.negative {
        unscaled = -unscaled;
    }
    let mut quantity = Quantity { unscaled, exponent, format, text: kept };
    limit(&mut quantity);
    Ok(quantity)
}

/// Whether upstream keeps the text as it was written. It does so when a number that fits 64 bits looks canonical, which is nearly,
/// but not quite, the same as being canonical: `1.500` stays.
fn keeps_text(parts: &Parts<'_>, shifted: &str, power: i32, format: Format) -> bool {
    let length = shifted.len() as i32;
    if format == Format::BinarySi {
        let small = parts.fraction.is_empty() && length + power * 3 / 10 < 15;
        // The last three bits stand for "not divisible by 1024, nearly".
        small && shifted.parse::<i64>().is_ok_and(|value| value & 7 != 0)
    } else {
        let scale = power - parts.fraction.len() as i32;
        let small = length <= I64_DIGITS && scale >= NANO;
        small && scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0')
    }
}

fn limit(quantity: &mut Quantity) {
    if quantity.exponent < NANO {
        quantity.unscaled = quantity.rounded(NANO).0;
        quantity.exponent = NANO;
    }
    if quantity.format != Format::BinarySi {
        return;
    }
    let (whole, _) = quantity.rounded(0);
    let max = BigInt::from(i64::MAX);
    let magnitude = BigInt::from(whole.magnitude().clone());
    if magnitude > max {
        quantity.unscaled = if quantity.is_negative() { -max } else { max };
        quantity.exponent = 0;
    } else if !quantity.is_zero() && quantity.exponent < 0 {
        // Below one, a binary suffix cannot write it.
        let one = power_of_ten(quantity.exponent);
        if BigInt::from(quantity.unscaled.magnitude().clone()) < one {
            quantity.format = Format::DecimalSi;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused() {
        for text in ["1.1.M", "1+1.0M", "0.1mi", "0.1am", "aoeu", ".5i", "1i", "-3.01i", "-3.01e-", " 1", "1 ", ""] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
        let cases = [
            ("1.1.M", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
            ("1i", "unable to parse quantity's suffix"),
            ("1e99999", "unable to parse quantity's suffix"),
        ];
        for (text, message) in cases {
            assert_eq!(Quantity::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn written_back_in_canonical_form() {
        let cases = [
            ("0", "0"),
            ("00", "0"),
            ("-0", "0"),
            ("1Ki", "1Ki"),
            ("1024Mi", "1Gi"),
            ("1000M", "1G"),
            (".001Ki", "1024m"),
            (".000001Ki", "1024u"),
            (".000000000001Ki", "2n"),
            ("0.5", "500m"),
            ("0.5Gi", "512Mi"),
            ("1.5", "1500m"),
            ("307200Ki", "300Mi"),
            ("6Ki", "6Ki"),
            ("1025024Mi", "1001Gi"),
            ("1.08", "1080m"),
            ("1080000000n", "1080m"),
            ("0.001T", "1G"),
            ("1234567M", "1234567M"),
            ("1025Ki", "1025Ki"),
            (".001e12", "1e9"),
            ("0.001e0", "1e-3"),
            ("1000e-12", "1e-9"),
            ("80e-3", "80e-3"),
            ("1e-12", "1e-9"),
            ("100E", "100E"),
            ("1000E", "1000E"),
            ("0.1Ki", "102400m"),
            ("8Ei", "9223372036854775807"),
            ("-1024Mi", "-1Gi"),
            ("1.500", "1.500"),
            ("+1", "+1"),
            ("2048", "2048"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ];
        for (text, canonical) in cases {
            assert_eq!(Quantity::parse(text).unwrap().to_string(), canonical, "{text}");
        }
    }
}
