//! Another machine: a network namespace on a link with the cluster's, on which a node may run.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::footprint::NodePlace;
use crate::leaks::{self, Traces};
use crate::namespace::Namespace;
use crate::objects::text;
use crate::{Cluster, Outcome, Program, host};

/// The cluster's machine, as the other one sees it.
pub const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";
/// The other machine's node, and the link to it on the cluster's side.
pub const FAR: &str = "far";
const NEAR: &str = "near";
/// Links that a network namespace may have from the start, and the one to the cluster's.
const LINKS: [&str; 8] = ["lo", NEAR, "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0"];

pub struct Machine {
    pub namespace: Namespace,
    /// Data directory of its node.
    pub folder: PathBuf,
    links: Vec<String>,
}

/// Runs a test with another machine, and stops its node, of which nothing is left then.
pub fn with_machine(cluster: &mut Cluster, test: impl FnOnce(&mut Cluster, &Machine) -> Result<()>) -> Result<()> {
    let machine = Machine::new(cluster)?;
    let tested = test(cluster, &machine);
    let closed = machine.close(cluster);
    tested.and(closed)
}

impl Machine {
    fn new(cluster: &Cluster) -> Result<Self> {
        let namespace = Namespace::new()?;
        let handle = namespace.file()?;
        let peer = format!("/proc/{}/fd/{}", std::process::id(), handle.as_raw_fd());
        ip(&cluster.namespace, &format!("link add {FAR} type veth peer name {NEAR} netns {peer}"))?;
        for (inside, link, address) in [(&cluster.namespace, FAR, HERE), (&namespace, NEAR, THERE)] {
            for words in [format!("address add {address}/24 dev {link}"), format!("link set {link} up")] {
                let output = ip(inside, &words)?;
                ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(Self { namespace, folder: cluster.folder().join(FAR), links: LINKS.map(str::to_owned).into() })
    }

    /// Where its node keeps what it has.
    pub fn place(&self) -> NodePlace {
        NodePlace { name: FAR.to_owned(), node: self.folder.join("node"), namespace: self.namespace.clone() }
    }

    pub fn join(&self, cluster: &Cluster, token: &str) -> Result<Outcome> {
        let folder = self.folder.to_string_lossy();
        let arguments = ["node", "join", HERE, "--token", token, "--node-name", FAR, "--vxlan", "--detach"];
        cluster.elsewhere(&self.namespace, arguments).args(["--data-dir", &folder]).run()
    }

    /// The program that starts the node again, and leaves it running.
    pub fn run(&self, cluster: &Cluster) -> Program {
        let folder = self.folder.to_string_lossy();
        cluster.elsewhere(&self.namespace, ["node", "run", "--detach", "--data-dir", &folder])
    }

    /// Stops the node, its containers too.
    pub fn down(&self, cluster: &Cluster) -> Result<()> {
        let folder = self.folder.to_string_lossy();
        cluster.elsewhere(&self.namespace, ["down", "--data-dir", &folder]).ok().map(drop)
    }

    /// What a power cut does to the node's programs; its containers are nobody's then.
    pub fn crash(&self) -> Result<()> {
        let of_the_node = |pid: &i32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(&*self.folder.to_string_lossy())
        };
        let processes: Vec<i32> = leaks::all_processes()?.into_iter().filter(of_the_node).collect();
        ensure!(processes.len() >= 2, "a node and its launcher: {processes:?}");
        processes.into_iter().try_for_each(host::kill_9)
    }

    /// Where its node may leave something.
    pub fn traces(&self) -> Traces<'_> {
        let record = std::fs::read(self.folder.join("node.json")).unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        let id = text(&record, "id").to_owned();
        let (namespace, links) = (&self.namespace, &self.links);
        Traces { data_dir: &self.folder, id, namespace, alone: true, links, spared: None }
    }

    fn close(&self, cluster: &Cluster) -> Result<()> {
        let joined = self.folder.join("node.json").exists();
        let down = if joined { self.down(cluster) } else { Ok(()) };
        let clean = self.traces().check();
        let link = ip(&cluster.namespace, &format!("link delete {FAR}"));
        down.and(clean).and(link.map(drop))
    }
}

fn ip(inside: &Namespace, words: &str) -> Result<Output> {
    let path = crate::find_program("ip").context("these tests need iproute2")?;
    inside.command(path).args(words.split(' ')).output().context("run ip")
}
