//! CertificateSigningRequests say who asks. Upstream does it where the kind is prepared; here steps of admission know the user.

use api::Object;
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Verdict};

#[derive(Debug)]
pub struct CertificateRequester;

impl Admission for CertificateRequester {
    fn name(&self) -> &'static str {
        "CertificateRequester"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, request: &'a mut Object) -> Verdict<'a> {
        let ours = cx.is("certificates.k8s.io", "certificatesigningrequests", "") && cx.operation == Operation::Create;
        if ours && let Some(spec) = request["spec"].as_object_mut() {
            let user = cx.user;
            let asked_by = [
                ("username", json!(user.name)),
                ("uid", json!(user.uid)),
                ("groups", json!(user.groups)),
                ("extra", json!(user.extra)),
            ];
            for (name, value) in asked_by {
                let empty = match &value {
                    Value::String(text) => text.is_empty(),
                    Value::Array(items) => items.is_empty(),
                    Value::Object(members) => members.is_empty(),
                    _ => false,
                };
                // What a client says about it does not count.
                spec.remove(name);
                if !empty {
                    spec.insert(name.to_owned(), value);
                }
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}
