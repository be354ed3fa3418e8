//! Limits as what is written to which file. Pure.

use crate::spec::Resources;

/// One period of the CPU quota, in microseconds.
const PERIOD_US: u64 = 100_000;

/// Files and values for a controller of cgroup v1.
pub fn v1(controller: &str, resources: &Resources) -> Vec<(&'static str, String)> {
    let mut writes = Vec::new();
    match controller {
        "cpu" => {
            if let Some(shares) = resources.cpu_shares {
                writes.push(("cpu.shares", shares.clamp(2, 262_144).to_string()));
            }
            if let Some(quota) = resources.cpu_quota_us {
                writes.push(("cpu.cfs_period_us", PERIOD_US.to_string()));
                writes.push(("cpu.cfs_quota_us", quota.to_string()));
            }
        }
        "memory" => {
            if let Some(limit) = resources.memory_limit_bytes {
                writes.push(("memory.limit_in_bytes", limit.to_string()));
            }
        }
        "pids" => {
            if let Some(limit) = resources.pids_limit {
                writes.push(("pids.max", limit.to_string()));
            }
        }
        _ => {}
    }
    writes
}

/// Files and values for a controller of cgroup v2.
pub fn v2(controller: &str, resources: &Resources) -> Vec<(&'static str, String)> {
    let mut writes = Vec::new();
    match controller {
        "cpu" => {
            if let Some(shares) = resources.cpu_shares {
                writes.push(("cpu.weight", weight(shares).to_string()));
            }
            match resources.cpu_quota_us {
                Some(quota) if quota > 0 => writes.push(("cpu.max", format!("{quota} {PERIOD_US}"))),
                Some(_) => writes.push(("cpu.max", format!("max {PERIOD_US}"))),
                None => {}
            }
        }
        "memory" => {
            if let Some(limit) = resources.memory_limit_bytes {
                writes.push(("memory.max", limit.to_string()));
            }
        }
        "pids" => {
            if let Some(limit) = resources.pids_limit {
                writes.push(("pids.max", limit.to_string()));
            }
        }
        _ => {}
    }
    writes
}

/// v1 shares (2..262144) as v2's weight (1..10000), linearly: what OCI runtimes have agreed on.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

/// Devices every container may use, as v1 `devices.allow` lines; nodes may be made (not opened) for any device, as with other
/// runtimes.
pub const DEVICES: [&str; 11] = [
    "c *:* m",     // making a node
    "b *:* m",     // making a node
    "c 1:3 rwm",   // null
    "c 1:5 rwm",   // zero
    "c 1:7 rwm",   // full
    "c 1:8 rwm",   // random
    "c 1:9 rwm",   // urandom
    "c 5:0 rwm",   // tty
    "c 5:1 rwm",   // console
    "c 5:2 rwm",   // ptmx
    "c 136:* rwm", // terminals
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_files() {
        let all = Resources {
            cpu_shares: Some(1024),
            cpu_quota_us: Some(50_000),
            memory_limit_bytes: Some(64 << 20),
            pids_limit: Some(100),
        };
        let unlimited = Resources { cpu_quota_us: Some(-1), cpu_shares: Some(1), ..Resources::default() };
        type Writer = fn(&str, &Resources) -> Vec<(&'static str, String)>;
        let cases: [(&str, Writer, &Resources, &str); 9] = [
            ("cpu", v1, &all, "cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000"),
            ("cpu", v2, &all, "cpu.weight=39 cpu.max=50000 100000"),
            ("cpu", v1, &unlimited, "cpu.shares=2 cpu.cfs_period_us=100000 cpu.cfs_quota_us=-1"),
            ("cpu", v2, &unlimited, "cpu.weight=1 cpu.max=max 100000"),
            ("memory", v1, &all, "memory.limit_in_bytes=67108864"),
            ("memory", v2, &all, "memory.max=67108864"),
            ("pids", v1, &all, "pids.max=100"),
            ("memory", v2, &unlimited, ""),
            ("devices", v1, &all, ""),
        ];
        for (controller, writer, resources, expected) in cases {
            let writes: Vec<String> =
                writer(controller, resources).into_iter().map(|(file, value)| format!("{file}={value}")).collect();
            assert_eq!(writes.join(" "), expected, "{controller}");
        }
        assert_eq!(weight(262_144), 10_000);
    }
}
