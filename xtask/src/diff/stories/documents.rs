//! OpenAPI of everything that is served.

use std::collections::BTreeSet;

use super::super::kinds;
use super::super::step::{Request, Scenario};
use super::picked::requests;

const OTHERS: [&str; 7] = [
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/api",
    "/openapi/v3/apis",
    "/openapi/v3/version",
    "/openapi/v3/openid/v1/jwks",
    "/openapi/v3/.well-known/openid-configuration",
];

pub(super) fn scenario() -> Scenario {
    let versions: BTreeSet<&str> = kinds::all().map(|kind| kind.api_version).collect();
    let groups: BTreeSet<&str> = versions.iter().filter_map(|version| Some(version.split_once('/')?.0)).collect();
    let path = |version: &&str| {
        if *version == "v1" { "/openapi/v3/api/v1".to_owned() } else { format!("/openapi/v3/apis/{version}") }
    };
    let paths = OTHERS.map(str::to_owned).into_iter().chain(versions.iter().map(path)).chain(groups.iter().map(path));
    requests("picked/documents", paths.map(|path| Request::new("GET", path)))
}
