//! Owns:    the decision on nodes' requests for certificates, and the certificates of all that were approved.
//! Watches: CertificateSigningRequests, Nodes.
//! Writes:  CertificateSigningRequests (approval, status, delete).
//!
//! Upstream has three controllers for this (approver, signer, cleaner), and asks the API who may have a request approved without
//! a person. Here the rule is fixed (`rules`): who bootstraps gets a node's client certificate, a node gets its own again and
//! one to serve with. Requests that are settled are deleted after an hour, others after a day.

mod rules;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::ApiResource;
use reconcile::informer::Caches;
use reconcile::plan::{PatchKind, Verb};
use reconcile::{Action, Controller, Key, Plan, Watch, read};
use serde_json::json;

use rules::Decision;

/// What a request asks for, as far as a decision needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// Names of other kinds, or to be an authority.
    pub asks_for_more: bool,
}

/// The authority's key, wherever it is.
pub trait Signer: Send + Sync {
    /// From PEM.
    fn read(&self, request: &str) -> Result<Asked, String>;
    /// The certificate in PEM. `usages` are Kubernetes' words.
    fn sign(&self, request: &str, usages: &[String], life: Duration, now: Timestamp) -> Result<String, String>;
}

#[derive(Clone)]
pub struct Config {
    pub signer: Arc<dyn Signer>,
    /// No node may serve at these addresses: they are the API server's.
    pub reserved: Vec<IpAddr>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("reserved", &self.reserved).finish_non_exhaustive()
    }
}

/// Upstream's --cluster-signing-duration.
const LIFE: Duration = Duration::from_secs(365 * 86_400);
/// How long requests are kept (upstream's csrcleaner).
const KEEP_SETTLED: Duration = Duration::from_secs(3_600);
const KEEP_PENDING: Duration = Duration::from_secs(86_400);

const SIGNERS: [&str; 3] = ["kubernetes.io/kube-apiserver-client", rules::CLIENT_KUBELET, rules::KUBELET_SERVING];

pub struct Certificates {
    config: Config,
}

impl Certificates {
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Controller for Certificates {
    const NAME: &'static str = "certificate-controller";
    const QUEUE: &'static str = "certificate";
    type Root = CertificateSigningRequest;
    type View = Vec<Arc<Node>>;

    fn watches() -> Vec<Watch> {
        vec![read::<Node>()]
    }

    fn view(&self, _root: &CertificateSigningRequest, caches: &Caches) -> Vec<Arc<Node>> {
        caches.get::<Node>().list()
    }

    fn decide(&self, root: &CertificateSigningRequest, nodes: &Vec<Arc<Node>>, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if root.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        let status = root.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or(&[]);
        let has = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind);
        let signed = status.is_some_and(|status| status.certificate.as_ref().is_some_and(|it| !it.0.is_empty()));
        let settled = signed || has("Denied") || has("Failed");
        let keep = if settled { KEEP_SETTLED } else { KEEP_PENDING };
        let age =
            root.metadata.creation_timestamp.as_ref().map_or(Duration::ZERO, |created| {
                Duration::try_from(now.duration_since(created.0)).unwrap_or_default()
            });
        if age > keep {
            plan.push(Action::delete(root).unchanged(root));
            return plan;
        }
        plan.requeue_after(keep - age + Duration::from_secs(1));
        if settled {
            return plan;
        }
        if has("Approved") {
            self.sign(root, now, &mut plan);
            return plan;
        }
        let request = String::from_utf8_lossy(&root.spec.request.0).into_owned();
        match self.config.signer.read(&request) {
            Ok(asked) => match rules::decide(&root.spec, &asked, nodes, &self.config.reserved) {
                Decision::Approve(why) => plan.push(decided(root, "Approved", "AutoApproved", why, now)),
                Decision::Deny(why) => plan.push(decided(root, "Denied", "NotAllowed", &why, now)),
                // A person's to decide.
                Decision::Leave => {}
            },
            Err(why) => plan.push(decided(root, "Denied", "Malformed", &why, now)),
        }
        plan
    }
}

impl Certificates {
    fn sign(&self, root: &CertificateSigningRequest, now: Timestamp, plan: &mut Plan) {
        if !SIGNERS.contains(&root.spec.signer_name.as_str()) {
            return;
        }
        let request = String::from_utf8_lossy(&root.spec.request.0).into_owned();
        let usages = root.spec.usages.clone().unwrap_or_default();
        let asked = root.spec.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let life = asked.map_or(LIFE, Duration::from_secs).min(LIFE);
        // A person may have approved what is not to be signed.
        let sound = self.config.signer.read(&request).and_then(|asked| rules::sound(&root.spec, &asked));
        let signed = sound.and_then(|()| self.config.signer.sign(&request, &usages, life, now));
        plan.push(match signed {
            Ok(pem) => {
                let certificate = ByteString(pem.into_bytes());
                patch(root, "status", json!({"status": {"certificate": certificate}}))
            }
            Err(why) => {
                let conditions = with_condition(root, "Failed", "SignerValidationFailure", &why, now);
                patch(root, "status", json!({"status": {"conditions": conditions}}))
            }
        });
    }
}

fn decided(root: &CertificateSigningRequest, kind: &str, reason: &str, message: &str, now: Timestamp) -> Action {
    let conditions = with_condition(root, kind, reason, message, now);
    patch(root, "approval", json!({"status": {"conditions": conditions}}))
}

fn with_condition(
    root: &CertificateSigningRequest,
    kind: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Vec<CertificateSigningRequestCondition> {
    let mut conditions = root.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.push(CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    });
    conditions
}

fn patch(root: &CertificateSigningRequest, subresource: &'static str, body: serde_json::Value) -> Action {
    let resource = ApiResource::erase::<CertificateSigningRequest>(&());
    let key = Key::cluster(root.meta().name.as_deref().unwrap_or(""));
    let verb = Verb::Patch { kind: PatchKind::Merge, body, subresource: Some(subresource) };
    Action::raw(resource, key, verb).unchanged(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, time_ago};
    use serde_json::Value;

    /// An authority that reads the subject from the text.
    struct Plain;

    impl Signer for Plain {
        fn read(&self, request: &str) -> Result<Asked, String> {
            let common_name = request.strip_prefix("CN=").ok_or("no request")?.to_owned();
            Ok(Asked { common_name, organizations: vec!["system:nodes".to_owned()], ..Asked::default() })
        }

        fn sign(&self, request: &str, _: &[String], life: Duration, _: Timestamp) -> Result<String, String> {
            Ok(format!("{request} for {}", life.as_secs()))
        }
    }

    fn decide(request: &str, status: Value, age: i64, groups: Value) -> Vec<String> {
        let bytes = serde_json::to_value(ByteString(request.as_bytes().to_vec())).expect("bytes");
        let root = object(json!({
            "metadata": {"name": "r", "uid": "u", "resourceVersion": "1", "creationTimestamp": time_ago(age)},
            "spec": {"request": bytes, "signerName": rules::CLIENT_KUBELET, "username": "system:bootstrap:abcdef",
                "groups": groups, "usages": ["client auth", "digital signature"], "expirationSeconds": 700},
            "status": status,
        }));
        let config = Config { signer: Arc::new(Plain), reserved: Vec::new() };
        actions(&Certificates::new(config).decide(&root, &Vec::new(), now()))
    }

    #[test]
    fn a_bootstrappers_request_is_approved_then_signed_then_forgotten() {
        let bootstrappers = || json!(["system:bootstrappers"]);
        let approved = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        let signed = json!({"certificate": "YQ=="});
        let table = [
            ("new", "CN=system:node:a", json!({}), 0, Some(r#"patch CertificateSigningRequest r/approval"#)),
            ("approved", "CN=system:node:a", approved, 0, Some("patch CertificateSigningRequest r/status")),
            ("signed", "CN=system:node:a", signed.clone(), 3000, None),
            ("old", "CN=system:node:a", signed, 3700, Some("delete CertificateSigningRequest r")),
            ("left alone for a day", "CN=x", json!({}), 90_000, Some("delete CertificateSigningRequest r")),
        ];
        for (name, request, status, age, expected) in table {
            let found = decide(request, status, age, bootstrappers());
            assert_eq!(found.len(), usize::from(expected.is_some()), "{name}: {found:?}");
            assert!(found.iter().all(|action| action.starts_with(expected.unwrap_or(""))), "{name}: {found:?}");
        }
        let of_nobody = decide("CN=system:node:a", json!({}), 0, json!(["system:authenticated"]));
        assert!(of_nobody.is_empty(), "a person decides: {of_nobody:?}");
        let malformed = decide("x", json!({}), 0, bootstrappers());
        assert!(malformed[0].contains("Denied"), "{malformed:?}");
    }
}
