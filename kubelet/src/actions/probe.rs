//! One probe, and what its result is.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};

use super::command::{self, CommandEnd};
use super::http::{self, Target};
use crate::launch::expand::expand;
use crate::node_runtime::NodeRuntime;
use crate::pod::{ProbeKind, ProbeOutcome};

/// Left of a timeout to say that the connection was refused, rather than that time ran out.
const REPORT_TIME: Duration = Duration::from_millis(100);

pub fn of(container: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

/// What is probed.
pub struct Subject<'a> {
    pub runtime: &'a dyn NodeRuntime,
    pub container: &'a Container,
    pub id: &'a str,
    pub pod_ip: Option<IpAddr>,
}

impl Subject<'_> {
    /// `eager`: a port that nobody listens on yet is tried again within the timeout. Most servers listen some milliseconds after
    /// they start; without this, readiness comes a whole period later. The container sees one probe.
    pub async fn probe(&self, probe: &Probe, eager: bool) -> ProbeOutcome {
        let timeout = probe.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(1).max(1);
        let timeout = Duration::from_secs(timeout);
        let patience = if eager { timeout.saturating_sub(REPORT_TIME) } else { Duration::ZERO };
        if let Some(exec) = &probe.exec {
            return self.exec(exec.command.as_deref().unwrap_or_default(), timeout).await;
        }
        if let Some(action) = &probe.http_get {
            let target = match Target::new(action, self.container, self.pod_ip, "probe") {
                Ok(target) => Target { patience, ..target },
                Err(error) => return ProbeOutcome::Error(error),
            };
            return judge(http::get(target, timeout).await);
        }
        if let Some(socket) = &probe.tcp_socket {
            let host = socket.host.clone().filter(|host| !host.is_empty());
            let host = host.or_else(|| self.pod_ip.map(|ip| ip.to_string())).unwrap_or_default();
            return match super::port(&socket.port, self.container) {
                Ok(port) => tcp(&host, port, timeout, patience).await,
                Err(error) => ProbeOutcome::Error(error),
            };
        }
        if probe.grpc.is_some() {
            return ProbeOutcome::Error("gRPC probes are not supported by this node".to_owned());
        }
        ProbeOutcome::Error("missing probe handler".to_owned())
    }

    async fn exec(&self, command: &[String], timeout: Duration) -> ProbeOutcome {
        let variables = || self.container.env.iter().flatten();
        let value =
            |name: &str| variables().find(|variable| variable.name == name).and_then(|variable| variable.value.clone());
        let args = command.iter().map(|word| expand(word, value)).collect();
        match command::run(self.runtime, self.id, args, Some(timeout)).await {
            Ok(CommandEnd::Exited { code: 0, .. }) => ProbeOutcome::Success,
            Ok(CommandEnd::Exited { output, .. }) => ProbeOutcome::Failure(output),
            Ok(CommandEnd::TimedOut) => {
                ProbeOutcome::Failure(format!("command timed out after {}s", timeout.as_secs()))
            }
            Err(error) => ProbeOutcome::Error(error.to_string()),
        }
    }
}

fn judge(answer: Result<http::Response, String>) -> ProbeOutcome {
    match answer {
        Ok(response) => match response.status {
            200..300 => ProbeOutcome::Success,
            300..400 => ProbeOutcome::Warning(format!("Probe terminated redirects, Response body: {}", response.body)),
            // Never the body: it may hold secrets.
            status => ProbeOutcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
        },
        Err(error) => ProbeOutcome::Failure(error),
    }
}

async fn tcp(host: &str, port: u16, timeout: Duration, patience: Duration) -> ProbeOutcome {
    match tokio::time::timeout(timeout, http::connect(host, port, patience)).await {
        Ok(Ok(_)) => ProbeOutcome::Success,
        Ok(Err(error)) => ProbeOutcome::Failure(error),
        Err(_) => ProbeOutcome::Failure(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}
