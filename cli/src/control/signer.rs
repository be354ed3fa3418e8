//! The cluster's authority, as the certificate controller uses it.

use std::sync::Arc;
use std::time::Duration;

use apiserver::front::pki::Authority;
use apiserver::front::requests::CertificateRequest;
use controllers::certificates::{Asked, Signer};
use jiff::Timestamp;

pub struct LocalSigner(pub Arc<Authority>);

impl Signer for LocalSigner {
    fn read(&self, request: &str) -> Result<Asked, String> {
        let request = CertificateRequest::read(request).map_err(|error| error.to_string())?;
        let CertificateRequest { common_name, organizations, names, addresses, asks_for_more, .. } = request;
        Ok(Asked { common_name, organizations, names, addresses, asks_for_more })
    }

    fn sign(&self, request: &str, usages: &[String], life: Duration, now: Timestamp) -> Result<String, String> {
        let request = CertificateRequest::read(request).map_err(|error| error.to_string())?;
        request.sign(&self.0, usages, life, now).map_err(|error| error.to_string())
    }
}
