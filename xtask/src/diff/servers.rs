//! Both servers, in one network namespace that this process is then in, too. Neither has controllers or a scheduler beside it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::upstream::{self, Upstream};
use rustix::process::Pid;
use tempfile::TempDir;

const ADDRESS: &str = "127.0.0.1:7443";
const START_LIMIT: Duration = Duration::from_secs(30);

/// Dropped, both end; also when the thread that starts them does, or is killed.
pub struct Servers {
    pub ours: PathBuf,
    pub theirs: PathBuf,
    child: Child,
    _folder: TempDir,
    _upstream: Upstream,
}

impl Servers {
    /// The calling thread, and what it starts, is in the servers' network from then on.
    /// `binary` is ours, see [`binary`]; `arguments` are further ones of upstream's server.
    pub fn start(binary: &Path, arguments: &[&str]) -> Result<Self> {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let options = upstream::Options { bound: true, hasty: true, arguments, ..Default::default() };
        let upstream = upstream::start(&options)?;
        upstream.namespace.enter()?;
        let folder = tempfile::tempdir().context("make a temporary directory")?;
        // Endpoints of `kubernetes` are the same for both.
        let advertised = format!("{}:6443", upstream::ADDRESS);
        let mut command = Command::new(binary);
        command.arg(folder.path()).args([ADDRESS, &advertised]).stdin(Stdio::null());
        e2e::command::bind(&mut command);
        let child = command.spawn().with_context(|| format!("start {}", binary.display()))?;
        let (ours, theirs) = (folder.path().join("kubeconfig"), upstream.kubeconfig.clone());
        let mut servers = Self { ours, theirs, child, _folder: folder, _upstream: upstream };
        servers.wait()?;
        Ok(servers)
    }

    /// Ours.
    pub fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    #[allow(clippy::disallowed_methods, reason = "a process of ours is being waited for")]
    fn wait(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !self.ours.exists() {
            if let Some(status) = self.child.try_wait()? {
                bail!("our server ended with {status}");
            }
            ensure!(begin.elapsed() < START_LIMIT, "our server does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Our server's program: built now, unless it is given.
pub fn binary(built: Option<&Path>) -> Result<PathBuf> {
    built.map_or_else(build, |path| Ok(path.to_owned()))
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With the features that the tests of all crates are built with: most of it is there already.
    command.args(["build", "--workspace", "--example", "alone"]);
    // What cargo tells about this package makes build scripts that look at it run again, and all that depends on them.
    let told = std::env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| name.to_string_lossy().starts_with("CARGO_")) {
        if !matches!(name.to_str(), Some("CARGO_HOME" | "CARGO_TARGET_DIR" | "CARGO_BUILD_JOBS" | "CARGO_INCREMENTAL"))
        {
            command.env_remove(name);
        }
    }
    let status = command.status().context("run cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    // This program is <target>/debug/xtask, or a test in <target>/debug/deps.
    let own = std::env::current_exe().context("find this program's file")?;
    let folders = own.ancestors().map(|folder| folder.join("examples/alone"));
    let found = folders.into_iter().find(|path| path.is_file());
    found.context("the server that was built is not beside this program")
}
