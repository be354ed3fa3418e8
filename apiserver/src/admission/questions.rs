//! The variables `authorizer` and `authorizer.requestResource`: questions that an expression asks the server's authorizer.

use std::sync::Arc;

use cel::{Check, Subject, Value};
use futures::FutureExt;

use super::facts::Facts;
use crate::authorizer::{Authorizer, Decision};
use crate::request::RequestInfo;
use crate::user::UserInfo;

/// Both variables for a request.
pub fn variables<'v>(authorizer: &Arc<dyn Authorizer>, facts: &Facts<'_>) -> (Value<'v>, Value<'v>) {
    let asking: Arc<dyn cel::Authorizer> =
        Arc::new(Asking { authorizer: authorizer.clone(), user: facts.cx.user.clone() });
    let resource = Check::of_resource(asking.clone(), |check| {
        let info = facts.cx.resource;
        check.group.clone_from(&info.group);
        check.resource.clone_from(&info.plural);
        check.subresource = facts.cx.subresource.to_owned();
        check.namespace = facts.namespace().to_owned();
        check.name = facts.name().to_owned();
    });
    (Check::authorizer(asking), resource)
}

struct Asking {
    authorizer: Arc<dyn Authorizer>,
    user: UserInfo,
}

impl cel::Authorizer for Asking {
    fn authorize(&self, check: &Check, verb: &str) -> cel::Decision {
        let account;
        let user = match &check.subject {
            Subject::Requester => &self.user,
            Subject::ServiceAccount { namespace, name } => {
                let of_namespace = format!("system:serviceaccounts:{namespace}");
                let name = format!("system:serviceaccount:{namespace}:{name}");
                account = UserInfo::new(&name, &["system:serviceaccounts", &of_namespace]);
                &account
            }
        };
        let info = request(check, verb);
        // Roles are in memory; only a server that starts has to wait for them, which an expression cannot.
        match self.authorizer.explain(user, &info).now_or_never() {
            Some((decision, reason)) => cel::Decision { allowed: decision == Decision::Allow, reason, error: None },
            None => {
                cel::Decision { error: Some("the roles are not loaded yet".to_owned()), ..cel::Decision::default() }
            }
        }
    }
}

fn request(check: &Check, verb: &str) -> RequestInfo {
    if !check.path.is_empty() {
        return RequestInfo { path: check.path.clone(), verb: verb.to_owned(), ..RequestInfo::default() };
    }
    RequestInfo {
        is_resource: true,
        verb: verb.to_owned(),
        group: check.group.clone(),
        version: "*".to_owned(),
        resource: check.resource.clone(),
        subresource: check.subresource.clone(),
        namespace: check.namespace.clone(),
        name: check.name.clone(),
        field_selector: check.field_selector.clone(),
        label_selector: check.label_selector.clone(),
        ..RequestInfo::default()
    }
}
