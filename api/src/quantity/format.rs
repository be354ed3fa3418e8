//! Writing quantities.

use num_bigint::BigInt;

use super::{Format, Quantity};

const DECIMAL: [(i32, &str); 10] =
    [(-9, "n"), (-6, "u"), (-3, "m"), (0, ""), (3, "k"), (6, "M"), (9, "G"), (12, "T"), (15, "P"), (18, "E")];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The shortest mantissa without a fraction and the suffix that belongs to it.
pub(super) fn canonical(quantity: &Quantity) -> String {
    if quantity.is_zero() {
        return "0".to_owned();
    }
    if quantity.format == Format::BinarySi {
        let (whole, exact) = quantity.rounded(0);
        let small = whole.magnitude() < BigInt::from(1024).magnitude();
        if exact && !small {
            let (mantissa, times) = remove_factors(whole, 1024, BINARY.len() as i32 - 1);
            return format!("{mantissa}{}", BINARY[times as usize]);
        }
    }
    let (mantissa, times) = remove_factors(quantity.unscaled.clone(), 10, i32::MAX);
    let exponent = quantity.exponent + times;
    let mut shown = exponent.div_euclid(3) * 3;
    if quantity.format != Format::DecimalExponent {
        shown = shown.min(18);
    }
    let mantissa = mantissa * super::power_of_ten(exponent - shown);
    if quantity.format == Format::DecimalExponent {
        return if shown == 0 { mantissa.to_string() } else { format!("{mantissa}e{shown}") };
    }
    let suffix = DECIMAL.iter().find(|(power, _)| *power == shown).map_or("", |(_, suffix)| suffix);
    format!("{mantissa}{suffix}")
}

fn remove_factors(mut number: BigInt, factor: u32, at_most: i32) -> (BigInt, i32) {
    let mut times = 0;
    while times < at_most && &number % factor == BigInt::ZERO {
        number /= factor;
        times += 1;
    }
    (number, times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_quantities() {
        let cases = [
            (1 << 30, Format::BinarySi, "1Gi"),
            (1001 << 30, Format::BinarySi, "1001Gi"),
            (5, Format::BinarySi, "5"),
            (1025, Format::BinarySi, "1025"),
            (1000, Format::BinarySi, "1k"),
            (3000, Format::DecimalSi, "3k"),
            (1_200_000, Format::DecimalSi, "1200k"),
            (300_000_000, Format::DecimalExponent, "300e6"),
            (10, Format::DecimalExponent, "10"),
            (0, Format::BinarySi, "0"),
            (-3000, Format::DecimalSi, "-3k"),
        ];
        for (value, format, text) in cases {
            assert_eq!(Quantity::new(value, format).to_string(), text);
        }
        assert_eq!(Quantity::from_milli(1_234_567, Format::BinarySi).to_string(), "1234567m");
        assert_eq!(Quantity::from_milli(1500, Format::DecimalSi).to_string(), "1500m");
        assert_eq!(Quantity::from_milli(2000, Format::DecimalSi).to_string(), "2");
    }
}
