//! What the machine is and how it fares.

use std::fs;
use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub cpus: u64,
    pub memory_bytes: u64,
    /// Of the file system that holds what pods write.
    pub disk_bytes: u64,
    pub arch: &'static str,
    pub boot_id: String,
    pub machine_id: String,
    pub system_uuid: String,
    pub kernel: String,
    pub os_image: String,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// A field of /proc/meminfo, in bytes.
fn meminfo(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split(':').next() == Some(field))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn os_image(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// As Go and the image world name it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Facts {
    pub fn read(data_dir: &Path) -> Facts {
        let memory = read("/proc/meminfo");
        let machine_id = read("/etc/machine-id");
        let system_uuid = read("/sys/class/dmi/id/product_uuid");
        Facts {
            cpus: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            memory_bytes: meminfo(&memory, "MemTotal").unwrap_or(0),
            disk_bytes: Disk::of(data_dir).map_or(0, |disk| disk.total),
            arch: arch(),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            system_uuid: if system_uuid.is_empty() { machine_id.clone() } else { system_uuid },
            machine_id,
            kernel: read("/proc/sys/kernel/osrelease"),
            os_image: os_image(&read("/etc/os-release")),
        }
    }
}

/// bytes
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Disk {
    total: u64,
    available: u64,
}

impl Disk {
    fn of(dir: &Path) -> Option<Disk> {
        // The directory may not be there yet; its file system is.
        let dir = dir.ancestors().find(|dir| dir.exists())?;
        let stat = rustix::fs::statvfs(dir).ok()?;
        Some(Disk { total: stat.f_blocks * stat.f_frsize, available: stat.f_bavail * stat.f_frsize })
    }

    /// Less than a twentieth is left, and that is not much: a large disk is not full at 96 %.
    fn scarce(self) -> bool {
        const ENOUGH: u64 = 5 << 30;
        self.available < self.total / 20 && self.available < ENOUGH
    }
}

/// What is scarce now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

impl Pressure {
    pub fn read(data_dir: &Path) -> Pressure {
        /// Upstream's default eviction threshold.
        const MEMORY: u64 = 100 << 20;
        let memory = meminfo(&read("/proc/meminfo"), "MemAvailable");
        let limit = read("/proc/sys/kernel/pid_max").parse::<u64>().ok();
        Pressure {
            memory: memory.is_some_and(|available| available < MEMORY),
            disk: Disk::of(data_dir).is_some_and(Disk::scarce),
            pids: limit.zip(threads(&read("/proc/loadavg"))).is_some_and(|(limit, used)| used > limit / 20 * 19),
        }
    }
}

/// The fourth field of /proc/loadavg is `runnable/existing`.
fn threads(loadavg: &str) -> Option<u64> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_read() {
        assert_eq!(meminfo("MemTotal:       24576 kB\nMemFree: 1 kB\n", "MemTotal"), Some(24576 * 1024));
        assert_eq!(threads("0.1 0.2 0.3 2/345 999"), Some(345));
        assert_eq!(os_image("ID=x\nPRETTY_NAME=\"Some Linux 1\"\n"), "Some Linux 1");
        let facts = Facts::read(Path::new("/tmp/not/there"));
        assert!(facts.cpus > 0 && facts.memory_bytes > 0 && facts.disk_bytes > 0 && !facts.kernel.is_empty());
    }

    #[test]
    fn full_disks() {
        let disk = |total: u64, available: u64| Disk { total: total << 30, available: available << 30 };
        assert!(disk(100, 4).scarce());
        assert!(!disk(1000, 40).scarce(), "40 GiB are plenty");
        assert!(!disk(20, 2).scarce());
    }
}
