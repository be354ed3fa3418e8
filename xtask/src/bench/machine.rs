//! The machine that is measured on, and how much others were in the way.

use std::fs;

use rustix::system::uname;

/// Cores, memory, kernel: what figures are worth nothing without.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let kibibytes: u64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
    let gibibytes = (kibibytes as f64 / 1048576.0).ceil();
    let model = field("/proc/cpuinfo", "model name");
    format!("{cores} cores ({model}), {gibibytes} GiB, Linux {}", uname().release().to_string_lossy())
}

/// Microseconds since boot in which some runnable task waited for a CPU; 0 where the kernel does not count.
pub fn pressure_us() -> u64 {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = text.lines().find(|line| line.starts_with("some")).and_then(|line| line.split("total=").nth(1));
    total.and_then(|total| total.trim().parse().ok()).unwrap_or(0)
}
