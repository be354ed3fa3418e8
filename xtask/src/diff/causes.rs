//! Differences by cause.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Class, Difference};
use super::step::{Action, Scenario, Wire};

/// Of all differences that are thought to have one reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub class: Class,
    pub place: String,
    pub what: String,
}

pub struct Cause {
    pub count: usize,
    pub resources: BTreeSet<String>,
    pub example: Example,
}

/// The first time that it was seen.
#[derive(Clone)]
pub struct Example {
    pub scenario: Scenario,
    pub wire: Wire,
    pub detail: String,
}

#[derive(Default)]
pub struct Causes {
    pub by_key: BTreeMap<Key, Cause>,
}

impl Key {
    pub fn of(difference: &Difference, wire: &Wire) -> Self {
        let place = match difference.class {
            Class::Code => format!("{}{}", wire.method, subresource(&wire.target)),
            _ => difference.place.clone(),
        };
        Self { class: difference.class, place, what: difference.what.clone() }
    }
}

impl Causes {
    /// Answers with the cause if it was not known.
    pub fn add(&mut self, difference: &Difference, wire: &Wire, scenario: &Scenario) -> Option<Key> {
        let key = Key::of(difference, wire);
        let new = (!self.by_key.contains_key(&key)).then(|| key.clone());
        let cause = self.by_key.entry(key).or_insert_with(|| Cause {
            count: 0,
            resources: BTreeSet::new(),
            example: Example { scenario: scenario.clone(), wire: wire.clone(), detail: difference.detail.clone() },
        });
        cause.count += 1;
        cause.resources.insert(resource(&wire.target));
        new
    }

    /// What was found elsewhere, too. Examples that are here already stay.
    pub fn absorb(&mut self, other: Self) {
        for (key, cause) in other.by_key {
            match self.by_key.entry(key) {
                Entry::Vacant(place) => drop(place.insert(cause)),
                Entry::Occupied(mut place) => {
                    let known = place.get_mut();
                    known.count += cause.count;
                    known.resources.extend(cause.resources);
                }
            }
        }
    }

    /// Worst first: what comes first breaks clients.
    pub fn sorted(&self) -> Vec<(&Key, &Cause)> {
        let mut causes: Vec<_> = self.by_key.iter().collect();
        causes.sort_by_key(|(key, cause)| (key.class, std::cmp::Reverse(cause.count)));
        causes
    }
}

/// Segments of a path after the namespace, or after the version.
fn segments(target: &str) -> Vec<&str> {
    let path = target.split('?').next().unwrap_or_default();
    let all: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let start = if all.first() == Some(&"api") { 2 } else { 3 };
    let rest = all.get(start..).unwrap_or_default();
    if rest.len() > 2 && rest[0] == "namespaces" { rest[2..].to_vec() } else { rest.to_vec() }
}

pub fn resource(target: &str) -> String {
    segments(target).first().map_or_else(|| "-".to_owned(), |segment| (*segment).to_owned())
}

fn subresource(target: &str) -> String {
    match segments(target).as_slice() {
        [_, _, subresource, ..] => format!(" {subresource}"),
        [_] => " collection".to_owned(),
        _ => String::new(),
    }
}

/// Whether the rest of a scenario says nothing new after this: one server wrote, the other did not.
pub fn parts(difference: &Difference, action: &Action) -> bool {
    let writes = matches!(action, Action::Send(request) if request.method != "GET");
    writes && difference.class == Class::Code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_resources() {
        let cases = [
            ("/api/v1/namespaces/d1/pods/a/status?x=/y", "pods", " status"),
            ("/api/v1/namespaces/d1", "namespaces", ""),
            ("/api/v1/namespaces/d1/pods", "pods", " collection"),
            ("/apis/apps/v1/deployments", "deployments", " collection"),
            ("/version", "-", ""),
        ];
        for (target, expected, below) in cases {
            assert_eq!(resource(target), expected, "{target}");
            assert_eq!(subresource(target), below, "{target}");
        }
    }
}
