//! What a watching client saw, against what was written: nothing is missing, nothing is there twice, the order is right.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::objects::text;
use crate::storm::Change;

/// One event, as clients print them: a JSON object a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// ADDED, MODIFIED, DELETED, or MISSED: a deletion that a list told, with the object as it was last seen.
    pub what: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub revision: u64,
    pub value: u64,
}

impl Seen {
    /// `None`: the line is something else.
    pub fn parse(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let of = |field: &str| text(&line, field).to_owned();
        let number = |field: &str| text(&line, field).parse().unwrap_or(0);
        let what = of("type");
        let event = ["ADDED", "MODIFIED", "DELETED", "MISSED"].contains(&what.as_str());
        event.then(|| Self {
            what,
            kind: of("kind"),
            name: of("name"),
            uid: of("uid"),
            revision: number("revision"),
            value: number("value"),
        })
    }

    /// Whether this is how that change looks to a client.
    fn is(&self, change: &Change) -> bool {
        let what = if self.what == "MISSED" { "DELETED" } else { &self.what };
        (what, &*self.kind, &self.name, &self.uid) == (change.what, change.kind, &change.name, &change.uid)
            && (self.value == change.value || change.what == "DELETED")
    }
}

/// All events among the lines of a client.
pub fn events(lines: &[String]) -> Vec<Seen> {
    lines.iter().filter_map(|line| Seen::parse(line)).collect()
}

/// Compares. The changes of `calm` were written while the client was connected all the time: each must have been seen as it
/// was. Of the others a client that was away sees what they led to.
///
/// # Errors
/// The first difference.
pub fn check(written: &[Change], calm: &[Range<usize>], seen: &[Seen]) -> Result<()> {
    let known: BTreeSet<(&str, &str, u64)> =
        written.iter().map(|change| (&*change.name, &*change.uid, change.value)).collect();
    let mut state: BTreeMap<(&str, &str), &Seen> = BTreeMap::new();
    let mut newest: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for event in seen {
        let key = (&*event.kind, &*event.name);
        ensure!(known.contains(&(&*event.name, &*event.uid, event.value)), "nobody wrote {event:?}");
        let before = state.get(&key).copied();
        if event.what != "MISSED" {
            let last = newest.insert(key, event.revision).unwrap_or(0);
            ensure!(event.revision > last, "{event:?} is not newer than {last}: {before:?}");
        }
        match (&*event.what, before) {
            ("ADDED", None) => drop(state.insert(key, event)),
            // Another uid: it was replaced while the client was away.
            ("MODIFIED", Some(_)) => drop(state.insert(key, event)),
            ("DELETED" | "MISSED", Some(before)) if before.uid == event.uid => drop(state.remove(&key)),
            _ => anyhow::bail!("{event:?} does not follow from {before:?}"),
        }
        if let Some(before) = before {
            ensure!(event.value >= before.value, "{event:?} is older than {before:?}");
        }
    }
    for change in calm.iter().flat_map(|range| &written[range.clone()]) {
        let count = seen.iter().filter(|event| event.is(change)).count();
        // Who else writes to the object makes more events with the same value.
        let once = count == 1 || (count > 1 && change.shared && change.what == "MODIFIED");
        ensure!(once, "{change:?} was seen {count} times: {}", of_object(seen, change));
    }
    let mut expected = BTreeMap::new();
    for change in written {
        match change.what {
            "DELETED" => drop(expected.remove(&(change.kind, &*change.name))),
            _ => drop(expected.insert((change.kind, &*change.name), change)),
        }
    }
    for (key, change) in &expected {
        let last = state.get(key).with_context(|| format!("{change:?} is there and was not seen"))?;
        ensure!(
            last.value == change.value && last.uid == change.uid,
            "the last of {change:?} that was seen is {last:?}"
        );
    }
    let ghost = state.keys().find(|key| !expected.contains_key(*key));
    ensure!(ghost.is_none(), "{ghost:?} is gone, and nobody said so");
    Ok(())
}

/// Says how much was compared.
pub fn tell(client: &str, written: &[Change], seen: usize) {
    eprintln!("{client}: {} writes, {seen} events", written.len());
}

fn of_object(seen: &[Seen], change: &Change) -> String {
    let same = seen.iter().filter(|event| event.kind == change.kind && event.name == change.name);
    same.map(|event| format!("\n  {event:?}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(what: &'static str, uid: &str, value: u64) -> Change {
        Change { what, kind: "K", name: "n".into(), uid: uid.into(), value, shared: false }
    }

    fn seen(what: &str, uid: &str, revision: u64, value: u64) -> Seen {
        Seen { what: what.into(), kind: "K".into(), name: "n".into(), uid: uid.into(), revision, value }
    }

    #[test]
    fn what_is_missing_twice_or_out_of_order_is_found() {
        let written = [
            change("ADDED", "a", 1),
            change("MODIFIED", "a", 2),
            change("DELETED", "a", 2),
            change("ADDED", "b", 3),
            change("MODIFIED", "b", 4),
        ];
        let all = [
            seen("ADDED", "a", 5, 1),
            seen("MODIFIED", "a", 6, 2),
            seen("DELETED", "a", 7, 2),
            seen("ADDED", "b", 8, 3),
            seen("MODIFIED", "b", 9, 4),
        ];
        let without = |index: usize| {
            let mut some = all.to_vec();
            some.remove(index);
            some
        };
        let (calm, away) = (true, false);
        let replaced = vec![all[0].clone(), seen("MODIFIED", "b", 9, 4)];
        let missed = vec![all[0].clone(), seen("MISSED", "a", 5, 1), seen("ADDED", "b", 9, 4)];
        let twice = [all.to_vec(), vec![all[4].clone()]].concat();
        let foreign = [all.to_vec(), vec![seen("MODIFIED", "b", 10, 7)]].concat();
        let swapped = vec![all[1].clone(), all[0].clone()];
        let cases: [(&str, bool, Vec<Seen>, &str); 12] = [
            ("everything", calm, all.to_vec(), ""),
            ("one is missing", calm, without(1), "was seen 0 times"),
            ("one is missing while it was away", away, without(1), ""),
            ("it was replaced while it was away", away, replaced.clone(), ""),
            ("it was not away", calm, replaced, "was seen 0 times"),
            ("a deletion is found out", away, missed, ""),
            ("the last is missing", away, without(4), "the last of"),
            ("a deletion is missing", away, without(2), "does not follow"),
            ("twice", away, twice, "is not newer"),
            ("of somebody else", away, foreign, "nobody wrote"),
            ("order", away, swapped, "does not follow"),
            ("nothing", away, vec![], "was not seen"),
        ];
        for (name, calm, events, expected) in cases {
            let connected = Range { start: 0, end: if calm { written.len() } else { 0 } };
            let said = check(&written, &[connected], &events).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(if expected.is_empty() { said.is_empty() } else { said.contains(expected) }, "{name}: {said:?}");
        }
        let gone = check(&written[..3], &[], &all[..2]).unwrap_err();
        assert!(gone.to_string().contains("nobody said so"));
    }

    #[test]
    fn lines_are_events_or_something_else() {
        let line = r#"{"type":"ADDED","kind":"K","name":"n","uid":"a","revision":"5","value":"1"}"#;
        assert_eq!(Seen::parse(line), Some(seen("ADDED", "a", 5, 1)));
        for other in ["", "I1125 a log", r#"{"type":"LEADING"}"#] {
            assert_eq!(Seen::parse(other), None);
        }
    }
}
