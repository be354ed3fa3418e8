//! Requests that come to no answer of the server's: nobody knows who asks, or they may not be whom they want to be.

use std::sync::Mutex;

use http::Method;
use serde_json::{Value, json};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Value>>>);

impl Sink for Lines {
    fn write(&self, line: &[u8], _now: Timestamp) -> std::io::Result<()> {
        self.0.lock().unwrap().push(serde_json::from_slice(line)?);
        Ok(())
    }
}

fn audited(rules: &str) -> (Config, Lines) {
    let lines = Lines::default();
    let policy = Policy::read(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}").as_bytes()).unwrap();
    let clock = || "2026-01-01T00:00:00.0000015Z".parse().unwrap();
    let mut config = Config::new(Arc::new(store::Memory::new()), Arc::new(clock), Arc::new(|| 1));
    config.audit = Some(Arc::new(Audit::new(policy, Box::new(lines.clone()))));
    (config, lines)
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(Method::GET).uri("/api/v1/pods?limit=1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn who_is_not_known_is_told_with_what_was_tried() {
    let (config, lines) = audited("rules: [{level: Metadata}]");
    let origin = Origin { address: Some([127, 0, 0, 1].into()), impersonator: None };
    let status = Status::unauthorized("Unauthorized");
    unauthenticated(&config, &parts(&[]), Origin::default(), &status, false);
    let headers = [("authorization", "Bearer x"), ("x-forwarded-for", "192.0.2.7, 127.0.0.1"), ("user-agent", "u")];
    unauthenticated(&config, &parts(&headers), origin, &status, false);
    let events = lines.0.lock().unwrap();
    assert_eq!(events[0]["responseStatus"]["message"], "Authentication failed, no credentials provided");
    assert_eq!(events[1]["responseStatus"]["message"], "Authentication failed, attempted: bearer");
    assert_eq!(events[1]["responseStatus"]["code"], 401);
    assert_eq!(events[1]["sourceIPs"], json!(["192.0.2.7", "127.0.0.1"]));
    assert_eq!((&events[1]["stage"], &events[1]["user"]), (&json!("ResponseStarted"), &json!({})));
    assert_eq!(events[1]["requestURI"], "/api/v1/pods?limit=1");
    assert_eq!(events[1]["stageTimestamp"], "2026-01-01T00:00:00.000001Z");
}

#[test]
fn who_acts_as_another_is_whom_the_policy_is_about() {
    let (config, lines) = audited("rules: [{level: Metadata, users: [jane]}]");
    let user = |name: &str| UserInfo::new(name, &[]);
    let by = |name: &str| Origin { address: None, impersonator: Some(user(name)) };
    assert!(begin(&config, &user("jane"), &parts(&[]), by("joe")).is_none());
    begin(&config, &user("joe"), &parts(&[]), by("jane")).unwrap().tell(Stage::RequestReceived);
    refused(
        &config,
        &user("jane"),
        &parts(&[]),
        Origin::default(),
        &Status::forbidden(api::status::Qualified::new("", "users"), "joe", "no"),
    );
    let events = lines.0.lock().unwrap();
    assert_eq!(
        (&events[0]["user"], &events[0]["impersonatedUser"]),
        (&json!({"username": "jane"}), &json!({"username": "joe"}))
    );
    let told: Vec<&Value> = events.iter().map(|event| &event["stage"]).collect();
    assert_eq!(told, ["RequestReceived", "RequestReceived", "ResponseComplete"]);
    assert_eq!(events[2]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(events[2]["responseStatus"]["reason"], "Forbidden");
}

#[test]
fn a_request_that_is_dropped_is_told_so() {
    let (config, lines) = audited("rules: [{level: Metadata}]");
    let record = || begin(&config, &UserInfo::admin(), &parts(&[]), Origin::default());
    drop(End(record()));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _end = End(record());
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panic.is_err());
    End(record()).complete();
    let events = lines.0.lock().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["stage"].as_str().unwrap(), event["responseStatus"]["code"].clone()))
        .collect();
    assert_eq!(told, [("ResponseComplete", json!(200)), ("Panic", json!(500)), ("ResponseComplete", Value::Null)]);
}
