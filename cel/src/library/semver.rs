//! Semantic versions (`library/semverlib.go`, `github.com/blang/semver`).

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Row, member, row, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    row("semver", "string_to_semver", "string", "semver", Rule::Parse, parse),
    row("semver", "string_bool_to_semver", "string, bool", "semver", Rule::Parse, parse),
    row("isSemver", "is_semver_string", "string", "bool", Rule::Parse, |args| Ok(read(args)?.is_ok().into())),
    row("isSemver", "is_semver_string_bool", "string, bool", "bool", Rule::Parse, |args| {
        Ok(read(args)?.is_ok().into())
    }),
    member("isGreaterThan", "semver_is_greater_than", "semver, semver", "bool", Rule::Unit, |args| {
        Ok(order(args)?.is_gt().into())
    }),
    member("isLessThan", "semver_is_less_than", "semver, semver", "bool", Rule::Unit, |args| {
        Ok(order(args)?.is_lt().into())
    }),
    member("compareTo", "semver_compare_to", "semver, semver", "int", Rule::Unit, |args| {
        Ok(Value::Int(order(args)? as i64))
    }),
    member("major", "semver_major", "semver", "int", Rule::Unit, |args| number(args, 0)),
    member("minor", "semver_minor", "semver", "int", Rule::Unit, |args| number(args, 1)),
    member("patch", "semver_patch", "semver", "int", Rule::Unit, |args| number(args, 2)),
];

#[derive(Debug)]
pub struct Version {
    numbers: [u64; 3],
    pre: Vec<Part>,
}

/// Numbers are less than words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    /// A version before its release is less than that; builds do not count.
    pub fn cmp(&self, other: &Self) -> Ordering {
        let released = self.pre.is_empty().cmp(&other.pre.is_empty());
        self.numbers.cmp(&other.numbers).then(released).then_with(|| self.pre.cmp(&other.pre))
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else { return Err("No Major.Minor.Patch elements found".to_owned()) };
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let numbers = [plain("Major", major)?, plain("Minor", minor)?, plain("Patch", patch)?];
        let pre = pre.into_iter().flat_map(|pre| pre.split('.')).map(part).collect::<Result<_, _>>()?;
        for build in build.into_iter().flat_map(|build| build.split('.')) {
            if build.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !is_word(build) {
                return Err(format!("Invalid character(s) found in build meta data {build:?}"));
            }
        }
        Ok(Self { numbers, pre })
    }

    /// With a leading `v`, leading zeros, and fewer numbers than three.
    fn normalized(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
        for part in parts.iter_mut().filter(|part| part.len() > 1) {
            let trimmed = part.trim_start_matches('0');
            *part = if trimmed.starts_with(|c: char| c.is_ascii_digit()) {
                trimmed.to_owned()
            } else {
                format!("0{trimmed}")
            };
        }
        if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".to_owned());
        }
        parts.resize(3, "0".to_owned());
        Self::parse(&parts.join("."))
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn plain(what: &str, text: &str) -> Result<u64, String> {
    let invalid = || format!("Invalid character(s) found in {} number {text:?}", what.to_lowercase());
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid());
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{what} number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| invalid())
}

fn part(text: &str) -> Result<Part, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!("Numeric PreRelease version must not contain leading zeroes {text:?}"));
        }
        return text.parse().map(Part::Number).map_err(|error| error.to_string());
    }
    if is_word(text) {
        Ok(Part::Word(text.to_owned()))
    } else {
        Err(format!("Invalid character(s) found in prerelease {text:?}"))
    }
}

fn read(args: &[Value<'_>]) -> Result<Result<Version, String>, Error> {
    let text = text(args, 0)?;
    Ok(match args.get(1) {
        Some(Value::Bool(true)) => Version::normalized(text),
        None | Some(Value::Bool(false)) => Version::parse(text),
        Some(_) => return Err(Error::NO_OVERLOAD),
    })
}

fn parse<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    let version = read(args)?.map_err(Error::new)?;
    Ok(Value::Opaque(Opaque::Semver(Arc::new(version))))
}

fn version<'a>(args: &'a [Value<'_>], index: usize) -> Result<&'a Version, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Semver(version))) => Ok(version),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, Error> {
    Ok(version(args, 0)?.cmp(version(args, 1)?))
}

fn number<'v>(args: &[Value<'v>], index: usize) -> Result<Value<'v>, Error> {
    Ok(Value::Int(i64::try_from(version(args, 0)?.numbers[index]).unwrap_or(i64::MAX)))
}
