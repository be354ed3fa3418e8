//! `up`: one process is control plane and kubelet of the machine.

use anyhow::Result;
use e2e::footprint::{Footprint, NodePlace};
use e2e::{Cluster, eventually, with_cluster};

use super::{EARLY, Random, START, Shape, WAVE, soak};

const SAMPLE: u64 = 10;

struct Together<'c>(&'c mut Cluster);

#[test]
fn containers_survive_every_kill() -> Result<()> {
    with_cluster(|cluster| soak(&mut Together(cluster), SAMPLE))
}

impl Shape for Together<'_> {
    fn cluster(&self) -> &Cluster {
        self.0
    }

    fn nodes(&self) -> Result<Vec<NodePlace>> {
        self.0.places()
    }

    fn footprint(&self) -> Result<Footprint> {
        Footprint::take(&self.0.traces(), &self.nodes()?)
    }

    fn strike(&mut self, wave: u64, random: &mut Random) -> Result<()> {
        random.pause(WAVE);
        self.0.kill_daemon()?;
        if wave.is_multiple_of(EARLY) {
            kill_while_it_starts(self.0, random)?;
        }
        self.0.up([]).map(drop)
    }
}

/// A daemon that dies before it is up.
fn kill_while_it_starts(cluster: &Cluster, random: &mut Random) -> Result<()> {
    let old = cluster.daemon()?;
    let starting = cluster.up_program().args(["--detach"]).start()?;
    eventually("another daemon has the lock", || Ok((cluster.daemon()? != old).then_some(())))?;
    random.pause(START);
    // It may have been quicker than we are, or failed: the next one tells.
    cluster.kill_daemon()?;
    starting.finish().map(drop)
}
