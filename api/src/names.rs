//! Rules for names, keys and values, in the words of `k8s.io/apimachinery/pkg/util/validation` and `pkg/api/validate/content`.
//!
//! Every check returns the messages that go into the detail of an "Invalid value"; no message means valid. Lengths are in bytes.

use std::collections::BTreeMap;

use crate::field::{ErrorKind, FieldError, Path};

pub const DNS1123_LABEL_MAX: usize = 63;
pub const DNS1123_SUBDOMAIN_MAX: usize = 253;
pub const LABEL_MAX: usize = 63;
/// Sum of the bytes of all keys and values of an object's annotations.
pub const ANNOTATIONS_MAX: usize = 256 * 1024;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1123_SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY_EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];

fn max_characters(length: usize) -> String {
    format!("must be no more than {length} characters")
}

fn max_bytes(length: usize) -> String {
    format!("must be no more than {length} bytes")
}

pub fn inclusive_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// "`rule` (e.g. 'a',  or 'b', regex used for validation is '...')".
pub fn regex_message(rule: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{rule} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

fn ends_with_alphanumeric(text: &str) -> bool {
    text.as_bytes().last().is_some_and(u8::is_ascii_alphanumeric)
}

fn starts_with_alphanumeric(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_lower_label(text: &str) -> bool {
    all(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && starts_with_alphanumeric(text)
        && ends_with_alphanumeric(text)
}

fn is_lower_subdomain(text: &str) -> bool {
    text.split('.').all(is_lower_label)
}

fn is_label_part(text: &str) -> bool {
    all(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && starts_with_alphanumeric(text)
        && ends_with_alphanumeric(text)
}

pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > DNS1123_LABEL_MAX {
        messages.push(max_characters(DNS1123_LABEL_MAX));
    }
    if !is_lower_label(value) {
        messages.push(if is_lower_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
            regex_message(rule, DNS1123_LABEL, &["my-name", "123-abc"])
        });
    }
    messages
}

pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain(value, max_characters)
}

/// The same in the words of upstream's newer checks (`k8s.io/apimachinery/pkg/api/validate/content`).
pub fn long_name(value: &str) -> Vec<String> {
    subdomain(value, max_bytes)
}

fn subdomain(value: &str, too_long: fn(usize) -> String) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX {
        messages.push(too_long(DNS1123_SUBDOMAIN_MAX));
    }
    if !is_lower_subdomain(value) {
        messages.push(regex_message(DNS1123_SUBDOMAIN_RULE, DNS1123_SUBDOMAIN, &["example.com"]));
    }
    messages
}

/// `*.example.com`: the host of an Ingress rule.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX {
        messages.push(max_characters(DNS1123_SUBDOMAIN_MAX));
    }
    if !value.strip_prefix("*.").is_some_and(is_lower_subdomain) {
        let rule = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        messages.push(regex_message(rule, &format!(r"\*\.{DNS1123_SUBDOMAIN}"), &["*.example.com"]));
    }
    messages
}

/// The name of a Service.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > DNS1123_LABEL_MAX {
        messages.push(max_characters(DNS1123_LABEL_MAX));
    }
    if !is_lower_label(value) || !value.as_bytes().first().is_some_and(u8::is_ascii_lowercase) {
        let rule = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        messages.push(regex_message(rule, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    messages
}

/// What every name that is put into a URL must obey, also of kinds without further rules (RBAC).
pub fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|part| name.contains(**part)).map(|part| format!("may not contain '{part}'")).collect()
}

/// A rule for names as it applies to `metadata.generateName`: a trailing dash is allowed, since something follows it.
pub fn for_prefix(rule: fn(&str) -> Vec<String>, prefix: &str) -> Vec<String> {
    match prefix.strip_suffix('-') {
        Some(head) if !head.is_empty() && head.is_char_boundary(head.len() - 1) => {
            rule(&format!("{}a", &head[..head.len() - 1]))
        }
        _ => rule(prefix),
    }
}

/// `[prefix/]name`: keys of labels, and what upstream calls a qualified name.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                let wrong = subdomain(prefix, max_bytes);
                messages.extend(wrong.into_iter().map(|message| format!("prefix part {message}")));
            }
            name
        }
        _ => {
            let rule = regex_message(LABEL_KEY_RULE, LABEL_KEY, &LABEL_KEY_EXAMPLES);
            return vec![format!(
                "a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        messages.push(format!("name part {}", max_bytes(LABEL_MAX)));
    }
    if !is_label_part(name) {
        messages.push(format!("name part {}", regex_message(LABEL_KEY_RULE, LABEL_KEY, &LABEL_KEY_EXAMPLES)));
    }
    messages
}

pub fn label_value(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > LABEL_MAX {
        messages.push(max_bytes(LABEL_MAX));
    }
    if !value.is_empty() && !is_label_part(value) {
        let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        messages.push(regex_message(rule, &format!("({LABEL_KEY})?"), &["MyValue", "my_value", "12345"]));
    }
    messages
}

/// Environment variable names as validated with the gate RelaxedEnvironmentVariableValidation, on since v1.32.
pub fn env_var_name(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.is_empty() {
        messages.push("environment variable name must be non-empty".to_owned());
    }
    if !all(value, |byte| matches!(byte, b' '..=b'~') && byte != b'=') {
        messages.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    messages
}

/// The older, stricter rule, which keys of `envFrom` sources and many other places keep.
pub fn strict_env_var_name(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let valid = all(value, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && value.as_bytes().first().is_some_and(|byte| !byte.is_ascii_digit());
    if !valid {
        let rule = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
        let examples = ["my.env-name", "MY_ENV.NAME", "MyEnvName1"];
        messages.push(regex_message(rule, "[-._a-zA-Z][-._a-zA-Z0-9]*", &examples));
    }
    messages.extend(parent_directory(value));
    messages
}

/// Keys of ConfigMaps and Secrets.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > DNS1123_SUBDOMAIN_MAX {
        messages.push(max_characters(DNS1123_SUBDOMAIN_MAX));
    }
    let valid = all(value, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if value.is_empty() || !valid {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        messages.push(regex_message(rule, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    messages.extend(parent_directory(value));
    messages
}

fn parent_directory(value: &str) -> Option<String> {
    match value {
        "." | ".." => Some(format!("must not be '{value}'")),
        _ => value.starts_with("..").then(|| "must not start with '..'".to_owned()),
    }
}

/// Names of container ports, and port names that a Service targets (IANA service names).
pub fn port_name(value: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if value.len() > 15 {
        messages.push(max_characters(15));
    }
    let in_charset = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if value.is_empty() || !all(value, in_charset) {
        messages.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|byte| byte.is_ascii_lowercase()) {
        messages.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        messages.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        messages.push("must not begin or end with a hyphen".to_owned());
    }
    messages
}

pub fn port_number(port: i64) -> Option<String> {
    (!(1..=65535).contains(&port)).then(|| inclusive_range(1, 65535))
}

/// User and group ids.
pub fn numeric_id(id: i64) -> Option<String> {
    (!(0..=i64::from(i32::MAX)).contains(&id)).then(|| inclusive_range(0, i64::from(i32::MAX)))
}

pub fn percent(value: &str) -> Option<String> {
    let valid =
        value.strip_suffix('%').is_some_and(|digits| !digits.is_empty() && all(digits, |byte| byte.is_ascii_digit()));
    let rule = "a valid percent string must be a numeric string followed by an ending '%'";
    (!valid).then(|| regex_message(rule, "[0-9]+%", &["1%", "93%"]))
}

pub fn c_identifier(value: &str) -> Option<String> {
    let valid = all(value, |byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && value.as_bytes().first().is_some_and(|byte| !byte.is_ascii_digit());
    let rule = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
    (!valid).then(|| regex_message(rule, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]))
}

pub fn http_header_name(value: &str) -> Option<String> {
    let valid = !value.is_empty() && all(value, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
    (!valid).then(|| regex_message(rule, "[-A-Za-z0-9]+", &["X-Header-Name"]))
}

/// All wrong keys and values of a label map.
pub fn validate_labels(labels: &BTreeMap<String, String>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        errors.extend(qualified_name(key).into_iter().map(|message| FieldError::invalid(path, key.as_str(), message)));
        let wrong = label_value(value).into_iter();
        errors.extend(wrong.map(|message| FieldError::invalid(path, value.as_str(), message)));
    }
    errors
}

pub fn validate_annotations(annotations: &BTreeMap<String, String>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in annotations.keys() {
        let wrong = qualified_name(&key.to_lowercase()).into_iter();
        errors.extend(wrong.map(|message| FieldError::invalid(path, key.as_str(), message)));
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        let detail = format!("may not be more than {ANNOTATIONS_MAX} bytes");
        let value = serde_json::Value::Null;
        errors.push(FieldError { kind: ErrorKind::TooLong, path: path.clone(), value, detail });
    }
    errors
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
