//! All roles and bindings, indexed by subject: what a user may do is found without looking at bindings of others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::object::{Binding, Place, Subject};
use super::rule::Rule;
use crate::request::RequestInfo;
use crate::user::UserInfo;

/// Grows and shrinks by single objects. Rules only ever add up, so a decision needs no order.
#[derive(Debug, Default)]
pub struct Policy {
    roles: HashMap<Place, Arc<[Rule]>>,
    bindings: BTreeMap<Place, Arc<Binding>>,
    /// Service accounts among them, by their user names.
    users: HashMap<Box<str>, Granted>,
    groups: HashMap<Box<str>, Granted>,
}

/// The bindings of one subject, by their namespace and name. Cluster-wide ones are those of the empty namespace.
type Granted = BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<Binding>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Allowed,
    Refused,
    /// Refused, and some binding of the user names a role that does not exist.
    RoleMissing,
}

/// Why a user may do something.
#[derive(Debug)]
pub struct Grant<'p> {
    pub binding: &'p Binding,
    pub subject: &'p Subject,
    /// `None` when the role does not exist.
    pub rules: Option<&'p [Rule]>,
}

impl Policy {
    /// `None` removes it.
    pub fn set_role(&mut self, place: Place, rules: Option<Arc<[Rule]>>) {
        match rules {
            Some(rules) => self.roles.insert(place, rules),
            None => self.roles.remove(&place),
        };
    }

    pub fn set_binding(&mut self, binding: Binding) {
        self.remove_binding(&binding.place);
        let binding = Arc::new(binding);
        let Place { namespace, name } = &binding.place;
        for subject in &binding.subjects {
            let (map, key) = self.subjects(subject);
            let granted = map.entry(key.into()).or_default();
            granted.entry(namespace.clone()).or_default().insert(name.clone(), binding.clone());
        }
        self.bindings.insert(binding.place.clone(), binding);
    }

    pub fn remove_binding(&mut self, place: &Place) {
        let Some(binding) = self.bindings.remove(place) else { return };
        for subject in &binding.subjects {
            let (map, key) = self.subjects(subject);
            let Some(granted) = map.get_mut(key) else { continue };
            if let Some(there) = granted.get_mut(&place.namespace) {
                there.remove(&place.name);
                if there.is_empty() {
                    granted.remove(&place.namespace);
                }
            }
            if granted.is_empty() {
                map.remove(key);
            }
        }
    }

    fn subjects<'s>(&mut self, subject: &'s Subject) -> (&mut HashMap<Box<str>, Granted>, &'s str) {
        match subject {
            Subject::User(name) | Subject::ServiceAccount { user: name, .. } => (&mut self.users, name),
            Subject::Group(name) => (&mut self.groups, name),
        }
    }

    /// Forgets all roles, or all bindings, that are in a namespace (or those that are not).
    pub fn clear_roles(&mut self, namespaced: bool) {
        self.roles.retain(|place, _| place.namespace.is_empty() == namespaced);
    }

    /// As [`Policy::clear_roles`].
    pub fn clear_bindings(&mut self, namespaced: bool) {
        let gone = self.bindings.keys().filter(|place| place.namespace.is_empty() != namespaced);
        for place in gone.cloned().collect::<Vec<_>>() {
            self.remove_binding(&place);
        }
    }

    /// The rules of a role; `None` when there is no such role.
    pub fn role(&self, place: &Place) -> Option<&[Rule]> {
        self.roles.get(place).map(|rules| &**rules)
    }

    /// The decision, in the least time. A namespace of the request adds the bindings in it to the cluster-wide ones.
    pub fn decide(&self, user: &UserInfo, request: &RequestInfo) -> Outcome {
        let mut outcome = Outcome::Refused;
        for binding in self.granted(user).flat_map(|granted| in_scope(granted, &request.namespace)) {
            match self.roles.get(&binding.role) {
                Some(rules) if rules.iter().any(|rule| rule.allows(request)) => return Outcome::Allowed,
                Some(_) => {}
                None => outcome = Outcome::RoleMissing,
            }
        }
        outcome
    }

    /// Each binding that means the user once, cluster-wide ones first, by name: upstream's order of lists.
    pub fn grants(&self, user: &UserInfo, namespace: &str) -> Vec<Grant<'_>> {
        let found = self.granted(user).flat_map(|granted| in_scope(granted, namespace));
        let distinct: BTreeMap<&Place, &Binding> = found.map(|binding| (&binding.place, &**binding)).collect();
        let grants = distinct.into_values().filter_map(|binding| {
            let subject = binding.subjects.iter().find(|subject| subject.is(user))?;
            Some(Grant { binding, subject, rules: self.role(&binding.role) })
        });
        grants.collect()
    }

    fn granted<'p>(&'p self, user: &UserInfo) -> impl Iterator<Item = &'p Granted> {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        self.users.get(user.name.as_str()).into_iter().chain(groups)
    }
}

fn in_scope<'p>(granted: &'p Granted, namespace: &str) -> impl Iterator<Item = &'p Arc<Binding>> + use<'p> {
    let local = if namespace.is_empty() { None } else { granted.get(namespace) };
    granted.get("").into_iter().chain(local).flat_map(BTreeMap::values)
}
