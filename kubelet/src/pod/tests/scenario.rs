//! Text scenarios: `> command` lines, each followed by what the machine did. `UPDATE_SCENARIOS=1` rewrites the expectations.

use std::path::Path;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};

use super::super::*;
use super::world::World;

/// How an effect is written. Acknowledgements of the fake world are not.
pub fn line(effect: &Effect, name: impl Fn(&str) -> String) -> Option<String> {
    Some(match effect {
        Effect::MountVolumes => "mount volumes".to_owned(),
        Effect::UnmountVolumes => "unmount volumes".to_owned(),
        Effect::CreateSandbox { attempt } => format!("create sandbox {attempt}"),
        Effect::RemoveSandbox { attempt } => format!("remove sandbox {attempt}"),
        Effect::EnsureImage { .. } => return None,
        Effect::StartContainer { container, attempt, .. } => format!("start {container} #{attempt}"),
        Effect::RunHook { container, hook, timeout, .. } => match timeout {
            Some(timeout) => format!("hook {container} {hook:?} within {}s", timeout.as_secs()),
            None => format!("hook {container} {hook:?}"),
        },
        Effect::Probe { container, probe, .. } => format!("probe {container} {}", probe.title().to_lowercase()),
        Effect::Signal { id, signal } => format!("signal {} {signal}", name(id)),
        Effect::Kill { id } => format!("kill {}", name(id)),
        Effect::RemoveContainer { container, attempt, .. } => format!("remove {container} #{attempt}"),
        Effect::Publish { status, .. } => format!("status {}", summary(status)),
        Effect::DeleteObject => "delete object".to_owned(),
        Effect::Event(event) => {
            let of = event.field_path.as_deref().map(|path| format!(" ({path})")).unwrap_or_default();
            format!("event {}{of}: {}", event.reason, event.message)
        }
        Effect::Finished => "finished".to_owned(),
    })
}

fn summary(status: &PodStatus) -> String {
    let mut out = status.phase.clone().unwrap_or_default();
    if let Some(reason) = &status.reason {
        out += &format!("({reason})");
    }
    let conditions = status.conditions.iter().flatten();
    let initial = |kind: &str| match kind {
        "PodReadyToStartContainers" => "S",
        "Initialized" => "I",
        "ContainersReady" => "C",
        "Ready" => "R",
        _ => "",
    };
    let set: String = conditions.filter(|c| c.status == "True").map(|c| initial(&c.type_)).collect();
    out += &format!(" [{set}]");
    let lists = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    for container in lists.into_iter().flatten().flatten() {
        out += &format!(" {}", container_summary(container));
    }
    out
}

fn container_summary(status: &ContainerStatus) -> String {
    let state = |state: &ContainerState| {
        if let Some(waiting) = &state.waiting {
            return waiting.reason.clone().unwrap_or_default();
        }
        match &state.terminated {
            Some(end) => format!("{}({})", end.reason.clone().unwrap_or_default(), end.exit_code),
            None => "running".to_owned(),
        }
    };
    let mut out = format!("{}={}", status.name, status.state.as_ref().map(state).unwrap_or_default());
    if let Some(last) = status.last_state.as_ref().filter(|last| last.terminated.is_some()) {
        out += &format!("<{}", state(last));
    }
    if status.restart_count > 0 {
        out += &format!(" x{}", status.restart_count);
    }
    for (flag, text) in [(status.started == Some(true), "+started"), (status.ready, "+ready")] {
        if flag {
            out += text;
        }
    }
    out
}

fn command(world: &mut World, text: &str) {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["start"] => world.input(Input::Timeout),
        ["wait", seconds] => world.advance(seconds.parse().expect("seconds")),
        ["exit", name, code] => {
            let id = world.running_id(name).expect("a running container");
            let input = world.exit(&id, code.parse().expect("an exit code")).expect("its exit");
            world.input(input);
        }
        ["miss", image] => drop(world.missing.insert((*image).to_owned())),
        ["load", image] => {
            world.missing.remove(*image);
            world.input(Input::Retry);
        }
        ["retry"] => world.input(Input::Retry),
        ["fail", what @ ..] => drop(world.failures.insert(what.join(" "), "it broke".to_owned())),
        ["fix", what @ ..] => drop(world.failures.remove(&what.join(" "))),
        ["hold", what @ ..] => drop(world.held.insert(what.join(" "))),
        ["release", what @ ..] => {
            world.held.remove(&what.join(" "));
            for (_, input) in std::mem::take(&mut world.pending) {
                world.input(input);
            }
        }
        ["probe", name, kind, "fails"] => {
            drop(world.probes.insert(format!("{name} {kind}"), ProbeOutcome::Failure("no".to_owned())));
        }
        ["probe", name, kind, "succeeds"] => drop(world.probes.remove(&format!("{name} {kind}"))),
        ["stubborn", name] => drop(world.stubborn.insert((*name).to_owned())),
        ["delete", grace] => world.delete(grace.parse().expect("seconds")),
        ["gone"] => {
            world.object_exists = false;
            world.input(Input::Gone);
        }
        ["image", name, image] => {
            let spec = world.pod.spec.as_mut().expect("a spec");
            let container = spec.containers.iter_mut().find(|container| container.name == *name);
            container.expect("a container").image = Some((*image).to_owned());
            world.update();
        }
        ["reject", reason, message @ ..] => {
            world.input(Input::Rejected { reason: (*reason).to_owned(), message: message.join(" ") });
        }
        ["impose", phase] => {
            world.api.phase = Some((*phase).to_owned());
            world.imposed = true;
            world.update();
        }
        ["lose", "sandbox"] => {
            world.containers.clear();
            world.input(Input::SandboxLost);
        }
        ["restart", "kubelet"] => world.restart_kubelet(),
        ["reboot"] => {
            world.containers.clear();
            world.sandbox = None;
            world.restart_kubelet();
        }
        other => panic!("no such command: {other:?}"),
    }
}

/// The scenario with what really happened in place of what was expected.
fn run(text: &str) -> String {
    let mut out = String::new();
    let mut world: Option<World> = None;
    for line in text.lines() {
        if let Some(spec) = line.strip_prefix("pod ") {
            world = Some(World::new(&serde_json::from_str(spec).expect("a pod spec")));
        } else if let Some(text) = line.strip_prefix("> ") {
            out += &format!("{line}\n");
            let world = world.as_mut().expect("`pod` comes first");
            command(world, text);
            for line in std::mem::take(&mut world.log) {
                out += &format!("  {line}\n");
            }
            continue;
        } else if line.starts_with("  ") {
            continue;
        }
        out += &format!("{line}\n");
    }
    out
}

#[test]
fn scenarios() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pod/tests/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(&dir).expect("the scenarios") {
        let path = entry.expect("a directory entry").path();
        let expected = std::fs::read_to_string(&path).expect("a scenario");
        let actual = run(&expected);
        count += 1;
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            std::fs::write(&path, &actual).expect("write the scenario");
        } else {
            let differs = expected.lines().zip(actual.lines()).position(|(a, b)| a != b);
            assert!(expected == actual, "{} from line {:?}:\n{actual}", path.display(), differs.map(|at| at + 1));
        }
    }
    assert!(count > 5, "the scenarios are there");
}
