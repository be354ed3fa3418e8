//! The kinds that inputs are about.

use std::sync::LazyLock;

use api::gvk::GroupVersionKind;
use apiserver::registry::Registry;
use serde_json::Value;

/// The byte of an input that leaves it to the object to name its kind.
const NAMED: u8 = b'0';

/// A kind that can be created.
pub struct Kind {
    /// Where its objects of the namespace `default`, or of the cluster, are.
    pub path: String,
    pub gvk: GroupVersionKind,
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let registry = Registry::built_in();
    let rows = registry.all().filter(|row| row.info.verbs.iter().any(|verb| verb == "create"));
    let built_in = rows.map(|row| {
        let info = &row.info;
        let root = if info.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", info.group) };
        let namespace = if info.namespaced { "/namespaces/default" } else { "" };
        Kind { path: format!("{root}/{}{namespace}/{}", info.version, info.plural), gvk: row.gvk() }
    });
    let widget = Kind {
        path: "/apis/example.com/v1/namespaces/default/widgets".to_owned(),
        gvk: GroupVersionKind::new("example.com", "v1", "Widget"),
    };
    std::iter::once(widget).chain(built_in).collect()
});

/// The kind that is chosen by a byte, or named by what follows it.
pub fn chosen(byte: u8, body: &[u8]) -> &'static Kind {
    let named = if byte == NAMED { named(body) } else { None };
    named.unwrap_or(&KINDS[usize::from(byte) % KINDS.len()])
}

/// The kind of an object of JSON or YAML, found without reading it: it may be broken.
fn named(body: &[u8]) -> Option<&'static Kind> {
    let text = String::from_utf8_lossy(body);
    let word = |name: &str| {
        let (_, after) = text.split_once(name)?;
        let start = after.trim_start_matches(['"', ':', ' ']);
        start.split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '/' | '.' | '-')).next()
    };
    let gvk = GroupVersionKind::from_api_version(word("apiVersion")?, word("kind")?);
    KINDS.iter().find(|kind| kind.gvk == gvk)
}

/// Objects that are there when an input comes.
pub fn live() -> &'static [Value] {
    &LIVE
}

static LIVE: LazyLock<Vec<Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../objects/live.json")).expect("the objects are JSON"));

/// The kind of an object that is one of ours.
pub fn of(object: &Value) -> &'static Kind {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let gvk = GroupVersionKind::from_api_version(text("apiVersion"), text("kind"));
    KINDS.iter().find(|kind| kind.gvk == gvk).unwrap_or_else(|| panic!("no kind {gvk:?}"))
}
