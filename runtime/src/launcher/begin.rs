//! Starting a container: everything up to the clone. What comes back is read in [`super::containers`].

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::clients::ReplyTo;
use super::containers::{Container, Live};
use super::log::LogFile;
use super::output::{Output, pipe, set_nonblocking};
use super::processes::spawn;
use super::requests::{check_id, not_found};
use super::start::Start;
use super::state::{Launcher, Owner, Source};
use super::{now, report};
use crate::cgroup::{Devices, Kind};
use crate::container::{self, StartError, Stdio, Step, capabilities, first};
use crate::descriptor::Descriptor;
use crate::protocol::{Failure, Stream};
use crate::spec::{ContainerSpec, ContainerState, ContainerStatus, ProcessId, Seccomp};
use crate::sys::{self, Child};
use crate::wire::Channel;

/// The streams of a new container: what the child gets and what the launcher keeps.
struct Streams {
    stdio: Stdio,
    outputs: Vec<Output>,
    stdin: Option<Descriptor>,
}

impl Streams {
    fn create(spec: &ContainerSpec) -> std::io::Result<Self> {
        if spec.terminal {
            return Ok(Self { stdio: Stdio::Terminal, outputs: Vec::new(), stdin: None });
        }
        let (stdin, writer) = if spec.stdin {
            let (reader, writer) = pipe()?;
            (reader, Some(Descriptor::from(writer)))
        } else {
            (std::fs::File::open("/dev/null")?.into(), None)
        };
        let ((out_reader, stdout), (err_reader, stderr)) = (pipe()?, pipe()?);
        set_nonblocking(&out_reader)?;
        set_nonblocking(&err_reader)?;
        let outputs = vec![Output::new(Stream::Stdout, out_reader), Output::new(Stream::Stderr, err_reader)];
        Ok(Self { stdio: Stdio::Pipes { stdin, stdout, stderr }, outputs, stdin: writer })
    }
}

impl Launcher {
    pub fn start_container(&mut self, spec: ContainerSpec, layers: Vec<PathBuf>, to: ReplyTo) -> Result<(), Failure> {
        check_id(&spec.id)?;
        if self.containers.contains_key(&spec.id) {
            return Err(Failure::Exists { what: "container".into(), id: spec.id });
        }
        match self.sandboxes.get(&spec.sandbox) {
            None => return Err(not_found("sandbox", &spec.sandbox)),
            Some(sandbox) if !sandbox.status.ready => {
                return Err(Failure::Other(format!("start in sandbox {:?}: it is not ready", spec.sandbox)));
            }
            Some(_) => {}
        }
        let status = ContainerStatus {
            id: spec.id.clone(),
            sandbox: spec.sandbox.clone(),
            image: spec.image.clone(),
            labels: spec.labels.clone(),
            log_path: spec.log_path.clone(),
            state: ContainerState::Created,
        };
        let id = spec.id.clone();
        let recorded = self.records.create_container(&id).step(|| "create the container's directory".into());
        self.containers.insert(id.clone(), Container::ended(status));
        if let Err(error) = recorded.and_then(|()| self.begin_container(spec, layers, to)) {
            self.fail_start(&id, error, to);
        }
        Ok(())
    }

    fn begin_container(&mut self, spec: ContainerSpec, layers: Vec<PathBuf>, to: ReplyTo) -> Result<(), StartError> {
        let capabilities = capabilities::resolve(&spec.security, self.own.capabilities)
            .map_err(|error| StartError::failed(error.to_string()))?;
        let seccomp = if spec.security.privileged { &Seccomp::Unconfined } else { &spec.security.seccomp };
        let filters =
            self.filters.filter(seccomp, capabilities).map_err(|error| StartError::failed(error.to_string()))?;
        let log = LogFile::open(&spec.log_path, spec.log_max_bytes, spec.log_max_files)
            .step(|| format!("open the log {}", spec.log_path.display()))?;
        let sandbox = self.sandboxes.get(&spec.sandbox).ok_or_else(|| StartError::failed("the sandbox is gone"))?;
        let own_pid_namespace = sandbox.reaper.is_none() && !sandbox.status.spec.host_pid;
        let cgroup = format!("{}/{}", sandbox.status.spec.cgroup, spec.id);
        let Streams { stdio, outputs, stdin } = Streams::create(&spec).step(|| "make the streams".into())?;
        let dir = self.records.container_dir(&spec.id);
        let plan = first::Plan {
            spec: &spec,
            layers: &self.or_empty(&spec.id, layers)?,
            dir: &dir,
            place: &self.records.rootfs(),
            cgroups: &self.cgroups,
            cgroup: &cgroup,
            namespaces: sandbox.namespaces.iter().map(|(fd, kind)| (&**fd, *kind)).collect(),
            shm: sandbox.clone_shm().step(|| "clone the shared memory".into())?,
            stdio,
            hostname: &sandbox.status.spec.hostname,
            capabilities,
            seccomp: filters.as_deref(),
            open_files: self.own.open_files,
        };
        let started_at_ns = now();
        let (child, channel) =
            self.clone_first(plan, sandbox.reaper.as_ref().map(|reaper| &*reaper.namespace), own_pid_namespace)?;
        self.children.insert(child.pid, Owner::Container(spec.id.clone()));
        let process = ProcessId::read(child.pid).step(|| "read the process".into())?;
        let start = Start::new(&mut self.poller, channel, to).step(|| "watch the process".into())?;
        self.sources.insert(start.token, Source::Report(Owner::Container(spec.id.clone())));
        let id = spec.id.clone();
        let live = Live {
            spec,
            cgroup,
            pidfd: child.pidfd,
            process,
            start: Some(start),
            ready: None,
            outputs: Vec::new(),
            log,
            log_failed: false,
            stdin,
            capabilities,
            filters,
            own_pid_namespace,
            started_at_ns,
        };
        if let Some(container) = self.containers.get_mut(&id) {
            container.live = Some(live);
        }
        outputs.into_iter().for_each(|output| self.watch_output(&id, output));
        Ok(())
    }

    /// An overlay needs a lower layer, and an image may have none.
    fn or_empty(&self, id: &str, layers: Vec<PathBuf>) -> Result<Vec<PathBuf>, StartError> {
        if !layers.is_empty() {
            return Ok(layers);
        }
        let empty = self.records.container_dir(id).join("empty");
        std::fs::create_dir(&empty).step(|| "make an empty layer".into())?;
        Ok(vec![empty])
    }

    fn clone_first(
        &self,
        plan: first::Plan<'_>,
        pid_namespace: Option<&OwnedFd>,
        own_pid_namespace: bool,
    ) -> Result<(Child, Channel<Descriptor>), StartError> {
        let devices = if plan.spec.security.privileged { Devices::All } else { Devices::Default };
        self.cgroups
            .create(plan.cgroup, &plan.spec.resources, Kind::Leaf(devices))
            .step(|| "make the cgroup".into())?;
        let unified = self.cgroups.open_unified(plan.cgroup).step(|| "open the cgroup".into())?;
        let flags = libc::CLONE_NEWNS | if own_pid_namespace { libc::CLONE_NEWPID } else { 0 };
        self.in_pid_namespace(pid_namespace, || {
            spawn(flags, unified.as_ref(), |mut reporter| {
                let error = first::run(&plan, &mut reporter);
                container::fail(&mut reporter, error);
            })
        })
        .step(|| "clone the process".into())
    }

    /// Children made by `make` are in this process namespace; the launcher itself stays where it is.
    pub fn in_pid_namespace<T>(
        &self,
        namespace: Option<&OwnedFd>,
        make: impl FnOnce() -> std::io::Result<T>,
    ) -> std::io::Result<T> {
        let Some(namespace) = namespace else { return make() };
        sys::setns(namespace, libc::CLONE_NEWPID)?;
        let made = make();
        if let Err(error) = sys::setns(&self.own.process_namespace, libc::CLONE_NEWPID) {
            // Every later container would land in this one's namespace.
            report(&format!("cannot return to the launcher's process namespace: {error}"));
            container::exit(1);
        }
        made
    }

    pub fn watch_output(&mut self, id: &str, mut output: Output) {
        let Some(live) = self.containers.get_mut(id).and_then(|container| container.live.as_mut()) else { return };
        match self.poller.add(&output.fd) {
            Ok(token) => {
                self.sources.insert(token, Source::Output(id.to_owned(), live.outputs.len()));
                output.token = Some(token);
            }
            Err(error) => report(&format!("cannot watch the output of container {id}: {error}")),
        }
        live.outputs.push(output);
    }
}
