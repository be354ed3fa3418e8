//! What the kernel knows of this process, in the names that Prometheus' clients give it.

use super::family;

/// Of the times in `/proc`: what every Linux tells its programs.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE: f64 = 4096.0;

pub(super) fn render(text: &mut String) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut one = |name: &str, kind: &str, value: Option<f64>| {
        family(text, name, kind, value.map(|value| (String::new(), value)));
    };
    // After the name, which may have spaces in it.
    let stat = read("/proc/self/stat");
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied();
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND);
    one("process_cpu_seconds_total", "counter", cpu);
    one("process_virtual_memory_bytes", "gauge", field(23));
    one("process_resident_memory_bytes", "gauge", field(24).map(|pages| pages * PAGE));
    let boot = read("/proc/stat").lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok());
    let start = field(22).zip(boot).map(|(ticks, boot)| boot + ticks / TICKS_PER_SECOND);
    one("process_start_time_seconds", "gauge", start);
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    one("process_open_fds", "gauge", open);
    let limit = read("/proc/self/limits");
    let limit =
        limit.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    one("process_max_fds", "gauge", limit);
}
