//! What outlives what: daemons, launchers, containers; and what is left at the end.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use runtime::spec::{ContainerState, ExecSpec, RuntimeEvent};

use crate::node::{Cgroups, Node, PATIENCE, eventually, on_node, on_node_with};

#[test]
fn signals_reach_the_first_process() {
    on_node("signals", |node| async move {
        node.sandbox("s").await;
        let script = "trap 'echo term; exit 9' TERM; echo ready; while true; do sleep 0.05; done";
        node.start_container(node.spec("trap", script)).await.expect("start");
        eventually("ready", || node.output("trap").contains("ready").then_some(())).await;
        node.runtime.signal_container("trap", 15).await.expect("signal");
        assert_eq!(node.exit("trap").await.code, 9);
        assert!(node.output("trap").contains("term"));
        assert!(node.runtime.signal_container("trap", 15).await.expect_err("over").is_not_running());
    });
}

#[test]
fn a_daemon_may_come_and_go() {
    on_node("restart", |node| async move {
        node.sandbox("s").await;
        let process = node.start_container(node.spec("stays", "exec sleep 1000")).await.expect("start");
        node.start_container(node.spec("ends", "sleep 0.2; echo done; exit 6")).await.expect("start");
        let (other, mut events) = node.reconnect().await;
        let ContainerState::Running { process: seen, .. } = state(&other, "stays").await else { panic!("it runs") };
        assert_eq!(seen, process);
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event");
        assert!(matches!(event, RuntimeEvent::ContainerExited { id, exit } if id == "ends" && exit.code == 6));
        drop((other, events));
        // A daemon that was not there when it happened.
        let (third, _events) = node.reconnect().await;
        let ContainerState::Exited(exit) = state(&third, "ends").await else { panic!("it is over") };
        assert_eq!(exit.code, 6);
        let listing = third.list().await.expect("list");
        assert_eq!(listing.sandboxes.len(), 1);
        assert!(listing.sandboxes[0].ready && listing.sandboxes[0].spec.labels["pod"] == "s");
    });
}

#[test]
fn a_new_daemon_can_wait_for_what_the_old_one_was_starting() {
    on_node("settle", |node| async move {
        node.sandbox("s").await;
        node.runtime.settle().await.expect("nothing is being started");
        let starts = (0..20).map(|index| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.start_container(node.spec(&format!("c{index}"), "exec sleep 1000")).await })
        });
        let starts: Vec<_> = starts.collect();
        let (other, _events) = node.reconnect().await;
        // Some of them are in the middle of it, as a rule.
        other.settle().await.expect("settle");
        let listing = other.list().await.expect("list");
        let created = listing.containers.iter().filter(|it| matches!(it.state, ContainerState::Created));
        assert_eq!(created.count(), 0);
        for start in starts {
            start.await.expect("task").expect("start");
        }
    });
}

async fn state(runtime: &runtime::Runtime, id: &str) -> ContainerState {
    let listing = runtime.list().await.expect("list");
    listing.containers.into_iter().find(|it| it.id == id).expect("listed").state
}

/// The launcher's process, by its lock file.
pub fn launcher_pid(node: &Node) -> i32 {
    let state = node.config.state_dir.to_str().expect("utf-8").to_owned();
    let processes = std::fs::read_dir("/proc").expect("proc");
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let is_ours = |pid: &i32| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.contains("launcher\0--state-dir") && command.contains(&state)
    };
    pids.filter(is_ours).find(|pid| parent(*pid) != std::process::id() as i32).expect("a launcher")
}

fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

#[test]
fn the_launcher_cannot_be_overwritten_by_what_it_starts() {
    on_node("sealed", |node| async move {
        let executable = format!("/proc/{}/exe", launcher_pid(&node));
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let executable = rustix::fs::open(executable, flags, rustix::fs::Mode::empty()).expect("open");
        let mount = rustix::fs::fstatvfs(&executable).expect("statvfs").f_flag;
        assert!(mount.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{mount:?}");
    });
}

#[test]
fn a_lost_launcher_is_replaced_and_says_so() {
    on_node("lost", |node| async move {
        node.sandbox("s").await;
        let process = node.start_container(node.spec("c", "sleep 1000")).await.expect("start");
        let (runtime, mut events) = node.reconnect().await;
        let pid = rustix::process::Pid::from_raw(launcher_pid(&node)).expect("pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill the launcher");
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event");
        assert_eq!(event, RuntimeEvent::Reconnected);
        let ContainerState::Exited(exit) = state(&runtime, "c").await else { panic!("it counts as over") };
        assert_eq!((exit.code, exit.start_error.is_some()), (255, true));
        assert!(!runtime.list().await.expect("list").sandboxes[0].ready);
        let gone = || (!std::path::Path::new(&format!("/proc/{}", process.pid)).exists()).then_some(());
        eventually("the container of the lost launcher is killed", gone).await;
        let error = runtime
            .start_container_from(node.spec("d", "true"), vec![node.rootfs.clone()])
            .await
            .expect_err("not ready");
        assert!(error.to_string().contains("not ready"), "{error}");
        runtime.remove_sandbox("s").await.expect("remove");
        runtime.create_sandbox(node.sandbox_spec("s")).await.expect("create again");
        runtime.start_container_from(node.spec("d", "true"), vec![node.rootfs.clone()]).await.expect("start");
    });
}

#[test]
fn a_hundred_containers_start_at_once() {
    on_node("hundred", |node| async move {
        const COUNT: usize = 100;
        for sandbox in 0..10 {
            node.sandbox(&format!("s{sandbox}")).await;
        }
        let begun = std::time::Instant::now();
        let starts: Vec<_> = (0..COUNT)
            .map(|number| {
                let node = Arc::clone(&node);
                tokio::spawn(async move {
                    let mut spec =
                        node.spec(&format!("c{number}"), &format!("echo number {number}; exit {}", number % 7));
                    spec.sandbox = format!("s{}", number % 10);
                    node.start_container(spec).await.expect("start");
                })
            })
            .collect();
        for start in starts {
            start.await.expect("task");
        }
        for number in 0..COUNT {
            let id = format!("c{number}");
            assert_eq!(node.exit(&id).await.code, (number % 7) as i32);
            assert_eq!(node.output(&id), format!("number {number}\n"));
        }
        assert!(begun.elapsed() < PATIENCE);
    });
}

/// Everything on this machine that a node could leave behind.
fn traces(node: &Node) -> BTreeSet<String> {
    let mut traces = BTreeSet::new();
    let mark = node.dir.to_str().expect("utf-8").to_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    traces.extend(mounts.lines().filter(|line| line.contains(&mark)).map(str::to_owned));
    let groups =
        Command::new("find").args(["/sys/fs/cgroup", "-name", &node.config.cgroup_root]).output().expect("find");
    traces.extend(String::from_utf8_lossy(&groups.stdout).lines().map(str::to_owned));
    let links = Command::new("cat").arg("/proc/thread-self/net/dev").output().expect("cat");
    traces.extend(
        String::from_utf8_lossy(&links.stdout)
            .lines()
            .skip(2)
            .map(|line| line.split(':').next().unwrap_or_default().trim().to_owned()),
    );
    for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if command.contains(&mark) {
            traces.insert(command);
        }
    }
    traces
}

#[test]
fn shutdown_leaves_nothing() {
    on_node("leaks", |node| async move {
        let (before, files) = (traces(&node), std::fs::read_dir("/proc/self/fd").expect("fds").count());
        for id in ["s", "t"] {
            let mut spec = node.sandbox_spec(id);
            spec.shared_pid = id == "t";
            node.runtime.create_sandbox(spec).await.expect("create");
        }
        let mut other = node.spec("other", "sleep 1000 & sleep 1000");
        other.sandbox = "t".into();
        node.start_container(other).await.expect("start");
        node.start_container(node.spec("running", "sleep 1000")).await.expect("start");
        node.script("over", "echo x >/etc/x").await;
        let during = traces(&node);
        assert!(during.len() > before.len(), "{during:#?}");
        node.runtime.shutdown().await.expect("shutdown");
        let settled = || {
            (traces(&node)
                .iter()
                .filter(|trace| !trace.contains("launcher"))
                .eq(before.iter().filter(|trace| !trace.contains("launcher") && !trace.contains("sptest"))))
            .then_some(())
        };
        eventually("everything is gone", settled).await;
        assert!(node.log_path("over").exists());
        assert!(!node.config.socket.exists());
        let _ = files;
        node.runtime.list().await.expect_err("no launcher");
    });
}

/// What must work whatever cgroups a machine has.
async fn basic_life(node: Arc<Node>) {
    node.sandbox("s").await;
    let process = node.start_container(node.spec("long", "sleep 1000 & sleep 1000")).await.expect("start");
    assert!(process.start_time > 0);
    let output =
        node.script("device", "mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg 2>&1; head -c 4 /dev/zero | wc -c").await;
    assert!(output.contains("Operation not permitted") && output.ends_with("4\n"), "{output}");
    let spec = ExecSpec { container: "long".into(), args: vec!["true".into()], terminal: false, stdin: false };
    assert_eq!(node.runtime.exec(spec).await.expect("exec").exit.wait().await.expect("exit").code, 0);
    assert!(node.runtime.usage("long").await.is_ok());
    node.runtime.kill_container("long").await.expect("kill");
    assert_eq!(node.exit("long").await.signal, Some(9));
    // The same ids again, at once.
    node.runtime.remove_sandbox("s").await.expect("remove");
    node.sandbox("s").await;
    assert!(node.script("device", "echo again").await.ends_with("\nagain\n"), "the log goes on");
}

#[test]
fn cgroup_v2_alone_will_do() {
    on_node_with("v2", Cgroups::V2, basic_life);
}

#[test]
fn cgroup_v1_alone_will_do() {
    on_node_with("v1", Cgroups::V1, basic_life);
}

#[test]
fn the_cgroups_of_this_machine_will_do() {
    on_node("hybrid", basic_life);
}
