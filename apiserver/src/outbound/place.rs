//! Where webhooks and other servers are (`clientConfig`, `spec.service`).

use std::net::IpAddr;

use api::Object;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use serde_json::Value;

/// Where a webhook is, and how it is known.
#[derive(Clone, Debug)]
pub struct Client {
    pub place: Place,
    /// Certificates in PEM that its own is checked by; the machine's own without.
    pub ca_bundle: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Url(String),
    Service { namespace: String, name: String, port: u16, path: String },
}

impl Client {
    pub fn read(config: &Value) -> Self {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let service = &config["service"];
        let place = match config["url"].as_str() {
            Some(url) => Place::Url(url.to_owned()),
            None => Place::Service {
                namespace: text(service, "namespace"),
                name: text(service, "name"),
                port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
                path: text(service, "path"),
            },
        };
        Self { place, ca_bundle: STANDARD.decode(text(config, "caBundle")).unwrap_or_default() }
    }
}

/// Where to connect, and what to ask for there.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The name that its certificate must have, which is also the host of the request.
    pub host: String,
    pub port: u16,
    /// Of the request, with its query.
    pub path: String,
    /// Where the host is, when that is not for the resolver to say.
    pub address: Option<String>,
    /// As messages show it.
    pub url: String,
}

impl Target {
    /// `query` is added to the path; empty for none.
    pub fn of(place: &Place, query: &str) -> Result<Self, String> {
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        match place {
            Place::Service { namespace, name, port, path } => {
                let host = format!("{name}.{namespace}.svc");
                let slash = if path.starts_with('/') { "" } else { "/" };
                let path = format!("{slash}{path}{query}");
                let url = format!("https://{host}:{port}{path}");
                Ok(Self { host, port: *port, path, address: None, url })
            }
            Place::Url(url) => {
                let uri: Uri = url.parse().map_err(|error| format!("could not get REST client: {error}"))?;
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let path = format!("{}{query}", uri.path());
                let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
                let url = format!("https://{authority}{path}");
                Ok(Self { host, port: uri.port_u16().unwrap_or(443), path, address: None, url })
            }
        }
    }

    /// The host to dial.
    pub fn dialed(&self) -> &str {
        self.address.as_deref().unwrap_or(&self.host)
    }
}

/// The address at which a port of a Service is reached: its cluster address, or the name that it stands for
/// (`k8s.io/apiserver/pkg/util/proxy`).
pub(crate) fn locate(service: Option<&Object>, name: &str, port: u16) -> Result<String, String> {
    let service = service.ok_or_else(|| format!("service {name:?} not found"))?;
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return Ok(spec["externalName"].as_str().unwrap_or_default().to_owned());
    }
    let ports = spec["ports"].as_array().into_iter().flatten();
    if !ports.into_iter().any(|own| own["port"].as_u64() == Some(u64::from(port))) {
        return Err(format!("no service port {port} found for service {name:?}"));
    }
    match spec["clusterIP"].as_str() {
        Some(address) if address.parse::<IpAddr>().is_ok() => Ok(address.to_owned()),
        _ => Err(format!("service {name:?} has no cluster address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configurations_say_where_to_ask() {
        let service = json!({"service": {"name": "s", "namespace": "n", "path": "p"}});
        let cases = [
            (service, "timeout=3s", ("s.n.svc", 443, "/p?timeout=3s", "https://s.n.svc:443/p?timeout=3s")),
            (json!({"url": "https://a.example:8443/x"}), "", ("a.example", 8443, "/x", "https://a.example:8443/x")),
            (json!({"url": "https://[::1]/"}), "", ("::1", 443, "/", "https://[::1]/")),
        ];
        for (config, query, expected) in cases {
            let target = Target::of(&Client::read(&config).place, query).unwrap();
            assert_eq!((&*target.host, target.port, &*target.path, &*target.url), expected, "{config}");
        }
    }

    #[test]
    fn a_service_is_at_its_address() {
        let of = |spec: Value| json!({"spec": spec});
        let ports = json!([{"port": 443}]);
        let cases = [
            (Some(of(json!({"clusterIP": "10.0.0.1", "ports": ports}))), Ok("10.0.0.1")),
            (Some(of(json!({"type": "ExternalName", "externalName": "a.example"}))), Ok("a.example")),
            (Some(of(json!({"clusterIP": "None", "ports": ports}))), Err("service \"s\" has no cluster address")),
            (Some(of(json!({"clusterIP": "10.0.0.1"}))), Err("no service port 443 found for service \"s\"")),
            (None, Err("service \"s\" not found")),
        ];
        for (service, expected) in cases {
            let located = locate(service.as_ref(), "s", 443);
            assert_eq!(located.as_deref().map_err(String::as_str), expected);
        }
    }
}
