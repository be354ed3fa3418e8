//! Sandboxes: addresses, shared and separate namespaces.

use runtime::spec::SandboxSpec;

use crate::node::on_node;

#[test]
fn sandboxes_have_addresses_and_reach_each_other() {
    on_node("network", |node| async move {
        node.sandbox("s").await;
        node.sandbox("t").await;
        let mut server = node.spec("server", "echo pong | nc -l -p 80");
        server.sandbox = "t".into();
        node.start_container(server).await.expect("server");
        let script = "ip addr show eth0; for i in $(seq 1 100); do echo x | nc 10.123.0.3 80 2>/dev/null && break; sleep 0.05; done; ping -c 1 -W 2 10.123.0.1 >/dev/null && echo gateway; \
                      ping -c 1 -W 2 127.0.0.1 >/dev/null && echo self";
        let output = node.script("client", script).await;
        for word in ["inet 10.123.0.2/24", "pong", "gateway", "self"] {
            assert!(output.contains(word), "{word} in {output}");
        }
        let namespace = node.runtime.network_namespace("s").await.expect("namespace");
        assert!(rustix::fs::fstat(&namespace).is_ok());
        node.runtime.remove_sandbox("t").await.expect("remove");
        assert!(node.status("server").await.is_none());
        assert!(node.runtime.remove_sandbox("t").await.expect_err("gone").is_not_found());
    });
}

#[test]
fn containers_of_a_sandbox_share_what_they_should() {
    on_node("shared", |node| async move {
        let mut spec = node.sandbox_spec("s");
        spec.shared_pid = true;
        spec.sysctls =
            [("net.ipv4.ip_unprivileged_port_start".into(), "80".into()), ("kernel.shmmax".into(), "12345678".into())]
                .into();
        node.runtime.create_sandbox(spec).await.expect("create");
        node.start_container(node.spec("a", "(sleep 1000 & ); exec sleep 999")).await.expect("start");
        let script = "ps; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmax; \
                      ls /proc/1/root 2>&1; cat /proc/1/status; kill -9 1 2>&1; true";
        let output = node.script("b", script).await;
        assert!(output.contains("sleep 999") && output.contains("80\n12345678\n"), "{output}");
        assert!(output.contains("Permission denied"), "the reaper's root is closed: {output}");
        assert!(output.lines().any(|line| line.starts_with("Uid:\t65535")), "{output}");
        // What a container leaves behind goes with it, and the reaper stays.
        node.runtime.signal_container("a", 9).await.expect("signal");
        assert_eq!(node.exit("a").await.code, 137);
        let output =
            node.script("c", "for i in $(seq 1 100); do ps | grep -q '[s]leep' || break; sleep 0.05; done; ps").await;
        assert!(!output.contains("sleep 1000"), "{output}");
    });
}

#[test]
fn the_host_can_be_shared() {
    on_node("host", |node| async move {
        let spec = SandboxSpec { network: None, host_ipc: true, host_pid: true, ..node.sandbox_spec("s") };
        node.runtime.create_sandbox(spec).await.expect("create");
        let script = format!(
            "ip addr show {}; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; ls -d /proc/{}",
            crate::node::BRIDGE,
            std::process::id()
        );
        let output = node.script("h", &script).await;
        assert!(output.contains("10.123.0.1/24"), "{output}");
        for name in ["ipc", "uts"] {
            let own = std::fs::read_link(format!("/proc/self/ns/{name}")).expect("own").display().to_string();
            assert!(output.contains(&own), "{own} in {output}");
        }
        node.runtime.network_namespace("s").await.expect_err("it has none");
        node.start_container(node.spec("left", "sleep 1000 & sleep 0.1; echo bye")).await.expect("start");
        assert_eq!(node.exit("left").await.code, 0);
        let spec = SandboxSpec {
            sysctls: [("kernel.shmmax".into(), "1".into())].into(),
            host_ipc: true,
            ..node.sandbox_spec("x")
        };
        let error = node.runtime.create_sandbox(spec).await.expect_err("not its own").to_string();
        assert!(error.contains("not of a namespace of this sandbox"), "{error}");
    });
}

#[test]
fn bad_requests_are_refused() {
    on_node("refused", |node| async move {
        node.sandbox("s").await;
        let again = node.runtime.create_sandbox(node.sandbox_spec("s")).await.expect_err("exists").to_string();
        assert_eq!(again, "make sandbox \"s\": it exists");
        let mut spec = node.sandbox_spec("t");
        spec.cgroup = "../escape".into();
        node.runtime.create_sandbox(spec).await.expect_err("a path upwards");
        let mut spec = node.sandbox_spec("t");
        spec.network.as_mut().expect("network").bridge = "nowhere".into();
        let error = node.runtime.create_sandbox(spec).await.expect_err("no bridge").to_string();
        assert!(error.contains("find link nowhere"), "{error}");
        node.sandbox("t").await;
        let mut spec = node.spec("Bad/Id", "true");
        node.start_container(spec.clone()).await.expect_err("bad id");
        spec.id = "a".into();
        spec.sandbox = "nowhere".into();
        assert!(node.start_container(spec).await.expect_err("no sandbox").is_not_found());
        assert!(node.runtime.kill_container("none").await.expect_err("none").is_not_found());
        assert!(node.runtime.attach("none").await.expect_err("none").is_not_found());
    });
}
