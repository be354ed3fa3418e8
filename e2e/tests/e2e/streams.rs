//! What flows between a person and a container: logs, exec with and without a terminal, cp.

use anyhow::{Result, ensure};
use e2e::objects::{FOREVER, container, pod};
use e2e::terminal::Terminal;
use e2e::{Cluster, Kubectl, eventually, with_cluster};
use serde_json::json;

type Step = fn(&Cluster, &Kubectl) -> Result<()>;

const STEPS: [(&str, Step); 4] =
    [("logs", logs), ("exec", exec), ("terminal", exec_on_a_terminal), ("cp", copies_both_ways)];

#[test]
fn every_kubectl_talks_to_containers() -> Result<()> {
    with_cluster(|cluster| {
        let counter = "i=0; while :; do i=$((i+1)); echo line $i; echo error $i >&2; sleep 0.2; done";
        let mut talker = pod("talker", counter);
        talker["spec"]["containers"] = json!([container("main", counter), container("side", FOREVER)]);
        cluster.api().create_pod(&talker)?;
        cluster.api().pod_ready("talker")?;
        for kubectl in cluster.kubectls() {
            for (name, step) in STEPS {
                step(cluster, &kubectl).map_err(|error| error.context(format!("{name} with {}", kubectl.name)))?;
            }
            for (name, step) in &STEPS[1..3] {
                let told = |error: anyhow::Error| error.context(format!("{name} over SPDY with {}", kubectl.name));
                step(cluster, &kubectl.over_spdy()).map_err(told)?;
            }
        }
        Ok(())
    })
}

fn logs(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let run = |words: &[&str]| cluster.with_kubectl(kubectl, ["logs", "talker"]).args(words).ok();
    let mut follow = cluster.with_kubectl(kubectl, ["logs", "-f", "talker", "-c", "main"]).start()?;
    follow.line("line 1", |line| line == "line 1")?;
    follow.line("error 1", |line| line == "error 1")?;
    let now = run(&["-c", "main"])?.lines().filter(|line| line.starts_with("line ")).count();
    let later = format!("line {}", now + 3);
    follow.line(&later, |line| line == later)?;

    let last = run(&["-c", "main", "--tail=2"])?;
    ensure!(last.lines().count() == 2 && !last.contains("line 1\n"), "{last}");
    let stamped = run(&["-c", "main", "--timestamps", "--tail=1"])?;
    let (time, rest) = stamped.split_once(' ').unwrap_or_default();
    ensure!(time.ends_with('Z') && time.contains('T') && !rest.is_empty(), "{stamped}");
    ensure!(run(&["-c", "main", "--limit-bytes=6"])? == "line 1");
    let prefixed = run(&["-c", "main", "--prefix", "--tail=1"])?;
    ensure!(prefixed.starts_with("[pod/talker/main] "), "{prefixed}");
    ensure!(run(&["-c", "side"])?.is_empty());
    let unknown = cluster.with_kubectl(kubectl, ["logs", "talker", "-c", "nobody"]).run()?;
    ensure!(unknown.code == 1 && unknown.stderr.contains("container nobody is not valid for pod talker"), "{unknown}");
    Ok(())
}

fn exec(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let exec = |words: &[&str]| cluster.with_kubectl(kubectl, ["exec", "talker", "-c", "main"]).args(words);
    ensure!(exec(&["--", "echo", "a  b"]).ok()? == "a  b\n");
    let both = exec(&["--", "sh", "-c", "echo out; echo err >&2"]).run()?;
    ensure!(both.stdout == "out\n" && both.stderr == "err\n", "{both}");
    let failed = exec(&["--", "sh", "-c", "exit 7"]).run()?;
    ensure!(failed.code == 7 && failed.stderr.contains("command terminated with exit code 7"), "{failed}");
    let missing = exec(&["--", "/no/such/program"]).run()?;
    ensure!(missing.code != 0 && missing.stderr.contains("no such file or directory"), "{missing}");
    let piped = exec(&["-i", "--", "cat"]).input("one\ntwo").ok()?;
    ensure!(piped == "one\ntwo", "{piped:?}");
    let much = "0123456789abcdef".repeat(64 << 10);
    ensure!(exec(&["-i", "--", "cat"]).input(much.clone()).ok()? == much, "a mebibyte does not come back as it went");
    ensure!(exec(&["-i", "--", "head", "-c", "3"]).input(much).ok()? == "012", "the program may end before its input");
    ensure!(exec(&["--", "hostname"]).ok()? == "talker\n");
    let wrong = cluster.with_kubectl(kubectl, ["exec", "talker", "-c", "nobody", "--", "true"]).run()?;
    ensure!(wrong.code == 1 && wrong.stderr.contains("container nobody is not valid for pod talker"), "{wrong}");
    Ok(())
}

fn exec_on_a_terminal(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let program = cluster.with_kubectl(kubectl, ["exec", "-it", "talker", "-c", "side", "--", "sh"]);
    type_into_a_shell(Terminal::start(program, 33, 77)?)
}

/// A shell on a terminal of 33 rows and 77 columns does what shells do, and ends with code 5.
pub fn type_into_a_shell(mut terminal: Terminal) -> Result<()> {
    terminal.see("# ")?;
    terminal.type_text("test -t 0 && echo is-a-$((1+1))-way-terminal\r")?;
    terminal.see("is-a-2-way-terminal")?;
    // The size comes a moment after the start.
    terminal.type_text("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo sized-$((2+2))\r")?;
    terminal.see("sized-4")?;
    terminal.resize(20, 60)?;
    terminal.type_text("until [ \"$(stty size)\" = '20 60' ]; do sleep 0.1; done; echo sized-$((3+3))\r")?;
    terminal.see("sized-6")?;
    // ^C ends what runs in the foreground, and not the shell. The child itself says that it is there.
    terminal.type_text("sh -c 'echo waits-$((4+4)); exec sleep 1000'\r")?;
    terminal.see("waits-8")?;
    terminal.type_text("\u{3}")?;
    terminal.type_text("echo alive-$((5+5))\r")?;
    terminal.see("alive-10")?;
    terminal.type_text("exit 5\r")?;
    let code = terminal.finish()?;
    ensure!(code == 5, "exit code {code}");
    Ok(())
}

fn copies_both_ways(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let folder = cluster.folder().join("tree");
    std::fs::create_dir_all(folder.join("deep"))?;
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(folder.join("deep/random"), &bytes)?;
    std::fs::write(folder.join("name with spaces"), "text\n")?;
    let cp = |from: &str, to: &str| cluster.with_kubectl(kubectl, ["cp", "-c", "side", from, to]).ok();
    cluster.with_kubectl(kubectl, ["exec", "talker", "-c", "side", "--", "rm", "-rf", "/tmp/tree"]).ok()?;
    cp(&folder.to_string_lossy(), "talker:/tmp/tree")?;
    let back = cluster.folder().join("back");
    let _ = std::fs::remove_dir_all(&back);
    cp("talker:/tmp/tree", &back.to_string_lossy())?;
    ensure!(std::fs::read(back.join("deep/random"))? == bytes);
    ensure!(std::fs::read(back.join("name with spaces"))? == b"text\n");
    Ok(())
}

#[test]
fn logs_outlive_their_container_and_follow_to_its_end() -> Result<()> {
    with_cluster(|cluster| {
        let api = cluster.api();
        let script = "echo begun; until [ -e /tmp/go ]; do sleep 0.1; done; printf 'no newline'; exit 3";
        let mut once = pod("once", script);
        once["spec"]["restartPolicy"] = "Never".into();
        api.create_pod(&once)?;
        api.pod_ready("once")?;
        let mut follow = cluster.kubectl(["logs", "-f", "once"]).start()?;
        follow.line("begun", |line| line == "begun")?;
        cluster.kubectl(["exec", "once", "--", "touch", "/tmp/go"]).ok()?;
        let outcome = follow.finish()?;
        ensure!(outcome.code == 0 && outcome.stdout.ends_with("no newline"), "{outcome}");
        api.pod_phase("once", "Failed")?;
        ensure!(cluster.kubectl(["logs", "once"]).ok()? == "begun\nno newline");

        api.create_pod(&pod("often", "echo run $(cat /proc/sys/kernel/random/uuid); exit 1"))?;
        api.pod_when("often", "was restarted", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1)?;
        eventually("both runs can be read", || {
            let previous = cluster.kubectl(["logs", "often", "--previous"]).ok()?;
            let current = cluster.kubectl(["logs", "often"]).ok()?;
            Ok((previous.starts_with("run ") && current.starts_with("run ") && previous != current).then_some(()))
        })?;
        let none = "previous terminated container \"main\" in pod \"once\" not found";
        cluster.kubectl(["logs", "once", "--previous"]).fails_with(none)?;

        // A log larger than one file of the rotation, still one stream.
        let lines = 60_000;
        let mut much = pod("much", &format!("i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done"));
        much["spec"]["restartPolicy"] = "Never".into();
        api.create_pod(&much)?;
        api.pod_phase("much", "Succeeded")?;
        let log = cluster.kubectl(["logs", "much"]).ok()?;
        ensure!(
            log.lines().count() == lines && log.ends_with(&format!("line {lines}\n")),
            "{} lines",
            log.lines().count()
        );
        Ok(())
    })
}
