//! `up` of another build takes the containers of the old one over.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use e2e::objects::{at, pod};
use e2e::{Cluster, binary, with_cluster};
use rustix::process::{Signal, kill_process};
use serde_json::json;

use crate::soak::Steady;

/// The same program with other bytes at its end: another build, as far as anybody can tell.
fn other_build(cluster: &Cluster) -> Result<PathBuf> {
    let path = cluster.folder().join("setpoint-next");
    std::fs::copy(binary::setpoint()?, &path)?;
    std::fs::OpenOptions::new().append(true).open(&path)?.write_all(b"next")?;
    Ok(path)
}

#[test]
fn another_build_takes_the_containers_over() -> Result<()> {
    with_cluster(|cluster| {
        let next = other_build(cluster)?;
        let steady = Steady::start(cluster, &cluster.places()?)?;
        let marks = cluster.folder().join("marks");
        std::fs::create_dir(&marks)?;
        let mut late = pod("late", "until [ -e /marks/go ]; do sleep 0.05; done; echo last words; exit 7");
        late["spec"]["restartPolicy"] = "Never".into();
        late["spec"]["volumes"] = json!([{"name": "marks", "hostPath": {"path": marks}}]);
        late["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "marks", "mountPath": "/marks"}]);
        cluster.api().create_pod(&late)?;
        cluster.api().pod_ready("late")?;

        kill_process(cluster.daemon()?, Signal::TERM)?;
        cluster.daemon_ends()?;
        up(cluster, &next, &steady)?;
        cluster.api().create_pod(&pod("new", "echo begun; sleep 1000"))?;
        cluster.api().pod_ready("new")?;
        // It ends while the programs change.
        cluster.kill_daemon()?;
        std::fs::write(marks.join("go"), "")?;
        up(cluster, binary::setpoint()?, &steady)?;
        let ended = cluster.api().pod_phase("late", "Failed")?;
        ensure!(*at(&ended, "status.containerStatuses.0.state.terminated.exitCode") == 7, "{}", ended["status"]);
        ensure!(cluster.setpoint(["logs", "late"]).ok()? == "last words\n");
        ensure!(cluster.shell("new", "echo alive")? == "alive");
        steady.lost_nothing(cluster)
    })
}

/// Starts the cluster with this program; the launcher becomes it.
fn up(cluster: &mut Cluster, program: &Path, steady: &Steady) -> Result<()> {
    cluster.up_with(program)?;
    let pid = cluster.places()?[0].launcher()?;
    let inode = |path: &Path| std::fs::metadata(path).map(|facts| facts.ino());
    ensure!(inode(Path::new(&format!("/proc/{pid}/exe")))? == inode(program)?, "the launcher is of another build");
    steady.goes_on(cluster)
}
