//! Whether other servers answer (`controllers/status`): the condition `Available` of their APIServices.

use std::time::Duration;

use api::Object;
use api::meta::Meta;
use api::status::{Reason, Status};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::index::{ApiService, Remote};
use super::proxy::{AGGREGATOR, Answered, ask};
use super::{GROUP, documents};
use crate::admission::Reader;
use crate::bootstrap::write;
use crate::core::{Core, Existing};
use crate::metadata;
use crate::pipeline::{Change, Decoded, Target};

/// For an answer to a check.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
}

impl Verdict {
    fn no(reason: &'static str, message: String) -> Self {
        Self { status: "False", reason, message }
    }

    pub fn local() -> Self {
        Self { status: "True", reason: "Local", message: "Local APIServices are always available".to_owned() }
    }

    fn passed() -> Self {
        Self { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
    }

    pub fn is_good(&self) -> bool {
        self.status == "True"
    }
}

/// What the Service and its endpoints say; `None` when the server is worth asking.
fn reachable(remote: &Remote, service: Option<&Object>, slices: &[Object]) -> Option<Verdict> {
    let (namespace, name) = (&remote.namespace, &remote.name);
    let Some(service) = service else {
        return Some(Verdict::no("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    };
    let spec = &service["spec"];
    if !matches!(spec["type"].as_str(), Some("ClusterIP") | None) {
        return None;
    }
    let mut ports = spec["ports"].as_array().into_iter().flatten();
    let Some(port) = ports.find(|port| port["port"].as_u64() == Some(u64::from(remote.port))) else {
        let message = format!("service/{name} in {namespace:?} is not listening on port {}", remote.port);
        return Some(Verdict::no("ServicePortError", message));
    };
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for service/{name} in {namespace:?}");
        return Some(Verdict::no("EndpointsNotFound", message));
    }
    let port_name = port["name"].as_str().unwrap_or_default();
    let serves = |slice: &&Object| {
        let ready = |endpoint: &Value| endpoint["conditions"]["ready"] != false;
        let is_port = |port: &Value| port["name"].as_str() == Some(port_name) && port["port"].is_number();
        slice["endpoints"].as_array().into_iter().flatten().any(ready)
            && slice["ports"].as_array().into_iter().flatten().any(is_port)
    };
    if slices.iter().any(|slice| serves(&slice)) {
        return None;
    }
    let message =
        format!("endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}");
    Some(Verdict::no("MissingEndpoints", message))
}

/// Asks what has to be asked. Also reads what the server tells about itself.
pub(super) async fn check(core: &Core, service: &ApiService, remote: &Remote) -> Verdict {
    let services = core.registry.find("", "services");
    let found = services.map(|row| core.cached(row, &remote.namespace, &remote.name)).transpose();
    let found = match found {
        Ok(found) => found.flatten(),
        Err(status) => {
            let (name, namespace) = (&remote.name, &remote.namespace);
            let message = format!("service/{name} in {namespace:?} cannot be checked due to: {status}");
            return Verdict { status: "Unknown", reason: "ServiceAccessError", message };
        }
    };
    let slices = core.registry.find("discovery.k8s.io", "endpointslices");
    let slices = slices.map(|row| core.all_cached(row, &remote.namespace).unwrap_or_default()).unwrap_or_default();
    let own = |slice: &Object| slice.label("kubernetes.io/service-name") == Some(&remote.name);
    let slices: Vec<Object> = slices.into_iter().filter(own).collect();
    if let Some(verdict) = reachable(remote, found.as_ref(), &slices) {
        return verdict;
    }
    let path = format!("/apis/{}/{}", service.group, service.version);
    // Whether its certificate is good is for requests to find out: the check says nothing but that somebody answers.
    let asked = ask(core, remote, true, &AGGREGATOR, Method::GET, &path, "", PATIENCE).await;
    match asked {
        Ok(Answered { url, code, .. }) if !(200..300).contains(&code.as_u16()) => {
            Verdict::no("FailedDiscoveryCheck", failed(&url, &format!("bad status from {url}: {}", code.as_u16())))
        }
        Ok(Answered { code: StatusCode::OK, body, .. }) => {
            documents::told(core, service, remote, &body).await;
            Verdict::passed()
        }
        Ok(_) => Verdict::passed(),
        Err((url, why)) => Verdict::no("FailedDiscoveryCheck", failed(&url, &format!("Get {url:?}: {why}"))),
    }
}

fn failed(url: &str, why: &str) -> String {
    format!("failing or missing response from {url}: {why}")
}

/// The status with the condition; `None` when it says that already. The time is that of the last change of its status.
pub(super) fn with_condition(status: &Value, verdict: &Verdict, now: &str) -> Option<Value> {
    let mut new = if status.is_object() { status.clone() } else { json!({}) };
    let mut conditions = new["conditions"].as_array().cloned().unwrap_or_default();
    let known = conditions.iter().position(|condition| condition["type"] == "Available");
    let at = known.unwrap_or_else(|| {
        conditions.push(json!({"type": "Available"}));
        conditions.len() - 1
    });
    let condition = &mut conditions[at];
    if condition["status"] != verdict.status {
        condition["status"] = verdict.status.into();
        condition["lastTransitionTime"] = now.into();
    }
    condition["reason"] = verdict.reason.into();
    condition["message"] = verdict.message.as_str().into();
    new["conditions"] = conditions.into();
    (new != *status).then_some(new)
}

/// Writes what was found out, where it is news.
pub(super) async fn tell(core: &Core, service: &ApiService, verdict: &Verdict) -> Result<(), Status> {
    let now = metadata::time(core.now());
    if with_condition(&service.object["status"], verdict, &now).is_none() {
        return Ok(());
    }
    tracing::info!(
        name = service.name,
        available = verdict.status,
        reason = verdict.reason,
        "an APIService's state changed"
    );
    let change = Tell { uid: service.object.uid(), verdict, now: &now };
    let written = write(core, GROUP, "apiservices", "", async |target| {
        Target { subresource: "status", ..target }.update(&service.name, &change).await.map(drop)
    });
    match written.await {
        // Gone, or another one by now: that is news of its own.
        Err(status) if matches!(status.reason, Reason::NotFound | Reason::Conflict) => Ok(()),
        other => other,
    }
}

struct Tell<'a> {
    uid: &'a str,
    verdict: &'a Verdict,
    now: &'a str,
}

impl Change for Tell<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let mut new = old.object.clone();
        if old.object.uid() == self.uid
            && let Some(status) = with_condition(&old.object["status"], self.verdict, self.now)
        {
            new["status"] = status;
        }
        Ok(Decoded::new(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::tls::Trust;

    #[test]
    fn a_service_without_endpoints_is_not_asked() {
        let remote = Remote { namespace: "n".into(), name: "s".into(), port: 443, trust: Trust::Bundle(Vec::new()) };
        let service = |spec: Value| Some(json!({"spec": spec}));
        let cluster = |port: u64| service(json!({"type": "ClusterIP", "ports": [{"port": port, "name": "web"}]}));
        let slice = |ready: bool, name: &str| json!({"endpoints": [{"conditions": {"ready": ready}}], "ports": [{"name": name, "port": 8443}]});
        let table = [
            (None, vec![], "ServiceNotFound", "service/s in \"n\" is not present"),
            (cluster(80), vec![], "ServicePortError", "service/s in \"n\" is not listening on port 443"),
            (cluster(443), vec![], "EndpointsNotFound", "cannot find endpointslices for service/s in \"n\""),
            (
                cluster(443),
                vec![slice(false, "web"), slice(true, "other")],
                "MissingEndpoints",
                "endpointslices for service/s in \"n\" have no addresses with port name \"web\"",
            ),
            (cluster(443), vec![slice(true, "web")], "", ""),
            (service(json!({"type": "ExternalName"})), vec![], "", ""),
        ];
        for (service, slices, reason, message) in table {
            let verdict = reachable(&remote, service.as_ref(), &slices);
            let expected = (!reason.is_empty()).then(|| Verdict::no(reason, message.to_owned()));
            assert_eq!(verdict, expected, "{service:?}");
        }
    }

    #[test]
    fn the_condition_keeps_its_time_while_it_does_not_change() {
        let first = with_condition(&Value::Null, &Verdict::local(), "t1").unwrap();
        assert_eq!(first["conditions"][0]["lastTransitionTime"], "t1");
        assert_eq!(with_condition(&first, &Verdict::local(), "t2"), None);
        let second = with_condition(&first, &Verdict::passed(), "t2").unwrap();
        assert_eq!(
            (&second["conditions"][0]["reason"], &second["conditions"][0]["lastTransitionTime"]),
            (&json!("Passed"), &json!("t1"))
        );
        let third = with_condition(&second, &Verdict::no("X", "y".into()), "t3").unwrap();
        assert_eq!(
            (&third["conditions"][0]["status"], &third["conditions"][0]["lastTransitionTime"]),
            (&json!("False"), &json!("t3"))
        );
    }
}
