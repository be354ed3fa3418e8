//! A cluster for the time of a measurement.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::Access;
use super::processes;

/// A port that nobody else has: the network namespace is ours.
const PORT: &str = "6443";

const END_PATIENCE: Duration = Duration::from_secs(5);

/// What answers to a load: any Kubernetes API.
pub struct Server {
    pub access: Access,
    /// The processes that its work is done in.
    pub roots: Vec<i32>,
}

/// Taken down when dropped.
pub struct Cluster {
    binary: PathBuf,
    data: PathBuf,
    /// Control plane and launcher.
    pub roots: Vec<i32>,
    up: bool,
}

impl Cluster {
    pub fn up(binary: &Path, data: &Path, manifest: Option<&Path>) -> Result<Self> {
        let mut starting = Starting::begin(binary, data, manifest)?;
        starting.finish()
    }

    pub fn access(&self) -> Result<Access> {
        Access::read(&self.data.join("kubeconfig"))
    }

    pub fn server(&self) -> Result<Server> {
        Ok(Server { access: self.access()?, roots: self.roots.clone() })
    }

    pub fn down(mut self) -> Result<Duration> {
        self.up = false;
        down(&self.binary, &self.data)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.up {
            clean(&self.binary, &self.data);
        }
    }
}

/// An `up --detach` that has not returned.
pub struct Starting {
    binary: PathBuf,
    data: PathBuf,
    child: Option<Child>,
}

impl Starting {
    pub fn begin(binary: &Path, data: &Path, manifest: Option<&Path>) -> Result<Self> {
        let mut command = command(binary, data, "up");
        command.args(["--detach", "--api-port", PORT]);
        if let Some(manifest) = manifest {
            command.arg("-f").arg(manifest);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("start setpoint")?;
        Ok(Self { binary: binary.to_owned(), data: data.to_owned(), child: Some(child) })
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    /// Waits until it returns.
    pub fn finish(&mut self) -> Result<Cluster> {
        let child = self.child.take().context("it has returned already")?;
        let output = child.wait_with_output().context("wait for setpoint up")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            clean(&self.binary, &self.data);
            bail!("setpoint up ended with {}: {}", output.status, words.trim());
        }
        let (binary, data) = (self.binary.clone(), self.data.clone());
        Ok(Cluster { binary, data, roots: processes::of_cluster(), up: true })
    }

    /// True once it has returned.
    pub fn is_done(&mut self) -> Result<bool> {
        let child = self.child.as_mut().context("it has returned already")?;
        Ok(child.try_wait().context("look at setpoint up")?.is_some())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill().and_then(|()| child.wait().map(drop));
            clean(&self.binary, &self.data);
        }
    }
}

fn command(binary: &Path, data: &Path, verb: &str) -> Command {
    let mut command = Command::new(binary);
    command.arg(verb).arg("--data-dir").arg(data).stdin(Stdio::null());
    // The contexts of the person who measures are none of our business.
    command.env("KUBECONFIG", data.with_extension("kubeconfig"));
    command
}

fn down(binary: &Path, data: &Path) -> Result<Duration> {
    let start = Instant::now();
    let output = command(binary, data, "down").output().context("run setpoint down")?;
    if !output.status.success() {
        bail!("setpoint down ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let elapsed = start.elapsed();
    // A process that has let go of everything may still be ending.
    let deadline = Instant::now() + END_PATIENCE;
    loop {
        let left = processes::of_cluster();
        if left.is_empty() {
            return Ok(elapsed);
        }
        if Instant::now() > deadline {
            processes::end(&left);
            bail!("setpoint down left processes: {left:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// After a failure: by its own means, then by force.
fn clean(binary: &Path, data: &Path) {
    if let Err(error) = down(binary, data) {
        crate::say(format_args!("cleaning up: {error:#}"));
        processes::end(&processes::of_cluster());
    }
}
