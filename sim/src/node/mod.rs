//! A node: the kubelet's pod machines, publisher, admission, lease and watches, which are the production ones, over simulated
//! [`hardware`].
//!
//! What is written anew here is the loop between them (`kubelet::driver::Manager` has it with disks and blocking tasks), the
//! effects, and the reading of the machine.

mod agent;
pub mod hardware;
mod register;

use std::sync::{Arc, Mutex};

use kube::Client;
use kubelet::config::{Config, PodCidr};
use kubelet::node::facts::Facts;

use crate::bugs::Bug;
use hardware::Hardware;

/// What a node is, whether its kubelet runs or not.
#[derive(Clone)]
pub struct Site {
    pub name: String,
    pub config: Config,
    pub facts: Facts,
    pub hardware: Arc<Mutex<Hardware>>,
    /// Planted.
    pub bug: Option<Bug>,
}

impl Site {
    /// # Panics
    /// For more nodes than there are addresses.
    pub fn new(seed: u64, number: u8, cpus: u64) -> Site {
        let name = format!("node-{number}");
        let cidr = PodCidr::parse(&format!("10.244.{number}.0/24")).expect("a range of addresses");
        let address = std::net::Ipv4Addr::new(10, 0, 0, number + 1).into();
        let config = Config::new(&name, address, cidr, "/nowhere".into());
        let facts = Facts { cpus, memory_bytes: 8 << 30, disk_bytes: 64 << 30, arch: "amd64", ..Facts::default() };
        let hardware = Arc::new(Mutex::new(Hardware::new(seed, &name, number)));
        Site { name, config, facts, hardware, bug: None }
    }
}

/// The kubelet, until it is dropped.
pub async fn run(site: Site, client: Client) {
    agent::run(site, client).await;
}
