//! Volumes of one pod: objects and tokens from the API, files on the disk. One at a time for each pod, and nothing after its
//! end.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::Mutex;

use super::Shared;
use crate::launch::fields::FieldFacts;
use crate::launch::mounts::MountedVolume;
use crate::launch::objects::references;
use crate::volumes::project::Inputs;
use crate::volumes::{self, VolumeError};

#[derive(Clone, Debug, Default)]
pub struct Volumes {
    /// `None`: not yet.
    pub mounted: Option<Arc<BTreeMap<String, MountedVolume>>>,
    /// When a token is to be renewed.
    pub refresh_at: Option<Timestamp>,
}

/// Held while a pod's volumes are worked on; true once they are gone for good.
pub type VolumeLock = Arc<Mutex<bool>>;

/// Sets up, or brings up to date. `ips`: known already when it is for an update.
pub async fn set_up(
    shared: &Arc<Shared>,
    pod: &Arc<Pod>,
    ips: Vec<std::net::IpAddr>,
    lock: VolumeLock,
) -> Result<Volumes, String> {
    let removed = lock.lock_owned().await;
    if *removed {
        return Err("the pod is gone".to_owned());
    }
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    // As it is by now: of two updates, the one that was asked for first may get its turn last.
    let pod = &shared.table.pod(&uid).unwrap_or_else(|| pod.clone());
    let keys = references(pod);
    shared.objects.register(&uid, &keys);
    let objects = shared.objects.lookup(&keys).await?;
    let now = shared.clock.now();
    let (tokens, refresh_at) = shared.tokens.of_pod(pod, now).await?;
    let facts = field_facts(shared, ips);
    let (paths, pod) = (shared.paths.clone(), pod.clone());
    let stamp = format!("{}.{:09}", now.strftime("%Y_%m_%d_%H_%M_%S"), now.subsec_nanosecond());
    let work = move || {
        let inputs = Inputs { pod: &pod, objects: &objects, facts: &facts, tokens: &tokens };
        let done = volumes::set_up(&paths, &inputs, &stamp);
        drop(removed);
        done
    };
    let mounted = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    let mounted = mounted.map_err(|error: VolumeError| error.to_string())?;
    Ok(Volumes { mounted: Some(Arc::new(mounted)), refresh_at })
}

pub fn field_facts(shared: &Shared, pod_ips: Vec<std::net::IpAddr>) -> FieldFacts {
    FieldFacts { host_ips: shared.config.node_ips.clone(), pod_ips, allocatable: shared.allocatable.clone() }
}

/// Unmounts and deletes; tries until it works.
pub async fn tear_down(shared: &Arc<Shared>, uid: &str, lock: VolumeLock) {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(2);
    let mut removed = lock.lock_owned().await;
    *removed = true;
    shared.objects.register(uid, &Default::default());
    shared.tokens.forget(uid);
    loop {
        let (paths, owner) = (shared.paths.clone(), uid.to_owned());
        match tokio::task::spawn_blocking(move || volumes::tear_down(&paths, &owner)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::warn!(pod = uid, %error, "volumes not removed, trying again"),
            Err(error) => tracing::error!(pod = uid, %error, "removing volumes panicked"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
