//! One process at a time on a data directory: an flock that ends with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Another process has the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// 0 when it has not written its id yet.
    pub pid: i32,
}

pub fn acquire(path: &Path) -> Result<std::result::Result<Lock, Holder>> {
    settled_holder(path)?;
    let mut file = open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()))?;
            Ok(Ok(Lock { _file: file }))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Err(Holder { pid: read_pid(&mut file) })),
        Err(error) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// Who holds it, if anybody does.
pub fn holder(path: &Path) -> Result<Option<Holder>> {
    if !path.exists() {
        return Ok(None);
    }
    let mut file = open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(Holder { pid: read_pid(&mut file) })),
        Err(error) => Err(error).with_context(|| format!("look at {}", path.display())),
    }
}

/// Who holds it, once a process that was killed has had time to end: the kernel takes its lock only with its last thread.
pub fn settled_holder(path: &Path) -> Result<Option<Holder>> {
    const PATIENCE: u32 = 300;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..PATIENCE {
        match holder(path)? {
            Some(holder) if is_dying(holder.pid) => std::thread::sleep(PAUSE),
            settled => return Ok(settled),
        }
    }
    holder(path)
}

/// Gone, a zombie, or with a SIGKILL on its way.
fn is_dying(pid: i32) -> bool {
    const KILL: u64 = 1 << 8;
    if pid == 0 {
        return false;
    }
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    status.lines().filter_map(|line| line.split_once(":\t")).any(|(name, value)| match name {
        "State" => value.starts_with(['Z', 'X']),
        "SigPnd" | "ShdPnd" => u64::from_str_radix(value, 16).is_ok_and(|pending| pending & KILL != 0),
        _ => false,
    })
}

/// Blocks until nobody holds it.
pub fn wait_released(path: &Path) -> Result<()> {
    let file = open(path)?;
    flock(&file, FlockOperation::LockShared).with_context(|| format!("wait for {}", path.display()))
}

/// Tells the holder, if there is one, to end, and waits until it has.
pub async fn end_holder(path: &Path) -> Result<()> {
    let Some(holder) = holder(path)? else { return Ok(()) };
    if let Some(pid) = Pid::from_raw(holder.pid) {
        match kill_process(pid, Signal::TERM) {
            // It has ended by itself.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("stop process {}", holder.pid)),
        }
    }
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || wait_released(&path)).await?
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

fn read_pid(file: &mut File) -> i32 {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dying_are_told_from_the_living() {
        assert!(!is_dying(std::process::id() as i32));
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(!is_dying(pid));
        child.kill().unwrap();
        // Killed or a zombie: nobody has waited for it.
        assert!(is_dying(pid));
        child.wait().unwrap();
        assert!(is_dying(pid));
    }

    #[test]
    fn a_directory_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holder(&path).unwrap(), None);
        let lock = acquire(&path).unwrap().unwrap();
        let own = Holder { pid: std::process::id() as i32 };
        assert_eq!(acquire(&path).unwrap().unwrap_err(), own);
        assert_eq!(holder(&path).unwrap(), Some(own));
        drop(lock);
        assert_eq!(holder(&path).unwrap(), None);
        assert!(acquire(&path).unwrap().is_ok());
    }
}
