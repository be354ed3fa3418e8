//! Start, exit, signals, errors.

use runtime::images::ImageConfig;
use runtime::spec::ContainerState;
use runtime::{Error, Failure};

use crate::node::on_node;

#[test]
fn a_container_runs_and_its_exit_is_told() {
    on_node("exit", |node| async move {
        node.sandbox("s").await;
        let (exit, output) = node.run(node.spec("a", "echo hello; echo oops >&2; hostname; exit 7")).await;
        assert_eq!((exit.code, exit.signal, exit.oom_killed), (7, None, false));
        assert!(exit.started_at_ns > 0 && exit.finished_at_ns > exit.started_at_ns);
        let mut lines: Vec<&str> = output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["hello", "oops", "s-host"]);
        assert_eq!(node.state("a").await, ContainerState::Exited(exit));
        node.runtime.remove_container("a").await.expect("remove");
        assert!(node.status("a").await.is_none());
        assert!(node.log_path("a").exists(), "the log stays");
    });
}

#[test]
fn a_command_that_cannot_start_says_why() {
    on_node("errors", |node| async move {
        node.sandbox("s").await;
        let cases: [(&[&str], i32, &str); 4] = [
            (&["foo"], 127, "exec: \"foo\": executable file not found in $PATH"),
            (&["/bin/foo"], 127, "exec: \"/bin/foo\": stat /bin/foo: no such file or directory"),
            (&["/etc/notes"], 126, "exec: \"/etc/notes\": permission denied"),
            (&["/bin"], 126, "exec: \"/bin\": is a directory"),
        ];
        for (number, (args, code, message)) in cases.into_iter().enumerate() {
            let id = format!("c{number}");
            let mut spec = node.spec(&id, "");
            spec.args = args.iter().map(|arg| (*arg).to_owned()).collect();
            let error = node.start_container(spec).await.expect_err("it cannot start");
            let Error::Launcher(Failure::Start { code: got, message: said }) = error else { panic!("{error}") };
            assert_eq!((got, said.as_str()), (code, message));
            let ContainerState::Exited(exit) = node.state(&id).await else { panic!("it is over") };
            assert_eq!((exit.code, exit.start_error.as_deref()), (code, Some(message)));
        }
    });
}

#[test]
fn an_image_of_the_store_runs() {
    on_node("image", |node| async move {
        let busybox = node.rootfs.join("bin/busybox");
        let config = ImageConfig { env: vec!["A=b".into()], ..ImageConfig::default() };
        let image = node.runtime.images().provide("demo:1", &busybox, "busybox", config).expect("image");
        node.sandbox("s").await;
        let mut spec = node.spec("c", "");
        (spec.image, spec.args) = (image.id, ["/busybox", "ls", "/"].map(str::to_owned).to_vec());
        node.runtime.start_container(spec.clone()).await.expect("start");
        assert_eq!(node.exit("c").await.code, 0);
        assert_eq!(node.output("c"), "busybox\ndev\nproc\nsys\n");
        spec.image = "sha256:none".into();
        let error = node.runtime.start_container(spec).await.expect_err("no such image");
        assert!(matches!(error, Error::Image(_)), "{error}");
    });
}
