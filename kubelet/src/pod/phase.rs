//! The pod's phase from the states of its containers (what upstream's `getPhase` decides).

use k8s_openapi::api::core::v1::ContainerStatus;

use super::container::ContainerKind;

pub const PENDING: &str = "Pending";
pub const RUNNING: &str = "Running";
pub const SUCCEEDED: &str = "Succeeded";
pub const FAILED: &str = "Failed";

pub fn is_terminal(phase: Option<&str>) -> bool {
    matches!(phase, Some(SUCCEEDED | FAILED))
}

/// A container as its status shows it, with what a restart policy says about its last end.
pub struct Shown<'a> {
    pub kind: ContainerKind,
    pub status: &'a ContainerStatus,
    /// Given the exit code that the status shows: would it be started again?
    pub restarts: bool,
}

impl Shown<'_> {
    fn running(&self) -> bool {
        self.status.state.as_ref().is_some_and(|state| state.running.is_some())
    }

    /// Exit code of the end that is shown, or of the one before the present waiting.
    fn ended(&self) -> Option<i32> {
        let state = self.status.state.as_ref();
        let last = self.status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        match state.and_then(|state| state.terminated.as_ref()) {
            Some(terminated) => Some(terminated.exit_code),
            None if self.running() => None,
            None => last.map(|terminated| terminated.exit_code),
        }
    }
}

/// `over`: nothing will be restarted whatever the policy says. `initialized`: containers of the pod proper have been started.
pub fn phase(containers: &[Shown<'_>], over: bool, initialized: bool) -> &'static str {
    let of = |kind: ContainerKind| containers.iter().filter(move |shown| shown.kind == kind);

    let failed = |shown: &Shown<'_>| shown.ended().is_some_and(|code| code != 0);
    if of(ContainerKind::Init).any(|shown| failed(shown) && !shown.restarts) {
        return FAILED;
    }
    let pending_init = of(ContainerKind::Init).any(|shown| shown.ended().is_none());
    let pending_sidecar = of(ContainerKind::Sidecar).any(|shown| match shown.running() {
        true => shown.status.started != Some(true),
        false => shown.ended().is_none(),
    });
    let waiting = of(ContainerKind::Sidecar).any(|shown| !shown.running() && shown.ended().is_none() && !initialized)
        || of(ContainerKind::App).any(|shown| !shown.running() && shown.ended().is_none());
    if pending_init || (pending_sidecar && !initialized) || waiting {
        return PENDING;
    }
    if of(ContainerKind::App).chain(of(ContainerKind::Sidecar)).any(Shown::running) {
        return RUNNING;
    }
    if of(ContainerKind::App).next().is_none() {
        return PENDING;
    }
    if !over && of(ContainerKind::App).any(|shown| shown.restarts) {
        return RUNNING;
    }
    match of(ContainerKind::App).all(|shown| shown.ended() == Some(0)) {
        true => SUCCEEDED,
        false => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(text: &str) -> ContainerStatus {
        let state = match text {
            "waiting" => json!({"state": {"waiting": {}}}),
            "running" => json!({"state": {"running": {}}, "started": true}),
            "unstarted" => json!({"state": {"running": {}}, "started": false}),
            "crashed" => json!({"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1}}}),
            code => json!({"state": {"terminated": {"exitCode": code.parse::<i32>().expect("an exit code")}}}),
        };
        let mut status = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0});
        status.as_object_mut().expect("an object").extend(state.as_object().expect("an object").clone());
        serde_json::from_value(status).expect("a container status")
    }

    #[test]
    fn phases() {
        // init, sidecar, app: states; restarts: whether the policy starts an ended one again; over; expected
        type States = &'static [&'static str];
        let table: &[(&str, States, States, States, bool, bool, &str)] = &[
            ("nothing yet", &[], &[], &["waiting"], true, false, PENDING),
            ("all run", &[], &[], &["running", "running"], true, false, RUNNING),
            ("one still waits", &[], &[], &["running", "waiting"], true, false, PENDING),
            ("one crashed, one runs", &[], &[], &["running", "crashed"], true, false, RUNNING),
            ("crash loop", &[], &[], &["crashed"], true, false, RUNNING),
            ("all ended well, never restarted", &[], &[], &["0", "0"], false, false, SUCCEEDED),
            ("one failed, never restarted", &[], &[], &["0", "3"], false, false, FAILED),
            ("ended, but the policy restarts it", &[], &[], &["0"], true, false, RUNNING),
            ("ended and deleted", &[], &[], &["0"], true, true, SUCCEEDED),
            ("killed and deleted", &[], &[], &["137"], true, true, FAILED),
            ("init runs", &["running"], &[], &["waiting"], true, false, PENDING),
            ("init failed for good", &["1"], &[], &["waiting"], false, false, FAILED),
            ("init failed, again", &["crashed"], &[], &["waiting"], true, false, PENDING),
            ("sidecar not started", &[], &["unstarted"], &["waiting"], true, false, PENDING),
            ("sidecar outlives its pod", &[], &["running"], &["0"], false, false, RUNNING),
            ("sidecar's end does not count", &[], &["137"], &["0"], false, false, SUCCEEDED),
        ];
        for (name, init, sidecar, app, restarts, over, expected) in table {
            let all = [(ContainerKind::Init, init), (ContainerKind::Sidecar, sidecar), (ContainerKind::App, app)];
            let statuses: Vec<(ContainerKind, ContainerStatus)> =
                all.iter().flat_map(|(kind, texts)| texts.iter().map(|text| (*kind, status(text)))).collect();
            let shown: Vec<Shown<'_>> =
                statuses.iter().map(|(kind, status)| Shown { kind: *kind, status, restarts: *restarts }).collect();
            assert_eq!(phase(&shown, *over, false), *expected, "{name}");
        }
    }
}
