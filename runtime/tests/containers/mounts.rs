//! Volumes, and traps that images and volumes may hold.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use runtime::spec::{Mount, Propagation};

use crate::node::{Node, on_node};

fn bind(source: PathBuf, target: &str) -> Mount {
    Mount { source, target: target.to_owned(), ..Mount::default() }
}

fn host_dir(node: &Node, name: &str) -> PathBuf {
    let dir = node.dir.join("volumes").join(name);
    std::fs::create_dir_all(&dir).expect("volume");
    dir
}

#[test]
fn volumes_are_mounted() {
    on_node("volumes", |node| async move {
        node.sandbox("s").await;
        let data = host_dir(&node, "data");
        std::fs::write(data.join("hosts"), "10.0.0.1 me\n").expect("write");
        std::fs::create_dir(data.join("inner")).expect("mkdir");
        let script = "cat /etc/hosts /new/dir/file; echo written >/vol/out; touch /ro/x 2>&1; echo t >/scratch/t; df() { :; }; \
                      grep ' /scratch ' /proc/mounts; ls /sub; cat /vol/nested/hosts; touch /dev/shm/here; \
                      cat /dev/termination-log";
        let mut spec = node.spec("v", script);
        spec.mounts = vec![
            bind(data.join("inner"), "/vol/nested/../nested/deep"),
            bind(data.clone(), "/vol"),
            bind(data.clone(), "/vol/nested"),
            bind(data.join("hosts"), "/etc/hosts"),
            bind(data.join("hosts"), "/new/dir/file"),
            bind(data.join("hosts"), "/dev/termination-log"),
            Mount { read_only: true, ..bind(data.clone(), "/ro") },
            Mount { sub_path: Some("inner/made/here".into()), ..bind(data.clone(), "/sub") },
            Mount { tmpfs_size_bytes: Some(1 << 20), ..bind(PathBuf::new(), "/scratch") },
        ];
        let (exit, output) = node.run(spec).await;
        assert_eq!(exit.code, 0, "{output}");
        assert_eq!(output.matches("10.0.0.1 me").count(), 4, "{output}");
        assert!(output.contains("Read-only file system") && output.contains("size=1024k"), "{output}");
        assert_eq!(std::fs::read_to_string(data.join("out")).expect("out"), "written\n");
        assert!(data.join("inner/made/here").is_dir());
        // Shared memory belongs to the sandbox.
        assert_eq!(node.script("w", "ls /dev/shm").await, "here\n");
    });
}

#[test]
fn the_root_file_system_can_be_read_only() {
    on_node("readonly", |node| async move {
        node.sandbox("s").await;
        let mut spec =
            node.spec("r", "pwd; touch /x 2>&1; touch /etc/x 2>&1; touch /vol/x && touch /dev/shm/x && echo fine");
        spec.security.read_only_rootfs = true;
        spec.cwd = "/made/work".into();
        spec.mounts = vec![bind(host_dir(&node, "v"), "/vol")];
        let (_, output) = node.run(spec).await;
        assert!(output.starts_with("/made/work\n") && output.ends_with("fine\n"), "{output}");
        assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
        // Writes of one container are not seen by the next, nor in the image.
        node.script("a", "echo mine >/etc/only-here").await;
        node.script("b", "test ! -e /etc/only-here").await;
        assert!(!node.rootfs.join("etc/only-here").exists());
    });
}

#[test]
fn links_do_not_lead_out_of_the_container() {
    on_node("escape", |node| async move {
        node.sandbox("s").await;
        let (outside, volume) = (host_dir(&node, "outside"), host_dir(&node, "volume"));
        std::fs::write(outside.join("secret"), "secret").expect("write");
        symlink(&outside, node.rootfs.join("absolute")).expect("link");
        symlink("../../../../../../../../../..", node.rootfs.join("up")).expect("link");
        symlink("/proc/1/root", node.rootfs.join("magic")).expect("link");
        symlink(&outside, volume.join("escape")).expect("link");
        let target = |prefix: &str| format!("{prefix}{}", outside.display());
        let cases = [
            ("absolute", bind(volume.clone(), "/absolute/in")),
            ("up", bind(volume.clone(), &target("/up"))),
            ("sub", Mount { sub_path: Some("escape".into()), ..bind(volume.clone(), "/data") }),
            ("magic", bind(volume.clone(), &target("/magic"))),
        ];
        for (id, mount) in cases {
            let mut spec = node.spec(id, "cat /data/secret; true");
            spec.mounts = vec![mount];
            let (exit, output) = node.run(spec).await;
            assert_eq!(exit.code, 0, "{id}");
            assert!(!output.lines().any(|line| line == "secret"), "{id}: {output}");
            let left: Vec<_> =
                std::fs::read_dir(&outside).expect("list").map(|it| it.expect("entry").file_name()).collect();
            assert_eq!(left, ["secret"], "{id}");
        }
    });
}

#[test]
fn proc_and_the_root_are_no_targets() {
    on_node("targets", |node| async move {
        node.sandbox("s").await;
        symlink("/proc", node.rootfs.join("p")).expect("link");
        let cases = [("a", "/proc/sys"), ("b", "/p"), ("c", "/"), ("d", "/data/../..")];
        for (id, target) in cases {
            let mut spec = node.spec(id, "true");
            spec.mounts = vec![bind(host_dir(&node, "v"), target)];
            let error = node.start_container(spec).await.expect_err(target).to_string();
            assert!(error.contains("nothing may be mounted in /proc") || error.contains("root file system"), "{error}");
        }
        let mut spec = node.spec("e", "true");
        spec.mounts = vec![bind(node.dir.join("missing"), "/data")];
        let error = node.start_container(spec).await.expect_err("no source").to_string();
        assert!(error.contains("missing on /data: No such file"), "{error}");
        let mut spec = node.spec("f", "true");
        spec.cwd = "/etc/notes".into();
        let error = node.start_container(spec).await.expect_err("no directory").to_string();
        assert!(error.contains("chdir to \"/etc/notes\""), "{error}");
    });
}

#[test]
fn propagation_is_as_asked() {
    on_node("propagation", |node| async move {
        node.sandbox("s").await;
        let mut spec = node.spec("p", "grep -E ' /(private|slave) ' /proc/self/mountinfo");
        spec.mounts = vec![
            bind(host_dir(&node, "a"), "/private"),
            Mount { propagation: Propagation::HostToContainer, ..bind(host_dir(&node, "b"), "/slave") },
        ];
        let (_, output) = node.run(spec).await;
        assert!(!output.contains("shared:"), "{output}");
        let mut spec = node.spec("q", "grep -E ' /shared ' /proc/self/mountinfo");
        spec.mounts = vec![Mount { propagation: Propagation::Bidirectional, ..bind(host_dir(&node, "c"), "/shared") }];
        assert!(node.run(spec).await.1.contains("shared:"));
    });
}
