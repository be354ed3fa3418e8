//! The roles and bindings that every cluster has.
//!
//! `policy.txt` is the table; [`objects`] are what it says as API objects; `reconcile` compares one with what is there; `ensure`
//! makes it so at each start. `controllers.txt` is for the controllers of this program alone.

mod ensure;
mod reconcile;

use api::Object;
use serde_json::{Value, json};

use super::rule::Rule;

pub(crate) use ensure::ensure;

const POLICY: &str = include_str!("policy.txt");
const CONTROLLERS: &str = include_str!("controllers.txt");
pub(super) const GROUP: &str = "rbac.authorization.k8s.io";
const API_VERSION: &str = "rbac.authorization.k8s.io/v1";
/// An object that says false here is left alone.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const BOOTSTRAPPING: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");

/// One object of the table and the plural of its kind.
#[derive(Debug)]
pub struct Wanted {
    pub resource: &'static str,
    pub object: Object,
}

/// The whole table, in its order: roles before the bindings that name them.
///
/// # Errors
/// The first line that cannot be read; a test reads them all.
pub fn objects() -> Result<Vec<Wanted>, String> {
    read(POLICY)
}

fn read(table: &str) -> Result<Vec<Wanted>, String> {
    let mut found: Vec<Wanted> = Vec::new();
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let done = match line.strip_prefix("  ") {
            None => heading(line).map(|wanted| found.push(wanted)),
            Some(detail) => found.last_mut().and_then(|wanted| wanted.add(detail)),
        };
        done.ok_or_else(|| format!("read the bootstrap policy: {line:?}"))?;
    }
    Ok(found)
}

/// The rules of one role of the table.
pub fn rules(resource: &str, name: &str) -> Vec<Rule> {
    let objects = objects().unwrap_or_default();
    let role = objects.into_iter().find(|one| one.resource == resource && one.object["metadata"]["name"] == name);
    role.and_then(|role| serde_json::from_value(role.object["rules"].clone()).ok()).unwrap_or_default()
}

/// What nodes need that have one identity for kubelet, routes and rules of Services: what kube-proxy may, and what is told to
/// machines that join.
const NODES: &str = "\
ClusterRoleBinding setpoint:node-proxier to system:node-proxier
  Group system:nodes
Role kube-public/setpoint:cluster-info
  get,list,watch core configmaps named cluster-info
RoleBinding kube-public/setpoint:cluster-info
  Group system:nodes
";

fn heading(line: &str) -> Option<Wanted> {
    let mut words = line.split(' ');
    let (kind, place) = (words.next()?, words.next()?);
    let resource = match kind {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        "ClusterRoleBinding" => "clusterrolebindings",
        "RoleBinding" => "rolebindings",
        _ => return None,
    };
    let (namespace, name) = match place.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, place),
    };
    let mut object = json!({
        "apiVersion": API_VERSION, "kind": kind,
        "metadata": {"name": name, "annotations": {AUTO_UPDATE: "true"}, "labels": {BOOTSTRAPPING.0: BOOTSTRAPPING.1}},
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    if let Some(role_kind) = kind.strip_suffix("Binding") {
        object["roleRef"] = json!({"apiGroup": GROUP, "kind": role_kind, "name": name});
    }
    while let Some(word) = words.next() {
        let argument = words.next()?;
        let aggregate = format!("{GROUP}/aggregate-to-{argument}");
        match word {
            "to" => object["roleRef"]["name"] = argument.into(),
            "part-of" => object["metadata"]["labels"][&aggregate] = "true".into(),
            "gathers" => {
                object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {aggregate: "true"}}]});
            }
            _ => return None,
        }
    }
    Some(Wanted { resource, object })
}

impl Wanted {
    fn add(&mut self, detail: &str) -> Option<()> {
        let (list, item) = if self.object["roleRef"].is_object() {
            ("subjects", subject(detail)?)
        } else {
            ("rules", serde_json::to_value(rule(detail)?).ok()?)
        };
        // Nobody manages a list that is not there.
        let list = self.object.as_object_mut()?.entry(list).or_insert_with(|| json!([]));
        list.as_array_mut()?.push(item);
        Some(())
    }
}

/// `get,list core pods,pods/log named a,b` or `get url /version,/healthz/*`.
pub(super) fn rule(text: &str) -> Option<Rule> {
    let list = |text: &str| -> Vec<Box<str>> {
        text.split(',').map(|item| if item == "core" { "" } else { item }.into()).collect()
    };
    match *text.split(' ').collect::<Vec<_>>() {
        [verbs, "url", urls] => Some(Rule { verbs: list(verbs), non_resource_urls: list(urls), ..Rule::default() }),
        [verbs, groups, resources, ref rest @ ..] => {
            let mut rule =
                Rule { verbs: list(verbs), api_groups: list(groups), resources: list(resources), ..Rule::default() };
            match *rest {
                [] => {}
                ["named", names] => rule.resource_names = list(names),
                _ => return None,
            }
            Some(rule)
        }
        _ => None,
    }
}

fn subject(text: &str) -> Option<Value> {
    let (kind, name) = text.split_once(' ')?;
    Some(match kind {
        "User" | "Group" => json!({"apiGroup": GROUP, "kind": kind, "name": name}),
        "ServiceAccount" => {
            let (namespace, name) = name.split_once('/')?;
            json!({"kind": kind, "name": name, "namespace": namespace})
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let objects = objects().unwrap();
        let find = |resource: &str, name: &str| {
            let found = objects.iter().find(|one| one.resource == resource && one.object["metadata"]["name"] == name);
            found.map(|one| one.object.clone()).unwrap_or_default()
        };
        let metadata = |name: &str| json!({"name": name, "annotations": {AUTO_UPDATE: "true"}, "labels": {BOOTSTRAPPING.0: BOOTSTRAPPING.1}});
        let mut edit = metadata("edit");
        edit["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"] = json!("true");
        let selector = json!({"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}});
        let expected = json!({"apiVersion": API_VERSION, "kind": "ClusterRole", "metadata": edit,
            "aggregationRule": {"clusterRoleSelectors": [selector]}});
        assert_eq!(find("clusterroles", "edit"), expected);
        let mut reader = metadata("extension-apiserver-authentication-reader");
        reader["namespace"] = json!("kube-system");
        let rule = json!({"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"],
            "resourceNames": ["extension-apiserver-authentication"]});
        let expected = json!({"apiVersion": API_VERSION, "kind": "Role", "metadata": reader, "rules": [rule]});
        assert_eq!(find("roles", "extension-apiserver-authentication-reader"), expected);
        let binding = find("rolebindings", "system::extension-apiserver-authentication-reader");
        let role = json!({"apiGroup": GROUP, "kind": "Role", "name": "extension-apiserver-authentication-reader"});
        assert_eq!(binding["roleRef"], role);
        let dns = find("clusterrolebindings", "system:kube-dns");
        let account = json!({"kind": "ServiceAccount", "name": "kube-dns", "namespace": "kube-system"});
        assert_eq!(dns["subjects"], json!([account]));
        assert_eq!(read(NODES).unwrap().len(), 3);
        // One role and one binding for each, and nobody but those that upstream's policy knows, too.
        for Wanted { object, .. } in read(CONTROLLERS).unwrap() {
            let theirs = object["metadata"]["name"].as_str().unwrap().replace("setpoint:", "system:");
            let known = objects.iter().any(|one| {
                one.object["metadata"]["name"] == theirs
                    && one.object["metadata"]["namespace"] == object["metadata"]["namespace"]
            });
            assert!(known, "{theirs}");
            let subjects = object["subjects"].as_array().into_iter().flatten();
            assert!(subjects.into_iter().all(|one| theirs.strip_prefix("system:controller:") == one["name"].as_str()));
        }
        assert_eq!(find("clusterrolebindings", "system:node")["subjects"], Value::Null, "the node authorizer's");
        for Wanted { resource, object } in &objects {
            let role = object["roleRef"]["name"].as_str();
            let roles = resource.strip_suffix("bindings").map(|prefix| format!("{prefix}s"));
            let there = role.is_none_or(|role| find(&roles.unwrap_or_default(), role).is_object());
            assert!(there, "{resource} {}", object["metadata"]["name"]);
        }
    }

    #[test]
    fn a_line_is_right_or_refused() {
        for line in ["", "get", "get core", "get core pods names p", "get core pods named", "get core pods named p q"] {
            assert_eq!(rule(line), None, "{line}");
        }
        for line in ["Pod p", "Role", "Role x/y of z", "Role x/y part-of"] {
            assert!(heading(line).is_none(), "{line}");
        }
        for line in ["Robot r", "User", "ServiceAccount x"] {
            assert_eq!(subject(line), None, "{line}");
        }
    }
}
