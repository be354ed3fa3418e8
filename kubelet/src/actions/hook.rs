//! postStart and preStop.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use super::command::{self, CommandEnd};
use super::http::{self, Target};
use crate::node_runtime::NodeRuntime;
use crate::pod::Hook;

/// An HTTP hook that gets no answer must not hold its container for ever.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);

pub fn of(container: &Container, hook: Hook) -> Option<&LifecycleHandler> {
    let lifecycle = container.lifecycle.as_ref()?;
    match hook {
        Hook::PostStart => lifecycle.post_start.as_ref(),
        Hook::PreStop => lifecycle.pre_stop.as_ref(),
    }
}

/// `timeout`: what is left of the grace period.
pub async fn run(
    runtime: &dyn NodeRuntime,
    container: &Container,
    id: &str,
    pod_ip: Option<IpAddr>,
    handler: &LifecycleHandler,
    timeout: Option<Duration>,
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        let args = exec.command.clone().unwrap_or_default();
        return match command::run(runtime, id, args, timeout).await {
            Ok(CommandEnd::Exited { code: 0, .. }) => Ok(()),
            Ok(CommandEnd::Exited { code, output }) => Err(format!("command exited with {code}: {output}")),
            Ok(CommandEnd::TimedOut) => Err("command did not end within the grace period".to_owned()),
            Err(error) => Err(error.to_string()),
        };
    }
    if let Some(action) = &handler.http_get {
        let target = Target::new(action, container, pod_ip, "lifecycle")?;
        // Any answer will do.
        return http::get(target, timeout.unwrap_or(HTTP_TIMEOUT).min(HTTP_TIMEOUT)).await.map(drop);
    }
    if let Some(sleep) = &handler.sleep {
        let wanted = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        tokio::time::sleep(timeout.map_or(wanted, |timeout| wanted.min(timeout))).await;
        return Ok(());
    }
    Err("invalid handler".to_owned())
}
