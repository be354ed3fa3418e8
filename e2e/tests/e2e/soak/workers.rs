//! `up --nodes 3`: the further nodes are processes, which `up` starts again when they end.

use anyhow::Result;
use e2e::cluster::with_place;
use e2e::footprint::{Footprint, NodePlace};
use e2e::{Cluster, images};

use super::{EARLY, Random, START, Shape, WAVE, kill_holder, next_holder, soak};

const SAMPLE: u64 = 6;

struct Workers<'c>(&'c mut Cluster);

#[test]
fn containers_survive_kills_of_nodes_processes() -> Result<()> {
    with_place(|cluster| {
        let Some(archive) = images::busybox(cluster.folder())? else { return Ok(()) };
        cluster.nodes = 3;
        cluster.up([])?;
        cluster.setpoint(["image", "load"]).args([archive]).ok()?;
        soak(&mut Workers(cluster), SAMPLE)
    })
}

impl Shape for Workers<'_> {
    fn cluster(&self) -> &Cluster {
        self.0
    }

    fn nodes(&self) -> Result<Vec<NodePlace>> {
        self.0.places()
    }

    fn targets(&self) -> Result<Vec<NodePlace>> {
        Ok(self.nodes()?.split_off(1))
    }

    fn footprint(&self) -> Result<Footprint> {
        Footprint::take(&self.0.traces(), &self.nodes()?)
    }

    fn strike(&mut self, wave: u64, random: &mut Random) -> Result<()> {
        let targets = self.targets()?;
        let one = targets[usize::try_from(random.below(targets.len() as u64))?].lock();
        random.pause(WAVE);
        match wave % 3 {
            0 => {
                let mut last = kill_holder(&one)?;
                if wave.is_multiple_of(EARLY) {
                    next_holder(&one, last)?;
                    random.pause(START);
                    last = kill_holder(&one)?;
                }
                next_holder(&one, last).map(drop)
            }
            1 => {
                let mut killed = Vec::new();
                for node in &targets {
                    killed.push((node.lock(), kill_holder(&node.lock())?));
                    random.pause(START);
                }
                killed.iter().try_for_each(|(lock, last)| next_holder(lock, *last).map(drop))
            }
            _ => {
                if random.below(2) == 0 {
                    self.0.kill_daemon()?;
                    random.pause(WAVE);
                    kill_holder(&one)?;
                } else {
                    kill_holder(&one)?;
                    self.0.kill_daemon()?;
                    random.pause(WAVE);
                }
                self.0.up([]).map(drop)
            }
        }
    }
}
