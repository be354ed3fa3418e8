//! Webhooks as they are stored, read for matching and calling.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::meta::Meta;
use cel::admission::{Compiled, Declared, Environment};
use serde_json::Value;

use super::review::Version;
use crate::admission::conditions;
use crate::admission::matching::{Resources, Rule, selector};
use crate::outbound::Client;

/// One webhook of a configuration.
pub struct Webhook {
    pub name: String,
    /// The name of the object that it stands in.
    pub configuration: String,
    /// Tells it from all others, also from those of the same name.
    pub id: String,
    /// `matchPolicy`, rules and selectors.
    pub resources: Resources,
    /// What cannot be asked refuses the request.
    pub fails: bool,
    pub timeout: Duration,
    /// Requests that change nothing may be sent to it.
    pub knows_dry_run: bool,
    /// It is asked again when others change what it has seen.
    pub asked_again: bool,
    /// The version of reviews that it reads; `None` when we know none of its versions.
    pub version: Option<Version>,
    pub client: Client,
    match_conditions: Value,
    conditions: OnceLock<Vec<Compiled>>,
}

impl Webhook {
    /// All of a configuration, in their order.
    pub fn read_all(configuration: &str, object: &Value) -> Vec<Arc<Self>> {
        let hooks = object["webhooks"].as_array().into_iter().flatten().enumerate();
        // Without rules it is about nothing.
        let about_something =
            |(_, hook): &(usize, &Value)| hook["rules"].as_array().is_some_and(|rules| !rules.is_empty());
        let id = |index: usize| format!("{}/{configuration}/{index}", object.uid());
        hooks
            .filter(about_something)
            .map(|(index, hook)| Arc::new(Self::read(configuration, id(index), hook)))
            .collect()
    }

    fn read(configuration: &str, id: String, hook: &Value) -> Self {
        let seconds = hook["timeoutSeconds"].as_u64().unwrap_or(10);
        let rules = hook["rules"].as_array().into_iter().flatten().map(Rule::read).collect();
        let versions = hook["admissionReviewVersions"].as_array().into_iter().flatten();
        Self {
            configuration: configuration.to_owned(),
            name: hook["name"].as_str().unwrap_or_default().to_owned(),
            id,
            resources: Resources {
                rules,
                excluded: Vec::new(),
                equivalent: hook["matchPolicy"] == "Equivalent",
                namespaces: selector(hook, "namespaceSelector"),
                objects: selector(hook, "objectSelector"),
            },
            fails: hook["failurePolicy"] != "Ignore",
            timeout: Duration::from_secs(seconds),
            knows_dry_run: matches!(hook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun")),
            asked_again: hook["reinvocationPolicy"] == "IfNeeded",
            version: versions.filter_map(Value::as_str).find_map(Version::read),
            client: Client::read(&hook["clientConfig"]),
            match_conditions: hook["matchConditions"].clone(),
            conditions: OnceLock::new(),
        }
    }

    pub fn conditions(&self) -> &[Compiled] {
        let declared = Declared { params: false, authorizer: true, patches: false };
        self.conditions.get_or_init(|| conditions::compile(&self.match_conditions, &Environment::plain(), declared))
    }
}
