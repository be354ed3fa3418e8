//! What is off in v1.35 unless it is asked for: feature gates and group versions, named as by upstream's `--feature-gates` and
//! `--runtime-config`.
//!
//! A row of the registry that is [`off`](crate::registry::Descriptor::off) is served when its group version, or itself, is switched on. A gate
//! switches on what acts on it.

use std::collections::BTreeMap;

use api::resource::ResourceInfo;

use crate::registry::Descriptor;

/// Gates that mean something here.
const GATES: [&str; 1] = [MUTATING_ADMISSION_POLICY];
pub const MUTATING_ADMISSION_POLICY: &str = "MutatingAdmissionPolicy";
/// Group versions by what they end with.
const ALL: [&str; 4] = ["api/all", "api/ga", "api/beta", "api/alpha"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    gates: BTreeMap<String, bool>,
    /// By `api/beta`, `group/version` or `group/version/resource`.
    served: BTreeMap<String, bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    #[error("missing bool value for {0}")]
    NoValue(String),
    #[error("invalid value of {key}={value}, err: strconv.ParseBool: parsing {value:?}: invalid syntax")]
    Value { key: String, value: String },
    #[error("unrecognized feature gate: {0}")]
    Gate(String),
    #[error("runtime-config invalid key {0}")]
    Key(String),
    #[error("unknown api groups {0}")]
    Group(String),
    #[error("group version {0} that has not been registered")]
    Version(String),
    /// What this program stands on.
    #[error("{0} cannot be switched off")]
    Needed(String),
}

impl Features {
    /// Both are `KEY=BOOL,...`; a key of the second alone is on. `rows`: all that could be served.
    ///
    /// # Errors
    /// In upstream's words: what cannot be read, or is not known.
    pub fn read(gates: &str, runtime_config: &str, rows: &[Descriptor]) -> Result<Self, FeatureError> {
        let mut features = Self::default();
        for pair in pairs(gates) {
            let (key, value) = pair.split_once('=').ok_or_else(|| FeatureError::NoValue(pair.to_owned()))?;
            let on = bool(key, value)?;
            if !GATES.contains(&key) {
                return Err(FeatureError::Gate(key.to_owned()));
            }
            features.gates.insert(key.to_owned(), on);
        }
        for pair in pairs(runtime_config) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let on = bool(key, value)?;
            if !ALL.contains(&key) {
                known(key, rows)?;
            }
            features.served.insert(key.to_owned(), on);
        }
        match rows.iter().find(|row| !row.off && features.asked(&row.info) == Some(false)) {
            Some(row) => Err(FeatureError::Needed(row.info.api_version())),
            None => Ok(features),
        }
    }

    pub fn has(&self, gate: &str) -> bool {
        self.gates.get(gate) == Some(&true)
    }

    pub fn serves(&self, row: &Descriptor) -> bool {
        self.asked(&row.info).unwrap_or(!row.off)
    }

    /// What is said of a resource; what says more of it counts.
    fn asked(&self, info: &ResourceInfo) -> Option<bool> {
        let version = format!("{}/{}", info.group, info.version);
        let stage = match &info.version {
            version if version.contains("alpha") => "api/alpha",
            version if version.contains("beta") => "api/beta",
            _ => "api/ga",
        };
        let keys = [&format!("{version}/{}", info.plural), version.as_str(), stage, "api/all"];
        keys.iter().find_map(|key| self.served.get(*key).copied())
    }
}

fn pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|pair| !pair.is_empty())
}

fn bool(key: &str, value: &str) -> Result<bool, FeatureError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        value => Err(FeatureError::Value { key: key.to_owned(), value: value.to_owned() }),
    }
}

fn known(key: &str, rows: &[Descriptor]) -> Result<(), FeatureError> {
    let parts: Vec<&str> = key.split('/').collect();
    let (group, version) = match parts.as_slice() {
        // Of the core group.
        ["v1"] => return Ok(()),
        [group, version] | [group, version, _] => (*group, *version),
        _ => return Err(FeatureError::Key(key.to_owned())),
    };
    if !rows.iter().any(|row| row.info.group == group) {
        return Err(FeatureError::Group(group.to_owned()));
    }
    match rows.iter().any(|row| row.info.group == group && row.info.version == version) {
        true => Ok(()),
        false => Err(FeatureError::Version(format!("{group}/{version}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    const BETA: &str = "admissionregistration.k8s.io/v1beta1";

    fn read(gates: &str, runtime_config: &str) -> Result<Features, String> {
        Features::read(gates, runtime_config, &Registry::known()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_known_is_refused_in_upstreams_words() {
        let table = [
            ("Foo=true", "", "unrecognized feature gate: Foo"),
            ("MutatingAdmissionPolicy", "", "missing bool value for MutatingAdmissionPolicy"),
            (
                "MutatingAdmissionPolicy=x",
                "",
                "invalid value of MutatingAdmissionPolicy=x, err: strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            ("", "apps=true", "runtime-config invalid key apps"),
            ("", "foo.bar/v1=true", "unknown api groups foo.bar"),
            ("", "apps/v9=true", "group version apps/v9 that has not been registered"),
            ("", "apps/v1=false", "apps/v1 cannot be switched off"),
            ("", "api/all=false", "v1 cannot be switched off"),
        ];
        for (gates, runtime_config, expected) in table {
            assert_eq!(read(gates, runtime_config), Err(expected.to_owned()));
        }
    }

    #[test]
    fn what_says_more_counts() {
        let on = format!("{BETA}=true");
        let one = format!("{BETA}/mutatingadmissionpolicies");
        let table = [
            ("", [false, false]),
            (on.as_str(), [true, true]),
            ("api/beta=true", [true, true]),
            ("api/alpha=true", [false, false]),
            (one.as_str(), [true, false]),
            (&format!("{on},{one}=false"), [false, true]),
            (&format!("api/all=true,{BETA}=false"), [false, false]),
        ];
        for (runtime_config, expected) in table {
            let registry = Registry::with(&read("", runtime_config).unwrap());
            let plurals = ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"];
            let served =
                plurals.map(|plural| registry.get("admissionregistration.k8s.io", "v1beta1", plural).is_some());
            assert_eq!(served, expected, "{runtime_config}");
        }
        assert!(read("MutatingAdmissionPolicy=true", "").unwrap().has(MUTATING_ADMISSION_POLICY));
        assert!(!read("MutatingAdmissionPolicy=false", "").unwrap().has(MUTATING_ADMISSION_POLICY));
    }
}
