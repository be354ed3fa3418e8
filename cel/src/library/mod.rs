//! The functions: one table, a row for each overload with its types, what it costs and what it does.
//!
//! `standard` is CEL itself with `math`, `text` and `time`; `optional`, `strings`, `sets` and `lists` are its extensions; the rest is
//! Kubernetes' (`k8s.io/apiserver/pkg/cel/library`): `regex`, `url`, `quantity`, `net`, `semver`, `format`, `authorizer`.

mod authorizer;
mod format;
pub(crate) mod go_float;
mod lists;
mod math;
mod net;
mod optional;
mod print;
mod quantity;
mod regex;
mod semver;
mod sets;
mod standard;
mod strings;
mod time;
mod url;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::cost::Rule;
use crate::error::Error;
use crate::types::Type;
use crate::value::Value;

pub use authorizer::{Authorizer, Check, Decision, Subject};
pub use format::Format;
pub use net::{Address, Block};
pub use print::literal_problem;
pub use semver::Version;
pub use url::Url;

pub(crate) use regex::compile as compile_regex;
pub(crate) use standard::shown;

/// What a call does. Arguments may be taken: the receiver comes first.
pub type Run = for<'a, 'v> fn(&'a mut [Value<'v>]) -> Result<Value<'v>, Error>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    Standard,
    Optional,
    Strings,
    Sets,
    Lists,
    /// Loops with two variables.
    Comprehensions,
    /// `cel.bind`.
    Bindings,
    /// Names in backticks.
    QuotedNames,
    KubernetesLists,
    Regex,
    Urls,
    Quantity,
    Net,
    Format,
    Semver,
    Authorizer,
    JsonPatch,
}

/// A set of libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Libraries(u32);

impl Libraries {
    /// CEL and its extensions.
    pub const COMMON: Self = Self::of(&[
        Library::Standard,
        Library::Optional,
        Library::Strings,
        Library::Sets,
        Library::Lists,
        Library::Comprehensions,
        Library::Bindings,
        Library::QuotedNames,
    ]);
    /// What expressions in Kubernetes v1.35 can use.
    pub const KUBERNETES: Self = Self::of(&[
        Library::Standard,
        Library::Optional,
        Library::Strings,
        Library::Sets,
        Library::Lists,
        Library::Comprehensions,
        Library::KubernetesLists,
        Library::Regex,
        Library::Urls,
        Library::Quantity,
        Library::Net,
        Library::Format,
        Library::Semver,
        Library::Authorizer,
    ]);

    const fn of(list: &[Library]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < list.len() {
            bits |= 1 << list[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    #[must_use]
    pub const fn with(self, library: Library) -> Self {
        Self(self.0 | 1 << library as u32)
    }

    pub fn has(self, library: Library) -> bool {
        self.0 & (1 << library as u32) != 0
    }

    pub(crate) fn optional_syntax(self) -> bool {
        self.has(Library::Optional)
    }

    pub(crate) fn escaped_names(self) -> bool {
        self.has(Library::QuotedNames)
    }
}

/// A row of the table: types as [`Type::read`] reads them.
pub(crate) struct Row {
    name: &'static str,
    id: &'static str,
    member: bool,
    args: &'static str,
    result: &'static str,
    cost: Rule,
    run: Run,
}

/// A function.
const fn row(
    name: &'static str,
    id: &'static str,
    args: &'static str,
    result: &'static str,
    cost: Rule,
    run: Run,
) -> Row {
    Row { name, id, member: false, args, result, cost, run }
}

/// A function that is called on its first argument.
const fn member(
    name: &'static str,
    id: &'static str,
    args: &'static str,
    result: &'static str,
    cost: Rule,
    run: Run,
) -> Row {
    Row { name, id, member: true, args, result, cost, run }
}

/// All rows, in the order in which overloads are tried.
fn tables() -> impl Iterator<Item = (Library, &'static [Row])> {
    let standard = [standard::ROWS].into_iter().chain(math::TABLES).chain(time::TABLES);
    let rest: [(Library, &[Row]); 15] = [
        (Library::Optional, optional::ROWS),
        (Library::Strings, strings::ROWS),
        (Library::Sets, sets::ROWS),
        (Library::Lists, lists::ROWS),
        (Library::Comprehensions, standard::INSERT),
        (Library::KubernetesLists, lists::KUBERNETES),
        (Library::Regex, regex::ROWS),
        (Library::Urls, url::ROWS),
        (Library::Quantity, quantity::ROWS),
        (Library::Net, net::ROWS),
        (Library::Format, format::ROWS),
        (Library::Format, format::NAMES),
        (Library::Semver, semver::ROWS),
        (Library::Authorizer, authorizer::ROWS),
        (Library::JsonPatch, strings::JSON_PATCH),
    ];
    standard.map(|rows| (Library::Standard, rows)).chain(rest)
}

/// One way to call a function.
#[derive(Debug)]
pub struct Overload {
    pub id: &'static str,
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
    /// Letters that stand for types.
    pub params: Vec<Arc<str>>,
    pub cost: Rule,
    pub run: Run,
    pub library: Library,
}

static FUNCTIONS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: BTreeMap<&'static str, Vec<Overload>> = BTreeMap::new();
    for (library, rows) in tables() {
        for row in rows {
            let &Row { name, id, member, args, result, cost, run } = row;
            let words = |text: &'static str| text.split(|c: char| !c.is_alphanumeric() && c != '_');
            let letters = words(args).chain(words(result)).filter(|word| word.len() == 1);
            let mut params: Vec<Arc<str>> = letters.map(Into::into).collect();
            params.sort();
            params.dedup();
            let (args, result) = (Type::read_list(args), Type::read(result));
            let overload = Overload { id, member, args, result, params, cost, run, library };
            functions.entry(name).or_default().push(overload);
        }
    }
    functions
});

/// All overloads of a function, or none when there is no such function.
pub fn overloads(name: &str, libraries: Libraries) -> impl Iterator<Item = &'static Overload> {
    let known = FUNCTIONS.get(name).map(Vec::as_slice).unwrap_or_default();
    known.iter().filter(move |overload| libraries.has(overload.library))
}

/// For functions that the evaluator does itself.
fn never<'v>(_: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
    Err(Error::NO_OVERLOAD)
}

/// The text of an argument.
fn text<'a>(args: &'a [Value<'_>], index: usize) -> Result<&'a str, Error> {
    args.get(index).and_then(Value::as_str).ok_or(Error::NO_OVERLOAD)
}

fn int(args: &[Value<'_>], index: usize) -> Result<i64, Error> {
    match args.get(index) {
        Some(Value::Int(int)) => Ok(*int),
        _ => Err(Error::NO_OVERLOAD),
    }
}
