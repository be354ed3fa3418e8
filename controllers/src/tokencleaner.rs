//! Owns:    bootstrap tokens that have expired: Secrets of their type in kube-system.
//! Watches: Secrets of that type.
//! Writes:  Secrets (delete).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Plan, Watch};

/// Upstream's `bootstrapapi.SecretTypeBootstrapToken`.
const TYPE: &str = "bootstrap.kubernetes.io/token";
const SELECTED: &str = "type=bootstrap.kubernetes.io/token";
const NAMESPACE: &str = "kube-system";
const EXPIRATION: &str = "expiration";

pub struct TokenCleaner;

impl Controller for TokenCleaner {
    const NAME: &'static str = "token-cleaner-controller";
    const ACCOUNT: &'static str = "token-cleaner";
    const QUEUE: &'static str = "token_cleaner";
    /// Other Secrets are nobody's business here.
    const ROOTS: Option<&'static str> = Some(SELECTED);
    type Root = Secret;
    type View = ();

    fn watches() -> Vec<Watch> {
        Vec::new()
    }

    fn view(&self, _root: &Secret, _caches: &Caches) {}

    fn decide(&self, root: &Secret, _view: &(), now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let is_token = root.type_.as_deref() == Some(TYPE) && root.metadata.namespace.as_deref() == Some(NAMESPACE);
        let end = root.data.as_ref().and_then(|data| data.get(EXPIRATION)).filter(|end| !end.0.is_empty());
        let (true, Some(end)) = (is_token, end) else { return plan };
        // What cannot be read has ended, as upstream has it.
        let left = std::str::from_utf8(&end.0).ok().and_then(|end| end.parse::<Timestamp>().ok());
        let left = left.and_then(|end| Duration::try_from(end.duration_since(now)).ok()).unwrap_or_default();
        if left.is_zero() {
            plan.push(Action::delete(root).same_uid(root));
        } else {
            plan.requeue_after(left);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, time_ago};
    use k8s_openapi::ByteString;
    use serde_json::{Value, json};

    #[test]
    fn tokens_go_when_they_end() {
        let secret = |kind: &str, namespace: &str, end: Value| -> Secret {
            let data = match end {
                Value::String(end) => json!({EXPIRATION: ByteString(end.into_bytes())}),
                _ => json!({}),
            };
            object(json!({"type": kind, "metadata": {"name": "t", "namespace": namespace, "uid": "u"}, "data": data}))
        };
        let ago = |seconds: i64| json!(time_ago(seconds));
        let table = [
            ("past", secret(TYPE, NAMESPACE, ago(1)), true, None),
            ("this moment", secret(TYPE, NAMESPACE, ago(0)), true, None),
            ("to come", secret(TYPE, NAMESPACE, ago(-60)), false, Some(60)),
            ("unreadable", secret(TYPE, NAMESPACE, json!("soon")), true, None),
            ("without an end", secret(TYPE, NAMESPACE, Value::Null), false, None),
            ("in another namespace", secret(TYPE, "default", ago(1)), false, None),
            ("no token", secret("Opaque", NAMESPACE, ago(1)), false, None),
        ];
        for (name, secret, deleted, again) in table {
            let plan = TokenCleaner.decide(&secret, &(), now());
            let expected: &[&str] = if deleted { &["delete Secret kube-system/t"] } else { &[] };
            assert_eq!(actions(&plan), *expected, "{name}");
            assert_eq!(plan.requeue_after, again.map(Duration::from_secs), "{name}");
        }
    }
}
