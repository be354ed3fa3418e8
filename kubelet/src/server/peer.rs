//! Who a client is, by the subject of its verified certificate.

use rustls::ServerConnection;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Peer;

/// `None`: no certificate, or one that cannot be read.
pub fn of(connection: &ServerConnection) -> Option<Peer> {
    let certificate = connection.peer_certificates()?.first()?;
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let common_name = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let organizations = subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned);
    Some(Peer { common_name: common_name.to_owned(), organizations: organizations.collect() })
}
