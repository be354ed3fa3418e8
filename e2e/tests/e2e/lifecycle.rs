//! A pod's way from its first init container to its end.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::cluster::nodes;
use e2e::objects::{FOREVER, at, container, pod, text};
use e2e::{Cluster, with_cluster};
use serde_json::{Value, json};

#[test]
fn pods_begin_and_end_as_their_spec_says() -> Result<()> {
    with_cluster(|cluster| {
        ends_by_restart_policy(cluster)?;
        init_containers_run_in_order(cluster)?;
        a_failed_init_container_fails_the_pod(cluster)?;
        says_why_it_ended(cluster)?;
        ends_gracefully(cluster)?;
        is_killed_when_grace_is_over(cluster)
    })
}

fn with_policy(name: &str, script: &str, policy: &str) -> Value {
    let mut pod = pod(name, script);
    pod["spec"]["restartPolicy"] = policy.into();
    pod
}

fn ends_by_restart_policy(cluster: &Cluster) -> Result<()> {
    let api = cluster.api();
    let mut second = with_policy("second", "[ -e /state/ran ] && exit 0; touch /state/ran; exit 1", "OnFailure");
    second["spec"]["volumes"] = json!([{"name": "state", "emptyDir": {}}]);
    second["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "state", "mountPath": "/state"}]);
    let cases = [
        (with_policy("good", "exit 0", "Never"), "Succeeded", 0, 0, "Completed"),
        (with_policy("bad", "exit 5", "Never"), "Failed", 5, 0, "Error"),
        (with_policy("signal", "sh -c 'kill -KILL $$$$'; exit $?", "Never"), "Failed", 137, 0, "Error"),
        (second, "Succeeded", 0, 1, "Completed"),
    ];
    for (pod, ..) in &cases {
        api.create_pod(pod)?;
    }
    for (pod, phase, code, restarts, reason) in cases {
        let name = text(&pod, "metadata.name");
        let ended = api.pod_phase(name, phase)?;
        let status = at(&ended, "status.containerStatuses.0");
        let terminated = at(status, "state.terminated");
        ensure!(terminated["exitCode"] == code && terminated["reason"] == reason, "{name}: {status}");
        ensure!(status["restartCount"] == restarts && status["ready"] == false, "{name}: {status}");
        ensure!(
            !text(terminated, "startedAt").is_empty() && !text(terminated, "finishedAt").is_empty(),
            "{name}: {status}"
        );
    }
    Ok(())
}

fn init_containers_run_in_order(cluster: &Cluster) -> Result<()> {
    let mut pod = with_policy("ordered", "cat /shared/log", "Never");
    pod["spec"]["volumes"] = json!([{"name": "work", "emptyDir": {}}]);
    pod["spec"]["initContainers"] = json!([
        container("first", "sleep 0.3; echo first > /shared/log"),
        container("second", "echo second >> /shared/log")
    ]);
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            container["volumeMounts"] = json!([{"name": "work", "mountPath": "/shared"}]);
        }
    }
    cluster.api().create_pod(&pod)?;
    let ended = cluster.api().pod_phase("ordered", "Succeeded")?;
    ensure!(cluster.kubectl(["logs", "ordered"]).ok()? == "first\nsecond\n");
    for index in 0..2 {
        let status = at(&ended, &format!("status.initContainerStatuses.{index}"));
        ensure!(at(status, "state.terminated.exitCode") == 0 && status["ready"] == true, "{status}");
    }
    ensure!(e2e::objects::has_condition(&ended, "Initialized"), "{}", ended["status"]);
    Ok(())
}

fn a_failed_init_container_fails_the_pod(cluster: &Cluster) -> Result<()> {
    let mut pod = with_policy("unready", "echo never", "Never");
    pod["spec"]["initContainers"] = json!([container("failing", "exit 4"), container("unreached", "true")]);
    cluster.api().create_pod(&pod)?;
    let ended = cluster.api().pod_phase("unready", "Failed")?;
    ensure!(at(&ended, "status.initContainerStatuses.0.state.terminated.exitCode") == 4);
    let unreached = text(&ended, "status.initContainerStatuses.1.state.waiting.reason");
    ensure!(unreached == "PodInitializing", "{}", ended["status"]);
    let table = cluster.kubectl(["get", "pod", "unready", "--no-headers"]).ok()?;
    ensure!(table.contains("Init:Error"), "{table}");
    Ok(())
}

fn says_why_it_ended(cluster: &Cluster) -> Result<()> {
    let message = with_policy("message", "echo reason > /dev/termination-log; exit 1", "Never");
    let mut from_log = with_policy("from-log", "echo the last words; exit 1", "Never");
    from_log["spec"]["containers"][0]["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
    for (pod, expected) in [(message, "reason\n"), (from_log, "the last words\n")] {
        cluster.api().create_pod(&pod)?;
        let ended = cluster.api().pod_phase(text(&pod, "metadata.name"), "Failed")?;
        let said = text(&ended, "status.containerStatuses.0.state.terminated.message");
        ensure!(said == expected, "{said:?} instead of {expected:?}");
    }
    Ok(())
}

/// The hook runs before the signal; both write where the test can read it afterwards.
fn ends_gracefully(cluster: &Cluster) -> Result<()> {
    let folder = cluster.folder().join("last");
    std::fs::create_dir(&folder)?;
    let script = "trap 'echo signal >> /last/words; exit 0' TERM; while :; do sleep 0.1; done";
    let mut pod = pod("graceful", script);
    pod["spec"]["terminationGracePeriodSeconds"] = 20.into();
    pod["spec"]["volumes"] = json!([{"name": "last", "hostPath": {"path": folder, "type": "Directory"}}]);
    let main = &mut pod["spec"]["containers"][0];
    main["volumeMounts"] = json!([{"name": "last", "mountPath": "/last"}]);
    let hook =
        |words: &str| json!({"exec": {"command": ["sh", "-c", format!("echo {words} >> /last/words; sleep 0.2")]}});
    main["lifecycle"] = json!({"postStart": hook("begun"), "preStop": hook("hook")});
    cluster.api().create_pod(&pod)?;
    cluster.api().pod_ready("graceful")?;
    let started = Instant::now();
    cluster.kubectl(["delete", "pod", "graceful"]).ok()?;
    ensure!(started.elapsed() < Duration::from_secs(15), "it did not end by itself");
    let words = std::fs::read_to_string(folder.join("words"))?;
    ensure!(words == "begun\nhook\nsignal\n", "{words:?}");
    Ok(())
}

fn is_killed_when_grace_is_over(cluster: &Cluster) -> Result<()> {
    let stubborn = "trap '' TERM; while :; do sleep 0.1; done";
    let mut pod = pod("stubborn", stubborn);
    pod["spec"]["terminationGracePeriodSeconds"] = 3.into();
    cluster.api().create_pod(&pod)?;
    cluster.api().pod_ready("stubborn")?;
    let started = Instant::now();
    cluster.kubectl(["delete", "pod", "stubborn", "--wait=false"]).ok()?;
    let ending = cluster.api().pod("stubborn")?;
    ensure!(ending["metadata"]["deletionGracePeriodSeconds"] == 3, "{}", ending["metadata"]);
    let table = cluster.kubectl(["get", "pod", "stubborn", "--no-headers"]).ok()?;
    ensure!(table.contains("Terminating"), "{table}");
    cluster.kubectl(["wait", "--for=delete", "pod/stubborn", "--timeout=30s"]).ok()?;
    let took = started.elapsed();
    ensure!(took > Duration::from_millis(2900) && took < Duration::from_secs(15), "it took {took:?}");

    cluster.api().create_pod(&pod_that_ignores(stubborn))?;
    cluster.api().pod_ready("ignoring")?;
    let started = Instant::now();
    cluster.kubectl(["delete", "pod", "ignoring", "--grace-period=0", "--force"]).ok()?;
    ensure!(cluster.api().find("/api/v1/namespaces/default/pods/ignoring")?.is_none());
    ensure!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    Ok(())
}

fn pod_that_ignores(script: &str) -> Value {
    let mut pod = pod("ignoring", script);
    pod["spec"]["terminationGracePeriodSeconds"] = 600.into();
    pod
}

#[test]
fn pods_that_cannot_run_say_why() -> Result<()> {
    with_cluster(|cluster| {
        let api = cluster.api();
        let mut huge = pod("huge", FOREVER);
        huge["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1000"}});
        let mut elsewhere = pod("elsewhere", FOREVER);
        elsewhere["spec"]["nodeSelector"] = json!({"disk": "ssd"});
        let mut no_program = pod("no-program", FOREVER);
        no_program["spec"]["containers"][0]["command"] = json!(["/no/such/program"]);
        let mut no_image = pod("no-image", FOREVER);
        no_image["spec"]["containers"][0]["image"] = "nowhere/nothing:1".into();
        let mut never_pulled = pod("never-pulled", FOREVER);
        never_pulled["spec"]["containers"][0]["image"] = "nowhere/nothing:1".into();
        never_pulled["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
        let mut no_config = pod("no-config", FOREVER);
        no_config["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "absent"}}]);
        let unscheduled = "status.conditions.0.message";
        let waiting = "status.containerStatuses.0.state.waiting.reason";
        let nodes = nodes();
        let full = format!("0/{nodes} nodes are available: {nodes} Insufficient cpu.");
        let other =
            format!("0/{nodes} nodes are available: {nodes} node(s) didn't match Pod's node affinity/selector.");
        let cases = [
            (huge, unscheduled, full.as_str()),
            (elsewhere, unscheduled, other.as_str()),
            (no_image, waiting, "ImagePull"),
            (never_pulled, waiting, "ErrImageNeverPull"),
            (no_config, waiting, "CreateContainerConfigError"),
            (no_program, "status.containerStatuses.0.lastState.terminated.reason", "StartError"),
        ];
        for (pod, ..) in &cases {
            api.create_pod(pod)?;
        }
        for (pod, path, expected) in cases {
            let name = text(&pod, "metadata.name");
            api.pod_when(name, expected, |object| text(object, path).contains(expected))?;
        }
        // What was missing may come: nothing else is needed.
        cluster.apply(&e2e::objects::config_map("absent", json!({"A": "1"})))?;
        api.pod_ready("no-config")?;
        let node = api.items("/api/v1/nodes")?.remove(0);
        let node = format!("/api/v1/nodes/{}", text(&node, "metadata.name"));
        api.patch(&node, &json!({"metadata": {"labels": {"disk": "ssd"}}}))?;
        api.pod_ready("elsewhere")?;
        Ok(())
    })
}
