//! By what other servers know that a request comes from this one: the ConfigMap `kube-system/extension-apiserver-authentication`
//! (`controlplane/controller/clusterauthenticationtrust`). Several servers of a cluster may have an authority each: all are in it.

use api::Object;
use api::status::{Reason, Status};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::admission::Reader;
use crate::bootstrap::write;
use crate::core::{Core, Existing};
use crate::front::pki::{Identity, to_pem};
use crate::pipeline::{Change, Decoded};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// The name in the certificate of a front proxy.
pub const FRONT_PROXY: &str = "front-proxy-client";

/// This server as a client of the servers behind it.
#[derive(Clone, Debug)]
pub struct FrontProxy {
    /// Its name is [`FRONT_PROXY`].
    pub identity: Identity,
    /// Who issued it, PEM. It issues nothing else: whoever has a certificate of it speaks for everybody.
    pub authority: String,
    /// By whom clients' certificates are issued, PEM.
    pub client_authority: String,
}

/// Writes it where it is not there as it should be.
pub(super) async fn publish(core: &Core, front: &FrontProxy) -> Result<(), Status> {
    let Some(row) = core.registry.find("", "configmaps") else { return Ok(()) };
    let there = core.cached(row, NAMESPACE, NAME)?;
    let wanted = data(&there.as_ref().map(|map| map["data"].clone()).unwrap_or_default(), front);
    if there.is_some_and(|map| map["data"] == wanted) {
        return Ok(());
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": NAMESPACE}, "data": wanted});
    write(core, "", "configmaps", NAMESPACE, async |target| match target.update(NAME, &Publish(front)).await {
        Err(status) if status.reason == Reason::NotFound => target.create(Decoded::new(map)).await.map(drop),
        other => other.map(drop),
    })
    .await
}

struct Publish<'a>(&'a FrontProxy);

impl Change for Publish<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let mut new: Object = old.object.clone();
        new["data"] = data(&old.object["data"], self.0);
        Ok(Decoded::new(new))
    }
}

fn data(there: &Value, front: &FrontProxy) -> Value {
    let both = |key: &str, own: &str| union(there[key].as_str().unwrap_or_default(), own);
    json!({
        "client-ca-file": both("client-ca-file", &front.client_authority),
        "requestheader-allowed-names": json!([FRONT_PROXY]).to_string(),
        "requestheader-client-ca-file": both("requestheader-client-ca-file", &front.authority),
        "requestheader-extra-headers-prefix": json!(["X-Remote-Extra-"]).to_string(),
        "requestheader-group-headers": json!(["X-Remote-Group"]).to_string(),
        "requestheader-uid-headers": json!(["X-Remote-Uid"]).to_string(),
        "requestheader-username-headers": json!(["X-Remote-User"]).to_string(),
    })
}

/// All certificates of both, each once.
fn union(there: &str, own: &str) -> String {
    let mut all: Vec<CertificateDer<'static>> = Vec::new();
    for pem in [there, own] {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok) {
            if !all.contains(&certificate) {
                all.push(certificate);
            }
        }
    }
    all.iter().map(to_pem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::pki::Authority;

    #[test]
    fn authorities_of_several_servers_are_all_there() {
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        let [a, b] = ["a", "b"].map(|name| Authority::create(name, now).unwrap());
        let once = union("", a.certificate());
        assert_eq!(union(&once, a.certificate()), once);
        let both = union(&once, b.certificate());
        assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(both.starts_with(&once));
    }
}
