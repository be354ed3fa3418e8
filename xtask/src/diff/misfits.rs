//! What is said of an applied configuration that does not fit its schema. Upstream takes the members of each object in the order of a Go
//! map, which differs from run to run, and looks at no more members of one after the first that the schema does not have. So two
//! answers to one request may name different misfits: each that one of them alone names must be inside an object in which the
//! other one stopped.

const HEAD: &str = "failed to create typed patch object (";
const UNDECLARED: &str = "field not declared in schema";

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Misfit<'a> {
    /// `.spec.containers[name="a"].x`; empty for the object itself.
    path: &'a str,
    what: &'a str,
}

/// Whether two messages may be about the same configuration.
pub fn agree(ours: &str, theirs: &str) -> bool {
    let (Some((our_head, ours)), Some((their_head, theirs))) = (misfits(ours), misfits(theirs)) else { return false };
    our_head == their_head && unheard(&ours, &theirs) && unheard(&theirs, &ours)
}

/// Whether `others` cannot know of what they do not name.
fn unheard(named: &[Misfit], others: &[Misfit]) -> bool {
    let count = |misfits: &[Misfit], one: &Misfit| misfits.iter().filter(|misfit| *misfit == one).count();
    let stopped_above = |one: &Misfit| {
        let stops = others.iter().filter(|misfit| misfit.what == UNDECLARED).filter_map(|misfit| parent(misfit.path));
        stops.into_iter().any(|object| one.path.strip_prefix(object).is_some_and(|below| below.starts_with('.')))
    };
    named.iter().all(|one| count(others, one) == count(named, one) || count(others, one) == 0 && stopped_above(one))
}

/// What stands before the misfits, and those.
fn misfits(message: &str) -> Option<(&str, Vec<Misfit<'_>>)> {
    let start = message.find(HEAD)?;
    let end = start + message[start..].find("): ")? + "): ".len();
    let (head, rest) = message.split_at(end);
    let lines: Vec<&str> = match rest.strip_prefix("errors:\n") {
        Some(lines) => lines.lines().map(str::trim_start).collect(),
        None => vec![rest],
    };
    let misfits = lines.into_iter().map(|line| match line.split_once(": ").filter(|_| line.starts_with('.')) {
        Some((path, what)) => Misfit { path, what },
        None => Misfit { path: "", what: line },
    });
    Some((head, misfits.collect()))
}

/// Of a field, the object that has it.
fn parent(path: &str) -> Option<&str> {
    path.rfind('.').map(|at| &path[..at]).filter(|_| !path.ends_with(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_members_excuses_what_it_hides_and_nothing_else() {
        let about = |what: &str| format!("{HEAD}d1/a; /v1, Kind=Pod): {what}");
        let stop = |path: &str| format!("{path}: {UNDECLARED}");
        let both = |one: &str, other: &str| format!("errors:\n  {one}\n  {other}");
        let wrong = ".spec.a: expected string, got &{1}";
        let cases = [
            (stop(".spec.x"), stop(".spec.x"), true),
            (stop(".spec.x"), stop(".spec.y"), true),
            (stop(".spec.x"), stop(".y"), false),
            (both(&stop(".spec.x"), &stop(".y")), stop(".y"), true),
            (stop(".spec.x"), stop(".status.y"), false),
            (wrong.to_owned(), stop(".spec.x"), false),
            (both(wrong, &stop(".spec.x")), stop(".spec.y"), true),
            (both(wrong, &stop(".spec.x")), stop(".spec.list[name=\"a.b\"].y"), false),
            (both(wrong, ".b: expected boolean"), both(".b: expected boolean", wrong), true),
            (both(wrong, ".b: expected boolean"), wrong.to_owned(), false),
            (both(wrong, wrong), wrong.to_owned(), false),
            ("expected map, got &{1}".to_owned(), stop(".x"), false),
            (both(".metadatas.x: expected map", &stop(".metadata.y")), stop(".metadata.y"), false),
        ];
        for (ours, theirs, expected) in cases {
            assert_eq!(agree(&about(&ours), &about(&theirs)), expected, "{ours} | {theirs}");
            assert_eq!(agree(&about(&theirs), &about(&ours)), expected, "{theirs} | {ours}");
        }
        assert!(!agree("another message", "another message"), "only of configurations");
    }
}
