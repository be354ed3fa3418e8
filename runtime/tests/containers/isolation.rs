//! Limits, privileges and what a container cannot see.

use runtime::spec::{Resources, Seccomp, Security, User};

use crate::node::on_node;

/// The bits of a line of /proc/self/status.
fn bits(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {status}"));
    u64::from_str_radix(line.trim(), 16).expect("hexadecimal")
}

const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

#[test]
fn capabilities_and_privileges_are_limited() {
    on_node("caps", |node| async move {
        node.sandbox("s").await;
        let mut spec = node.spec("plain", "");
        spec.args = ["cat", "/proc/self/status"].map(str::to_owned).to_vec();
        let (_, status) = node.run(spec).await;
        for (name, expected) in [
            ("CapEff:", DEFAULT_CAPABILITIES),
            ("CapPrm:", DEFAULT_CAPABILITIES),
            ("CapBnd:", DEFAULT_CAPABILITIES),
            ("CapInh:", 0),
            ("CapAmb:", 0),
            ("NoNewPrivs:", 0),
            ("Seccomp:", 2),
            ("SigIgn:", 0),
            ("SigBlk:", 0),
        ] {
            assert_eq!(bits(&status, name), expected, "{name} of a default container");
        }
        let descriptors = node.script("fds", "ls /proc/$$/fd; true").await;
        assert_eq!(descriptors, "0\n1\n2\n", "nothing of the launcher is left open");
        let mut spec = node.spec("user", "cat /proc/self/status; touch /data/x");
        spec.user = User { user: "web".into(), gid: None, supplemental_groups: vec![7] };
        spec.security.no_new_privileges = true;
        spec.security.drop_capabilities = vec!["ALL".into()];
        let (exit, status) = node.run(spec).await;
        assert_eq!(exit.code, 1, "the user may not write: {status}");
        assert_eq!((bits(&status, "CapEff:"), bits(&status, "CapBnd:"), bits(&status, "NoNewPrivs:")), (0, 0, 1));
        let line = |name: &str| status.lines().find(|line| line.starts_with(name)).expect("a line").to_owned();
        assert_eq!(line("Uid:").split_whitespace().nth(1), Some("33"));
        assert_eq!(line("Gid:").split_whitespace().nth(1), Some("34"));
        assert_eq!(line("Groups:").split_whitespace().skip(1).collect::<Vec<_>>(), ["7", "26", "34"]);

        let mut spec = node.spec("nobody", "true");
        spec.user.user = "nobody".into();
        let error = node.start_container(spec).await.expect_err("no such user").to_string();
        assert_eq!(error, "start: unable to find user nobody: no matching entries in passwd file");
    });
}

#[test]
fn seccomp_refuses_what_the_default_profile_does_not_allow() {
    on_node("seccomp", |node| async move {
        node.sandbox("s").await;
        let script = "unshare -U true 2>&1; mount -t tmpfs none /tmp 2>&1; true";
        let output = node.script("default", script).await;
        assert_eq!(output.matches("Operation not permitted").count() + output.matches("denied").count(), 2, "{output}");
        let mut spec = node.spec("unconfined", "unshare -U true && cat /proc/self/status");
        spec.security.seccomp = Seccomp::Unconfined;
        let (exit, output) = node.run(spec).await;
        assert_eq!((exit.code, bits(&output, "Seccomp:")), (0, 0), "{output}");

        let profile = node.dir.join("profile.json");
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
        std::fs::write(&profile, text).expect("profile");
        let mut spec = node.spec("localhost", "mkdir /tmp/x 2>&1");
        spec.security.seccomp = Seccomp::Localhost(profile);
        let (_, output) = node.run(spec).await;
        assert!(output.contains("No space left"), "{output}");
    });
}

#[test]
fn a_privileged_container_has_the_host() {
    on_node("privileged", |node| async move {
        node.sandbox("s").await;
        let script = "cat /proc/self/status; mount -t tmpfs none /tmp && echo mounted; touch /proc/sys/kernel/x 2>&1; \
                      test -w /sys/kernel && echo writable; ls /dev | head -100 | wc -l; test -c /dev/kmsg && echo kmsg; \
                      head -c 1 /dev/kmsg >/dev/null && echo readable";
        let mut spec = node.spec("p", script);
        spec.security = Security { privileged: true, ..Security::default() };
        let (exit, output) = node.run(spec).await;
        assert_eq!(exit.code, 0, "{output}");
        assert_eq!(bits(&output, "Seccomp:"), 0);
        assert!(bits(&output, "CapEff:") & (1 << 21) != 0, "CAP_SYS_ADMIN");
        for word in ["mounted", "writable", "kmsg", "readable"] {
            assert!(output.lines().any(|line| line == word), "{word} in {output}");
        }
        // An unprivileged one cannot use a device that it makes.
        let script = "mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg";
        let (exit, output) = node.run(node.spec("u", script)).await;
        assert!(exit.code != 0 && output.contains("Operation not permitted"), "{output}");
    });
}

#[test]
fn sensitive_files_are_hidden() {
    on_node("masks", |node| async move {
        node.sandbox("s").await;
        let script = "cat /proc/keys | wc -l; ls /sys/firmware | wc -l; echo 1 2>&1 >/proc/sys/kernel/panic; touch /sys/x 2>&1; \
                      cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l";
        let output = node.script("m", script).await;
        assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
        assert!(output.starts_with("0\n0\n"), "{output}");
        assert!(
            output.contains("\nsh\n") && output.lines().last() < Some("5"),
            "the first process is its own: {output}"
        );
        let mut spec = node.spec("unmasked", "cat /proc/keys | wc -l");
        spec.security.unmasked_proc = true;
        let (_, output) = node.run(spec).await;
        assert_ne!(output, "0\n");
    });
}

#[test]
fn memory_pids_and_cpu_are_limited() {
    on_node("limits", |node| async move {
        node.sandbox("s").await;
        let mut spec = node.spec("oom", "x=$(head -c 200000000 /dev/zero | tail -c 200000000); echo survived");
        spec.args = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"].map(str::to_owned).to_vec();
        spec.resources = Resources { memory_limit_bytes: Some(32 << 20), ..Resources::default() };
        let (exit, output) = node.run(spec).await;
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (137, Some(9), true), "{output}");

        let mut spec = node.spec("pids", "for i in 1 2 3 4 5 6; do sleep 5 & done; true");
        spec.resources = Resources { pids_limit: Some(4), ..Resources::default() };
        let (_, output) = node.run(spec).await;
        assert!(output.contains("can't fork"), "{output}");

        let mut spec = node.spec("cpu", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max");
        spec.resources = Resources { cpu_quota_us: Some(20_000), cpu_shares: Some(512), ..Resources::default() };
        let (_, output) = node.run(spec).await;
        assert!(output.lines().any(|line| line.starts_with("20000")), "{output}");

        let output = node.script("view", "cat /proc/self/cgroup; touch /sys/fs/cgroup/x 2>&1; true").await;
        assert!(
            output
                .lines()
                .filter(|line| line.contains(":memory:") || line.starts_with("0::"))
                .all(|line| line.ends_with(":/")),
            "{output}"
        );
        assert!(output.contains("Read-only"), "{output}");
    });
}

#[test]
fn a_quota_throttles() {
    on_node("quota", |node| async move {
        node.sandbox("s").await;
        let mut spec = node.spec("busy", "while true; do true; done");
        spec.resources = Resources { cpu_quota_us: Some(10_000), ..Resources::default() };
        node.start_container(spec).await.expect("start");
        let before = node.runtime.usage("busy").await.expect("usage");
        let begun = std::time::Instant::now();
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let after = node.runtime.usage("busy").await.expect("usage");
        let share = (after.cpu_ns - before.cpu_ns) as f64 / begun.elapsed().as_nanos() as f64;
        assert!(share < 0.25, "10 % of a CPU were allowed, {share} used");
        assert!(after.memory_bytes > 0 && after.working_set_bytes <= after.memory_bytes);
        assert!(node.runtime.usage("s").await.expect("usage of the sandbox").cpu_ns >= after.cpu_ns);
        node.runtime.kill_container("busy").await.expect("kill");
        assert_eq!(node.exit("busy").await.signal, Some(9));
        assert!(!node.runtime.usage("busy").await.expect_err("it is over").is_not_found());
    });
}
