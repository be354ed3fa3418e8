//! What the audit log tells of requests.

use std::sync::{Arc, Mutex};

use apiserver::UserInfo;
use apiserver::audit::policy::Policy;
use apiserver::audit::{Audit, Sink};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Server, config_map, pod};
use crate::hook::{Hook, Say};

const MAPS: &str = "/api/v1/namespaces/a/configmaps";
const JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("user-agent", "robot/1"), ("audit-id", "x")];

/// The log of a test.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Value>>>);

impl Sink for Lines {
    fn write(&self, line: &[u8], _now: Timestamp) -> std::io::Result<()> {
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
        self.0.lock().unwrap().push(serde_json::from_slice(line)?);
        Ok(())
    }
}

impl Lines {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn server(rules: &str) -> (Server, Lines) {
    let lines = Lines::default();
    let policy = Policy::read(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}").as_bytes()).unwrap();
    let sink = Box::new(lines.clone());
    let server = Server::with(|config| config.audit = Some(Arc::new(Audit::new(policy, sink)))).await;
    server.namespace("a").await;
    lines.take();
    (server, lines)
}

fn jane() -> UserInfo {
    UserInfo::new("jane", &["system:authenticated"])
}

fn stages(events: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.iter().map(|event| format!("{} {}", text(&event["verb"]), text(&event["stage"]))).collect()
}

#[tokio::test]
async fn levels_say_how_much_is_told() {
    let rules = "
omitManagedFields: true
rules:
- {level: None, users: [system:admin]}
- {level: RequestResponse, verbs: [create], resources: [{resources: [configmaps]}], omitStages: [RequestReceived]}
- {level: Request, verbs: [patch]}
- {level: Metadata}
";
    let (server, lines) = server(rules).await;
    server.get("/api/v1/namespaces/a").await.expect(200);
    assert_eq!(lines.take(), [Value::Null; 0], "nothing of the administrator");

    let made = server.send_as(&jane(), "POST", MAPS, JSON, config_map("c", json!({"k": "v"})).to_string()).await;
    assert_eq!(made.headers["audit-id"], "x");
    let events = lines.take();
    assert_eq!(stages(&events), ["create ResponseComplete"]);
    let event = &events[0];
    let head = json!([event["kind"], event["apiVersion"], event["level"], event["auditID"], event["requestURI"]]);
    assert_eq!(head, json!(["Event", "audit.k8s.io/v1", "RequestResponse", "x", MAPS]));
    assert_eq!(event["user"], json!({"username": "jane", "groups": ["system:authenticated"]}));
    assert_eq!(event["userAgent"], "robot/1");
    let object = json!({"resource": "configmaps", "namespace": "a", "name": "c", "apiVersion": "v1"});
    assert_eq!(event["objectRef"], object);
    assert_eq!(event["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(event["requestObject"]["data"], json!({"k": "v"}));
    assert_eq!(event["responseObject"]["metadata"]["uid"], made.body["metadata"]["uid"]);
    assert_eq!(event["responseObject"]["metadata"].get("managedFields"), None);
    assert_eq!(event["requestReceivedTimestamp"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");

    let merge = [("content-type", "application/merge-patch+json")];
    server
        .send_as(&jane(), "PATCH", &format!("{MAPS}/c"), &merge, json!({"data": {"k": "w"}}).to_string())
        .await
        .expect(200);
    let events = lines.take();
    assert_eq!(stages(&events), ["patch RequestReceived", "patch ResponseComplete"]);
    assert_eq!(events[1]["requestObject"], json!({"data": {"k": "w"}}));
    assert_eq!(events[1].get("responseObject"), None);

    server.send_as(&jane(), "GET", &format!("{MAPS}/none"), &[], "").await.expect(404);
    let events = lines.take();
    let status = json!({"metadata": {}, "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "configmaps \"none\" not found", "details": {"name": "none", "kind": "configmaps"}});
    assert_eq!(events[1]["responseStatus"], status);
    assert_eq!(events[1].get("responseObject"), None);
    server.send_as(&jane(), "GET", "/version", &[], "").await.expect(200);
    assert_eq!(lines.take()[1].get("objectRef"), None);
}

#[tokio::test]
async fn a_watch_is_told_when_it_begins_and_when_it_ends() {
    let (server, lines) = server("rules: [{level: Metadata}]").await;
    let mut watch = server.watch(&format!("{MAPS}?watch=1")).await;
    server.post(MAPS, &config_map("c", json!({}))).await;
    assert_eq!(watch.say().await, "ADDED c");
    let of_watch =
        |events: Vec<Value>| stages(&events).into_iter().filter(|stage| stage.starts_with("watch")).collect::<Vec<_>>();
    assert_eq!(of_watch(lines.take()), ["watch RequestReceived", "watch ResponseStarted"]);
    drop(watch);
    assert_eq!(of_watch(lines.take()), ["watch ResponseComplete"]);
}

#[tokio::test]
async fn what_roles_and_admission_say_is_annotated() {
    let (server, lines) = server("rules: [{level: Metadata, verbs: [create], omitStages: [RequestReceived]}]").await;
    let labels = json!({"pod-security.kubernetes.io/audit": "restricted"});
    server.post("/api/v1/namespaces", &json!({"metadata": {"name": "b", "labels": labels}})).await.expect(201);
    server.post("/api/v1/namespaces/b/serviceaccounts", &json!({"metadata": {"name": "default"}})).await.expect(201);
    lines.take();
    server.post("/api/v1/namespaces/b/pods", &pod("p")).await.expect(201);
    let annotations = lines.take().remove(0)["annotations"].clone();
    assert_eq!(annotations["pod-security.kubernetes.io/enforce-policy"], "privileged:latest");
    let violations = annotations["pod-security.kubernetes.io/audit-violations"].as_str().unwrap();
    assert!(
        violations.starts_with("would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation"),
        "{violations}"
    );

    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]});
    let policy = json!({"metadata": {"name": "p"}, "spec": {"matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "never"}],
        "auditAnnotations": [{"key": "name", "valueExpression": "'is ' + object.metadata.name"}]}});
    let binding =
        json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Audit", "Warn"]}});
    let group = "/apis/admissionregistration.k8s.io/v1";
    server.post(&format!("{group}/validatingadmissionpolicies"), &policy).await.expect(201);
    server.post(&format!("{group}/validatingadmissionpolicybindings"), &binding).await.expect(201);
    let wait = async {
        for index in 0.. {
            lines.take();
            server.post(MAPS, &config_map(&format!("c{index}"), json!({}))).await.expect(201);
            let annotations = lines.take().remove(0)["annotations"].clone();
            if !annotations["p/name"].is_null() {
                return (index, annotations);
            }
            tokio::task::yield_now().await;
        }
        unreachable!()
    };
    let (index, annotations) = tokio::time::timeout(crate::harness::PATIENCE, wait).await.unwrap();
    assert_eq!(annotations["p/name"], format!("is c{index}"));
    let failure = annotations["validation.policy.admission.k8s.io/validation_failure"].as_str().unwrap();
    let expected = json!([{"message": "never", "policy": "p", "binding": "b", "expressionIndex": 0,
        "validationActions": ["Audit", "Warn"]}]);
    assert_eq!(serde_json::from_str::<Value>(failure).unwrap(), expected);
}

#[tokio::test]
async fn what_webhooks_change_is_annotated() {
    let say: Say = |_| {
        let patch = STANDARD.encode(r#"[{"op": "add", "path": "/data/x", "value": "y"}]"#);
        json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
    };
    let hook = Hook::start(say).await;
    let rules = "rules: [{level: Request, verbs: [create], omitStages: [RequestReceived]}]";
    let (server, lines) = server(rules).await;
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]});
    let one = |name: &str, url: &str| {
        json!({"name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
            "clientConfig": {"url": url, "caBundle": hook.bundle}, "rules": [rule]})
    };
    let hooks = json!({"metadata": {"name": "c"}, "webhooks": [
        one("away.example.com", "https://127.0.0.1:1/"), one("h.example.com", &hook.url)]});
    server.post("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", &hooks).await.expect(201);
    let wait = async {
        for index in 0.. {
            lines.take();
            server.post(MAPS, &config_map(&format!("c{index}"), json!({"k": "v"}))).await.expect(201);
            let annotations = lines.take().remove(0)["annotations"].clone();
            if !annotations["mutation.webhook.admission.k8s.io/round_0_index_1"].is_null() {
                return annotations;
            }
            tokio::task::yield_now().await;
        }
        unreachable!()
    };
    let annotations = tokio::time::timeout(crate::harness::PATIENCE, wait).await.unwrap();
    for (key, expected) in [
        (
            "mutation.webhook.admission.k8s.io/round_0_index_0",
            r#"{"configuration":"c","webhook":"away.example.com","mutated":false}"#,
        ),
        ("failed-open.mutation.webhook.admission.k8s.io/round_0_index_0", "away.example.com"),
        (
            "mutation.webhook.admission.k8s.io/round_0_index_1",
            r#"{"configuration":"c","webhook":"h.example.com","mutated":true}"#,
        ),
        (
            "patch.webhook.admission.k8s.io/round_0_index_1",
            r#"{"configuration":"c","webhook":"h.example.com","patch":[{"op":"add","path":"/data/x","value":"y"}],"patchType":"JSONPatch"}"#,
        ),
    ] {
        assert_eq!(annotations[key], expected, "{key}");
    }
}
