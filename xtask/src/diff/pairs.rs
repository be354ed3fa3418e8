//! What both servers make up by themselves: uids, revisions, generated names, allocated addresses. Two values mean the same
//! if each was always seen where the other one was.

use std::collections::{BTreeMap, BTreeSet};

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
}

impl Revisions {
    pub fn agree(&mut self, ours: u64, theirs: u64) -> bool {
        if let Some(known) = self.pairs.get(&ours) {
            return *known == theirs;
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
        let places = [(5, 50, true), (5, 59, true), (6, 59, false), (100, 100, true), (4, 49, true), (4, 50, false)];
        for (ours, theirs, expected) in places {
            assert_eq!(revisions.same_place(ours, theirs), expected, "{ours} {theirs}");
        }
    }
}
