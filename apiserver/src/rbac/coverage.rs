//! Whether some rules allow all that others allow (`component-helpers/auth/rbac/validation`).

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Rule, has, has_or_all, path_covers};

/// What `owned` does not allow of `wanted`, as rules of one verb and one resource or path each.
pub fn missing(owned: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(break_down);
    parts.filter(|part| !owned.iter().any(|own| covers(own, part))).collect()
}

/// Rules as upstream lists them for people: those that differ by verbs only are one, sorted.
pub fn describe(parts: Vec<Rule>) -> String {
    let mut compact: BTreeMap<Rule, Rule> = BTreeMap::new();
    for part in parts {
        let mut alike = part.clone();
        // Paths are not joined.
        if part.non_resource_urls.is_empty() {
            alike.verbs.clear();
        }
        match compact.get_mut(&alike) {
            Some(rule) => rule.verbs.extend(part.verbs),
            None => {
                compact.insert(alike, part);
            }
        }
    }
    let lines: BTreeSet<String> = compact.values().map(Rule::to_string).collect();
    Vec::from_iter(lines).join("\n")
}

fn break_down(rule: &Rule) -> Vec<Rule> {
    let one = |text: &str| vec![Box::from(text)];
    let mut parts = Vec::new();
    for (group, resource) in rule.api_groups.iter().flat_map(|group| rule.resources.iter().map(move |r| (group, r))) {
        for verb in &rule.verbs {
            let part = Rule { verbs: one(verb), api_groups: one(group), resources: one(resource), ..Rule::default() };
            if rule.resource_names.is_empty() {
                parts.push(part);
            } else {
                let names = rule.resource_names.iter();
                parts.extend(names.map(|name| Rule { resource_names: one(name), ..part.clone() }));
            }
        }
    }
    for (url, verb) in rule.non_resource_urls.iter().flat_map(|url| rule.verbs.iter().map(move |verb| (url, verb))) {
        parts.push(Rule { verbs: one(verb), non_resource_urls: one(url), ..Rule::default() });
    }
    parts
}

/// `part` was broken down.
fn covers(own: &Rule, part: &Rule) -> bool {
    let all = |wanted: &[Box<str>], holds: &dyn Fn(&str) -> bool| wanted.iter().all(|wanted| holds(wanted));
    all(&part.verbs, &|verb| has_or_all(&own.verbs, verb))
        && all(&part.api_groups, &|group| has_or_all(&own.api_groups, group))
        && all(&part.resources, &|resource| resource_covered(own, resource))
        && all(&part.non_resource_urls, &|path| own.non_resource_urls.iter().any(|own| path_covers(own, path)))
        && (own.resource_names.is_empty()
            || !part.resource_names.is_empty() && all(&part.resource_names, &|name| has(&own.resource_names, name)))
}

fn resource_covered(own: &Rule, resource: &str) -> bool {
    let any_parent = || resource.split_once('/').is_some_and(|(_, sub)| has(&own.resources, &format!("*/{sub}")));
    has_or_all(&own.resources, resource) || any_parent()
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap::rule;
    use super::*;

    /// Rules as lines of the policy file.
    fn parse(lines: &[&str]) -> Vec<Rule> {
        lines.iter().map(|line| rule(line).unwrap()).collect()
    }

    #[test]
    fn what_is_not_owned_is_missing() {
        let table: [(&[&str], &[&str], &str); 11] = [
            (&["* * *", "* url *"], &["get core pods", "get url /metrics/*", "* * *"], ""),
            (&["get core pods"], &["get core pods", "get core pods named p"], ""),
            (
                &["get core pods named p"],
                &["get core pods named p,q"],
                r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["q"], Verbs:["get"]}"#,
            ),
            (&["get core pods named p"], &["get core pods"], r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#),
            (&["get core pods", "list core pods"], &["get,list core pods"], ""),
            (
                &["get core pods"],
                &["watch,get,list core pods"],
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["watch" "list"]}"#,
            ),
            (&["* * */scale"], &["get apps deployments/scale"], ""),
            (
                &["* * */scale"],
                &["get apps deployments"],
                r#"{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}"#,
            ),
            (
                &["get core pods"],
                &["get,list url /b,/a"],
                "{NonResourceURLs:[\"/a\"], Verbs:[\"get\"]}\n{NonResourceURLs:[\"/a\"], Verbs:[\"list\"]}\n{NonResourceURLs:[\"/b\"], Verbs:[\"get\"]}\n{NonResourceURLs:[\"/b\"], Verbs:[\"list\"]}",
            ),
            (&["get url /a/*"], &["get url /a/b/*", "get url /a/*"], ""),
            (
                &[],
                &["get apps,core pods"],
                "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}\n{APIGroups:[\"apps\"], Resources:[\"pods\"], Verbs:[\"get\"]}",
            ),
        ];
        for (owned, wanted, expected) in table {
            assert_eq!(describe(missing(&parse(owned), &parse(wanted))), expected, "{owned:?} {wanted:?}");
        }
    }
}
