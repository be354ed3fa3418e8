//! What two servers say about a request that both refuse: the causes, or the message where there are none.

use serde_json::Value;

use super::kinds::custom;
use super::misfits;
use super::pairs::{Pairs, Side};
use super::text::{general, neutral};

pub const CAUSES: &str = "causes";

/// `place` and `what` are general, `detail` is what was seen.
#[derive(Debug)]
pub struct Said {
    pub place: &'static str,
    pub what: String,
    pub detail: String,
}

pub fn compare(ours: &Value, theirs: &Value, pairs: &Pairs) -> Vec<Said> {
    let (our_causes, their_causes) = (causes(ours, Side::Ours, pairs), causes(theirs, Side::Theirs, pairs));
    if our_causes != their_causes {
        return of_causes(&our_causes, &their_causes);
    }
    let message = |body: &Value, side| {
        let message = body["message"].as_str().unwrap_or_default();
        // What follows is made of the causes, which have been compared.
        let end = message.find(" is invalid: ").filter(|_| !our_causes.is_empty()).unwrap_or(message.len());
        neutral(&message[..end], side, pairs)
    };
    let (a, b) = (message(ours, Side::Ours), message(theirs, Side::Theirs));
    if a == b || misfits::agree(&a, &b) {
        return Vec::new();
    }
    let what = format!("{:?}, upstream {:?}", general(&a), general(&b));
    vec![Said { place: "message", what, detail: format!("ours {a:?}; upstream {b:?}") }]
}

fn causes(body: &Value, side: Side, pairs: &Pairs) -> Vec<String> {
    let causes = body["details"]["causes"].as_array().into_iter().flatten();
    let mut causes: Vec<_> = causes.map(|cause| neutral(&said_cause(cause), side, pairs)).collect();
    let of_schema = body["details"]["group"] == custom::GROUP;
    if body["reason"] == "Conflict" || of_schema {
        // Upstream takes them from a map, as the properties of a schema: their order differs from run to run.
        causes.sort();
    }
    sort_of_maps(&mut causes);
    causes
}

fn of_causes(ours: &[String], theirs: &[String]) -> Vec<Said> {
    let count = |causes: &[String], one: &String| causes.iter().filter(|cause| *cause == one).count();
    let missing = theirs.iter().filter(|one| !ours.contains(one)).map(|one| ("missing", one));
    let extra = ours.iter().filter(|one| !theirs.contains(one)).map(|one| ("only here", one));
    let mut said: Vec<Said> = missing
        .chain(extra)
        .map(|(what, one)| Said { place: CAUSES, what: format!("{what}: {}", general_cause(one)), detail: one.clone() })
        .collect();
    if said.is_empty() {
        let what = match ours.iter().find(|one| count(ours, one) != count(theirs, one)) {
            None => "another order".to_owned(),
            Some(one) => {
                format!("{} times, upstream {}: {}", count(ours, one), count(theirs, one), general_cause(one))
            }
        };
        said.push(Said { place: CAUSES, what, detail: format!("ours {ours:?}; upstream {theirs:?}") });
    }
    said
}

fn said_cause(cause: &Value) -> String {
    let text = |key: &str| cause[key].as_str().unwrap_or("-");
    format!("{} {}: {}", text("field"), text("reason"), text("message"))
}

/// Fields that are maps, of whose members something is said without naming them.
const MAPS: [&str; 6] =
    ["abels", "allocatedResources", "allocatedResourceStatuses", "annotations", "nodeSelector", "parameters"];
/// What is said of each source of a metric that is too many (they are gathered in a map), and of an amount without its limit.
const OF_A_MAP: [&str; 2] =
    ["must populate the given metric source only", "Limit must be set for non overcommitable resources"];

/// Maps whose keys are written with a dot before them.
const DOTTED: [&str; 2] = ["status.allocatable.", "status.capacity."];

/// Go goes through maps in any order: causes that name keys of one are sorted among themselves.
fn sort_of_maps(causes: &mut [String]) {
    let of_a_map = |cause: &String| {
        let field = cause.split(' ').next().unwrap_or_default();
        let names_a_key = |key: &str| !key.starts_with(|first: char| first.is_ascii_digit());
        let is_map = MAPS.iter().any(|name| field.ends_with(name)) || DOTTED.iter().any(|name| field.starts_with(name));
        is_map || OF_A_MAP.iter().any(|end| cause.ends_with(end)) || field.split('[').skip(1).any(names_a_key)
    };
    let places: Vec<usize> = (0..causes.len()).filter(|place| of_a_map(&causes[*place])).collect();
    let mut moved: Vec<String> = places.iter().map(|place| causes[*place].clone()).collect();
    moved.sort();
    for (place, cause) in places.into_iter().zip(moved) {
        causes[place] = cause;
    }
}

fn general_cause(cause: &str) -> String {
    let (field, rest) = cause.split_once(' ').unwrap_or((cause, ""));
    let mut place = String::new();
    let mut inside = false;
    for c in field.chars() {
        match c {
            '[' => {
                inside = true;
                place.push(c);
            }
            ']' => {
                inside = false;
                place.push(c);
            }
            _ if inside => {}
            _ => place.push(c),
        }
    }
    format!("{place} {}", general(rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn causes_are_the_same_in_number_and_order() {
        let body = |causes: &[(&str, &str)]| {
            let cause = |(field, message): &(&str, &str)| json!({"field": field, "reason": "R", "message": message});
            json!({"details": {"causes": causes.iter().map(cause).collect::<Vec<_>>()}})
        };
        let cases = [
            (body(&[("a[0]", "x 1")]), body(&[("a[0]", "x 1")]), vec![]),
            (body(&[("a[0]", "x")]), body(&[("a[0]", "x 1")]), vec!["missing: a[] R: x N", "only here: a[] R: x"]),
            (
                body(&[("data[b]", "x"), ("spec", "y"), ("data[a]", "x")]),
                body(&[("data[a]", "x"), ("spec", "y"), ("data[b]", "x")]),
                vec![],
            ),
            (
                body(&[("status.capacity.pods", "x"), ("status.capacity.example.com/gpu", "y")]),
                body(&[("status.capacity.example.com/gpu", "y"), ("status.capacity.pods", "x")]),
                vec![],
            ),
            (body(&[("a", "x"), ("b", "y")]), body(&[("b", "y"), ("a", "x")]), vec!["another order"]),
            (body(&[("a", "x")]), body(&[("a", "x"), ("a", "x")]), vec!["1 times, upstream 2: a R: x"]),
        ];
        for (ours, theirs, expected) in cases {
            let said = compare(&ours, &theirs, &Pairs::default());
            let what: Vec<&str> = said.iter().map(|one| one.what.as_str()).collect();
            assert_eq!(what, expected, "{ours} {theirs}");
        }
    }
}
