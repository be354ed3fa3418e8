//! Starting a sandbox and its containers.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use runtime::Failure;
use runtime::spec::SandboxNetwork;

use super::Shared;
use super::set_up::{Volumes, field_facts};
use crate::launch::container::Launch;
use crate::launch::mounts::HostFiles;
use crate::launch::objects::references;
use crate::launch::{hostfiles, sandbox, services, signals};
use crate::pod::{ImageFailure, ImageRef, StartFailure};

const SIGTERM: i32 = 15;

/// The address is given by the caller; `None`: the host's network.
pub async fn create_sandbox(
    shared: &Arc<Shared>,
    pod: &Arc<Pod>,
    attempt: u32,
    address: Option<IpAddr>,
) -> Result<Vec<IpAddr>, String> {
    let config = &shared.config;
    let hostname = sandbox::hostname(pod, &config.cluster_domain, &config.node_name)?;
    let ips: Vec<IpAddr> = address.map_or_else(|| config.node_ips.clone(), |address| vec![address]);
    let (files_of, pod_of, name, ips_of) = (shared.clone(), pod.clone(), hostname.clone(), ips.clone());
    let written = tokio::task::spawn_blocking(move || write_files(&files_of, &pod_of, &name, &ips_of)).await;
    written.map_err(|error| error.to_string())?.map_err(|error| format!("write the pod's files: {error}"))?;
    let network = address.map(|address| SandboxNetwork {
        bridge: config.bridge.clone(),
        address,
        // A network of one: all traffic passes the host's routing, where the service rules are.
        prefix_len: 32,
        gateway: config.pod_cidr.gateway(),
        mtu: config.mtu,
    });
    let spec = sandbox::spec(pod, attempt, hostname, network);
    match shared.runtime.create_sandbox(spec).await {
        Err(runtime::Error::Launcher(Failure::Exists { .. })) => {
            // Left by an attempt whose answer was lost.
            let id = sandbox::sandbox_id(pod.metadata.uid.as_deref().unwrap_or_default(), attempt);
            shared.runtime.remove_sandbox(id).await.map_err(|error| error.to_string())?;
            Err("a sandbox of this name was left over and has been removed".to_owned())
        }
        result => result.map(|()| ips).map_err(|error| error.to_string()),
    }
}

/// /etc/hosts, /etc/hostname and /etc/resolv.conf. Written in place: a rename would leave running containers with the old file.
fn write_files(shared: &Shared, pod: &Pod, hostname: &str, ips: &[IpAddr]) -> std::io::Result<()> {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let (config, paths) = (&shared.config, &shared.paths);
    std::fs::create_dir_all(paths.pod(uid))?;
    std::fs::create_dir_all(paths.pod_logs(pod))?;
    let (short, domain) = sandbox::names(pod, &config.cluster_domain);
    let node_hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let dns = hostfiles::dns(pod, &shared.node_dns, &config.cluster_dns, &config.cluster_domain);
    std::fs::write(paths.hosts(uid), hostfiles::hosts(pod, &short, &domain, ips, &node_hosts))?;
    std::fs::write(paths.hostname(uid), format!("{hostname}\n"))?;
    std::fs::write(paths.resolv_conf(uid), dns.text())
}

/// By pull policy, over what the node has: nothing is pulled yet.
pub fn ensure_image(shared: &Shared, container: &Container) -> Result<ImageRef, ImageFailure> {
    let name = container.image.as_deref().unwrap_or_default();
    if let Err(error) = runtime::images::normalize(name)
        && !name.starts_with("sha256:")
    {
        return Err(ImageFailure::InvalidName(format!("Failed to apply default image tag {name:?}: {error}")));
    }
    if let Some(image) = shared.runtime.resolve_image(name) {
        let repository = runtime::images::normalize(name).unwrap_or_default();
        let repository = repository.split('@').next().unwrap_or_default();
        let repository = match repository.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => repository,
        };
        let reference = match repository.is_empty() || name.starts_with("sha256:") {
            true => image.id.clone(),
            false => format!("{repository}@{}", image.digest),
        };
        let stop_signal = image.config.stop_signal.as_deref().and_then(signals::number).unwrap_or(SIGTERM);
        return Ok(ImageRef { id: image.id, reference, stop_signal });
    }
    match container.image_pull_policy.as_deref() {
        Some("Never") => {
            Err(ImageFailure::NeverPull(format!("Container image {name:?} is not present with pull policy of Never")))
        }
        _ => Err(ImageFailure::Pull(format!(
            "image {name:?} is not in this node's image store, and pulling from a registry is not supported yet; \
             `setpoint image load FILE` brings it there"
        ))),
    }
}

/// What is started, beside what the node shares.
pub struct Start {
    pub pod: Arc<Pod>,
    pub container: Container,
    pub id: String,
    pub attempt: u32,
    pub sandbox: String,
    pub image: ImageRef,
    pub volumes: Volumes,
    pub ips: Vec<IpAddr>,
}

pub async fn start_container(shared: &Arc<Shared>, start: Start) -> Result<(), StartFailure> {
    let config = &shared.config;
    let uid = start.pod.metadata.uid.clone().unwrap_or_default();
    // Without the Services a container would miss its variables for good.
    let unknown = || StartFailure::Config("services have not yet been read at least once".to_owned());
    let known = shared.services.all().await.ok_or_else(unknown)?;
    let objects = shared.objects.lookup(&references(&start.pod)).await.map_err(StartFailure::Config)?;
    let namespace = start.pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = start.pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let variables = services::environment(&known, namespace, links);
    let image = shared.runtime.resolve_image(&start.image.id);
    let image = image.ok_or_else(|| StartFailure::Create("the image was removed meanwhile".to_owned()))?;
    let files = HostFiles {
        hosts: shared.paths.hosts(&uid),
        hostname: shared.paths.hostname(&uid),
        resolv_conf: shared.paths.resolv_conf(&uid),
        termination_log: shared.paths.termination_log(&uid, &start.container.name, start.attempt),
    };
    let termination_log = files.termination_log.clone();
    let made = tokio::task::spawn_blocking(move || make_termination_log(&termination_log)).await;
    made.map_err(|error| StartFailure::Create(error.to_string()))?
        .map_err(|error| StartFailure::Create(format!("make the termination log: {error}")))?;
    let hostname =
        sandbox::hostname(&start.pod, &config.cluster_domain, &config.node_name).map_err(StartFailure::Config)?;
    let volumes = start.volumes.mounted.clone().unwrap_or_default();
    let launch = Launch {
        pod: &start.pod,
        container: &start.container,
        id: start.id.clone(),
        sandbox: start.sandbox,
        attempt: start.attempt,
        image_id: image.id,
        image_reference: start.image.reference,
        image: &image.config,
        stop_signal: start.image.stop_signal,
        objects: &objects,
        services: &variables,
        facts: &field_facts(shared, start.ips),
        volumes: &volumes,
        files: &files,
        hostname: &hostname,
        seccomp_dir: &shared.paths.seccomp(),
        log_path: shared.paths.log(&start.pod, &start.container.name, start.attempt),
        log_max_bytes: config.log_max_bytes,
        log_max_files: config.log_max_files,
        node_memory: shared.node_memory,
    };
    let spec = launch.spec().map_err(StartFailure::Config)?;
    match shared.runtime.start_container(spec).await {
        Ok(_) => Ok(()),
        Err(runtime::Error::Launcher(Failure::Start { message, .. })) => Err(StartFailure::Run(message)),
        Err(error) => {
            // Whatever is left of it would be in the way of the next attempt.
            if let Err(error) = shared.runtime.remove_container(start.id).await
                && !error.is_not_found()
            {
                tracing::warn!(%error, "container that failed to start not removed");
            }
            Err(StartFailure::Create(error.to_string()))
        }
    }
}

fn make_termination_log(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, "")?;
    // Any user of the container may say why it ended.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
}
