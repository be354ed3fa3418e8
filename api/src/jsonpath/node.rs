//! The syntax tree.

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// One `{...}`: each node takes what the one before found.
    List(Vec<Node>),
    Field(String),
    Slice(Slice),
    Filter(Filter),
    Union(Vec<Vec<Node>>),
    Wildcard,
    Recursive,
    Int(i64),
    Float(f64),
    Bool(bool),
    /// `range`, `end`, or a word that has no meaning.
    Identifier(String),
}

/// `[start:end:step]`; an index is a slice whose end is derived from its start.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slice {
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub end_is_derived: bool,
    pub step: Option<i64>,
}

/// `[?(left operator right)]`; without an operator, whether `left` finds anything.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filter {
    pub left: Vec<Node>,
    pub operator: Option<String>,
    pub right: Vec<Node>,
}
