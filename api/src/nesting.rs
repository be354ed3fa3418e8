//! How deep objects are: what is nested deeper than JSON may be could be stored and never read again, and what recurses over it would run
//! out of stack.

use serde_json::Value;

/// Objects and lists inside one another that `serde_json` reads.
pub const MAX: usize = 127;
/// Between two looks at the whole object, so that many operations do not take quadratic time.
pub const MAX_UNSEEN: usize = 2000;

/// An upper bound of an object's depth while it is changed.
#[derive(Debug)]
pub struct Nesting(usize);

impl Nesting {
    pub fn of(object: &Value) -> Self {
        Self(depth(object))
    }

    /// After something of so many levels was put into the object, or was moved inside it. `false`: it is too deep.
    pub fn grow(&mut self, levels: usize, object: &Value) -> bool {
        self.0 += levels;
        self.0 <= MAX_UNSEEN || self.fits(object)
    }

    /// Whether the object is one that can be read.
    pub fn fits(&mut self, object: &Value) -> bool {
        if self.0 > MAX {
            self.0 = depth(object);
        }
        self.0 <= MAX
    }
}

/// Without recursion.
pub fn depth(value: &Value) -> usize {
    let (mut deepest, mut open) = (0, vec![(value, 0)]);
    while let Some((value, outside)) = open.pop() {
        let inside = outside + 1;
        match value {
            Value::Array(elements) => open.extend(elements.iter().map(|element| (element, inside))),
            Value::Object(members) => open.extend(members.values().map(|member| (member, inside))),
            _ => continue,
        }
        deepest = deepest.max(inside);
    }
    deepest
}
