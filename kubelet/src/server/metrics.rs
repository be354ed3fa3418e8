//! The few figures that need no sampling, in Prometheus' text format.

use crate::driver::Shared;

pub fn render(shared: &Shared) -> String {
    let rows = shared.table.all();
    let containers = rows.iter().flat_map(|row| row.containers.values());
    let running = containers.filter(|container| container.running).count();
    let gauge =
        |name: &str, help: &str, value: usize| format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    let pods = rows.iter().filter(|row| row.containers.values().any(|container| container.running)).count();
    gauge("kubelet_running_pods", "Number of pods that have a running container.", pods)
        + &gauge("kubelet_running_containers", "Number of containers currently running.", running)
        + &gauge("kubelet_desired_pods", "Number of pods the kubelet is being instructed to run.", rows.len())
}
