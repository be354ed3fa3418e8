//! Owns:    acceptedNames and the conditions NamesAccepted and Established of CustomResourceDefinitions.
//! Watches: CustomResourceDefinitions.
//! Writes:  CustomResourceDefinition status.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionNames as Names,
};
use reconcile::informer::Caches;
use reconcile::{Controller, Key, Plan, Watch, mapped};

use super::{find, is_true, set};

pub struct CustomResourceNames;

impl Controller for CustomResourceNames {
    const NAME: &'static str = "crd-naming-condition-controller";
    const ACCOUNT: &'static str = "system:apiserver";
    const QUEUE: &'static str = "crd_naming_condition_controller";
    type Root = CustomResourceDefinition;
    /// All definitions of the group.
    type View = Vec<Arc<CustomResourceDefinition>>;

    fn watches() -> Vec<Watch> {
        // A definition that goes or changes may set names free that others want.
        vec![mapped::<CustomResourceDefinition>(others_of_group)]
    }

    fn view(&self, root: &CustomResourceDefinition, caches: &Caches) -> Self::View {
        let mut all = caches.get::<CustomResourceDefinition>().list();
        all.retain(|other| other.spec.group == root.spec.group);
        all
    }

    fn decide(&self, root: &CustomResourceDefinition, group: &Self::View, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let old = root.status.clone().unwrap_or_default();
        let mut new = old.clone();
        let accepted = old.accepted_names.clone().unwrap_or_default();
        let mut conditions = old.conditions.clone().unwrap_or_default();
        let named = is_true(&conditions, "NamesAccepted");
        if !same(&root.spec.names, &accepted) || !named {
            let (names, conflict) = accept(&root.spec.names, &accepted, group);
            new.accepted_names = Some(names);
            let (status, reason, message) = match &conflict {
                None => ("True", "NoConflicts", "no conflicts found"),
                Some((reason, message)) => ("False", *reason, message.as_str()),
            };
            set(&mut conditions, "NamesAccepted", status, reason, message, now);
            if conflict.is_none() && !is_true(&conditions, "Established") {
                let message = "the initial names have been accepted";
                set(&mut conditions, "Established", "False", "Installing", message, now);
            } else if find(&conditions, "Established").is_none() {
                set(&mut conditions, "Established", "False", "NotAccepted", "not all names are accepted", now);
            }
        } else if !is_true(&conditions, "Established") {
            // A step of its own: whoever watches sees names first, and then that the kind is there.
            let message = "the initial names have been accepted";
            set(&mut conditions, "Established", "True", "InitialNamesAccepted", message, now);
        }
        if let Some((status, reason, message)) = approval(root) {
            set(&mut conditions, "KubernetesAPIApprovalPolicyConformant", status, reason, &message, now);
        }
        new.conditions = Some(conditions);
        plan.set_status(&old, &new);
        plan
    }
}

const APPROVED: &str = "api-approved.kubernetes.io";

/// What groups of the community want to know of a definition.
fn approval(root: &CustomResourceDefinition) -> Option<(&'static str, &'static str, String)> {
    let group = &root.spec.group;
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    if !protected {
        return None;
    }
    let said = root.metadata.annotations.as_ref().and_then(|all| all.get(APPROVED)).map_or("", String::as_str);
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    let must = format!("protected groups must have approval annotation {APPROVED:?}");
    Some(if said.is_empty() {
        ("False", "MissingAnnotation", format!("{must}, {see}"))
    } else if said.starts_with("unapproved") {
        ("False", "UnapprovedAnnotation", format!("not approved: {said:?}"))
    } else if said.contains("://") {
        ("True", "ApprovedAnnotation", format!("approved in {said}"))
    } else {
        let detail = "with either a URL or a reason starting with \"unapproved\"";
        ("False", "InvalidAnnotation", format!("{must} {detail}, {see}"))
    })
}

fn others_of_group(changed: &CustomResourceDefinition, caches: &Caches) -> Vec<Key> {
    let all = caches.get::<CustomResourceDefinition>().list();
    let others = all.iter().filter(|other| {
        other.spec.group == changed.spec.group
            && other.metadata.name != changed.metadata.name
            && !is_true(
                other.status.iter().flat_map(|status| &status.conditions).next().map_or(&[], |all| all),
                "NamesAccepted",
            )
    });
    others.map(|other| Key::of(&**other)).collect()
}

fn same(wanted: &Names, accepted: &Names) -> bool {
    let list = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
    (&wanted.plural, &wanted.singular, &wanted.kind, &wanted.list_kind)
        == (&accepted.plural, &accepted.singular, &accepted.kind, &accepted.list_kind)
        && list(&wanted.short_names) == list(&accepted.short_names)
        && list(&wanted.categories) == list(&accepted.categories)
}

type Conflict = (&'static str, String);

/// Each wanted name that nobody else of the group has; of conflicts the last one is told.
fn accept(wanted: &Names, accepted: &Names, group: &[Arc<CustomResourceDefinition>]) -> (Names, Option<Conflict>) {
    let taken = || group.iter().filter_map(|other| other.status.as_ref()?.accepted_names.as_ref());
    let resources: BTreeSet<&str> = taken()
        .flat_map(|names| {
            let short = names.short_names.iter().flatten().map(String::as_str);
            [Some(names.plural.as_str()), names.singular.as_deref()].into_iter().flatten().chain(short)
        })
        .collect();
    let kinds: BTreeSet<&str> = taken()
        .flat_map(|names| [Some(names.kind.as_str()), names.list_kind.as_deref()].into_iter().flatten())
        .collect();
    let mut names = accepted.clone();
    let mut conflict = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    let mut one = |wanted: Option<&str>, own: Option<&str>, taken: &BTreeSet<&str>, reason: &'static str| {
        let wanted = wanted.unwrap_or_default();
        let free = wanted == own.unwrap_or_default() || !taken.contains(wanted);
        if !free {
            conflict = Some((reason, in_use(wanted)));
        }
        free
    };
    if one(Some(&wanted.plural), Some(&accepted.plural), &resources, "PluralConflict") {
        names.plural.clone_from(&wanted.plural);
    }
    if one(wanted.singular.as_deref(), accepted.singular.as_deref(), &resources, "SingularConflict") {
        names.singular.clone_from(&wanted.singular);
    }
    let own = accepted.short_names.clone().unwrap_or_default();
    let is_taken = |name: &&String| !own.contains(name) && resources.contains(name.as_str());
    let short: Vec<String> = wanted.short_names.iter().flatten().filter(is_taken).map(|name| in_use(name)).collect();
    match short.as_slice() {
        [] => names.short_names.clone_from(&wanted.short_names),
        [one] => conflict = Some(("ShortNamesConflict", one.clone())),
        all => conflict = Some(("ShortNamesConflict", format!("[{}]", all.join(", ")))),
    }
    let mut one = |wanted: Option<&str>, own: Option<&str>, reason: &'static str| {
        let wanted = wanted.unwrap_or_default();
        let free = wanted == own.unwrap_or_default() || !kinds.contains(wanted);
        if !free {
            conflict = Some((reason, in_use(wanted)));
        }
        free
    };
    if one(Some(&wanted.kind), Some(&accepted.kind), "KindConflict") {
        names.kind.clone_from(&wanted.kind);
    }
    if one(wanted.list_kind.as_deref(), accepted.list_kind.as_deref(), "ListKindConflict") {
        names.list_kind.clone_from(&wanted.list_kind);
    }
    names.categories.clone_from(&wanted.categories);
    (names, conflict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{now, object, shared, status};
    use serde_json::{Value, json};

    fn definition(plural: &str, kind: &str, short: &[&str], status: Value) -> Value {
        let names = json!({"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
            "shortNames": short});
        json!({"metadata": {"name": format!("{plural}.example.com")}, "status": status,
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": []}})
    }

    fn conditions(plan: &Plan) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = status(plan);
        let all = status["conditions"].as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|one| {
                format!(
                    "{}={} {}: {}",
                    text(&one["type"]),
                    text(&one["status"]),
                    text(&one["reason"]),
                    text(&one["message"])
                )
            })
            .collect()
    }

    #[test]
    fn names_are_accepted_and_then_the_kind_is_established() {
        let new = definition("widgets", "Widget", &["wd"], json!({}));
        let plan = CustomResourceNames.decide(&object(new.clone()), &shared([new]), now());
        assert_eq!(
            conditions(&plan),
            [
                "NamesAccepted=True NoConflicts: no conflicts found",
                "Established=False Installing: the initial names have been accepted",
            ]
        );
        assert_eq!(status(&plan)["acceptedNames"]["shortNames"], json!(["wd"]));
        let mut named = definition("widgets", "Widget", &["wd"], status(&plan));
        let plan = CustomResourceNames.decide(&object(named.clone()), &shared([named.clone()]), now());
        assert_eq!(
            conditions(&plan),
            [
                "NamesAccepted=True NoConflicts: no conflicts found",
                "Established=True InitialNamesAccepted: the initial names have been accepted",
            ]
        );
        named["status"]["conditions"] = status(&plan)["conditions"].clone();
        assert!(CustomResourceNames.decide(&object(named), &vec![], now()).is_empty());
    }

    #[test]
    fn groups_of_the_community_are_told_of_approval() {
        let mut new = definition("widgets", "Widget", &[], json!({}));
        new["spec"]["group"] = "example.k8s.io".into();
        new["metadata"]["annotations"] = json!({APPROVED: "unapproved, a test"});
        let plan = CustomResourceNames.decide(&object(new.clone()), &shared([new]), now());
        let expected =
            "KubernetesAPIApprovalPolicyConformant=False UnapprovedAnnotation: not approved: \"unapproved, a test\"";
        assert_eq!(conditions(&plan)[2], expected);
    }

    #[test]
    fn taken_names_are_refused() {
        let names = |plural: &str, kind: &str, short: &[&str]| {
            definition(plural, kind, short, json!({}))["spec"]["names"].clone()
        };
        let table = [
            ("kind", names("gadgets", "Widget", &[]), "ListKindConflict: \"WidgetList\" is already in use"),
            ("short", names("gadgets", "Gadget", &["wd"]), "ShortNamesConflict: \"wd\" is already in use"),
            ("singular", names("gadgets", "Wd", &[]), "SingularConflict: \"wd\" is already in use"),
        ];
        let holder =
            definition("widgets", "Widget", &["wd"], json!({"acceptedNames": names("widgets", "Widget", &["wd"])}));
        for (name, wanted, expected) in table {
            let mut new = definition("gadgets", "Gadget", &[], json!({}));
            new["spec"]["names"] = wanted;
            let plan = CustomResourceNames.decide(&object(new.clone()), &shared([holder.clone(), new]), now());
            let expected = [
                format!("NamesAccepted=False {expected}"),
                "Established=False NotAccepted: not all names are accepted".to_owned(),
            ];
            assert_eq!(conditions(&plan), expected, "{name}");
        }
    }
}
