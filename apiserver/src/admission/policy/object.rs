//! Policies and bindings as they are stored, read for matching.

use std::sync::OnceLock;

use api::gvk::GroupVersionKind;
use api::selector::LabelSelector;
use serde_json::Value;

use crate::admission::matching::Resources;

/// The expressions of one of the two kinds of policies, compiled.
pub trait Expressions: Send + Sync + Sized + 'static {
    /// Where the policies and their bindings are stored.
    const POLICIES: &'static str;
    const BINDINGS: &'static str;

    /// Of a `spec`. What cannot be compiled fails when it is computed.
    fn compile(spec: &Value) -> Self;
}

/// A policy, validating or mutating.
pub struct Policy<E> {
    pub name: String,
    /// What fails refuses the request.
    pub fails: bool,
    pub param_kind: Option<GroupVersionKind>,
    pub resources: Resources,
    spec: Value,
    evaluator: OnceLock<E>,
}

impl<E: Expressions> Policy<E> {
    pub fn read(name: &str, policy: &Value) -> Self {
        let spec = &policy["spec"];
        let kind = Some(&spec["paramKind"]).filter(|kind| kind.is_object());
        let text = |kind: &Value, key: &str| kind[key].as_str().unwrap_or_default().to_owned();
        Self {
            name: name.to_owned(),
            fails: spec["failurePolicy"] != "Ignore",
            param_kind: kind
                .map(|kind| GroupVersionKind::from_api_version(&text(kind, "apiVersion"), &text(kind, "kind"))),
            resources: Resources::read(&spec["matchConstraints"]),
            spec: spec.clone(),
            evaluator: OnceLock::new(),
        }
    }

    /// Compiled when a request first needs it.
    pub fn evaluator(&self) -> &E {
        self.evaluator.get_or_init(|| E::compile(&self.spec))
    }
}

/// What binds a policy.
pub struct Binding {
    pub name: String,
    pub policy: String,
    pub params: Option<ParamRef>,
    /// `None`: all that the policy is about.
    pub resources: Option<Resources>,
    /// Of one that validates.
    pub actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Deny,
    Warn,
    Audit,
}

impl Action {
    /// What metrics call it.
    pub fn counted(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
            Self::Audit => "audit",
        }
    }
}

/// Which objects are the parameters.
#[derive(Clone, Debug)]
pub struct ParamRef {
    pub wanted: Wanted,
    /// Empty: that of the request.
    pub namespace: String,
    /// That there are none refuses the request.
    pub required: bool,
}

#[derive(Clone, Debug)]
pub enum Wanted {
    Named(String),
    Selected(LabelSelector),
}

impl Binding {
    pub fn read(name: &str, binding: &Value) -> Self {
        let spec = &binding["spec"];
        let given = |key: &str| Some(&spec[key]).filter(|value| value.is_object());
        let actions = spec["validationActions"].as_array().into_iter().flatten();
        let action = |action: &Value| match action.as_str() {
            Some("Deny") => Some(Action::Deny),
            Some("Warn") => Some(Action::Warn),
            Some("Audit") => Some(Action::Audit),
            _ => None,
        };
        Self {
            name: name.to_owned(),
            policy: spec["policyName"].as_str().unwrap_or_default().to_owned(),
            params: given("paramRef").map(ParamRef::read),
            resources: given("matchResources").map(Resources::read),
            actions: actions.filter_map(action).collect(),
        }
    }
}

impl ParamRef {
    fn read(reference: &Value) -> Self {
        let text = |key: &str| reference[key].as_str().unwrap_or_default().to_owned();
        let selector = || LabelSelector::from_object(reference.get("selector")).unwrap_or(LabelSelector::Nothing);
        Self {
            wanted: match text("name") {
                name if name.is_empty() => Wanted::Selected(selector()),
                name => Wanted::Named(name),
            },
            namespace: text("namespace"),
            required: reference["parameterNotFoundAction"] == "Deny",
        }
    }
}
