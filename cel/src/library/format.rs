//! Named formats of texts (`library/format.go`).

use api::names;
use api::structural::has_format;

use super::{Row, Url, member, row, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    member("validate", "format-validate", "format, string", "optional(list(string))", Rule::Validate, |args| {
        let Value::Opaque(Opaque::Format(format)) = &args[0] else { return Err(Error::NO_OVERLOAD) };
        let problems = (format.check)(text(args, 1)?);
        let shown = problems.into_iter().map(Value::text).collect::<Vec<_>>();
        Ok(if shown.is_empty() { Value::none() } else { Value::some(Value::list(shown)) })
    }),
    row("format.named", "format-named", "string", "optional(format)", Rule::Unit, |args| {
        let name = text(args, 0)?;
        let found = FORMATS.iter().find(|format| format.key == name);
        Ok(found.map_or(Value::none(), |format| Value::some(Value::Opaque(Opaque::Format(format)))))
    }),
];

#[derive(Debug)]
pub struct Format {
    pub name: &'static str,
    key: &'static str,
    check: fn(&str) -> Vec<String>,
    /// What checking costs is as if there were a pattern of this length.
    pub pattern: u64,
}

const fn format(key: &'static str, name: &'static str, pattern: u64, check: fn(&str) -> Vec<String>) -> Format {
    Format { name, key, check, pattern }
}

static FORMATS: [Format; 13] = [
    format("dns1123Label", "DNS1123Label", 30, names::dns1123_label),
    format("dns1123Subdomain", "DNS1123Subdomain", 60, names::dns1123_subdomain),
    format("dns1035Label", "DNS1035Label", 30, names::dns1035_label),
    format("qualifiedName", "QualifiedName", 60, names::qualified_name),
    format("dns1123LabelPrefix", "DNS1123LabelPrefix", 30, |text| names::for_prefix(names::dns1123_label, text)),
    format("dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, |text| {
        names::for_prefix(names::dns1123_subdomain, text)
    }),
    format("dns1035LabelPrefix", "DNS1035LabelPrefix", 30, |text| names::for_prefix(names::dns1035_label, text)),
    format("labelValue", "LabelValue", 40, names::label_value),
    format("uri", "URI", 1103, |text| {
        Url::parse(text).err().map(|why| format!("parse {text:?}: {why}")).into_iter().collect()
    }),
    format("uuid", "uuid", 70, |text| known("uuid", text, "does not match the UUID format")),
    format("byte", "byte", 84, |text| known("byte", text, "invalid base64")),
    format("date", "date", 72, |text| known("date", text, "invalid date")),
    format("datetime", "datetime", 72, |text| known("datetime", text, "invalid datetime")),
];

fn known(format: &str, text: &str, problem: &str) -> Vec<String> {
    if has_format(format, text) { Vec::new() } else { vec![problem.to_owned()] }
}

/// Each format is also a function without arguments.
macro_rules! named {
    ($($index:literal $name:literal),*) => {
        &[$(row(concat!("format.", $name), concat!("format.", $name), "", "format", Rule::Unit, |_| {
            Ok(Value::Opaque(Opaque::Format(&FORMATS[$index])))
        })),*]
    };
}

pub(super) const NAMES: &[Row] = named![
    0 "dns1123Label", 1 "dns1123Subdomain", 2 "dns1035Label", 3 "qualifiedName", 4 "dns1123LabelPrefix",
    5 "dns1123SubdomainPrefix", 6 "dns1035LabelPrefix", 7 "labelValue", 8 "uri", 9 "uuid", 10 "byte", 11 "date",
    12 "datetime"
];
