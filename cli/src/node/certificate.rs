//! A certificate by asking for it: a CertificateSigningRequest that the cluster's certificate controller grants.

use anyhow::{Context, Result, bail};
use apiserver::front::pki::{Identity, Request};
use apiserver::front::requests::CertificateRequest;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::json;

use crate::control::election;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Client,
    Serving,
}

pub async fn ask(client: &Client, purpose: Purpose, request: &Request<'_>) -> Result<Identity> {
    let (signer, usage) = match purpose {
        Purpose::Client => ("kubernetes.io/kube-apiserver-client-kubelet", "client auth"),
        Purpose::Serving => ("kubernetes.io/kubelet-serving", "server auth"),
    };
    let (key, pem) = CertificateRequest::make(request).context("make a certificate request")?;
    let object: CertificateSigningRequest = serde_json::from_value(json!({
        "metadata": {"generateName": "csr-"},
        "spec": {"request": k8s_openapi::ByteString(pem.into_bytes()), "signerName": signer,
            "usages": ["digital signature", "key encipherment", usage]},
    }))?;
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let made = match requests.create(&PostParams::default(), &object).await {
        Ok(made) => made,
        Err(kube::Error::Api(status)) if status.code == 401 => {
            bail!("the token is wrong, or it has expired: make a new one with `setpoint token create`")
        }
        Err(error) => return Err(error).context("ask for a certificate"),
    };
    let name = made.metadata.name.unwrap_or_default();
    let settled = await_condition(requests, &name, |request: Option<&CertificateSigningRequest>| {
        request.and_then(|request| request.status.as_ref()).is_some_and(|status| outcome(status).is_some())
    });
    let settled = tokio::time::timeout(election::PATIENCE, settled)
        .await
        .context("the cluster did not answer a certificate request")?;
    let status = settled.context("wait for a certificate")?.and_then(|request| request.status).unwrap_or_default();
    match outcome(&status) {
        Some(Ok(certificate)) => Ok(Identity { certificate, key }),
        Some(Err(why)) => bail!("the cluster refused a certificate: {why}"),
        None => bail!("the certificate request {name} is gone"),
    }
}

/// The certificate, or why there is none; nothing while it is not decided.
fn outcome(status: &CertificateSigningRequestStatus) -> Option<Result<String, String>> {
    let refusal =
        |condition: &&CertificateSigningRequestCondition| matches!(condition.type_.as_str(), "Denied" | "Failed");
    if let Some(condition) = status.conditions.iter().flatten().find(refusal) {
        return Some(Err(condition.message.clone().unwrap_or_default()));
    }
    let certificate = status.certificate.as_ref().filter(|certificate| !certificate.0.is_empty())?;
    Some(Ok(String::from_utf8_lossy(&certificate.0).into_owned()))
}
