//! Two answers beside each other: what differs that should not.

use std::borrow::Cow;

use serde_json::Value;

use super::alike::{
    MANAGERS, UNORDERED, allocated, both, by_manager, is_ending_namespace, same_age, same_ports, same_time, sorted,
    without_order, without_random_keys,
};
use super::failures::{self, Said};
use super::pairs::{Pairs, Side};
use super::peer::{Answer, Events};
use super::text::{general, neutral};

/// Headers that tell clients something.
const HEADERS: [&str; 7] =
    ["content-type", "warning", "retry-after", "cache-control", "vary", "www-authenticate", "allow"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Code,
    Events,
    Revision,
    Header,
    Message,
    Body,
}

/// `place` and `what` are general: equal for differences of one cause. `detail` is what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub class: Class,
    pub place: String,
    pub what: String,
    pub detail: String,
}

pub fn answers(ours: &Answer, theirs: &Answer, pairs: &mut Pairs) -> Vec<Difference> {
    let mut found = Comparison { pairs, found: Vec::new() };
    if ours.code == theirs.code && !asked_at_random(theirs) {
        found.headers(ours, theirs);
        found.bodies(&ours.body, &theirs.body);
    } else {
        let said = |answer: &Answer| answer.body["message"].as_str().map(general).unwrap_or_default();
        let detail =
            |answer: &Answer| answer.body["message"].as_str().map_or_else(|| short(&answer.body), str::to_owned);
        found.add(
            Class::Code,
            "code",
            format!("{} {:?}, upstream {} {:?}", ours.code, said(ours), theirs.code, said(theirs)),
            format!("ours {}: {}; upstream {}: {}", ours.code, detail(ours), theirs.code, detail(theirs)),
        );
    }
    found.found
}

/// Upstream's dry run of a Service asked any of the ranges of addresses, and that one is not ready. What else would have been said is
/// not known.
fn asked_at_random(theirs: &Answer) -> bool {
    theirs.body["message"].as_str().is_some_and(|message| message.contains("allocator not ready"))
}

/// Events of two watches that were begun and ended at the same steps.
pub fn events(ours: &Events, theirs: &Events, pairs: &mut Pairs) -> Vec<Difference> {
    let mut found = Comparison { pairs, found: Vec::new() };
    let (ours_seen, mut theirs_seen) = (seen(ours), seen(theirs));
    theirs_seen.retain(|event| event["type"] != "MODIFIED" || !found.pairs.revisions.is_unseen(revision(event)));
    let sequence = |events: &[&Value]| -> Vec<String> { events.iter().map(|event| said(event)).collect() };
    let ours_said = sequence(&ours_seen);
    let types =
        |events: &[&Value]| -> Vec<String> { events.iter().map(|event| kind(&said(event)).to_owned()).collect() };
    let theirs_seen = with_mark_as_early(&types(&ours_seen), &theirs_seen);
    let theirs_seen: Vec<&Value> = theirs_seen.iter().collect();
    let theirs_said = sequence(&theirs_seen);
    if types(&ours_seen) != types(&theirs_seen) {
        let at = ours_said.iter().zip(&theirs_said).take_while(|(ours, theirs)| kind(ours) == kind(theirs)).count();
        let next = |said: &[String]| said.get(at).map_or("nothing", |said| kind(said)).to_owned();
        found.add(
            Class::Events,
            "events",
            format!("{} where upstream has {}", next(&ours_said), next(&theirs_said)),
            format!("ours {ours_said:?}; upstream {theirs_said:?}"),
        );
        return found.found;
    }
    for (ours, theirs) in ours_seen.iter().zip(&theirs_seen) {
        if ours["type"] == "BOOKMARK" {
            found.places(&ours["object"], &theirs["object"]);
        } else {
            found.bodies(&ours["object"], &as_read(&theirs["object"]));
        }
    }
    if ours.ended != theirs.ended {
        found.add(Class::Events, "end", format!("ended: {}, upstream: {}", ours.ended, theirs.ended), String::new());
    }
    found.found
}

/// A Service that became an ExternalName keeps its traffic policy in upstream's store. Reads there leave it out, watches forget to.
pub fn as_read(object: &Value) -> Cow<'_, Value> {
    if object["kind"] != "Service" || object["spec"]["type"] != "ExternalName" {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.remove("internalTrafficPolicy");
    }
    Cow::Owned(object)
}

/// Upstream ends the initial events when its cache has heard from the store, so later writes may come before that.
fn with_mark_as_early(ours: &[String], theirs: &[&Value]) -> Vec<Value> {
    let mut theirs: Vec<Value> = theirs.iter().map(|event| (*event).clone()).collect();
    let mark = |said: &String| said == "BOOKMARK";
    let at = theirs.iter().position(|event| event["type"] == "BOOKMARK");
    if let (Some(early), Some(late)) = (ours.iter().position(mark), at)
        && early < late
    {
        let event = theirs.remove(late);
        theirs.insert(early, event);
        // The first table of a watch has the columns.
        if let [first, second, ..] = theirs.as_mut_slice()
            && early == 0
            && first["object"]["kind"] == "Table"
        {
            std::mem::swap(&mut first["object"]["columnDefinitions"], &mut second["object"]["columnDefinitions"]);
        }
    }
    theirs
}

fn kind(said: &str) -> &str {
    said.split(' ').next().unwrap_or_default()
}

/// Bookmarks come when the server likes, but for the one that ends the initial events.
fn seen(events: &Events) -> Vec<&Value> {
    let matters = |event: &&Value| {
        let annotations = &event["object"]["metadata"]["annotations"];
        event["type"] != "BOOKMARK" || !annotations["k8s.io/initial-events-end"].is_null()
    };
    events.events.iter().filter(matters).collect()
}

fn revision(event: &Value) -> u64 {
    let object = &event["object"];
    let row = &object["rows"][0]["object"];
    let version = object["metadata"]["resourceVersion"].as_str().filter(|_| object["kind"] != "Table");
    let version = version.or_else(|| row["metadata"]["resourceVersion"].as_str());
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn said(event: &Value) -> String {
    let object = &event["object"];
    let row = &object["rows"][0]["object"];
    let name = object["metadata"]["name"].as_str().or_else(|| row["metadata"]["name"].as_str());
    let name = name.or_else(|| object["message"].as_str()).unwrap_or_default();
    format!("{} {name}", event["type"].as_str().unwrap_or("?"))
}

struct Comparison<'a> {
    pairs: &'a mut Pairs,
    found: Vec<Difference>,
}

impl Comparison<'_> {
    fn add(&mut self, class: Class, place: &str, what: String, detail: String) {
        let difference = Difference { class, place: place.to_owned(), what, detail };
        if !self.found.contains(&difference) {
            self.found.push(difference);
        }
    }

    fn headers(&mut self, ours: &Answer, theirs: &Answer) {
        for name in HEADERS {
            // Upstream patches what its cache has, and warns of that, before it sees that the store does not have it any more.
            if name == "warning" && ours.code == 404 {
                continue;
            }
            let values = |answer: &Answer, side| -> Vec<String> {
                let named = answer.headers.iter().filter(|(other, _)| other == name);
                named.map(|(_, value)| neutral(value, side, self.pairs)).collect()
            };
            let (ours, theirs) = (values(ours, Side::Ours), values(theirs, Side::Theirs));
            if ours != theirs {
                let only = |these: &[String], others: &[String]| -> Vec<String> {
                    these.iter().filter(|value| !others.contains(value)).map(|value| general_header(value)).collect()
                };
                let what = format!("{:?}, upstream {:?}", only(&ours, &theirs), only(&theirs, &ours));
                self.add(Class::Header, name, what, format!("ours {ours:?}; upstream {theirs:?}"));
            }
        }
    }

    fn bodies(&mut self, ours: &Value, theirs: &Value) {
        if ours["kind"] == "Status" && theirs["kind"] == "Status" && ours["status"] == "Failure" {
            return self.failures(ours, theirs);
        }
        // A list's revision is where the store was.
        let is_list = |body: &Value| {
            body["kind"].as_str().is_some_and(|kind| kind.ends_with("List") || kind == "Table" || kind == "Status")
        };
        self.names(ours, theirs);
        if UNORDERED.iter().any(|kind| ours["kind"] == *kind) {
            return self.values("", &without_order(ours), &without_order(theirs));
        }
        if is_list(ours) {
            return self.places(ours, theirs);
        }
        self.values("", ours, theirs);
    }

    /// Bodies whose own revision says where the store was: lists and bookmarks.
    fn places(&mut self, ours: &Value, theirs: &Value) {
        let revision = |body: &Value| body["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        let (Some(a), Some(b)) = (revision(ours), revision(theirs)) else {
            return self.values("", ours, theirs);
        };
        // The objects in it come first: they say where the list's own revision must be.
        let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
        for body in [&mut ours, &mut theirs] {
            if let Some(metadata) = body["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
        }
        self.values("", &ours, &theirs);
        if !self.pairs.ignore_revisions && !self.pairs.revisions.same_place(a, b) {
            let detail = format!("ours {a}, upstream {b}");
            self.add(Class::Revision, "metadata.resourceVersion of a list", "another place".into(), detail);
        }
    }

    fn failures(&mut self, ours: &Value, theirs: &Value) {
        let said = failures::compare(ours, theirs, self.pairs);
        let causes_differ = said.iter().any(|one| one.place == failures::CAUSES);
        for Said { place, what, detail } in said {
            self.add(Class::Message, place, what, detail);
        }
        if causes_differ {
            return;
        }
        let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
        for body in [&mut ours, &mut theirs] {
            body["message"] = Value::Null;
            if let Some(details) = body["details"].as_object_mut() {
                details.remove("causes");
            }
        }
        self.values("", &ours, &theirs);
    }

    /// Finds generated names before anything else names them.
    fn names(&mut self, ours: &Value, theirs: &Value) {
        let generated = |body: &Value| {
            let prefix = body["metadata"]["generateName"].as_str()?;
            body["metadata"]["name"].as_str().filter(|name| name.starts_with(prefix)).map(str::to_owned)
        };
        if let (Some(a), Some(b)) = (generated(ours), generated(theirs)) {
            self.pairs.names.agree(&a, &b);
        }
        for list in ["items", "rows"] {
            let items = |body: &Value| body[list].as_array().cloned().unwrap_or_default();
            for (a, b) in items(ours).iter().zip(&items(theirs)) {
                self.names(a, b);
            }
        }
    }

    fn values(&mut self, place: &str, ours: &Value, theirs: &Value) {
        match (ours, theirs) {
            (Value::Object(a), Value::Object(b)) => {
                let (a, b) = (&without_random_keys(a), &without_random_keys(b));
                let mut keys: Vec<_> = a.keys().chain(b.keys()).collect();
                keys.sort();
                keys.dedup();
                for key in keys {
                    let place = member(place, key);
                    match (a.get(key), b.get(key)) {
                        (Some(x), Some(y)) if key == "finalizers" && both(a, b, is_ending_namespace) => {
                            self.values(&place, &sorted(x), &sorted(y));
                        }
                        (Some(x), Some(y)) if key == "generation" && self.pairs.is_ahead(a.get("uid"), x, y) => {}
                        (Some(a), Some(b)) => self.values(&place, a, b),
                        (Some(a), None) => self.add(Class::Body, &place, format!("only here: {}", form(a)), short(a)),
                        (None, Some(b)) => self.add(Class::Body, &place, format!("missing: {}", form(b)), short(b)),
                        (None, None) => {}
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if place.ends_with(MANAGERS) && a.len() == b.len() => {
                // The order is that of times, and the clock may tick between the two servers' writes.
                let ticked = |managers: &[Value]| managers.iter().any(|one| one["time"] != managers[0]["time"]);
                let sorts = ticked(a) || ticked(b);
                let in_order = |managers: &[Value]| if sorts { by_manager(managers) } else { managers.to_vec() };
                for (a, b) in in_order(a).iter().zip(&in_order(b)) {
                    self.values(&format!("{place}[]"), a, b);
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let place = format!("{place}[]");
                for (a, b) in a.iter().zip(b) {
                    self.values(&place, a, b);
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                let detail = format!("{} and {}", short(ours), short(theirs));
                let what = if a.len() < b.len() { "fewer elements" } else { "more elements" };
                self.add(Class::Body, place, what.to_owned(), detail);
            }
            (a, b) if a == b => {}
            (a, b) => self.leaves(place, a, b),
        }
    }

    fn leaves(&mut self, place: &str, ours: &Value, theirs: &Value) {
        let key = place.rsplit('.').next().unwrap_or_default();
        if let (Some(a), Some(b)) = (ours.as_str(), theirs.as_str())
            && self.same_text(key, a, b)
        {
            return;
        }
        if key.ends_with("odePort") && ours.is_u64() && theirs.is_u64() {
            if self.pairs.addresses.agree(&ours.to_string(), &theirs.to_string()) {
                return;
            }
        } else if key == "remainingItemCount" || key == "generation" {
            let detail = format!("ours {ours}, upstream {theirs}");
            return self.add(Class::Revision, place, "another number".to_owned(), detail);
        }
        let class = if key == "resourceVersion" { Class::Revision } else { Class::Body };
        let what = if class == Class::Revision {
            "no pair".to_owned()
        } else {
            format!("{}, upstream {}", form(ours), form(theirs))
        };
        self.add(class, place, what, format!("ours {}, upstream {}", short(ours), short(theirs)));
    }

    fn same_text(&mut self, key: &str, ours: &str, theirs: &str) -> bool {
        let number = |text: &str| text.parse::<u64>().ok();
        match key {
            "resourceVersion" if self.pairs.ignore_revisions => true,
            "resourceVersion" => match (number(ours), number(theirs)) {
                (Some(a), Some(b)) => self.pairs.revisions.agree(a, b),
                _ => false,
            },
            "uid" => self.pairs.uids.agree(ours, theirs),
            "continue" | "token" => !ours.is_empty() && !theirs.is_empty(),
            "clusterIP" | "clusterIPs[]" => self.pairs.addresses.agree(ours, theirs) || allocated(ours, theirs),
            _ => {
                same_time(ours, theirs)
                    || key == "cells[]"
                        && (same_age(ours, theirs) || allocated(ours, theirs) || same_ports(ours, theirs))
                    || neutral(ours, Side::Ours, self.pairs) == neutral(theirs, Side::Theirs, self.pairs)
            }
        }
    }
}

/// Maps whose keys mean nothing in general.
const FREE_MAPS: [&str; 12] = [
    "labels",
    "annotations",
    "data",
    "binaryData",
    "matchLabels",
    "selector",
    "nodeSelector",
    "limits",
    "requests",
    "hard",
    "capacity",
    "parameters",
];

fn member(place: &str, key: &str) -> String {
    let parent = place.rsplit('.').next().unwrap_or_default();
    if place.contains("fieldsV1") {
        let key = if key.starts_with("k:") || key.starts_with("v:") { "k:{}" } else { key };
        let free = parent.strip_prefix("f:").is_some_and(|parent| FREE_MAPS.contains(&parent));
        return format!("{place}.{}", if free && key != "." { "*" } else { key });
    }
    let key = if FREE_MAPS.contains(&parent) { "*" } else { key };
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

/// A warning is a quoted text, in which quotes are escaped.
fn general_header(value: &str) -> String {
    match value.strip_prefix("299 - \"").and_then(|text| text.strip_suffix('"')) {
        Some(text) => format!("299 {}", general(&text.replace("\\\"", "\""))),
        None => general(value),
    }
}

/// A value as one of its kind.
fn form(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() > 40 || text.contains(' ') => format!("{:?}", general(text)),
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(elements) if elements.is_empty() => "[]".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        _ => value.to_string(),
    }
}

pub fn short(value: &Value) -> String {
    let text = value.to_string();
    let cut = text.char_indices().nth(400).map(|(at, _)| at);
    cut.map_or(text.clone(), |at| format!("{}...", &text[..at]))
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
