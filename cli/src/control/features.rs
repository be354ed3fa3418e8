//! What is off unless it is asked for: flags as upstream's API server calls them.

use std::ffi::OsString;

use anyhow::Result;
use apiserver::features::Features;
use apiserver::registry::Registry;

#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct FeatureFlags {
    /// Features that are on: MutatingAdmissionPolicy=true
    #[arg(long, value_name = "KEY=BOOL,...", value_delimiter = ',')]
    feature_gates: Vec<String>,
    /// Group versions that are served beside the usual ones: admissionregistration.k8s.io/v1beta1=true
    #[arg(long, value_name = "KEY=BOOL,...", value_delimiter = ',')]
    runtime_config: Vec<String>,
}

impl FeatureFlags {
    /// The same flags for another process.
    pub fn arguments(&self) -> Vec<OsString> {
        let flags = [("--feature-gates", &self.feature_gates), ("--runtime-config", &self.runtime_config)];
        let given = flags.into_iter().filter(|(_, values)| !values.is_empty());
        given.flat_map(|(flag, values)| [flag.into(), values.join(",").into()]).collect()
    }

    /// # Errors
    /// A gate or group version is not known.
    pub fn open(&self) -> Result<Features> {
        Ok(Features::read(&self.feature_gates.join(","), &self.runtime_config.join(","), &Registry::known())?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        features: FeatureFlags,
    }

    #[test]
    fn flags_are_upstreams() {
        let read = |text: &str| Line::try_parse_from(text.split(' ')).unwrap().features;
        let (gate, version) = ("MutatingAdmissionPolicy=true", "admissionregistration.k8s.io/v1beta1=true");
        let flags =
            read(&format!("x --feature-gates {gate} --runtime-config {version} --runtime-config api/alpha=true"));
        let again = flags.arguments();
        let text: Vec<&str> = again.iter().filter_map(|argument| argument.to_str()).collect();
        let expected = ["--feature-gates", gate, "--runtime-config", &format!("{version},api/alpha=true")];
        assert_eq!(text, expected);
        assert!(flags.open().unwrap().has("MutatingAdmissionPolicy"));
        assert_eq!(read("x").arguments(), [] as [OsString; 0]);
        let said = read("x --feature-gates Foo=true").open().unwrap_err().to_string();
        assert_eq!(said, "unrecognized feature gate: Foo");
    }
}
