//! PersistentVolumeClaimResize: a claim may ask for more when it is bound and its class says that its volumes can grow.

use api::Object;
use api::meta::Meta;
use api::quantity::Quantity;
use api::status::{Qualified, Status};

use super::{Admission, Attributes, Operation, Verdict};

#[derive(Debug)]
pub struct PersistentVolumeClaimResize;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

impl Admission for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        Box::pin(async move {
            let concerns = cx.operation == Operation::Update && cx.is("", "persistentvolumeclaims", "");
            let (Some(new), Some(old)) = (object, cx.old) else { return Ok(()) };
            if !concerns || requested(new) <= requested(old) {
                return Ok(());
            }
            let forbidden = |why| Err(Status::forbidden(Qualified::new("", "persistentvolumeclaims"), cx.name, why));
            if old["status"]["phase"] != "Bound" {
                return forbidden("Only bound persistent volume claims can be expanded");
            }
            let class = match (class(new), class(old)) {
                (class, before) if class == before && !class.is_empty() => {
                    cx.reader.get("storage.k8s.io", "storageclasses", "", class).await?
                }
                _ => None,
            };
            match class {
                Some(class) if class["allowVolumeExpansion"] == true => Ok(()),
                _ => forbidden(
                    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                     support resize",
                ),
            }
        })
    }
}

fn requested(claim: &Object) -> Quantity {
    Quantity::from_json(&claim["spec"]["resources"]["requests"]["storage"]).unwrap_or_default()
}

fn class(claim: &Object) -> &str {
    claim.annotation(CLASS_ANNOTATION).or(claim["spec"]["storageClassName"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_has_a_size_and_a_class() {
        let claim = json!({"metadata": {"annotations": {CLASS_ANNOTATION: "old"}},
            "spec": {"storageClassName": "new", "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!((class(&claim), requested(&claim).to_string().as_str()), ("old", "1Gi"));
        assert_eq!((class(&json!({})), requested(&json!({})).is_zero()), ("", true));
    }
}
