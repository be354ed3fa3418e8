//! Pods that nothing may touch, one on each node.

use anyhow::{Result, ensure};
use e2e::Cluster;
use e2e::footprint::NodePlace;
use e2e::objects::{at, pod};
use serde_json::{Value, json};

const SCRIPT: &str = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done";
pub const PREFIX: &str = "steady";

pub struct Steady(Vec<One>);

struct One {
    pod: String,
    container: Value,
    node: NodePlace,
    launcher: i32,
}

impl Steady {
    pub fn start(cluster: &Cluster, nodes: &[NodePlace]) -> Result<Self> {
        let mut all = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let name = format!("{PREFIX}-{number}");
            let mut object = pod(&name, SCRIPT);
            object["spec"]["nodeSelector"]["kubernetes.io/hostname"] = node.name.clone().into();
            cluster.api().create_pod(&object)?;
            let object = cluster.api().pod_ready(&name)?;
            let (container, launcher) = (container(&object), node.launcher()?);
            all.push(One { pod: name, container, node: node.clone(), launcher });
        }
        Ok(Self(all))
    }

    /// Same containers, never restarted, of the same launchers.
    pub fn goes_on(&self, cluster: &Cluster) -> Result<()> {
        for one in &self.0 {
            let now = container(&cluster.api().pod_ready(&one.pod)?);
            ensure!(now == one.container, "the container {} became {now}", one.container);
            ensure!(one.node.launcher()? == one.launcher, "{} has another launcher", one.node.name);
        }
        Ok(())
    }

    /// [`Self::goes_on`], and all that they wrote is in their logs.
    pub fn lost_nothing(&self, cluster: &Cluster) -> Result<()> {
        self.goes_on(cluster)?;
        for one in &self.0 {
            let log = cluster.setpoint(["logs", &one.pod]).ok()?;
            let lines: Vec<&str> = log.lines().collect();
            ensure!(lines.len() > 10, "{} hardly wrote anything: {log}", one.pod);
            let wrong = lines.iter().enumerate().find(|(index, line)| **line != format!("tick {}", index + 1));
            ensure!(wrong.is_none(), "the log of {} is not complete: {wrong:?}", one.pod);
        }
        Ok(())
    }
}

fn container(object: &Value) -> Value {
    let status = at(object, "status.containerStatuses.0");
    json!([status["containerID"], status["restartCount"], status["state"]["running"]])
}
