//! Why a configuration was not applied: others manage what it would change.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::element::{PathElement, path_text};
use super::managers::{ManagerId, Operation};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub manager: ManagerId,
    pub path: Vec<PathElement>,
}

/// Sorted by manager.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl Conflict {
    /// The text of its cause in a Status.
    pub fn message(&self) -> String {
        format!("conflict with {}", Shown(&self.manager))
    }

    pub fn field(&self) -> String {
        path_text(&self.path)
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return write!(f, "Apply failed with 1 conflict: {}: {}", one.message(), one.field());
        }
        let mut by_manager: BTreeMap<&ManagerId, Vec<String>> = BTreeMap::new();
        for conflict in &self.0 {
            by_manager.entry(&conflict.manager).or_default().push(conflict.field());
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut by_manager: Vec<_> = by_manager.into_iter().collect();
        by_manager.sort_by_key(|(manager, _)| as_upstream(manager));
        let part = |(manager, fields): (&ManagerId, Vec<String>)| {
            format!("conflicts with {}:\n- {}", Shown(manager), fields.join("\n- "))
        };
        f.write_str(&by_manager.into_iter().map(part).collect::<Vec<_>>().join("\n"))
    }
}

/// Upstream sorts by JSON of what managers are told apart by, which goes on after the version only where there is a subresource: a comma is
/// less than the brace.
fn as_upstream(manager: &ManagerId) -> impl Ord + use<> {
    let ManagerId { manager, operation, api_version, subresource } = manager.clone();
    (manager, operation, api_version, subresource.is_empty(), subresource)
}

struct Shown<'a>(&'a ManagerId);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.manager)?;
        if !self.0.subresource.is_empty() {
            write!(f, " with subresource {:?}", self.0.subresource)?;
        }
        if self.0.operation == Operation::Update {
            write!(f, " using {}", self.0.api_version)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_speak_as_upstream() {
        let conflict = |manager: &str, operation, subresource: &str, field: &str| Conflict {
            manager: ManagerId::new(manager, operation, "apps/v1", subresource),
            path: ["spec", field].map(PathElement::field).to_vec(),
        };
        let one = Conflicts(vec![conflict("a", Operation::Update, "", "x")]);
        assert_eq!(one.to_string(), "Apply failed with 1 conflict: conflict with \"a\" using apps/v1: .spec.x");
        let three = Conflicts(vec![
            conflict("a", Operation::Apply, "", "x"),
            conflict("a", Operation::Apply, "", "y"),
            conflict("b", Operation::Update, "scale", "z"),
        ]);
        assert_eq!(
            three.to_string(),
            "Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.x\n- .spec.y\nconflicts with \"b\" with \
             subresource \"scale\" using apps/v1:\n- .spec.z"
        );
        let of_one_name =
            ["", "scale", "status"].map(|subresource| conflict("a", Operation::Update, subresource, "x")).to_vec();
        assert_eq!(
            Conflicts(of_one_name).to_string(),
            "Apply failed with 3 conflicts: conflicts with \"a\" with subresource \"scale\" using apps/v1:\n- .spec.x\n\
             conflicts with \"a\" with subresource \"status\" using apps/v1:\n- .spec.x\nconflicts with \"a\" using \
             apps/v1:\n- .spec.x"
        );
    }
}
