//! The levels and versions that a namespace's labels name.

use std::fmt;

use api::field::{FieldError, Path};
use serde_json::Value;

/// From the freest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

const LEVELS: [(&str, Level); 3] =
    [("privileged", Level::Privileged), ("baseline", Level::Baseline), ("restricted", Level::Restricted)];

/// A level as it was in a minor version of Kubernetes; `None`: as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    pub version: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    pub audit: Standard,
    pub warn: Standard,
}

const FREE: Standard = Standard { level: Level::Privileged, version: None };

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = LEVELS.iter().find(|(_, level)| *level == self.level).map_or("", |(name, _)| name);
        match self.version {
            None => write!(f, "{name}:latest"),
            Some(minor) => write!(f, "{name}:v1.{minor}"),
        }
    }
}

impl Policy {
    /// And what is wrong with the labels. A level that is none is the strictest where it is enforced, else the freest.
    pub fn of(labels: &Value) -> (Self, Vec<FieldError>) {
        let mut errors = Vec::new();
        let mut mode = |name: &str, fallback: Level| {
            let mut standard = FREE;
            let mut explicit = None;
            if let Some(text) = label(labels, name) {
                let found = LEVELS.iter().find(|(level, _)| *level == text).map(|(_, level)| *level);
                if found.is_none() {
                    errors.push(wrong(name, text, "must be one of privileged, baseline, restricted"));
                }
                standard.level = found.unwrap_or(fallback);
                explicit = Some(found.is_some());
            }
            let version_label = format!("{name}-version");
            let version = label(labels, &version_label);
            if let Some(text) = version {
                match version_of(text) {
                    Some(version) => standard.version = version,
                    None => errors.push(wrong(&version_label, text, "must be \"latest\" or \"v1.x\"")),
                }
            }
            (standard, explicit, version.is_some())
        };
        let (enforce, enforced, _) = mode("enforce", Level::Restricted);
        let (audit, _, _) = mode("audit", Level::Privileged);
        let (mut warn, warned, has_version) = mode("warn", Level::Privileged);
        // Who refuses pods also warns of what makes them.
        if warned.is_none() && enforced == Some(true) && enforce.level > warn.level {
            warn.level = enforce.level;
            if !has_version {
                warn.version = enforce.version;
            }
        }
        (Self { enforce, audit, warn }, errors)
    }
}

const PREFIX: &str = "pod-security.kubernetes.io/";

fn label<'a>(labels: &'a Value, name: &str) -> Option<&'a str> {
    labels.get(format!("{PREFIX}{name}"))?.as_str()
}

fn wrong(name: &str, text: &str, why: &str) -> FieldError {
    FieldError::invalid(&Path::new("metadata").child("labels").key(&format!("{PREFIX}{name}")), text, why)
}

/// `Some(None)` is the latest.
fn version_of(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let minor = text.strip_prefix("v1.")?;
    let canonical = minor == "0" || !minor.starts_with('0');
    let digits = !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { minor.parse().ok().map(Some) } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_name_levels() {
        let table = [
            (json!(null), "privileged:latest privileged:latest privileged:latest", ""),
            (json!({"enforce": "baseline"}), "baseline:latest privileged:latest baseline:latest", ""),
            (
                json!({"enforce": "baseline", "enforce-version": "v1.24"}),
                "baseline:v1.24 privileged:latest baseline:v1.24",
                "",
            ),
            (
                json!({"enforce": "baseline", "warn-version": "v1.30"}),
                "baseline:latest privileged:latest baseline:v1.30",
                "",
            ),
            (
                json!({"enforce": "baseline", "warn": "privileged"}),
                "baseline:latest privileged:latest privileged:latest",
                "",
            ),
            (
                json!({"enforce": "none", "audit": "no", "warn-version": "v1.01"}),
                "restricted:latest privileged:latest privileged:latest",
                "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"none\": must be one of privileged, baseline, restricted\n\
                 metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"no\": must be one of privileged, baseline, restricted\n\
                 metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v1.01\": must be \"latest\" or \"v1.x\"",
            ),
        ];
        for (labels, expected, errors) in table {
            let labels = labels.as_object().into_iter().flatten();
            let labels: serde_json::Map<String, Value> =
                labels.map(|(key, value)| (format!("{PREFIX}{key}"), value.clone())).collect();
            let (policy, found) = Policy::of(&labels.into());
            assert_eq!(format!("{} {} {}", policy.enforce, policy.audit, policy.warn), expected);
            assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), errors);
        }
    }
}
