//! What both servers make up by themselves: uids, revisions, generated names, allocated addresses. Two values mean the same
//! if each was always seen where the other one was.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ours,
    Theirs,
}

/// Grows with what is compared. One for each scenario.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    pub uids: Bijection,
    pub names: Bijection,
    pub addresses: Bijection,
    pub revisions: Revisions,
    pub ignore_revisions: bool,
    /// By our uid: by how much upstream's generation is ahead because of writes that changed nothing.
    pub ahead: BTreeMap<String, u64>,
}

impl Pairs {
    /// Whether the generation of an object differs by what it is known to be ahead.
    pub fn is_ahead(&self, uid: Option<&Value>, ours: &Value, theirs: &Value) -> bool {
        let ahead = uid.and_then(Value::as_str).and_then(|uid| self.ahead.get(uid));
        match (ahead, ours.as_u64(), theirs.as_u64()) {
            (Some(ahead), Some(ours), Some(theirs)) => ours + ahead == theirs,
            _ => false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Bijection {
    forward: BTreeMap<String, String>,
    back: BTreeMap<String, String>,
}

impl Bijection {
    /// Whether these two may be the same; from then on they are.
    pub fn agree(&mut self, ours: &str, theirs: &str) -> bool {
        match (self.forward.get(ours), self.back.get(theirs)) {
            (None, None) => {
                self.forward.insert(ours.to_owned(), theirs.to_owned());
                self.back.insert(theirs.to_owned(), ours.to_owned());
                true
            }
            (Some(known), _) => known == theirs,
            (None, Some(_)) => false,
        }
    }

    pub fn knows(&self, side: Side, value: &str) -> bool {
        match side {
            Side::Ours => self.forward.contains_key(value),
            Side::Theirs => self.back.contains_key(value),
        }
    }
}

/// Revisions of objects are pairs, in the same order on both sides. A list's revision is a place between those of objects: the
/// other server may have written something of its own meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Revisions {
    pairs: BTreeMap<u64, u64>,
    theirs: BTreeSet<u64>,
    /// Upstream's of writes that changed nothing anybody could see, and ours before and after those.
    unseen: BTreeMap<u64, u64>,
}

impl Revisions {
    pub fn agree(&mut self, ours: u64, theirs: u64) -> bool {
        if let Some(known) = self.pairs.get(&ours) {
            return *known == theirs || self.unseen.get(&theirs) == Some(&ours);
        }
        let before = self.pairs.range(..ours).next_back().is_none_or(|(_, other)| *other < theirs);
        let after = self.pairs.range(ours..).next().is_none_or(|(_, other)| *other > theirs);
        let fits = before && after;
        if fits {
            self.pairs.insert(ours, theirs);
            self.theirs.insert(theirs);
        }
        fits
    }

    /// Upstream's last known revision of the state that is our `ours`.
    pub fn last(&self, ours: u64) -> Option<u64> {
        let unseen = self.unseen.iter().filter(|(_, own)| **own == ours).map(|(theirs, _)| *theirs);
        self.pairs.get(&ours).copied().into_iter().chain(unseen).max()
    }

    /// Upstream has written what was our `ours` already.
    pub fn write_unseen(&mut self, ours: u64, theirs: u64) {
        self.unseen.insert(theirs, ours);
    }

    pub fn is_unseen(&self, theirs: u64) -> bool {
        self.unseen.contains_key(&theirs)
    }

    /// Whether both are as new with regard to objects.
    pub fn same_place(&self, ours: u64, theirs: u64) -> bool {
        self.pairs.range(..=ours).count() == self.theirs.range(..=theirs).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_only_in_pairs() {
        let mut pairs = Bijection::default();
        let cases = [("a", "x", true), ("a", "x", true), ("a", "y", false), ("b", "x", false), ("b", "y", true)];
        for (ours, theirs, expected) in cases {
            assert_eq!(pairs.agree(ours, theirs), expected, "{ours} {theirs}");
        }
    }

    #[test]
    fn revisions_keep_their_order() {
        let mut revisions = Revisions::default();
        let cases = [(5, 50, true), (7, 70, true), (6, 80, false), (6, 60, true), (9, 65, false), (5, 50, true)];
        for (ours, theirs, expected) in cases {
            assert_eq!(revisions.agree(ours, theirs), expected, "{ours} {theirs}");
        }
        revisions.write_unseen(6, 62);
        for (ours, theirs, expected) in [(6, 60, true), (6, 62, true), (6, 63, false), (5, 62, false)] {
            assert_eq!(revisions.agree(ours, theirs), expected, "{ours} {theirs}");
        }
        assert_eq!((revisions.last(6), revisions.last(5), revisions.last(9)), (Some(62), Some(50), None));
        let places = [(5, 50, true), (5, 59, true), (6, 59, false), (100, 100, true), (4, 49, true), (4, 50, false)];
        for (ours, theirs, expected) in places {
            assert_eq!(revisions.same_place(ours, theirs), expected, "{ours} {theirs}");
        }
    }
}
