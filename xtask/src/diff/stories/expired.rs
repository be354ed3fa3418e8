//! What clients are told whose past is gone: pages that go on at a revision that was compacted, and lists at one.

use serde_json::json;

use super::super::kinds::{self, Kind};
use super::super::peer::PROTOBUF;
use super::super::step::{Action, Content, Request, Scenario, Step};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const PARTIAL: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const OBJECTS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// Of a kind that upstream caches, one that it does not, and a custom one.
pub(super) fn scenario() -> Scenario {
    let mut steps = Vec::new();
    let asked = [("v1", "ConfigMap"), ("v1", "Event"), ("diff.example.com/v1", "Widget")];
    let all: Vec<&Kind> = kinds::all().filter(|kind| asked.contains(&(kind.api_version, kind.kind))).collect();
    for kind in &all {
        steps.extend(before(kind));
    }
    for kind in &all {
        // The first one makes them forget; for the others it only waits until their caches have noticed.
        let old = at(kind, "Exact");
        steps.push(Step { label: format!("{} forget", kind.kind), action: Action::Forget(old) });
    }
    for kind in &all {
        steps.extend(after(kind));
    }
    Scenario { name: "picked/expired".to_owned(), steps, no_revisions: false }
}

fn label(kind: &Kind, what: &str) -> String {
    format!("{} {what}", kind.kind)
}

fn list(kind: &Kind) -> Request {
    Request::new("GET", kind.collection())
}

fn page(kind: &Kind, of: &str) -> Request {
    list(kind).query("limit", "2").query("continue", format!("${{continue:{}}}", label(kind, of)))
}

/// A list at the revision of the first page.
fn at(kind: &Kind, how: &str) -> Request {
    let request = list(kind).query("resourceVersion", format!("${{rv:{}}}", label(kind, "page")));
    if how.is_empty() { request } else { request.query("resourceVersionMatch", how) }
}

fn send(kind: &Kind, what: &str, request: Request) -> Step {
    Step { label: label(kind, what), action: Action::Send(request) }
}

fn before(kind: &Kind) -> Vec<Step> {
    let create = |name: &str| Request::new("POST", kind.collection()).json(kind.object(name));
    let mut steps: Vec<Step> = OBJECTS[..6].iter().map(|name| send(kind, name, create(name))).collect();
    steps.extend([
        send(kind, "page", list(kind).query("limit", "2")),
        send(kind, "selected", list(kind).query("limit", "2").query("labelSelector", "item notin (b)")),
        send(kind, "second", page(kind, "page")),
        // What is different after it: one more, one less, one changed.
        send(kind, "g", create("g")),
        send(kind, "less", Request::new("DELETE", kind.path("d"))),
        send(kind, "changed", {
            let labels = Content::Json(json!({"metadata": {"labels": {"n": "1"}}}));
            Request::new("PATCH", kind.path("e")).body("application/merge-patch+json", labels)
        }),
    ]);
    steps
}

fn after(kind: &Kind) -> Vec<Step> {
    let selected = |of: &str| page(kind, of).query("labelSelector", "item notin (b)");
    let version = format!("${{rv:{}}}", label(kind, "page"));
    vec![
        send(kind, "expired", page(kind, "page")),
        send(kind, "expired second", page(kind, "second")),
        send(kind, "expired selected", selected("selected")),
        send(kind, "expired table", page(kind, "page").header("accept", TABLE)),
        send(kind, "expired partial", page(kind, "page").header("accept", PARTIAL)),
        send(kind, "expired message", page(kind, "page").header("accept", PROTOBUF)),
        send(kind, "expired all", list(kind).query("continue", format!("${{continue:{}}}", label(kind, "page")))),
        send(kind, "expired zero", page(kind, "page").query("resourceVersion", "0")),
        // The token of the refusal goes on with what is there now, and its pages are of one state again.
        send(kind, "inconsistent", page(kind, "expired")),
        send(kind, "consistent", page(kind, "inconsistent")),
        send(kind, "inconsistent selected", selected("expired selected")),
        send(kind, "consistent selected", selected("inconsistent selected")),
        send(kind, "inconsistent table", page(kind, "expired table").header("accept", TABLE)),
        send(kind, "inconsistent zero", page(kind, "expired").query("resourceVersion", "0")),
        send(kind, "exact", at(kind, "Exact")),
        send(kind, "exact page", at(kind, "Exact").query("limit", "1")),
        send(kind, "exact table", at(kind, "Exact").header("accept", TABLE)),
        send(kind, "legacy", at(kind, "").query("limit", "2")),
        send(kind, "since", at(kind, "NotOlderThan")),
        send(kind, "since page", at(kind, "NotOlderThan").query("limit", "2")),
        send(kind, "any", at(kind, "")),
        send(kind, "get", Request::new("GET", kind.path("a")).query("resourceVersion", version.clone())),
        send(kind, "one", at(kind, "Exact").query("fieldSelector", "metadata.name=a")),
        send(kind, "everywhere", {
            let all = Request::new("GET", kind.everywhere()).query("resourceVersionMatch", "Exact");
            all.query("resourceVersion", version)
        }),
        send(kind, "delete", {
            let delete = Request::new("DELETE", kind.collection()).query("limit", "2");
            delete.query("continue", format!("${{continue:{}}}", label(kind, "page")))
        }),
        send(kind, "left", list(kind)),
    ]
}
