//! Which requests a policy or webhook is about: rules over operation, resource and scope, and selectors over labels
//! (`k8s.io/apiserver/pkg/admission/plugin/{policy/matching,webhook/predicates}`).

use std::sync::Arc;

use api::Object;
use api::selector::LabelSelector;
use serde_json::Value;

use super::Operation;
use crate::registry::Descriptor;

/// A NamedRuleWithOperations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// With subresources: `pods/status`, `*/scale`.
    resources: Vec<String>,
    scope: Scope,
    /// Of objects; any when there are none.
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scope {
    #[default]
    All,
    Namespaced,
    Cluster,
}

/// A MatchResources.
#[derive(Clone, Debug)]
pub struct Resources {
    pub rules: Vec<Rule>,
    pub excluded: Vec<Rule>,
    /// Rules are also about other versions of what they name.
    pub equivalent: bool,
    pub namespaces: LabelSelector,
    pub objects: LabelSelector,
}

/// A request as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub operation: Operation,
    pub subresource: &'a str,
    /// That of a Namespace is itself.
    pub namespace: &'a str,
    pub name: &'a str,
}

/// In which form a policy or webhook wants the request.
#[derive(Clone)]
pub enum Form {
    /// That of the request.
    Own,
    Other(Arc<Descriptor>),
}

impl Form {
    pub fn row<'r>(&'r self, own: &'r Descriptor) -> &'r Descriptor {
        match self {
            Self::Own => own,
            Self::Other(row) => row,
        }
    }
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

impl Rule {
    pub fn read(rule: &Value) -> Self {
        let texts = |name: &str| {
            let texts = rule[name].as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            operations: texts("operations"),
            groups: texts("apiGroups"),
            versions: texts("apiVersions"),
            resources: texts("resources"),
            scope: match rule["scope"].as_str() {
                Some("Namespaced") => Scope::Namespaced,
                Some("Cluster") => Scope::Cluster,
                _ => Scope::All,
            },
            names: texts("resourceNames"),
        }
    }

    /// `row` is the request's, or another version of it.
    fn matches(&self, asked: &Asked<'_>, row: &Descriptor) -> bool {
        let names = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        let info = &row.info;
        let is_namespace = info.group.is_empty() && info.plural == "namespaces";
        let is_namespaced = !(asked.namespace.is_empty() || is_namespace);
        let in_scope = match self.scope {
            Scope::All => true,
            Scope::Namespaced => is_namespaced,
            Scope::Cluster => !is_namespaced,
        };
        let is_resource = |item: &String| {
            let (resource, below) = item.split_once('/').unwrap_or((item, ""));
            (resource == "*" || resource == info.plural) && (below == "*" || below == asked.subresource)
        };
        in_scope
            && names(&self.operations, asked.operation.as_str())
            && names(&self.groups, &info.group)
            && names(&self.versions, &info.version)
            && self.resources.iter().any(is_resource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == asked.name))
    }
}

impl Resources {
    pub fn read(resources: &Value) -> Self {
        let rules = |name: &str| resources[name].as_array().into_iter().flatten().map(Rule::read).collect();
        Self {
            rules: rules("resourceRules"),
            excluded: rules("excludeResourceRules"),
            equivalent: resources["matchPolicy"] == "Equivalent",
            namespaces: selector(resources, "namespaceSelector"),
            objects: selector(resources, "objectSelector"),
        }
    }

    /// The form that the rules want; `None` when they are not about the request. No rules are about everything.
    pub fn form(&self, asked: &Asked<'_>, own: &Descriptor, versions: &dyn Versions) -> Option<Form> {
        if self.find(&self.excluded, asked, own, versions).is_some() {
            return None;
        }
        if self.rules.is_empty() { Some(Form::Own) } else { self.find(&self.rules, asked, own, versions) }
    }

    fn find(&self, rules: &[Rule], asked: &Asked<'_>, own: &Descriptor, versions: &dyn Versions) -> Option<Form> {
        if rules.iter().any(|rule| rule.matches(asked, own)) {
            return Some(Form::Own);
        }
        if !self.equivalent || rules.is_empty() {
            return None;
        }
        let others = versions.others();
        let mut pairs = rules.iter().flat_map(|rule| others.iter().map(move |other| (rule, other)));
        pairs.find(|(rule, other)| rule.matches(asked, other)).map(|(_, other)| Form::Other(other.clone()))
    }

    /// Whether the object is selected, as it is or as it was.
    pub fn selects(&self, object: Option<&Object>, old: Option<&Object>) -> bool {
        let matches = |object: &Object| self.objects.matches_object(object);
        self.objects.is_everything() || object.is_some_and(matches) || old.is_some_and(matches)
    }
}

/// The other versions of the resource of a request, which are looked for once at most.
pub trait Versions {
    fn others(&self) -> &[Arc<Descriptor>];
}

/// An absent selector selects everything; one that cannot be read is refused when it is written.
pub fn selector(of: &Value, name: &str) -> LabelSelector {
    let selector = &of[name];
    if selector.is_null() {
        return LabelSelector::default();
    }
    LabelSelector::from_object(Some(selector)).unwrap_or(LabelSelector::Nothing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    struct Others(Vec<Arc<Descriptor>>);

    impl Versions for Others {
        fn others(&self) -> &[Arc<Descriptor>] {
            &self.0
        }
    }

    #[test]
    fn rules_say_what_they_are_about() {
        let registry = Registry::built_in();
        let row = |group: &str, version: &str, plural: &str| registry.get(group, version, plural).unwrap().clone();
        let (pods, namespaces) = (row("", "v1", "pods"), row("", "v1", "namespaces"));
        let (events, nodes) = (row("", "v1", "events"), row("", "v1", "nodes"));
        let others = Others(vec![row("events.k8s.io", "v1", "events")]);
        let rule = |change: Value| {
            let mut rule =
                json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"]});
            rule.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            json!({"resourceRules": [rule], "matchPolicy": "Equivalent"})
        };
        let asked = |subresource: &'static str, namespace: &'static str| Asked {
            operation: Operation::Create,
            subresource,
            namespace,
            name: "a",
        };
        let all = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]});
        let (in_namespace, nowhere) = (asked("", "n"), asked("", ""));
        let table = [
            ("all", rule(json!({})), &pods, in_namespace, Some("")),
            ("all but what is below", rule(json!({})), &pods, asked("status", "n"), None),
            ("what is below", rule(json!({"resources": ["pods/status"]})), &pods, asked("status", "n"), Some("")),
            ("what is below all", rule(json!({"resources": ["*/status"]})), &pods, asked("status", "n"), Some("")),
            ("everything", rule(all.clone()), &pods, asked("status", "n"), Some("")),
            ("another operation", rule(json!({"operations": ["UPDATE"]})), &pods, in_namespace, None),
            ("another group", rule(json!({"apiGroups": ["apps"]})), &pods, in_namespace, None),
            ("another version", rule(json!({"apiVersions": ["v2"]})), &pods, in_namespace, None),
            ("in namespaces", rule(json!({"scope": "Namespaced"})), &pods, in_namespace, Some("")),
            ("a namespace is in none", rule(json!({"scope": "Namespaced"})), &namespaces, in_namespace, None),
            ("a namespace is in the cluster", rule(json!({"scope": "Cluster"})), &namespaces, in_namespace, Some("")),
            ("a node is in the cluster", rule(json!({"scope": "Cluster"})), &nodes, nowhere, Some("")),
            ("by name", rule(json!({"resourceNames": ["b", "a"]})), &pods, in_namespace, Some("")),
            ("by another name", rule(json!({"resourceNames": ["b"]})), &pods, in_namespace, None),
            ("no rules", json!({}), &pods, in_namespace, Some("")),
            ("excluded", json!({"excludeResourceRules": [all]}), &pods, in_namespace, None),
            (
                "in another form",
                rule(json!({"apiGroups": ["events.k8s.io"]})),
                &events,
                in_namespace,
                Some("events.k8s.io"),
            ),
        ];
        for (name, resources, row, asked, expected) in table {
            let found = Resources::read(&resources).form(&asked, row, &others);
            let group = |form: Form| match form {
                Form::Own => String::new(),
                Form::Other(row) => row.info.group.clone(),
            };
            assert_eq!(found.map(group).as_deref(), expected, "{name}");
        }
        let mut exact = rule(json!({"apiGroups": ["events.k8s.io"]}));
        exact["matchPolicy"] = "Exact".into();
        assert!(Resources::read(&exact).form(&in_namespace, &events, &others).is_none());
    }

    #[test]
    fn an_object_is_selected_as_it_is_or_was() {
        let resources = Resources::read(&json!({"objectSelector": {"matchLabels": {"a": "b"}}}));
        let (with, without) = (json!({"metadata": {"labels": {"a": "b"}}}), json!({"metadata": {}}));
        let table = [
            (None, None, false),
            (Some(&with), None, true),
            (Some(&without), Some(&with), true),
            (Some(&without), None, false),
        ];
        for (object, old, expected) in table {
            assert_eq!(resources.selects(object, old), expected);
        }
        assert!(Resources::read(&json!({})).selects(None, None));
    }
}
