//! `/healthz`, `/livez` and `/readyz` with their checks (`k8s.io/apiserver/pkg/server/healthz`).

use std::fmt::Write;
use std::time::Duration;

use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::core::Core;
use crate::query::Query;
use crate::routes;

/// How long the store may take to say that it is there (upstream: 2 s).
const PATIENCE: Duration = Duration::from_secs(2);

/// Upstream's names. Of a check that is not about what this server does there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Ping,
    /// The store answers, whichever it is.
    Etcd,
    /// Roles are loaded, and the bootstrap ones made.
    Roles,
    /// The caches are loaded.
    Informers,
    /// It is not about to stop.
    Shutdown,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Etcd => "etcd",
            Self::Roles => "poststarthook/rbac/bootstrap-roles",
            Self::Informers => "informer-sync",
            Self::Shutdown => "shutdown",
        }
    }

    async fn run(self, core: &Core) -> Result<(), String> {
        match self {
            Self::Ping => Ok(()),
            Self::Etcd => match tokio::time::timeout(PATIENCE, core.config.store.revision()).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("error getting data from etcd: {error}")),
                Err(_) => Err("error getting data from etcd: context deadline exceeded".to_owned()),
            },
            Self::Roles => {
                let ready = core.config.rbac.as_ref().is_none_or(|roles| roles.is_ready());
                ready.then_some(()).ok_or_else(|| "not finished".to_owned())
            }
            Self::Informers => core.caches.is_ready().then_some(()).ok_or_else(|| "caches not loaded yet".to_owned()),
            Self::Shutdown => {
                if core.stopping.is_cancelled() {
                    Err("process is shutting down".to_owned())
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// The checks below each path. A server that is not ready yet lives.
fn checks(root: &str) -> Option<&'static [Check]> {
    match root {
        "healthz" | "livez" => Some(&[Check::Ping, Check::Etcd, Check::Roles]),
        "readyz" => Some(&[Check::Ping, Check::Etcd, Check::Informers, Check::Roles, Check::Shutdown]),
        _ => None,
    }
}

/// Whether a path is one of these.
pub(crate) fn is_health(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    checks(path.split('/').next().unwrap_or_default()).is_some()
}

pub(crate) async fn answer(core: &Core, path: &str, query: &Query) -> Response<Body> {
    let path = path.trim_matches('/');
    let (root, name) = path.split_once('/').unwrap_or((path, ""));
    let checks = checks(root).unwrap_or_default();
    if !name.is_empty() {
        let Some(check) = checks.iter().find(|check| check.name() == name) else { return routes::nothing() };
        return match check.run(core).await {
            Ok(()) => text(StatusCode::OK, "ok".to_owned()),
            Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
        };
    }
    let mut unknown: Vec<&str> = query.all("exclude").collect();
    let excluded = unknown.clone();
    let (mut lines, mut failed) = (String::new(), false);
    for check in checks {
        let name = check.name();
        // A string takes everything.
        let _ = match excluded.contains(&name) {
            true => {
                unknown.retain(|own| *own != name);
                writeln!(lines, "[+]{name} excluded: ok")
            }
            false => match check.run(core).await {
                Ok(()) => writeln!(lines, "[+]{name} ok"),
                Err(why) => {
                    tracing::debug!(check = name, why, "a health check failed");
                    failed = true;
                    // Anybody may read this: who may ask for the check by its name is told more.
                    writeln!(lines, "[-]{name} failed: reason withheld")
                }
            },
        };
    }
    if !unknown.is_empty() {
        unknown.sort_unstable();
        unknown.dedup();
        let quoted: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let _ = writeln!(lines, "warn: some health checks cannot be excluded: no matches for {}", quoted.join(","));
    }
    match (failed, query.get("verbose")) {
        (true, _) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{root} check failed\n")),
        (false, None) => text(StatusCode::OK, "ok".to_owned()),
        (false, Some(_)) => text(StatusCode::OK, format!("{lines}{root} check passed\n")),
    }
}

fn text(code: StatusCode, text: String) -> Response<Body> {
    let mut response = routes::text(code, &text);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
