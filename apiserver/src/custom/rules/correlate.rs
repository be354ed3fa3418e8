//! What of an object is as it was: errors of a part that did not change are let be (`pkg/cel/common/equality.go`).

use serde_json::Value;

/// A value and the old one in its place. Elements of lists are found again only by their keys.
#[derive(Clone, Copy)]
pub(super) struct Pair<'o> {
    new: &'o Value,
    old: &'o Value,
}

/// Where a walk is, in the old object.
#[derive(Clone, Copy, Default)]
pub(super) struct Correlation<'o> {
    /// `None` where nothing corresponds.
    current: Option<Pair<'o>>,
    /// The nearest above that has something.
    parent: Option<Pair<'o>>,
}

impl<'o> Correlation<'o> {
    pub fn of(new: &'o Value, old: Option<&'o Value>) -> Self {
        Self { current: old.map(|old| Pair { new, old }), parent: None }
    }

    /// Errors here are not this change's fault.
    pub fn is_unchanged(self) -> bool {
        self.current.or(self.parent).is_some_and(|pair| pair.new == pair.old)
    }

    /// A member that the schema knows.
    pub fn member(self, name: &str) -> Self {
        let Some(pair) = self.current else { return self };
        // The type of an object is not its own to change.
        if self.parent.is_none() && matches!(name, "apiVersion" | "kind") {
            return Self::default();
        }
        let current = match (pair.new.get(name), pair.old.get(name)) {
            (Some(new), Some(old)) => Some(Pair { new, old }),
            _ => None,
        };
        Self { current, parent: Some(pair) }
    }

    /// An element, and the old one that has its keys.
    pub fn element(self, new: &'o Value, old: Option<&'o Value>) -> Self {
        let Some(pair) = self.current else { return self };
        Self { current: old.map(|old| Pair { new, old }), parent: Some(pair) }
    }
}

/// The element of an old list with the same keys.
pub(super) fn find<'o>(old: Option<&'o Value>, item: &Value, keys: &[String]) -> Option<&'o Value> {
    let named = |item: &Value| -> Option<Vec<Value>> {
        let scalar = |value: &Value| !value.is_object() && !value.is_array() && !value.is_null();
        keys.iter().map(|key| item.get(key).filter(|value| scalar(value)).cloned()).collect()
    };
    if keys.is_empty() {
        return None;
    }
    let wanted = named(item)?;
    old?.as_array()?.iter().find(|other| named(other).as_ref() == Some(&wanted))
}
