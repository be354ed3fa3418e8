//! One member of an etcd cluster, as a child of this process.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// On a machine that builds at the same time.
const START: Duration = Duration::from_secs(60);

/// Where it listens, what it is told besides, and in which network namespace it is started.
pub struct Place {
    pub client: SocketAddr,
    pub peer: SocketAddr,
    pub arguments: Vec<String>,
    /// `https` for clients; the certificates are among the arguments.
    pub tls: bool,
    /// Makes the command that runs a program, such as one that enters a network namespace.
    pub command: Box<dyn Fn(&Path) -> Command + Send + Sync>,
}

impl Place {
    /// On free ports of loopback. Another program may take them before etcd does.
    pub fn free() -> Result<Place> {
        let free = || -> Result<SocketAddr> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?) };
        Ok(Place::at(free()?, free()?))
    }

    pub fn at(client: SocketAddr, peer: SocketAddr) -> Place {
        Place { client, peer, arguments: Vec::new(), tls: false, command: Box::new(|path| Command::new(path)) }
    }

    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.client)
    }
}

/// Runs until dropped; ends with this process, however that ends. Its data goes with it.
pub struct Server {
    place: Place,
    binary: PathBuf,
    folder: TempDir,
    running: Option<Running>,
}

/// The thread that started it waits for the request to end it: the kernel ends a child with the thread that made it.
struct Running {
    pid: u32,
    stop: Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Server {
    /// `None`, with a message, where etcd cannot be built.
    pub fn start() -> Result<Option<Server>> {
        let mut last = None;
        // The ports were free a moment ago.
        for _ in 0..3 {
            match Server::start_at(Place::free()?) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("start etcd")?)
    }

    pub fn start_at(place: Place) -> Result<Option<Server>> {
        let Some(mut server) = Server::prepare(place)? else { return Ok(None) };
        server.resume()?;
        server.ready()?;
        Ok(Some(server))
    }

    /// Not started yet: the members of a cluster wait for one another.
    pub fn prepare(place: Place) -> Result<Option<Server>> {
        let Some(binary) = crate::binary()? else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("setpoint-etcd-").tempdir()?;
        Ok(Some(Server { place, binary, folder, running: None }))
    }

    pub fn endpoint(&self) -> String {
        self.place.endpoint()
    }

    /// Of the process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// As a power cut would end it.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(());
            let _ = running.thread.join();
        }
    }

    /// Starts it on the data that it has.
    pub fn resume(&mut self) -> Result<()> {
        self.kill();
        let mut command = (self.place.command)(&self.binary);
        let (client, peer) = (self.endpoint(), format!("http://{}", self.place.peer));
        let log = fs::File::create(self.log())?;
        command.arg("--data-dir").arg(self.folder.path().join("data"));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        // Tests are about what is kept by etcd, not by the disk.
        command.args(["--unsafe-no-fsync", "--log-level", "warn"]);
        if !self.place.arguments.iter().any(|argument| argument == "--name") {
            command.args(["--name", "default", "--initial-cluster", &format!("default={peer}")]);
        }
        command.args(&self.place.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(|| {
                let kill = Some(rustix::process::Signal::KILL);
                rustix::process::set_parent_process_death_signal(kill).map_err(std::io::Error::from)
            });
        }
        let (stop, stopped) = channel();
        let (started, child) = channel();
        let thread = thread::spawn(move || keep(command, &started, &stopped));
        let pid = child.recv().context("the thread that starts etcd ended")?.context("start etcd")?;
        self.running = Some(Running { pid, stop, thread });
        Ok(())
    }

    /// Waits until it accepts connections, which it does when it has joined its cluster.
    pub fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + START;
        while TcpStream::connect_timeout(&self.place.client, Duration::from_secs(1)).is_err() {
            let running = self.running.as_ref().is_some_and(|running| !running.thread.is_finished());
            let log = || fs::read_to_string(self.log()).unwrap_or_default();
            ensure!(running, "etcd ended: {}", log());
            if Instant::now() > deadline {
                bail!("etcd does not listen within {START:?}: {}", log());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts the child and waits until it ends or is to end.
fn keep(mut command: Command, started: &Sender<std::io::Result<u32>>, stopped: &Receiver<()>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return drop(started.send(Err(error))),
    };
    let _ = started.send(Ok(child.id()));
    while !ended(&mut child) {
        use std::sync::mpsc::RecvTimeoutError;
        match stopped.recv_timeout(Duration::from_millis(200)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
        }
    }
}

fn ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}
