//! `server` and `node join`: a control plane on etcd and a node on another machine, killed one, the other, or both.

use std::fs::File;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::with_place;
use e2e::footprint::{Footprint, NodePlace};
use e2e::machine::{FAR, HERE, Machine, with_machine};
use e2e::objects::has_condition;
use e2e::{Cluster, eventually, images};

use super::{EARLY, Random, START, Shape, WAVE, kill_holder, next_holder, soak};

const SAMPLE: u64 = 6;

struct Apart<'c> {
    cluster: &'c mut Cluster,
    machine: &'c Machine,
    /// Of etcd.
    endpoint: String,
    server: Option<Child>,
}

#[test]
fn containers_survive_kills_of_a_node_and_of_its_control_plane() -> Result<()> {
    with_place(|cluster| {
        let Some(archive) = images::busybox(cluster.folder())? else { return Ok(()) };
        let Some(endpoint) = cluster.start_etcd()? else { return Ok(()) };
        // Not on the cluster's own machine.
        cluster.nodes = 1;
        with_machine(cluster, |cluster, machine| {
            let mut apart = Apart { cluster, machine, endpoint, server: None };
            apart.start_server()?;
            apart.server_ready()?;
            let token = apart.cluster.setpoint(["token", "create", "--quiet"]).ok()?;
            let joined = machine.join(apart.cluster, token.trim())?;
            ensure!(joined.code == 0, "{joined}");
            eventually("the node is Ready", || {
                let node = apart.cluster.api().get(&format!("/api/v1/nodes/{FAR}"))?;
                Ok(has_condition(&node, "Ready").then_some(()))
            })?;
            apart.cluster.setpoint(["image", "load"]).args([archive]).ok()?;
            soak(&mut apart, SAMPLE)
        })
    })
}

impl Apart<'_> {
    fn start_server(&mut self) -> Result<()> {
        let data = self.cluster.data_dir();
        std::fs::create_dir_all(&data)?;
        let log = File::options().create(true).append(true).open(data.join("setpoint.log"))?;
        let program = self.cluster.home_setpoint(["server", "--advertise-address", HERE]);
        let program = program.args(["--etcd-endpoints", &self.endpoint, "--data-dir", &data.to_string_lossy()]);
        let mut command = program.into_command();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.server = Some(command.spawn().context("start the server")?);
        Ok(())
    }

    fn server_ready(&mut self) -> Result<()> {
        let Self { cluster, server, .. } = self;
        eventually("the server is ready", || {
            if let Some(status) = server.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("it ended with {status}");
            }
            cluster.connect()?;
            Ok((cluster.api().request("GET", "/readyz", None)?.0 == 200).then_some(()))
        })
    }

    fn kill_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server runs")?;
        server.kill()?;
        server.wait().map(drop).context("wait for the server")
    }

    /// A server that dies before it serves.
    fn kill_server_while_it_starts(&mut self, random: &mut Random) -> Result<()> {
        self.start_server()?;
        random.pause(START);
        self.kill_server()
    }

    /// A node that dies before it is Ready. It may have been quicker than we are: the next one tells.
    fn kill_node_while_it_starts(&self, last: i32, random: &mut Random) -> Result<()> {
        let lock = self.machine.place().lock();
        let starting = self.machine.run(self.cluster).start()?;
        next_holder(&lock, last)?;
        random.pause(START);
        kill_holder(&lock)?;
        starting.finish().map(drop)
    }
}

impl Shape for Apart<'_> {
    fn cluster(&self) -> &Cluster {
        self.cluster
    }

    fn nodes(&self) -> Result<Vec<NodePlace>> {
        Ok(vec![self.machine.place()])
    }

    fn footprint(&self) -> Result<Footprint> {
        Footprint::take(&self.machine.traces(), &self.nodes()?)
    }

    fn strike(&mut self, wave: u64, random: &mut Random) -> Result<()> {
        let lock = self.machine.place().lock();
        let early = wave.is_multiple_of(EARLY);
        random.pause(WAVE);
        match wave % 3 {
            0 => {
                let last = kill_holder(&lock)?;
                if early {
                    self.kill_node_while_it_starts(last, random)?;
                }
                self.machine.run(self.cluster).ok().map(drop)
            }
            1 => {
                self.kill_server()?;
                // The node is without one for a while.
                random.pause(WAVE);
                if early {
                    self.kill_server_while_it_starts(random)?;
                }
                self.start_server()?;
                self.server_ready()
            }
            _ => {
                if random.below(2) == 0 {
                    self.kill_server()?;
                    random.pause(START);
                    kill_holder(&lock)?;
                } else {
                    kill_holder(&lock)?;
                    random.pause(START);
                    self.kill_server()?;
                }
                // A node that starts before its server waits for it.
                let node = self.machine.run(self.cluster).start()?;
                random.pause(START);
                self.start_server()?;
                self.server_ready()?;
                let node = node.finish()?;
                ensure!(node.code == 0, "{node}");
                Ok(())
            }
        }
    }
}

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
