//! The cost of calls: cel-go's (`checker/cost.go`, `interpreter/runtimecost.go`), its extensions' (`ext`) and Kubernetes'
//! (`library/cost.go`). Which definitions are accepted depends on these numbers.

use super::{LIST, PATTERN, Range, STRUCT, TEXT, scaled};
use crate::types::Type;
use crate::value::{Opaque, Value};

/// Of a network: addresses have 4 or 16 bytes.
const ADDRESS: Range = Range { min: 4, max: 16 };
const NAME_PATTERN: f64 = 128.0;
const AUTHORIZE: u64 = 350_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// As much as an operation on numbers.
    Unit,
    /// The estimate knows what is skipped.
    Logical,
    Conditional,
    /// Equality and order: as far as the shorter one goes.
    Compare,
    /// The list is gone through.
    In,
    AddText,
    AddList,
    /// The beginning or the end of a text.
    Affix,
    Contains,
    Matches,
    ToBytes,
    ToString,
    Quote,
    Format,
    /// A text is gone through, and one as long comes out.
    Traverse,
    /// A text is read.
    Parse,
    ParseTwice,
    Replace,
    Split,
    Join,
    Find,
    /// Everything in a list, or a text, is looked at.
    Walk,
    Slice,
    Flatten,
    Enumerate,
    Reverse,
    Distinct,
    /// By the elements of this argument.
    Sort(usize),
    /// All pairs, so many times.
    Sets(f64),
    ContainsIp,
    ContainsCidr,
    Validate,
    Authorize,
    Selector,
}

/// An argument before anything is computed.
#[derive(Clone, Debug)]
pub struct Known {
    pub size: Range,
    pub ty: Type,
    /// The size of an element, when it is a list.
    pub element: Range,
    /// Its value, when it is written down as an integer.
    pub int: Option<i64>,
}

/// A cost, and the size of what comes out.
pub type Estimate = (Range, Option<Range>);

fn matching(text: Range, pattern: Range) -> Range {
    text.plus(Range::exactly(1)).scaled(TEXT).times(pattern.scaled(PATTERN))
}

/// A call that makes a list.
fn making(factor: f64, size: Range) -> Estimate {
    (size.scaled(factor).plus(Range::exactly(1 + LIST)), Some(size))
}

impl Rule {
    /// Rules that go by the name of the function hold also when it is not known which overload it will be.
    pub fn by_name(self) -> bool {
        !matches!(
            self,
            Self::In
                | Self::AddText
                | Self::AddList
                | Self::Affix
                | Self::Contains
                | Self::Matches
                | Self::ToBytes
                | Self::ToString
                | Self::Quote
                | Self::Format
                | Self::Slice
                | Self::Flatten
                | Self::Enumerate
                | Self::Reverse
                | Self::Distinct
                | Self::Sort(_)
                | Self::Sets(_)
        )
    }

    /// The cost of a call without that of its arguments.
    pub fn estimate(self, id: &str, args: &[Known]) -> Estimate {
        let size = |index: usize| args.get(index).map_or(Range::UNKNOWN, |known| known.size);
        let is_text = |ty: &Type| matches!(ty, Type::String | Type::Bytes);
        match self {
            Self::Unit | Self::Logical | Self::Conditional => (Range::exactly(1), None),
            Self::Compare => (compared(args), None),
            Self::In => (size(1), None),
            Self::AddText => {
                let whole = size(0).plus(size(1));
                (whole.scaled(TEXT), Some(whole))
            }
            Self::AddList => (Range::exactly(1), Some(size(0).plus(size(1)))),
            Self::Affix => (size(1).scaled(TEXT), None),
            Self::Contains => (size(0).scaled(TEXT).times(size(1).scaled(TEXT)), None),
            Self::Matches => (matching(size(0), size(1)), None),
            // A character has up to four bytes.
            Self::ToBytes => (size(0).scaled(TEXT), Some(Range { min: size(0).min, max: size(0).max.wrapping_mul(4) })),
            Self::ToString => (size(0).scaled(TEXT), Some(Range { min: size(0).min / 4, max: size(0).max })),
            Self::Quote => {
                let (min, max) = (size(0).min.wrapping_add(2), size(0).max.wrapping_mul(2).wrapping_add(2));
                (size(0).scaled(TEXT), Some(Range { min, max }))
            }
            Self::Format => (size(0).scaled(TEXT), None),
            Self::Traverse => (size(0).scaled(TEXT), Some(size(0))),
            Self::Parse => (size(0).scaled(TEXT), None),
            Self::ParseTwice => (size(0).scaled(2.0 * TEXT), None),
            Self::Replace => (size(0).scaled(2.0 * TEXT), Some(replaced(size(0), size(1), size(2)))),
            Self::Split => {
                let literal = args.get(2).and_then(|limit| limit.int);
                let max = literal.map_or(size(0).max, |limit| limit as u64);
                (size(0).scaled(2.0 * TEXT), Some(Range { min: 0, max }))
            }
            Self::Join => {
                let mut whole = size(0).times(args.first().map_or(Range::UNKNOWN, |list| list.element));
                if args.len() > 1 {
                    let between = Range { min: size(0).min.saturating_sub(1), max: size(0).max.saturating_sub(1) };
                    whole = whole.plus(size(1).times(between));
                }
                (whole.scaled(TEXT), Some(whole))
            }
            Self::Find => (matching(size(0), size(1)), Some(Range { min: 0, max: size(0).max })),
            Self::Walk => match args.first().map(|list| (&list.ty, list.element)) {
                Some((Type::List(of), element)) => {
                    let text = if is_text(of) { element.scaled(TEXT) } else { Range::default() };
                    (size(0).times(Range::exactly(1).plus(text)), None)
                }
                _ => (size(0).scaled(TEXT), None),
            },
            Self::ContainsIp | Self::ContainsCidr => {
                let mut cost = ADDRESS.plus(ADDRESS).scaled(TEXT);
                if self == Self::ContainsCidr {
                    cost = cost.plus(ADDRESS.scaled(TEXT)).plus(Range::exactly(1));
                }
                (if id.ends_with("_string") { cost.plus(size(1).scaled(TEXT)) } else { cost }, None)
            }
            Self::Validate => (size(1).scaled(TEXT).scaled(NAME_PATTERN * PATTERN), None),
            Self::Authorize => (Range::exactly(AUTHORIZE), None),
            Self::Selector => (selector(size(1)), None),
            _ => self.estimate_list(id, args),
        }
    }

    /// Of the functions of lists.
    fn estimate_list(self, id: &str, args: &[Known]) -> Estimate {
        let size = |index: usize| args.get(index).map_or(Range::UNKNOWN, |known| known.size);
        match self {
            Self::Slice => {
                let literal = |index: usize, otherwise: u64| literal(args, index, otherwise);
                making(1.0, Range::exactly(literal(2, size(0).max).wrapping_sub(literal(1, 0))))
            }
            Self::Flatten => making(if args.len() > 1 { literal(args, 1, u64::MAX) as f64 } else { 1.0 }, size(0)),
            Self::Enumerate => making(1.0, Range::exactly(literal(args, 0, u64::MAX))),
            Self::Reverse => making(1.0, size(0)),
            Self::Distinct => making(2.0, size(0).times(size(0))),
            Self::Sort(by) => {
                let texts = id.contains("_string_") || id.contains("_bytes_");
                making(if texts { 2.0 + TEXT } else { 2.0 }, size(by).times(size(by)))
            }
            Self::Sets(factor) => (size(0).times(size(1)).scaled(factor).plus(Range::exactly(1)), None),
            _ => (Range::exactly(1), None),
        }
    }

    /// The cost of a call whose arguments are there.
    pub fn actual(self, id: &str, args: &[Value<'_>]) -> u64 {
        let size = |index: usize| args.get(index).map_or(1, Value::size);
        let text = |index: usize| scaled(size(index), TEXT);
        let matching = |text: u64, pattern: u64| ((1.0 + text as f64) * TEXT).ceil() as u64 * scaled(pattern, PATTERN);
        match self {
            Self::Unit | Self::Logical | Self::Conditional | Self::AddList => 1,
            // What comes out is counted when it is there.
            Self::Join => 0,
            Self::Compare => match args {
                [Value::Opaque(_), _] => 1,
                _ => scaled(size(0).min(size(1)), TEXT),
            },
            Self::In => size(1),
            Self::AddText => scaled(size(0) + size(1), TEXT),
            Self::Affix
            | Self::ToBytes
            | Self::ToString
            | Self::Quote
            | Self::Format
            | Self::Traverse
            | Self::Parse => text(0),
            Self::Contains => text(0) * text(1),
            Self::Matches | Self::Find => matching(size(0), size(1)),
            Self::ParseTwice | Self::Replace | Self::Split => scaled(size(0), 2.0 * TEXT),
            Self::Walk => args.first().map_or(0, walked),
            Self::Slice | Self::Reverse => 1 + LIST,
            // Counted before it is made: it may be too long to be made.
            Self::Enumerate => match args.first() {
                Some(Value::Int(count)) => u64::try_from(*count).unwrap_or_default().saturating_add(1 + LIST),
                _ => 1 + LIST,
            },
            Self::Flatten => {
                let depth =
                    args.get(1).map_or(1.0, |depth| if let Value::Int(int) = depth { *int as f64 } else { 1.0 });
                (size(0) as f64 * depth) as u64 + 1 + LIST
            }
            Self::Distinct => pairs(&args[0]),
            Self::Sort(by) => args.get(by).map_or(1, pairs),
            Self::Sets(factor) => 1 + ((size(0) * size(1)) as f64 * factor) as u64,
            Self::ContainsIp | Self::ContainsCidr => {
                let mut cost = scaled(size(0) * 2, TEXT);
                if self == Self::ContainsCidr {
                    cost += text(0) + 1;
                }
                if id.ends_with("_string") { cost + text(1) } else { cost }
            }
            Self::Validate => match &args[0] {
                Value::Opaque(Opaque::Format(format)) => matching(size(1), format.pattern),
                _ => 1,
            },
            Self::Authorize => AUTHORIZE,
            Self::Selector => selector(Range::exactly(size(1))).max,
        }
    }

    /// What the result adds to the cost, by its size. What failed has the size 1.
    pub fn of_result(self, size: u64) -> u64 {
        match self {
            Self::Slice | Self::Reverse => size,
            Self::Join => scaled(size, 2.0 * TEXT),
            _ => 0,
        }
    }
}

fn literal(args: &[Known], index: usize, otherwise: u64) -> u64 {
    match args.get(index).and_then(|known| known.int) {
        Some(int) => u64::try_from(int).unwrap_or_default(),
        None => otherwise,
    }
}

fn compared(args: &[Known]) -> Range {
    let [a, b] = args else { return Range::exactly(1) };
    // Some of Kubernetes' types have a size of their own.
    if a.ty == b.ty {
        match a.ty.name() {
            "kubernetes.NamedFormat" => return Range { min: 1, max: 64 }.scaled(TEXT),
            "kubernetes.URL" => {
                let max = if b.size == Range::UNKNOWN { 1 } else { b.size.max };
                return Range { min: 1, max }.scaled(TEXT);
            }
            "net.IP" | "net.CIDR" | "kubernetes.Quantity" | "kubernetes.Semver" => return Range::exactly(1),
            name if name.starts_with("kubernetes.authorization.") => return Range::exactly(1),
            _ => {}
        }
    }
    let max = a.size.max.min(b.size.max);
    Range { min: u64::from(max > 0), max }.scaled(TEXT)
}

/// How long a text can be in which parts were replaced.
fn replaced(text: Range, old: Range, new: Range) -> Range {
    let (mut count, mut kept) = (Range::default(), Range::default());
    let parts = |length: u64, part: u64| (length as f64 / part as f64).ceil() as u64;
    if old.min == 0 {
        // Between all characters.
        (count.max, kept.max) = (text.max.saturating_add(1), text.max);
    } else if new.max <= old.min {
        kept.max = text.max;
    } else {
        count.max = parts(text.max, old.min);
    }
    if old.max == 0 {
        (count.min, kept.min) = (text.min.saturating_add(1), text.min);
    } else if old.max <= new.min {
        kept.min = text.min;
    } else {
        count.min = parts(text.min, old.max);
    }
    count.times(new).plus(kept)
}

/// A selector becomes a list of requirements, each at least two characters long.
fn selector(length: Range) -> Range {
    let requirements = length.scaled(0.5).scaled((LIST + STRUCT) as f64);
    Range::exactly(LIST).plus(length.scaled(TEXT)).plus(requirements)
}

/// Comparing everything with everything.
fn pairs(list: &Value<'_>) -> u64 {
    let size = list.size();
    let first = match list {
        Value::List(list) => list.get(0).and_then(Result::ok),
        _ => None,
    };
    let texts = matches!(first, Some(Value::String(_) | Value::Bytes(_)));
    ((size * size) as f64 * if texts { 2.0 + TEXT } else { 2.0 }) as u64 + 1 + LIST
}

/// Going through everything in a value.
fn walked(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => (text.len() as f64 * TEXT) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TEXT) as u64,
        Value::List(list) => list.iter().map(|item| item.as_ref().map_or(1, walked)).sum(),
        Value::Map(map) => {
            let keys = map.keys();
            let member = |key: &Value<'_>| match map.get(key) {
                Ok(Some(value)) => walked(&value),
                _ => 1,
            };
            keys.iter().map(|key| walked(key) + member(key)).sum()
        }
        _ => 1,
    }
}
