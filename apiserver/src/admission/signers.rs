//! CertificateApproval and CertificateSigning: who decides about requests for certificates, and who issues them, needs a right for
//! the signer that the request names (`kubernetes/plugin/pkg/admission/certificates`).

use std::sync::Arc;

use api::Object;
use serde_json::Value;

use super::{Admission, Attributes, Operation, Verdict};
use crate::authorizer::{Authorizer, Decision};
use crate::request::RequestInfo;
use crate::user::UserInfo;

const GROUP: &str = "certificates.k8s.io";

pub struct CertificateApproval {
    pub authorizer: Arc<dyn Authorizer>,
}

pub struct CertificateSigning {
    pub authorizer: Arc<dyn Authorizer>,
}

impl Admission for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        let asked = cx.old.zip(object).filter(|_| is_update_of(cx, "approval"));
        Box::pin(check(&*self.authorizer, cx, asked, "approve"))
    }
}

impl Admission for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        let changed = |(old, new): &(&Object, &Object)| {
            let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
            ["certificate", "conditions"].iter().any(|member| {
                let (old, new) = (&old["status"][member], &new["status"][member]);
                old != new && !(empty(old) && empty(new))
            })
        };
        let asked = cx.old.zip(object).filter(|_| is_update_of(cx, "status")).filter(changed);
        Box::pin(check(&*self.authorizer, cx, asked, "sign"))
    }
}

fn is_update_of(cx: &Attributes<'_>, subresource: &str) -> bool {
    cx.operation == Operation::Update && cx.is(GROUP, "certificatesigningrequests", subresource)
}

/// `asked` is the request before and after, where it is to be looked at.
async fn check(
    authorizer: &dyn Authorizer,
    cx: &Attributes<'_>,
    asked: Option<(&Object, &Object)>,
    verb: &str,
) -> Result<(), api::status::Status> {
    let Some((old, new)) = asked else { return Ok(()) };
    let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
    if may(authorizer, cx.user, verb, signer).await {
        return Ok(());
    }
    Err(cx.forbidden(new, &format!("user not permitted to {verb} requests with signerName {signer:?}")))
}

/// For the signer, or for all of its domain.
async fn may(authorizer: &dyn Authorizer, user: &UserInfo, verb: &str, signer: &str) -> bool {
    let domain = signer.split('/').next().unwrap_or_default();
    for name in [signer.to_owned(), format!("{domain}/*")] {
        let request = RequestInfo {
            is_resource: true,
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            ..RequestInfo::default()
        };
        if authorizer.authorize(user, &request).await == Decision::Allow {
            return true;
        }
    }
    false
}
