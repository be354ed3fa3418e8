//! Requests that are worth asking each time, whatever the seed.

use serde_json::{Value, json};

use super::super::kinds::{self, Kind};
use super::super::step::{Action, Content, Request, Scenario, Step};
use super::{discovery, ends, expired};

pub fn scenarios() -> Vec<Scenario> {
    let mut scenarios = vec![
        Scenario { no_revisions: true, ..gets("picked/bootstrap", &BOOTSTRAP) },
        gets("picked/paths", &PATHS),
        discovery::scenario(),
        super::documents::scenario(),
        revisions(),
        pages(),
        reviews(),
        bindings(),
        bodies(),
    ];
    let kept = || kinds::all().filter(|kind| !kind.dry && !kind.review);
    scenarios.extend(kept().map(life));
    scenarios.extend(kept().map(ends::finalizers));
    // Others ask for old revisions, too.
    scenarios.push(expired::scenario());
    scenarios
}

/// What every cluster has.
const BOOTSTRAP: [&str; 14] = [
    "/api/v1/namespaces",
    "/api/v1/services",
    "/api/v1/endpoints",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/api/v1/nodes",
    "/api/v1/pods",
    "/api/v1/secrets",
    "/api/v1/limitranges",
];

const PATHS: [&str; 30] = [
    "/version",
    "/version/",
    "/healthz",
    "/livez",
    "/readyz",
    "/healthz/ping",
    "/healthz/unknown",
    "/api/v1/",
    "/api/v2",
    "/apis/unknown",
    "/apis/apps",
    "/apis/apps/v1",
    "/apis/apps/v2",
    "/apis/policy/v1",
    "/apis/coordination.k8s.io/v1",
    "/apis/events.k8s.io/v1",
    "/apis/authorization.k8s.io/v1",
    "/unknown",
    "/api/v1/unknowns",
    "/api/v1/namespaces/${ns}/unknowns",
    "/api/v1/namespaces/${ns}/pods/a/b/c/d",
    "/api/v1/namespaces/none/configmaps",
    "/api/v1/namespaces/none/configmaps/a",
    "/api/v1/watch/namespaces/${ns}/configmaps?timeoutSeconds=1",
    "/api/v1/namespaces//pods",
    "//api/v1/pods",
    "/api/v1/configmaps/a",
    "/api/v1/namespaces/${ns}/nodes",
    "/api/v1/namespaces/${ns}/configmaps/%2e%2e",
    "/api/v1/namespaces/${ns}/configmaps?watch=false",
];

fn gets(name: &str, paths: &[&str]) -> Scenario {
    requests(name, paths.iter().map(|path| Request::new("GET", *path)))
}

pub(super) fn requests(name: &str, requests: impl IntoIterator<Item = Request>) -> Scenario {
    let steps = requests
        .into_iter()
        .enumerate()
        .map(|(index, request)| Step { label: format!("s{index}"), action: Action::Send(request) });
    Scenario { name: name.to_owned(), steps: steps.collect(), no_revisions: false }
}

/// Every meaning of a revision, for gets, lists and watches.
fn revisions() -> Scenario {
    let maps = "/api/v1/namespaces/${ns}/configmaps";
    let one = format!("{maps}/a");
    let object =
        |n: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"n": n}});
    let mut asked = vec![
        Request::new("POST", maps).json(object("1")),
        Request::new("PUT", one.clone()).json(object("2")),
        Request::new("PUT", one.clone()).json(object("2")),
        Request::new("PUT", one.clone()).json(object("3")),
    ];
    for version in ["", "0", "1", "-1", "x", "1.5", "${rv:s0}", "${rv:s1}", "${rv:s3}"] {
        asked.push(Request::new("GET", one.clone()).query("resourceVersion", version));
        for how in ["", "Exact", "NotOlderThan", "exact"] {
            for limit in ["", "1"] {
                let mut request = Request::new("GET", maps).query("resourceVersion", version);
                if !how.is_empty() {
                    request = request.query("resourceVersionMatch", how);
                }
                if !limit.is_empty() {
                    request = request.query("limit", limit);
                }
                asked.push(request);
            }
        }
    }
    // One that is not there yet costs both servers three seconds.
    asked.push(Request::new("GET", one).query("resourceVersion", "999999999"));
    asked.push(
        Request::new("GET", maps).query("resourceVersion", "999999999").query("resourceVersionMatch", "NotOlderThan"),
    );
    let mut scenario = requests("picked/revisions", asked);
    for (index, (version, initial, how)) in watch_options().into_iter().enumerate() {
        let mut request = Request::new("GET", maps).query("watch", "true").query("timeoutSeconds", "100");
        for (name, value) in [
            ("resourceVersion", version),
            ("sendInitialEvents", initial),
            ("resourceVersionMatch", how),
            ("allowWatchBookmarks", if initial.is_empty() { "" } else { "true" }),
        ] {
            if !value.is_empty() {
                request = request.query(name, value);
            }
        }
        let label = format!("w{index}");
        scenario.steps.push(Step { label: label.clone(), action: Action::Watch(request) });
        scenario.steps.push(Step { label: format!("e{index}"), action: Action::EndWatch(label) });
    }
    scenario
}

/// resourceVersion, sendInitialEvents, resourceVersionMatch.
fn watch_options() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut options = Vec::new();
    for version in ["", "0", "1", "x", "${rv:s0}", "${rv:s3}"] {
        for (initial, how) in [("", ""), ("", "NotOlderThan"), ("true", ""), ("true", "NotOlderThan"), ("false", "")] {
            options.push((version, initial, how));
        }
        options.push((version, "false", "NotOlderThan"));
        options.push((version, "true", "Exact"));
    }
    options
}

fn pages() -> Scenario {
    let maps = "/api/v1/namespaces/${ns}/configmaps";
    let object = |n: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("n{n}"), "labels": {"odd": (n % 2).to_string()}}});
    let mut asked: Vec<_> = (0..7).map(|n| Request::new("POST", maps).json(object(n))).collect();
    let list = || Request::new("GET", maps);
    asked.extend([
        list().query("limit", "3"),                                     // s7
        list().query("limit", "3").query("continue", "${continue:s7}"), // s8
        list().query("limit", "3").query("continue", "${continue:s8}"), // s9
        Request::new("DELETE", format!("{maps}/n5")),                   // s10
        list().query("limit", "3").query("continue", "${continue:s7}"), // s11
        list().query("continue", "${continue:s7}"),                     // s12
        list().query("limit", "3").query("continue", "bad"),
        list().query("limit", "3").query("continue", "${continue:s7}").query("resourceVersion", "1"),
        list().query("limit", "3").query("continue", "${continue:s7}").query("resourceVersion", "0"),
        list().query("limit", "3").query("continue", "${continue:s7}").query("resourceVersionMatch", "Exact"),
        list().query("limit", "3").query("labelSelector", "odd=1"), // s17
        list().query("limit", "3").query("labelSelector", "odd=1").query("continue", "${continue:s17}"),
        list().query("limit", "3").query("resourceVersion", "0"),
        list().query("limit", "3").query("resourceVersion", "${rv:s3}"),
        list().query("limit", "2").query("resourceVersion", "${rv:s3}").query("resourceVersionMatch", "Exact"), // s21
        list().query("limit", "2").query("continue", "${continue:s21}"),
        list().query("limit", "2").query("fieldSelector", "metadata.name=n3"),
        list().query("limit", "0"),
        list().query("limit", "-1"),
        list().query("limit", "9999999999999999999999"),
        list().query("limit", "2").header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"), // s27
        list()
            .query("limit", "2")
            .query("continue", "${continue:s27}")
            .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"),
        list().query("limit", "2").query("watch", "true").query("continue", "${continue:s27}"),
        Request::new("GET", "/api/v1/configmaps").query("limit", "1").query("labelSelector", "odd"),
        Request::new("DELETE", maps).query("limit", "2"),
        list(),
    ]);
    requests("picked/pages", asked)
}

/// A pod that is bound by the older form.
fn bindings() -> Scenario {
    let pods = "/api/v1/namespaces/${ns}/pods";
    let bindings = "/api/v1/namespaces/${ns}/bindings";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    let bind = |name: &str, target: Value| {
        Request::new("POST", bindings)
            .json(json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}))
    };
    requests(
        "picked/bindings",
        [
            Request::new("POST", pods).json(pod),
            bind("q", json!({"kind": "Node", "name": "n"})),
            bind("p", json!({"kind": "Pod", "name": "n"})),
            bind("p", json!({})),
            bind("p", json!({"kind": "Node", "name": "n"})),
            bind("p", json!({"kind": "Node", "name": "m"})),
            Request::new("GET", format!("{pods}/p")),
            Request::new("GET", bindings),
        ],
    )
}

fn reviews() -> Scenario {
    let review = |group: &str, version: &str, kind: &str, plural: &str, spec: Value| {
        Request::new("POST", format!("/apis/{group}/{version}/{plural}"))
            .json(json!({"apiVersion": format!("{group}/{version}"), "kind": kind, "spec": spec}))
    };
    let authorization = "authorization.k8s.io";
    let attributes = json!({"namespace": "default", "verb": "get", "resource": "pods"});
    requests(
        "picked/reviews",
        [
            review("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", json!({})),
            review("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", json!({"token": "bad"})),
            review("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", json!({})),
            review(authorization, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", json!({})),
            review(
                authorization,
                "v1",
                "SelfSubjectAccessReview",
                "selfsubjectaccessreviews",
                json!({"resourceAttributes": attributes}),
            ),
            review(
                authorization,
                "v1",
                "SubjectAccessReview",
                "subjectaccessreviews",
                json!({"user": "u", "resourceAttributes": attributes}),
            ),
            review(
                authorization,
                "v1",
                "SubjectAccessReview",
                "subjectaccessreviews",
                json!({"user": "u", "nonResourceAttributes": {"path": "/version", "verb": "get"}}),
            ),
            review(authorization, "v1", "SubjectAccessReview", "subjectaccessreviews", json!({"user": "u"})),
            review(
                authorization,
                "v1",
                "SelfSubjectRulesReview",
                "selfsubjectrulesreviews",
                json!({"namespace": "default"}),
            ),
            Request::new("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
        ],
    )
}

/// What is no object, or not the one of the path.
fn bodies() -> Scenario {
    let maps = "/api/v1/namespaces/${ns}/configmaps";
    let post =
        |content_type: &str, text: &str| Request::new("POST", maps).body(content_type, Content::Text(text.to_owned()));
    let json = "application/json";
    let mut asked = vec![
        post(json, ""),
        post(json, "{"),
        post(json, "[]"),
        post(json, "null"),
        post(json, "\"x\""),
        post(json, "7"),
        post(json, "{}"),
        post(json, r#"{"kind":"ConfigMap"}"#),
        post(json, r#"{"apiVersion":"v1"}"#),
        post(json, r#"{"metadata":{"name":"implied"}}"#),
        post(json, r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"}}"#),
        post(json, r#"{"apiVersion":"v2","kind":"ConfigMap","metadata":{"name":"x"}}"#),
        post(json, r#"{"apiVersion":"a/b/c","kind":"ConfigMap","metadata":{"name":"x"}}"#),
        post(json, r#"{"apiVersion":7,"kind":"ConfigMap"}"#),
        post(json, r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"}}"#),
        post(json, r#"{"apiVersion":"apps/v1","kind":"ConfigMap","metadata":{"name":"x"}}"#),
        post(json, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":[]}"#),
        post(json, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":null}"#),
        post(json, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"y"}} trailing"#),
        post("application/yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {a: b}\n"),
        post("application/yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml2}\ndata: {a: 1}\n"),
        post("application/yaml", "a: [\n"),
        post("application/yaml", ""),
        post("text/plain", "x"),
        post("application/xml", "<x/>"),
        post("application/json; charset=utf-8", r#"{"metadata":{"name":"charset"}}"#),
        post("nonsense", "{}"),
        Request::new("POST", maps),
        Request::new("DELETE", format!("{maps}/none")),
        Request::new("PUT", format!("{maps}/none")).json(json!({})),
        Request::new("GET", format!("{maps}/none")),
        Request::new("POST", "/api/v1/namespaces/none/configmaps").json(json!({"metadata": {"name": "a"}})),
        Request::new("GET", maps).query("labelSelector", "a in (b"),
        Request::new("GET", maps).query("fieldSelector", "=").query("labelSelector", "x,,y"),
        Request::new("GET", maps).query("limit", "x").query("watch", "0"),
        Request::new("GET", maps).query("timeoutSeconds", "x"),
        Request::new("GET", maps).query("unknown", "x"),
    ];
    for query in ["dryRun=All&dryRun=All", "fieldManager=", "fieldValidation=", "pretty=maybe", "force=true"] {
        asked.push(
            Request::new("POST", format!("{maps}?{query}"))
                .json(json!({"metadata": {"generateName": "q-"}, "unknown": 1})),
        );
    }
    requests("picked/bodies", asked)
}

/// One object of a kind from its creation to its end, as clients see it.
fn life(kind: &Kind) -> Scenario {
    let (path, collection) = (kind.path("a"), kind.collection());
    let selected = |request: Request| request.query("labelSelector", "scenario=${ns}");
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let merge = "application/merge-patch+json";
    let labels = |n: &str| Content::Json(json!({"metadata": {"labels": {"n": n}}}));
    let edited =
        |of: &str| Content::Edited { of: of.to_owned(), changes: json!({"metadata": {"annotations": {"x": "y"}}}) };
    let apply = Request::new("PATCH", path.clone())
        .query("fieldManager", "applier")
        .query("force", "true")
        .body("application/apply-patch+yaml", Content::Json(kind.object("a")));
    let send = |label: &str, request: Request| Step { label: label.to_owned(), action: Action::Send(request) };
    let watch = |label: &str, request: Request| Step { label: label.to_owned(), action: Action::Watch(request) };
    let end = |of: &str| Step { label: format!("end-{of}"), action: Action::EndWatch(of.to_owned()) };
    let watching =
        || selected(Request::new("GET", collection.clone())).query("watch", "true").query("timeoutSeconds", "100");
    let mut steps = vec![
        watch("w1", watching()),
        watch("w2", watching().header("accept", table)),
        watch("w3", watching().query("fieldSelector", "metadata.name=none")),
        send("create", Request::new("POST", collection.clone()).json(kind.object("a"))),
        send("again", Request::new("POST", collection.clone()).json(kind.object("a"))),
        send("get", Request::new("GET", path.clone())),
        send("table", Request::new("GET", path.clone()).header("accept", table)),
        send("list", selected(Request::new("GET", collection.clone()))),
        send("tables", selected(Request::new("GET", collection.clone())).header("accept", table)),
        send(
            "same",
            Request::new("PUT", path.clone())
                .body("application/json", Content::Edited { of: "get".into(), changes: json!({}) }),
        ),
        send("put", Request::new("PUT", path.clone()).body("application/json", edited("get"))),
        send(
            "stale",
            Request::new("PUT", path.clone()).body(
                "application/json",
                Content::Edited { of: "get".into(), changes: json!({"metadata": {"annotations": {"x": "z"}}}) },
            ),
        ),
        send("merge", Request::new("PATCH", path.clone()).body(merge, labels("1"))),
        send(
            "strategic",
            Request::new("PATCH", path.clone()).body("application/strategic-merge-patch+json", labels("2")),
        ),
        send("apply", apply.clone()),
        send("apply again", apply),
        send(
            "conflict",
            Request::new("PATCH", path.clone()).query("fieldManager", "other").body(
                "application/apply-patch+yaml",
                Content::Json({
                    let mut object = kind.object("a");
                    object["metadata"]["labels"] = json!({"item": "mine"});
                    object
                }),
            ),
        ),
        send("before", Request::new("GET", path.clone())),
        send("delete dry", Request::new("DELETE", path.clone()).query("dryRun", "All")),
        send("delete", Request::new("DELETE", path.clone())),
        send("delete again", Request::new("DELETE", path.clone())),
        send("after", Request::new("GET", path)),
    ];
    steps.extend([end("w1"), end("w2"), end("w3")]);
    Scenario { name: format!("picked/life {}/{}", kind.api_version, kind.plural), steps, no_revisions: false }
}
