//! What there is: all groups and versions, in each of the forms that clients ask for.

use std::collections::BTreeSet;

use super::super::kinds;
use super::super::step::{Request, Scenario};
use super::picked::requests;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const OLDER: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
const UNKNOWN: &str = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList";

pub(super) fn scenario() -> Scenario {
    let with = |path: &str, accept: &str| Request::new("GET", path).header("accept", accept);
    let mut asked = vec![
        with("/api", "application/json"),
        with("/api", AGGREGATED),
        with("/api", OLDER),
        with("/api", UNKNOWN),
        with("/api", &format!("{AGGREGATED},{OLDER},application/json")),
        with("/apis", "application/json"),
        with("/apis", AGGREGATED),
        with("/api/v1", "application/json"),
        with("/api/v1", AGGREGATED),
        with("/api/v1", "text/html"),
        with("/version", "text/html"),
        Request::new("POST", "/version"),
        Request::new("PUT", "/api/v1"),
        Request::new("HEAD", "/api/v1/namespaces"),
        Request::new("OPTIONS", "/api/v1/namespaces"),
    ];
    let versions: BTreeSet<&str> =
        kinds::all().map(|kind| kind.api_version).filter(|version| *version != "v1").collect();
    for version in versions {
        let group = version.split('/').next().unwrap_or_default();
        asked.push(with(&format!("/apis/{group}"), "application/json"));
        asked.push(with(&format!("/apis/{version}"), "application/json"));
    }
    requests("picked/discovery", asked)
}
