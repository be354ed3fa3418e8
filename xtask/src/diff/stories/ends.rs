//! Deletions that are worth asking for each time: of what the garbage collector's finalizers keep.

use serde_json::{Value, json};

use super::super::kinds::Kind;
use super::super::peer::PROTOBUF;
use super::super::step::{Content, Request, Scenario};
use super::picked::requests;

/// The options of a deletion put finalizers on an object, and take them from it again.
pub(super) fn finalizers(kind: &Kind) -> Scenario {
    let (path, collection) = (kind.path("a"), kind.collection());
    let create = |finalizers: Value| {
        let mut object = kind.object("a");
        object["metadata"]["finalizers"] = finalizers;
        Request::new("POST", collection.clone()).json(object)
    };
    let delete = |policy: &str| Request::new("DELETE", path.clone()).query("propagationPolicy", policy);
    let dry = |policy: &str| delete(policy).query("dryRun", "All");
    let at_revision = |label: &str, policy: &str| {
        Request::new("DELETE", path.clone()).json(json!({"propagationPolicy": policy,
            "preconditions": {"resourceVersion": format!("${{rv:{label}}}")}}))
    };
    requests(
        &format!("picked/finalizers {}/{}", kind.api_version, kind.plural),
        [
            create(json!(["orphan"])), // s0
            dry("Foreground"),
            dry("Orphan"),
            dry("Background"),
            dry("Background").header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"),
            dry("Background").header("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
            dry("Background").header("accept", PROTOBUF),
            Request::new("DELETE", path.clone()).query("dryRun", "All").query("orphanDependents", "false"),
            at_revision("s0", "Background"),
            delete("Background"),
            create(json!(["example.com/f", "foregroundDeletion"])), // s10
            dry("Background"),
            delete("Foreground"), // s12
            delete("Orphan"),
            Request::new("PATCH", path.clone()).body(
                "application/merge-patch+json",
                Content::Json(json!({"metadata": {"finalizers": ["foregroundDeletion"]}})),
            ),
            dry("Background"),
            at_revision("s14", "Background"),
            at_revision("s14", "Orphan"),
            delete("Background"),
            delete("Background"),
        ],
    )
}
