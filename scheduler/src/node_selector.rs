//! Which nodes a pod asks for: `nodeSelector` and node affinity, compiled once per pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, Pod};

/// What the terms are matched against.
#[derive(Clone, Copy, Debug)]
pub struct NodeFields<'a> {
    pub name: &'a str,
    pub labels: &'a BTreeMap<String, String>,
}

/// All labels of `nodeSelector`, and one of the required terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSelector {
    labels: BTreeMap<String, String>,
    /// `None`: nothing is required. No term at all matches no node.
    terms: Option<Vec<Term>>,
}

/// A preference and its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct PreferredTerm {
    weight: i32,
    term: Term,
}

/// All of its requirements.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    labels: Vec<NodeSelectorRequirement>,
    fields: Vec<NodeSelectorRequirement>,
}

impl NodeSelector {
    pub fn of_pod(pod: &Pod) -> NodeSelector {
        let spec = pod.spec.as_ref();
        let labels = spec.and_then(|spec| spec.node_selector.clone()).unwrap_or_default();
        let required =
            affinity(pod).and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        let terms = required.map(|required| required.node_selector_terms.iter().map(Term::of).collect());
        NodeSelector { labels, terms }
    }

    /// Every node matches.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.terms.is_none()
    }

    pub fn matches(&self, node: NodeFields<'_>) -> bool {
        self.labels.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// The only node names that can match, when each term names some; empty when the terms contradict themselves.
    pub fn names(&self) -> Option<Vec<&str>> {
        let terms = self.terms.as_ref().filter(|terms| !terms.is_empty())?;
        let mut names = Vec::new();
        for term in terms {
            names.extend(term.names()?);
        }
        names.sort_unstable();
        names.dedup();
        Some(names)
    }
}

impl PreferredTerm {
    pub fn of_pod(pod: &Pod) -> Vec<PreferredTerm> {
        let preferred =
            affinity(pod).and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
        let terms = preferred.into_iter().flatten();
        let compiled = terms.map(|term| PreferredTerm { weight: term.weight, term: Term::of(&term.preference) });
        compiled.filter(|preferred| preferred.weight != 0).collect()
    }

    /// The weight if the node matches, else 0.
    pub fn score(&self, node: NodeFields<'_>) -> i64 {
        if self.term.matches(node) { i64::from(self.weight) } else { 0 }
    }
}

fn affinity(pod: &Pod) -> Option<&NodeAffinity> {
    pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()
}

impl Term {
    fn of(term: &NodeSelectorTerm) -> Term {
        Term {
            labels: term.match_expressions.clone().unwrap_or_default(),
            fields: term.match_fields.clone().unwrap_or_default(),
        }
    }

    fn matches(&self, node: NodeFields<'_>) -> bool {
        // A term without requirements matches nothing: that is the API's rule.
        !(self.labels.is_empty() && self.fields.is_empty())
            && self.labels.iter().all(|wanted| holds(wanted, node.labels.get(&wanted.key).map(String::as_str)))
            && self.fields.iter().all(|wanted| wanted.key == NAME_FIELD && holds(wanted, Some(node.name)))
    }

    fn names(&self) -> Option<Vec<&str>> {
        let mut named = self.fields.iter().filter(|field| field.key == NAME_FIELD && field.operator == "In");
        let values = |field: &'_ NodeSelectorRequirement| field.values.clone().unwrap_or_default();
        let first = named.next()?;
        let others: Vec<Vec<String>> = named.map(values).collect();
        let names = first.values.iter().flatten().map(String::as_str);
        Some(names.filter(|name| others.iter().all(|other| other.iter().any(|value| value == name))).collect())
    }
}

/// The one field that nodes can be selected by.
const NAME_FIELD: &str = "metadata.name";

fn holds(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let listed = |value: &str| values.iter().any(|wanted| wanted == value);
    let compared = |order: std::cmp::Ordering| {
        let number = |text: &str| text.parse::<i64>().ok();
        let (Some(value), [bound]) = (value.and_then(number), values) else { return false };
        number(bound).is_some_and(|bound| value.cmp(&bound) == order)
    };
    match wanted.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(std::cmp::Ordering::Greater),
        "Lt" => compared(std::cmp::Ordering::Less),
        _ => false,
    }
}
