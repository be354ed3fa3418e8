//! CertificateSubjectRestriction: nobody asks for a certificate of the cluster's masters.

use api::Object;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Admission, Attributes, Operation, Verdict};
use crate::front::requests::CertificateRequest;

#[derive(Debug)]
pub struct CertificateSubjectRestriction;

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

impl Admission for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        let refused = object.filter(|object| is_new(cx) && asks_for_masters(object)).map(|object| {
            let why = format!("use of {CLIENT} signer with system:masters group is not allowed");
            cx.forbidden(object, &why)
        });
        Box::pin(std::future::ready(refused.map_or(Ok(()), Err)))
    }
}

fn is_new(cx: &Attributes<'_>) -> bool {
    cx.operation == Operation::Create && cx.is("certificates.k8s.io", "certificatesigningrequests", "")
}

fn asks_for_masters(request: &Object) -> bool {
    let encoded = request["spec"]["request"].as_str().unwrap_or_default();
    let pem = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    request["spec"]["signerName"] == CLIENT
        && CertificateRequest::read(&pem)
            .is_ok_and(|asked| asked.organizations.iter().any(|group| group == "system:masters"))
}
