//! exec and attach.

use runtime::spec::{ExecSpec, User};
use runtime::{Error, Failure, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::node::{PATIENCE, on_node};

fn exec(container: &str, args: &[&str]) -> ExecSpec {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    ExecSpec { container: container.to_owned(), args, terminal: false, stdin: false }
}

async fn all(output: Option<Output>) -> String {
    let mut text = String::new();
    let read = async { output.expect("stream").read_to_string(&mut text).await };
    tokio::time::timeout(PATIENCE, read).await.expect("in time").expect("read");
    text
}

/// Reads until `text` was seen.
async fn until(output: &mut Output, text: &str) -> String {
    let mut seen = String::new();
    let read = async {
        let mut buffer = [0; 4096];
        while !seen.contains(text) {
            let length = output.read(&mut buffer).await.expect("read");
            assert!(length > 0, "{text:?} before the end of {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{text:?} in time"));
    seen
}

#[test]
fn exec_runs_in_the_container() {
    on_node("exec", |node| async move {
        node.sandbox("s").await;
        let mut spec = node.spec("c", "exec sleep 1000");
        spec.env.push("GREETING=hello".into());
        spec.cwd = "/data".into();
        spec.user = User { user: "web".into(), ..User::default() };
        spec.security.no_new_privileges = true;
        node.start_container(spec).await.expect("start");

        let script = "echo $GREETING $HOME; pwd; id -u; hostname; cat /proc/self/status; cat /proc/self/cgroup; ps; echo err >&2; exit 3";
        let mut run = node.runtime.exec(exec("c", &["sh", "-c", script])).await.expect("exec");
        let (stdout, stderr) = tokio::join!(all(run.stdout.take()), all(run.stderr.take()));
        assert!(stdout.starts_with("hello /var/www\n/data\n33\ns-host\n"), "{stdout}");
        assert!(stdout.contains("NoNewPrivs:\t1") && stdout.contains("Seccomp:\t2"), "{stdout}");
        assert!(
            stdout
                .lines()
                .filter(|line| line.contains(":memory:") || line.starts_with("0::"))
                .all(|line| line.ends_with(":/")),
            "{stdout}"
        );
        assert!(stdout.contains("sleep 1000"), "{stdout}");
        assert_eq!(stderr, "err\n");
        assert_eq!(run.exit.wait().await.expect("exit").code, 3);

        let mut spec = exec("c", &["cat"]);
        spec.stdin = true;
        let mut run = node.runtime.exec(spec).await.expect("exec");
        let mut stdin = run.stdin.take().expect("stdin");
        stdin.write_all(b"through").await.expect("write");
        drop(stdin);
        assert_eq!(all(run.stdout.take()).await, "through");
        assert_eq!(run.exit.wait().await.expect("exit").code, 0);

        let mut run = node.runtime.exec(exec("c", &["sleep", "1000"])).await.expect("exec");
        run.signal(9).await.expect("signal");
        let exit = run.exit.wait().await.expect("exit");
        assert_eq!((exit.code, exit.signal), (137, Some(9)));
        assert!(run.signal(9).await.expect_err("it is over").is_not_found());
    });
}

#[test]
fn exec_errors_can_be_told_apart() {
    on_node("exec-errors", |node| async move {
        node.sandbox("s").await;
        node.start_container(node.spec("c", "sleep 1000")).await.expect("start");
        for (command, expected) in [("foo", 127), ("/etc/notes", 126)] {
            let error = node.runtime.exec(exec("c", &[command])).await.expect_err(command);
            assert!(matches!(&error, Error::Launcher(Failure::Start { code, .. }) if *code == expected), "{error}");
        }
        assert!(node.runtime.exec(exec("none", &["true"])).await.expect_err("none").is_not_found());
        node.runtime.kill_container("c").await.expect("kill");
        node.exit("c").await;
        assert!(node.runtime.exec(exec("c", &["true"])).await.expect_err("over").is_not_running());
    });
}

#[test]
fn exec_with_a_terminal_is_interactive() {
    on_node("exec-tty", |node| async move {
        node.sandbox("s").await;
        node.start_container(node.spec("c", "sleep 1000")).await.expect("start");
        let mut spec = exec("c", &["sh"]);
        (spec.terminal, spec.stdin) = (true, true);
        let mut run = node.runtime.exec(spec).await.expect("exec");
        let (mut stdin, mut stdout) = (run.stdin.take().expect("stdin"), run.stdout.take().expect("stdout"));
        run.terminal.as_ref().expect("terminal").resize(123, 45).expect("resize");
        stdin.write_all(b"tty; stty size; echo $TERM; echo pa''rt\n").await.expect("write");
        let seen = until(&mut stdout, "part\r\n").await;
        for word in ["/dev/pts/0", "45 123", "xterm"] {
            assert!(seen.contains(word), "{word} in {seen}");
        }
        // ^C ends the command, not the shell.
        stdin.write_all(b"sh -c \"echo st''arted; exec sleep 1000\"\n").await.expect("write");
        until(&mut stdout, "started\r\n").await;
        stdin.write_all(b"\x03").await.expect("write");
        stdin.write_all(b"exit 5\n").await.expect("write");
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.expect("the end");
        assert_eq!(run.exit.wait().await.expect("exit").code, 5, "{rest}");
        assert!(run.stderr.is_none());
    });
}

#[test]
fn attach_follows_a_container() {
    on_node("attach", |node| async move {
        node.sandbox("s").await;
        let mut spec = node.spec("c", "while read line; do echo got $line; echo err $line >&2; done; echo bye");
        (spec.stdin, spec.stdin_once) = (true, true);
        node.start_container(spec).await.expect("start");
        let mut first = node.runtime.attach("c").await.expect("attach");
        let mut second = node.runtime.attach("c").await.expect("attach again");
        assert!(second.stdin.is_none(), "only the first may write");
        let mut stdin = first.stdin.take().expect("stdin");
        stdin.write_all(b"one\n").await.expect("write");
        until(first.stdout.as_mut().expect("stdout"), "got one\n").await;
        until(second.stdout.as_mut().expect("stdout"), "got one\n").await;
        until(first.stderr.as_mut().expect("stderr"), "err one\n").await;
        drop(stdin);
        assert_eq!(node.exit("c").await.code, 0);
        assert_eq!(all(second.stdout.take()).await, "bye\n");
        assert!(node.output("c").contains("got one\n"));
    });
}

#[test]
fn a_container_may_have_a_terminal() {
    on_node("tty", |node| async move {
        node.sandbox("s").await;
        let mut spec =
            node.spec("c", "tty; stty size; echo hello >/dev/console; read line; echo got $line; stty size; exit 4");
        (spec.terminal, spec.stdin) = (true, true);
        spec.user.user = "web".into();
        node.start_container(spec).await.expect("start");
        let mut attach = node.runtime.attach("c").await.expect("attach");
        attach.terminal.as_ref().expect("terminal").resize(99, 33).expect("resize");
        attach.stdin.as_mut().expect("stdin").write_all(b"typed\n").await.expect("write");
        until(attach.stdout.as_mut().expect("stdout"), "33 99").await;
        assert_eq!(node.exit("c").await.code, 4);
        let log = node.output("c");
        assert!(log.contains("/dev/pts/0") && log.contains("got typed") && log.contains("hello"), "{log}");
    });
}
