//! Another build of the program becomes the launcher, under running containers.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use runtime::spec::{ContainerState, ExecSpec};
use runtime::{Config, Runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::node::{Node, eventually, on_node};

/// The same program in another file, with other bytes at its end: to the launcher, another build.
fn other_build(node: &Node, name: &str) -> PathBuf {
    let path = node.dir.join(name);
    std::fs::copy(&node.config.launcher[0], &path).expect("copy the program");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("open the program");
    file.write_all(name.as_bytes()).expect("change the program");
    path
}

fn with_program(node: &Node, words: &[&Path]) -> Config {
    Config { launcher: words.iter().map(|word| (*word).into()).collect(), ..node.config.clone() }
}

/// The launcher's process and the file that it executes, which is on a mount without a path.
fn launcher(node: &Node) -> (i32, u64) {
    let pid = crate::life::launcher_pid(node);
    (pid, file(Path::new(&format!("/proc/{pid}/exe"))))
}

fn file(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a program").ino()
}

async fn running(runtime: &Runtime, id: &str) -> Option<runtime::spec::ProcessId> {
    let listing = runtime.list().await.expect("list");
    match listing.containers.into_iter().find(|container| container.id == id)?.state {
        ContainerState::Running { process, .. } => Some(process),
        _ => None,
    }
}

const LINES: usize = 3000;

#[test]
fn containers_and_sessions_do_not_notice() {
    on_node("handover", |node| async move {
        node.sandbox("s").await;
        let shared = runtime::spec::SandboxSpec { shared_pid: true, ..node.sandbox_spec("shared") };
        node.runtime.create_sandbox(shared).await.expect("create sandbox");
        let script = format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; done; read word; exit 7");
        let mut counter = node.spec("counter", &script);
        counter.stdin = true;
        let process = node.start_container(counter).await.expect("start");
        let mut member = node.spec("member", "echo begun; exec sleep 1000");
        member.sandbox = "shared".into();
        node.start_container(member).await.expect("start");
        let spec = |script: &str, stdin| ExecSpec {
            container: "counter".into(),
            args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            terminal: false,
            stdin,
        };
        // A session of the daemon that was there before.
        let mut session = node.runtime.exec(spec("read word; echo got $word; exit 4", true)).await.expect("exec");
        let mut attached = node.runtime.attach("counter").await.expect("attach");
        let before = launcher(&node);

        let builds = ["build-a", "build-b"].map(|name| other_build(&node, name));
        for round in 0..6 {
            let program = &builds[round % 2];
            let (id, late) = (format!("during-{round}"), format!("late-{round}"));
            let config = with_program(&node, &[program, Path::new("launcher")]);
            let during = node.spec(&id, "seq 1 5000; exit 3");
            let (started, connected) = tokio::join!(node.start_container(during), Runtime::connect(config));
            started.expect("start during the handover");
            let (runtime, _events) = connected.expect("connect");
            assert_eq!(launcher(&node), (before.0, file(program)), "the same process, another program");
            assert_eq!(node.exit(&id).await.code, 3, "an exit is told to the daemon that was there before");
            assert_eq!(node.output(&id).lines().count(), 5000);
            assert_eq!(running(&runtime, "counter").await, Some(process));
            assert!(running(&runtime, "member").await.is_some());
            let ended = node.script(&late, "hostname; ip -o addr show eth0").await;
            assert!(ended.starts_with("s-host"), "a new container in the sandbox: {ended}");
            let mut again = runtime.exec(spec("cat /proc/1/cmdline | head -c 2; exit 5", false)).await.expect("exec");
            assert_eq!(again.exit.wait().await.expect("exit").code, 5);
        }

        let mut input = session.stdin.take().expect("stdin");
        input.write_all(b"it\n").await.expect("write");
        assert_eq!(session.exit.wait().await.expect("exit").code, 4);
        let mut said = String::new();
        session.stdout.take().expect("stdout").read_to_string(&mut said).await.expect("read");
        assert_eq!(said, "got it\n");
        attached.stdin.take().expect("stdin").write_all(b"end\n").await.expect("write");
        assert_eq!(node.exit("counter").await.code, 7);
        let expected: String = (1..=LINES).map(|line| format!("line {line}\n")).collect();
        assert!(node.output("counter") == expected, "the log is complete and in order");
        node.runtime.remove_sandbox("shared").await.expect("remove the sandbox");
        assert!(node.status("member").await.is_none());
    });
}

#[test]
fn an_exit_during_the_handover_is_kept() {
    on_node("handover-exit", |node| async move {
        node.sandbox("s").await;
        let program = other_build(&node, "build-a");
        for (round, program) in
            [program.as_path(), Path::new(&node.config.launcher[0])].into_iter().cycle().take(6).enumerate()
        {
            let ids: Vec<String> = (0..4).map(|index| format!("c{round}-{index}")).collect();
            for (index, id) in ids.iter().enumerate() {
                // They end while the programs change, as they like.
                let spec = node.spec(id, &format!("echo one; sleep 0.0{index}; echo two; exit {index}"));
                node.start_container(spec).await.expect("start");
            }
            let config = with_program(&node, &[program, Path::new("launcher")]);
            drop(Runtime::connect(config).await.expect("connect"));
            for (index, id) in ids.iter().enumerate() {
                assert_eq!((node.exit(id).await.code, node.output(id).as_str()), (index as i32, "one\ntwo\n"), "{id}");
            }
        }
    });
}

#[test]
fn a_program_that_does_not_understand_is_refused() {
    on_node("handover-refused", |node| async move {
        node.sandbox("s").await;
        let process = node.start_container(node.spec("stays", "echo begun; exec sleep 1000")).await.expect("start");
        let before = launcher(&node);
        let busybox = node.rootfs.join("bin/busybox");
        for applet in ["true", "false", "cat", "no-such-applet"] {
            let config = with_program(&node, &[busybox.as_path(), Path::new(applet)]);
            // It speaks our protocol, so it is of use as it is.
            let (runtime, _events) = Runtime::connect(config).await.expect("connect");
            assert_eq!(launcher(&node), before, "{applet}");
            assert_eq!(running(&runtime, "stays").await, Some(process), "{applet}");
        }
        let log = std::fs::read_to_string(node.dir.join("state/launcher.log")).expect("log");
        assert!(log.contains("another program cannot take over: it does not understand the state"), "{log}");
        eventually("the log", || node.output("stays").contains("begun").then_some(())).await;
        node.script("after", "true").await;
    });
}
