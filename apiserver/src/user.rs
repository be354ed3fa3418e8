//! Who sends a request.

use std::collections::BTreeMap;

/// An authenticated identity (`authentication.k8s.io/v1 UserInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.into(), groups: groups.iter().map(|&group| group.into()).collect(), ..Self::default() }
    }

    /// A member of `system:masters`, whom every authorizer allows everything.
    pub fn admin() -> Self {
        Self::new("system:admin", &["system:masters", "system:authenticated"])
    }

    /// The name of the node that the user is.
    pub fn node(&self) -> Option<&str> {
        self.name.strip_prefix("system:node:").filter(|_| self.in_group("system:nodes"))
    }

    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}
