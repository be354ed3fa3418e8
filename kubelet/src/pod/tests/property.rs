//! Random histories: whatever happens in whatever order, the rules of [`World::check`] hold, and a deleted pod ends.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::world::World;

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Exit(usize, i32),
    Delete(i64),
    Gone,
    RestartKubelet,
    Reboot,
    LoseSandbox,
    Toggle(usize),
    Hold(usize),
    Release(usize),
    Retry,
    NewImage(usize, u8),
    /// Answers that come twice or too late.
    Repeat(usize),
}

const FAILURES: [&str; 8] =
    ["volumes", "sandbox", "config a", "create a", "run a", "run init", "hook a", "probe a liveness"];
const HOLDS: [&str; 4] = ["hook a", "start a", "start b", "publish"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0i64..400).prop_map(Step::Wait),
        6 => (0usize..4, prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(index, code)| Step::Exit(index, code)),
        1 => (0i64..40).prop_map(Step::Delete),
        1 => Just(Step::Gone),
        2 => Just(Step::RestartKubelet),
        1 => Just(Step::Reboot),
        1 => Just(Step::LoseSandbox),
        4 => (0..FAILURES.len()).prop_map(Step::Toggle),
        3 => (0..HOLDS.len()).prop_map(Step::Hold),
        3 => (0..HOLDS.len()).prop_map(Step::Release),
        1 => Just(Step::Retry),
        1 => (0usize..2, 0u8..3).prop_map(|(index, version)| Step::NewImage(index, version)),
        1 => (0usize..4).prop_map(Step::Repeat),
    ]
}

fn spec() -> impl Strategy<Value = Value> {
    (prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")], any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(policy, init, sidecar, hooks)| {
            let mut inits = Vec::new();
            if sidecar {
                inits.push(json!({"name": "side", "image": "s", "restartPolicy": "Always"}));
            }
            if init {
                inits.push(json!({"name": "init", "image": "i"}));
            }
            let mut a =
                json!({"name": "a", "image": "a", "livenessProbe": {"failureThreshold": 2}, "readinessProbe": {}});
            if hooks {
                let hook = json!({"exec": {"command": ["x"]}});
                a["lifecycle"] = json!({"postStart": hook, "preStop": hook});
            }
            json!({"restartPolicy": policy, "initContainers": inits, "containers": [a, {"name": "b", "image": "b"}]})
        })
}

fn apply(world: &mut World, step: &Step) {
    const NAMES: [&str; 4] = ["a", "b", "init", "side"];
    match step {
        Step::Wait(seconds) => world.advance(*seconds),
        Step::Exit(index, code) => {
            let input = world.running_id(NAMES[*index]).and_then(|id| world.exit(&id, *code));
            input.into_iter().for_each(|input| world.input(input));
        }
        Step::Delete(grace) => world.delete(*grace),
        Step::Gone => {
            world.object_exists = false;
            world.input(Input::Gone);
        }
        // Without an object there is nothing to recover: the driver removes the orphan.
        Step::RestartKubelet if world.object_exists => world.restart_kubelet(),
        Step::Reboot if world.object_exists => {
            world.containers.clear();
            world.sandbox = None;
            world.restart_kubelet();
        }
        Step::LoseSandbox if world.sandbox.is_some() => {
            world.containers.clear();
            // The runtime's answers are lost with it; the API server's still come.
            world.pending.retain(|(key, _)| key == "publish");
            world.input(Input::SandboxLost);
        }
        Step::RestartKubelet | Step::Reboot | Step::LoseSandbox => {}
        Step::Toggle(index) => {
            let key = FAILURES[*index];
            if let Some(probe) = key.strip_prefix("probe ") {
                if world.probes.remove(probe).is_none() {
                    world.probes.insert(probe.to_owned(), ProbeOutcome::Failure("no".to_owned()));
                }
            } else if world.failures.remove(key).is_none() {
                world.failures.insert(key.to_owned(), "it broke".to_owned());
            }
        }
        Step::Hold(index) => drop(world.held.insert(HOLDS[*index].to_owned())),
        Step::Release(index) => release(world, HOLDS[*index]),
        Step::Retry => world.input(Input::Retry),
        Step::NewImage(index, version) => {
            let spec = world.pod.spec.as_mut().expect("a spec");
            spec.containers[*index].image = Some(format!("image:{version}"));
            world.update();
        }
        Step::Repeat(index) => {
            // Also late, after its exit; but never for one that did not start.
            let started = world.containers.iter().filter(|(_, container)| container.started());
            let id = started.map(|(id, _)| id.clone()).nth(*index);
            let input = id.map(|id| Input::Started { id, result: Ok(world.now) });
            input.into_iter().for_each(|input| world.input(input));
        }
    }
    world.check();
}

fn release(world: &mut World, key: &str) {
    world.held.remove(key);
    let (now, later) = std::mem::take(&mut world.pending).into_iter().partition(|(held, _)| held == key);
    world.pending = later;
    let now: Vec<(String, Input)> = now;
    for (_, input) in now {
        world.input(input);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_hold_in_any_history(spec in spec(), steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new(&spec);
        world.input(Input::Timeout);
        for step in &steps {
            apply(&mut world, step);
        }
        // Calm: everything answers again, the pod is deleted, and it must come to its end.
        world.failures.clear();
        for key in HOLDS {
            release(&mut world, key);
        }
        world.delete(5);
        world.advance(1000);
        prop_assert!(world.finished, "a deleted pod did not end: {:?}", world.machine);
        prop_assert!(world.containers.is_empty());
    }
}
