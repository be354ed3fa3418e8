//! Sets of fields. A field that holds others may be a member with or without them: owning `spec.ports` says something about
//! the list, owning `spec.ports[port=80].name` about one leaf in it.

use std::cmp::Ordering;

use super::element::PathElement;

/// A tree of path elements, sorted. No node is useless: each is a member or has members below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub element: PathElement,
    pub member: bool,
    pub children: Set,
}

impl Node {
    pub fn new(element: PathElement, member: bool, children: Set) -> Self {
        Self { element, member, children }
    }

    fn is_useless(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|node| usize::from(node.member) + node.children.len()).sum()
    }

    /// The empty path is the whole object, which nobody owns.
    pub fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.node_mut(first.clone());
        match rest {
            [] => node.member = true,
            rest => node.children.insert(rest),
        }
    }

    /// Adds a node of an element that is not there yet; useless ones are dropped. Quick in sorted order.
    pub(super) fn push(&mut self, node: Node) {
        if node.is_useless() {
            return;
        }
        if self.nodes.last().is_none_or(|last| last.element < node.element) {
            self.nodes.push(node);
            return;
        }
        match self.position(&node.element) {
            Ok(at) => {
                let known = &mut self.nodes[at];
                known.member |= node.member;
                known.children.add(node.children);
            }
            Err(at) => self.nodes.insert(at, node),
        }
    }

    fn node_mut(&mut self, element: PathElement) -> &mut Node {
        let at = match self.position(&element) {
            Ok(at) => at,
            Err(at) => {
                self.nodes.insert(at, Node::new(element, false, Self::default()));
                at
            }
        };
        &mut self.nodes[at]
    }

    fn position(&self, element: &PathElement) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.element.cmp(element))
    }

    pub fn node(&self, element: &PathElement) -> Option<&Node> {
        self.position(element).ok().map(|at| &self.nodes[at])
    }

    /// Whether all members are members of `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.nodes.iter().all(|node| match other.node(&node.element) {
            Some(theirs) => (theirs.member || !node.member) && node.children.is_within(&theirs.children),
            None => false,
        })
    }

    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.node(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.node(first).is_some_and(|node| node.children.has(rest)),
        }
    }

    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.add(other.clone());
        all
    }

    /// Adds the members of `other`.
    pub fn add(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
        } else {
            other.nodes.into_iter().for_each(|node| self.push(node));
        }
    }

    pub fn intersection(&self, other: &Self) -> Self {
        let mut common = Self::default();
        for_both(&self.nodes, &other.nodes, |a, b| {
            let node = Node::new(a.element.clone(), a.member && b.member, a.children.intersection(&b.children));
            common.nodes.extend(Some(node).filter(|node| !node.is_useless()));
        });
        common
    }

    /// The members of `self` that are no members of `other`, each looked at by itself: what is below a member of `other` stays.
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract(other);
        rest
    }

    /// As [`Self::difference`], in place.
    pub fn subtract(&mut self, other: &Self) {
        self.take(other, &mut |own, other| {
            own.member &= !other.member;
            own.children.subtract(&other.children);
        });
    }

    /// As [`Self::difference`], and what is below a member of `other` goes with it.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        rest.subtract_recursively(other);
        rest
    }

    /// As [`Self::recursive_difference`], in place.
    pub fn subtract_recursively(&mut self, other: &Self) {
        self.take(other, &mut |own, other| {
            if other.member {
                (own.member, own.children) = (false, Self::default());
            } else {
                own.children.subtract_recursively(&other.children);
            }
        });
    }

    /// Changes the nodes that `other` has too.
    fn take(&mut self, other: &Self, change: &mut dyn FnMut(&mut Node, &Node)) {
        let mut useless = false;
        for theirs in &other.nodes {
            if let Ok(at) = self.position(&theirs.element) {
                change(&mut self.nodes[at], theirs);
                useless |= self.nodes[at].is_useless();
            }
        }
        if useless {
            self.nodes.retain(|node| !node.is_useless());
        }
    }

    /// All members, parents before children.
    pub fn for_each(&self, mut visit: impl FnMut(&[PathElement])) {
        self.walk(&mut Vec::new(), &mut visit);
    }

    fn walk(&self, path: &mut Vec<PathElement>, visit: &mut dyn FnMut(&[PathElement])) {
        // Upstream's order: the members of one level, then what is below them.
        for node in self.nodes.iter().filter(|node| node.member) {
            path.push(node.element.clone());
            visit(path);
            path.pop();
        }
        for node in self.nodes.iter().filter(|node| !node.children.is_empty()) {
            path.push(node.element.clone());
            node.children.walk(path, visit);
            path.pop();
        }
    }

    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut paths = Vec::new();
        self.for_each(|path| paths.push(path.to_vec()));
        paths
    }
}

/// Walks two sorted lists together.
fn for_both(a: &[Node], b: &[Node], mut visit: impl FnMut(&Node, &Node)) {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match a.element.cmp(&b.element) {
            Ordering::Less => drop(left.next()),
            Ordering::Greater => drop(right.next()),
            Ordering::Equal => {
                visit(a, b);
                left.next();
                right.next();
            }
        }
    }
}

impl<'a> FromIterator<&'a [PathElement]> for Set {
    fn from_iter<I: IntoIterator<Item = &'a [PathElement]>>(paths: I) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(path);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Vec<PathElement> {
        text.split('.').map(PathElement::field).collect()
    }

    fn set(paths: &[&str]) -> Set {
        let mut set = Set::default();
        paths.iter().for_each(|text| set.insert(&path(text)));
        set
    }

    #[test]
    fn operations() {
        let (a, b) = (set(&["a", "a.b", "a.c", "d.e"]), set(&["a", "a.c.x", "d.e"]));
        assert_eq!(a.union(&b), set(&["a", "a.b", "a.c", "a.c.x", "d.e"]));
        assert_eq!(a.intersection(&b), set(&["a", "d.e"]));
        assert_eq!(a.difference(&b), set(&["a.b", "a.c"]));
        assert_eq!(a.recursive_difference(&b), set(&[]));
        assert_eq!(set(&["a.b.c"]).recursive_difference(&set(&["a.b"])), set(&[]));
        assert_eq!(set(&["a.b.c"]).difference(&set(&["a.b"])), set(&["a.b.c"]));
        assert_eq!(a.len(), 4);
        assert!(a.has(&path("a.c")) && !a.has(&path("d")) && !a.has(&[]));
    }

    #[test]
    fn members_come_level_by_level() {
        let mut texts = Vec::new();
        set(&["b", "a.b.c", "a.d", "a"]).for_each(|path| texts.push(super::super::element::path_text(path)));
        assert_eq!(texts, [".a", ".b", ".a.d", ".a.b.c"]);
    }

    fn sets() -> impl Strategy<Value = Set> {
        let path = proptest::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4);
        proptest::collection::vec(path, 0..8).prop_map(|paths| {
            let paths: Vec<Vec<PathElement>> =
                paths.iter().map(|path| path.iter().map(|name| PathElement::field(name)).collect()).collect();
            paths.iter().map(Vec::as_slice).collect()
        })
    }

    proptest! {
        #[test]
        fn sets_obey_their_laws(a in sets(), b in sets(), c in sets()) {
            prop_assert_eq!(a.union(&b), b.union(&a));
            prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
            prop_assert!(a.difference(&a).is_empty());
            prop_assert_eq!(a.is_within(&b), a.difference(&b).is_empty());
            prop_assert!(a.is_within(&a.union(&b)));
            prop_assert!(a.recursive_difference(&b).difference(&a.difference(&b)).is_empty());
        }
    }
}
