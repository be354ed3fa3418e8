//! The one YAML reader of the server. Clients choose what it reads, so how deep that is and how often it repeats itself is limited.

use api::nesting;
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

/// What the reader of YAML puts before its errors, except about bodies.
pub(crate) const CONVERTING: &str = "error converting YAML to JSON: ";
/// What aliases of one body may repeat: in nodes, and in bytes if each node were as long as the body.
const MAX_REPEATED_NODES: usize = 100_000;
const MAX_REPEATED_BYTES: usize = 128 << 20;
const MAX_ALIASES_IN_ALIASES: usize = 8;
/// The reader recurses, and the deepest body that may be takes more than the stack of a thread may have left.
const STACK_BYTES: usize = 16 << 20;

/// Octal numbers as in YAML 1.1: file modes are written so.
pub fn strict(bytes: &[u8]) -> Result<Value, String> {
    read(bytes, DuplicateKeyPolicy::Error)
}

/// As [`strict`]; of a key that stands there twice, the last one counts.
pub fn lenient(bytes: &[u8]) -> Result<Value, String> {
    read(bytes, DuplicateKeyPolicy::LastWins)
}

fn read(bytes: &[u8], duplicate_keys: DuplicateKeyPolicy) -> Result<Value, String> {
    let options = options(duplicate_keys, bytes.len());
    let converted = stacker::grow(STACK_BYTES, || serde_saphyr::from_slice_with_options::<Value>(bytes, options));
    let value = converted.map_err(|error| {
        if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), location } = error.without_snippet() {
            let line = location.line();
            return format!("{CONVERTING}yaml: unmarshal errors:\n  line {line}: key {key:?} already set in map");
        }
        // Without the excerpt that the parser draws below.
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        format!("{CONVERTING}yaml: {}", line.strip_prefix("error: ").unwrap_or(line))
    })?;
    // Aliases nest, too.
    if nesting::depth(&value) > nesting::MAX {
        return Err(format!("{CONVERTING}yaml: exceeded max depth of {}", nesting::MAX));
    }
    Ok(value)
}

/// Bodies are limited in bytes already, but neither how deep they are nor what their aliases make of them.
fn options(duplicate_keys: DuplicateKeyPolicy, length: usize) -> serde_saphyr::Options {
    let mut budget = serde_saphyr::Budget::default();
    budget.max_depth = nesting::MAX;
    budget.max_events = usize::MAX;
    budget.max_nodes = usize::MAX;
    budget.max_aliases = usize::MAX;
    budget.max_anchors = usize::MAX;
    budget.max_merge_keys = usize::MAX;
    budget.enforce_alias_anchor_ratio = false;
    let mut options = serde_saphyr::Options::default();
    options.legacy_octal_numbers = true;
    options.duplicate_keys = duplicate_keys;
    options.budget = Some(budget);
    options.alias_limits.max_replay_stack_depth = MAX_ALIASES_IN_ALIASES;
    options.alias_limits.max_total_replayed_events = MAX_REPEATED_NODES.min(MAX_REPEATED_BYTES / length.max(1));
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_that_stands_twice_is_told_by_its_line() {
        let expected = "error converting YAML to JSON: yaml: unmarshal errors:\n  line 2: key \"a\" already set in map";
        assert_eq!(strict(b"a: 1\na: 2\n").unwrap_err(), expected);
        assert_eq!(lenient(b"a: 1\na: 2\n").unwrap(), json!({"a": 2}));
    }

    #[test]
    fn aliases_repeat_so_much_and_no_more() {
        let body = |text: usize, times: usize| {
            let aliases = "  - *a\n".repeat(times);
            format!("text: &a {}\naliases:\n{aliases}", "x".repeat(text))
        };
        let read = strict(body(20, 1000).as_bytes()).unwrap();
        assert_eq!(read["aliases"].as_array().map(Vec::len), Some(1000));
        assert!(strict(body(200_000, 10_000).as_bytes()).is_err());
    }

    #[test]
    fn what_is_too_deep_is_refused_before_the_stack_ends() {
        let lists = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(strict(lists(nesting::MAX).as_bytes()).is_ok());
        let maps = (0..nesting::MAX).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
        assert!(strict(maps.as_bytes()).is_ok());
        // Aliases of aliases: each is ten levels deeper than the one before.
        let level = |index: usize| format!("a{index}: &a{index} [[[[[[[[[[*a{}]]]]]]]]]]\n", index - 1);
        let aliases = format!("a0: &a0 x\n{}", (1..20).map(level).collect::<String>());
        for deep in ["- ".repeat(200), "? ".repeat(200), lists(200), lists(1_000_000), "{a: ".repeat(100_000), aliases]
        {
            assert!(strict(deep.as_bytes()).is_err(), "{}", &deep[..20]);
        }
    }
}
