//! From text to a tree: `lexer` makes tokens, `parser` the tree, `macros` rewrites calls such as `all` into loops, `text` reads
//! literals of strings and bytes.

mod expr;
mod lexer;
mod macros;
mod parser;
mod text;

pub use expr::{Comprehension, Entry, Expr, Field, Id, Item, Kind, Tree};
pub use macros::ACCUMULATOR;
pub use parser::parse;

pub(crate) const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];
