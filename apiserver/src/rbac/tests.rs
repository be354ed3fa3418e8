//! The index answers as a look at every binding does, whatever has changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::bootstrap::rule;
use super::index::Index;
use super::rule::Rule;
use crate::authorizer::Decision;
use crate::cache::{Follower, Stored};
use crate::query::Query;
use crate::request::RequestInfo;
use crate::user::UserInfo;

const GROUP: &str = "rbac.authorization.k8s.io";
const RESOURCES: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];
const NAMESPACES: [&str; 2] = ["a", "b"];
const RULES: [&str; 5] =
    ["get core pods", "* core pods named p", "list,watch * *", "get url /metrics", "get core */log"];

/// All objects by resource and key.
type World = BTreeMap<(&'static str, String), Value>;

#[derive(Clone, Debug)]
enum Step {
    Put(&'static str, String, Value),
    Delete(&'static str, String),
    /// The caches were loaded anew: without the objects of this resource whose number is odd.
    Load(&'static str),
}

fn key(resource: &'static str) -> impl Strategy<Value = String> {
    let namespaced = matches!(resource, "roles" | "rolebindings");
    (0..2usize, 0..3).prop_map(move |(namespace, number)| {
        if namespaced { format!("{}/x{number}", NAMESPACES[namespace]) } else { format!("x{number}") }
    })
}

fn subject() -> impl Strategy<Value = Value> {
    let named = |kind: &str, name: &str| json!({"kind": kind, "name": name});
    prop::sample::select(vec![
        named("User", "jane"),
        named("User", "system:serviceaccount:a:robot"),
        named("Group", "ops"),
        named("Group", "jane"),
        named("ServiceAccount", "robot"),
        json!({"kind": "ServiceAccount", "name": "robot", "namespace": "b"}),
        named("Robot", "jane"),
    ])
}

fn object(resource: &'static str) -> BoxedStrategy<Value> {
    if resource.ends_with("roles") {
        let rules = prop::sample::subsequence(RULES.to_vec(), 0..3);
        return rules
            .prop_map(|rules| json!({"rules": rules.into_iter().map(rule).collect::<Option<Vec<_>>>()}))
            .boxed();
    }
    let kinds = if resource == "rolebindings" { vec!["Role", "ClusterRole"] } else { vec!["ClusterRole"] };
    (prop::collection::vec(subject(), 0..4), prop::sample::select(kinds), 0..4)
        .prop_map(|(subjects, kind, number)| {
            json!({"subjects": subjects, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": format!("x{number}")}})
        })
        .boxed()
}

fn step() -> impl Strategy<Value = Step> {
    prop::sample::select(RESOURCES.to_vec()).prop_flat_map(|resource| {
        prop_oneof![
            6 => (key(resource), object(resource)).prop_map(move |(key, object)| Step::Put(resource, key, object)),
            2 => key(resource).prop_map(move |key| Step::Delete(resource, key)),
            1 => Just(Step::Load(resource)),
        ]
    })
}

fn stored(key: &str, object: &Value) -> Stored {
    let (namespace, name) = key.split_once('/').unwrap_or(("", key));
    let mut object = object.clone();
    object["metadata"] = json!({"name": name, "namespace": namespace, "resourceVersion": "1"});
    Stored::decode(object.to_string().into(), 1, &[]).unwrap()
}

fn apply(world: &mut World, index: &Index, step: Step) {
    match step {
        Step::Put(resource, key, object) => {
            index.changed(&format!("{GROUP}/{resource}"), &key, Some(&stored(&key, &object)));
            world.insert((resource, key), object);
        }
        Step::Delete(resource, key) => {
            index.changed(&format!("{GROUP}/{resource}"), &key, None);
            world.remove(&(resource, key));
        }
        Step::Load(resource) => {
            world.retain(|(own, key), _| *own != resource || !key.ends_with('1'));
            let left = world.iter().filter(|((own, _), _)| *own == resource);
            let objects = left.map(|((_, key), object)| (key.as_str().into(), Arc::new(stored(key, object)))).collect();
            index.loaded(&format!("{GROUP}/{resource}"), &objects);
        }
    }
}

/// `VisitRulesFor` of `kubernetes/pkg/registry/rbac/validation/rule.go`.
fn every_rule(world: &World, user: &UserInfo, namespace: &str) -> Vec<Rule> {
    let of = |resource: &str, prefix: &str| -> Vec<&Value> {
        let own = world.iter().filter(|((own, key), _)| *own == resource && key.starts_with(prefix));
        own.map(|(_, object)| object).collect()
    };
    let mut rules = Vec::new();
    let mut visit = |bindings: Vec<&Value>, namespace: &str| {
        for binding in bindings {
            let subjects = binding["subjects"].as_array().unwrap();
            if !subjects.iter().any(|subject| applies(subject, user, namespace)) {
                continue;
            }
            let name = binding["roleRef"]["name"].as_str().unwrap();
            let role = if binding["roleRef"]["kind"] == "Role" {
                world.get(&("roles", format!("{namespace}/{name}")))
            } else {
                world.get(&("clusterroles", name.to_owned()))
            };
            let found: Option<Vec<Rule>> = role.map(|role| serde_json::from_value(role["rules"].clone()).unwrap());
            rules.extend(found.unwrap_or_default());
        }
    };
    visit(of("clusterrolebindings", ""), "");
    if !namespace.is_empty() {
        visit(of("rolebindings", &format!("{namespace}/")), namespace);
    }
    rules
}

fn applies(subject: &Value, user: &UserInfo, namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap();
    match subject["kind"].as_str().unwrap() {
        "User" => user.name == name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let own = subject["namespace"].as_str().unwrap_or(namespace);
            !own.is_empty() && user.name == format!("system:serviceaccount:{own}:{name}")
        }
        _ => false,
    }
}

fn check(world: &World, index: &Index) {
    let users = [
        UserInfo::new("jane", &["ops", "others"]),
        UserInfo::new("jane", &[]),
        UserInfo::new("system:serviceaccount:a:robot", &["jane"]),
        UserInfo::new("system:serviceaccount:b:robot", &[]),
    ];
    let requests = [
        "/api/v1/pods",
        "/api/v1/namespaces/a/pods/p",
        "/api/v1/namespaces/b/pods/q",
        "/api/v1/namespaces/a/pods/p/log",
        "/apis/apps/v1/namespaces/b/deployments",
        "/metrics",
    ];
    for user in &users {
        for path in requests {
            let request = RequestInfo::parse(&http::Method::GET, path, &Query::parse(""));
            let rules = every_rule(world, user, &request.namespace);
            let expected = rules.iter().any(|rule| rule.allows(&request));
            let allowed = index.decide(user, &request) == Decision::Allow;
            assert_eq!(allowed, expected, "{} {path} in {world:#?}", user.name);
            assert_eq!(index.reason(user, &request).is_some(), expected, "{} {path}", user.name);
            assert_eq!(index.rules(user, &request.namespace).rules, rules, "{} {path} in {world:#?}", user.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_a_look_at_everything_does(steps in prop::collection::vec(step(), 1..40)) {
        let (mut world, index) = (World::new(), Index::default());
        for step in steps {
            apply(&mut world, &index, step);
            check(&world, &index);
        }
    }
}

#[test]
fn a_no_names_roles_that_are_missing_and_a_yes_its_binding() {
    let index = Index::default();
    let put = |resource: &str, key: &str, object: Value| {
        index.changed(&format!("{GROUP}/{resource}"), key, Some(&stored(key, &object)));
    };
    let subjects = json!([{"kind": "Group", "name": "ops"}, {"kind": "ServiceAccount", "name": "robot"}]);
    let binding = |kind: &str, name: &str| json!({"subjects": subjects, "roleRef": {"kind": kind, "name": name}});
    let pods = RequestInfo::parse(&http::Method::GET, "/api/v1/namespaces/a/pods", &Query::parse(""));
    let (jane, robot) = (UserInfo::new("jane", &["ops"]), UserInfo::new("system:serviceaccount:a:robot", &[]));
    assert_eq!(index.decide(&jane, &pods), Decision::NoOpinion(String::new()));
    put("rolebindings", "a/one", binding("Role", "reader"));
    let one = r#"RBAC: role.rbac.authorization.k8s.io "reader" not found"#;
    assert_eq!(index.decide(&jane, &pods), Decision::NoOpinion(one.to_owned()));
    put("clusterrolebindings", "two", binding("ClusterRole", "viewer"));
    put("clusterrolebindings", "three", binding("ClusterRole", "viewer"));
    let both = concat!(
        r#"RBAC: [clusterrole.rbac.authorization.k8s.io "viewer" not found, "#,
        r#"role.rbac.authorization.k8s.io "reader" not found]"#
    );
    assert_eq!(index.decide(&jane, &pods), Decision::NoOpinion(both.to_owned()));
    put("roles", "a/reader", json!({"rules": [rule("list core pods")]}));
    assert_eq!(index.decide(&jane, &pods), Decision::Allow);
    let reason = r#"RBAC: allowed by RoleBinding "one/a" of Role "reader" to Group "ops""#;
    assert_eq!(index.reason(&jane, &pods).as_deref(), Some(reason));
    put("clusterroles", "viewer", json!({"rules": [rule("* * *")]}));
    let reason = r#"RBAC: allowed by RoleBinding "one/a" of Role "reader" to ServiceAccount "robot/a""#;
    assert_eq!(index.reason(&robot, &pods).as_deref(), Some(reason), "a cluster-wide binding has no own namespace");
    let reason = r#"RBAC: allowed by ClusterRoleBinding "three" of ClusterRole "viewer" to Group "ops""#;
    assert_eq!(index.reason(&jane, &pods).as_deref(), Some(reason));
}
