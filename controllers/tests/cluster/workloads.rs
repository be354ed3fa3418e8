//! Deployments and ReplicaSets.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, World, eventually};

pub fn deployment(replicas: i32) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}},
    })
}

impl World {
    pub async fn wait_available(&self, replicas: i32) -> Deployment {
        let api = self.api::<Deployment>();
        eventually("the deployment is complete", || async {
            let deployment = api.get("web").await.ok()?;
            let status = deployment.status.clone()?;
            let counts = [status.replicas, status.updated_replicas, status.available_replicas];
            let observed = status.observed_generation == deployment.metadata.generation;
            (observed && counts == [Some(replicas); 3]).then_some(deployment)
        })
        .await
    }

    pub async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>().list(&ListParams::default()).await.expect("a list").items
    }

    async fn patch_deployment(&self, patch: Value) {
        let patch = Patch::Strategic(patch);
        self.api::<Deployment>().patch("web", &PatchParams::default(), &patch).await.expect("patched");
    }

    /// Name, revision and size of the ReplicaSets, by revision.
    async fn sets(&self) -> Vec<(String, String, i32)> {
        let sets = self.api::<ReplicaSet>().list(&ListParams::default()).await.expect("a list").items;
        let text = |set: ReplicaSet| {
            let annotations = set.metadata.annotations.unwrap_or_default();
            let revision = annotations.get("deployment.kubernetes.io/revision").cloned().unwrap_or_default();
            (set.metadata.name.unwrap_or_default(), revision, set.spec.and_then(|spec| spec.replicas).unwrap_or(1))
        };
        let mut sets: Vec<_> = sets.into_iter().map(text).collect();
        sets.sort_by(|a, b| a.1.cmp(&b.1));
        sets
    }
}

fn progressing(deployment: &Deployment) -> Option<&str> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Progressing")?.reason.as_deref()
}

#[tokio::test]
async fn a_deployment_rolls_out_scales_and_rolls_back() {
    let world = World::start().await;
    world.create::<Deployment>(deployment(3)).await;
    let first = world.wait_available(3).await;
    assert_eq!(progressing(&first), Some("NewReplicaSetAvailable"));
    let (first_name, revision, size) = world.sets().await.remove(0);
    assert_eq!((revision.as_str(), size), ("1", 3));

    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}});
    world.patch_deployment(image("i:2")).await;
    let second = world.wait_available(3).await;
    assert_eq!(
        second.metadata.annotations.and_then(|all| all.get("deployment.kubernetes.io/revision").cloned()).as_deref(),
        Some("2")
    );
    let sets = world.sets().await;
    assert_eq!(sets.iter().map(|set| (set.1.as_str(), set.2)).collect::<Vec<_>>(), [("1", 0), ("2", 3)]);

    world.patch_deployment(json!({"spec": {"replicas": 5}})).await;
    world.wait_available(5).await;
    assert_eq!(world.pods().await.len(), 5);

    world.patch_deployment(image("i:1")).await;
    eventually("the first set is in use again", || async {
        let sets = world.sets().await;
        sets.iter().any(|set| *set == (first_name.clone(), "3".to_owned(), 5)).then_some(())
    })
    .await;
    world.wait_available(5).await;

    let events = world.api::<Event>();
    eventually("the events tell of it", || async {
        let events = events.list(&ListParams::default()).await.ok()?.items;
        let messages: Vec<String> = events.into_iter().filter_map(|event| event.message).collect();
        let has = |text: &str| messages.iter().any(|message| message.contains(text));
        (has(&format!("Scaled up replica set {first_name} from 0 to 3")) && has("Created pod: web-")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lost_pod_is_replaced_and_a_relabeled_one_let_go() {
    let world = World::start().await;
    world.create::<Deployment>(deployment(2)).await;
    world.wait_available(2).await;
    let lost = world.pods().await.remove(0);
    let lost = lost.metadata.name.expect("a name");
    world.api::<Pod>().delete(&lost, &DeleteParams::default()).await.expect("deleted");
    eventually("another one", || async {
        let pods = world.pods().await;
        (pods.len() == 2 && pods.iter().all(|pod| pod.metadata.name.as_ref() != Some(&lost))).then_some(())
    })
    .await;

    let freed = world.pods().await.remove(0).metadata.name.expect("a name");
    let patch = Patch::Merge(json!({"metadata": {"labels": {"app": "debug"}}}));
    world.api::<Pod>().patch(&freed, &PatchParams::default(), &patch).await.expect("patched");
    eventually("a third one", || async { (world.pods().await.len() == 3).then_some(()) }).await;
    eventually("it has no owner", || async {
        let pod = world.api::<Pod>().get(&freed).await.ok()?;
        pod.metadata.owner_references.is_none_or(|owners| owners.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_replication_controller_keeps_its_pods() {
    let world = World::start().await;
    let template = &deployment(1)["spec"]["template"];
    let spec = json!({"replicas": 3, "selector": {"app": "web"}, "template": template});
    world
        .create::<ReplicationController>(json!({"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": spec}))
        .await;
    let api = world.api::<ReplicationController>();
    let available = |replicas: i32| {
        let api = api.clone();
        async move {
            let status = api.get("web").await.ok()?.status?;
            (status.available_replicas == Some(replicas) && status.replicas == replicas).then_some(())
        }
    };
    eventually("three pods", || available(3)).await;
    let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
    api.patch_scale("web", &PatchParams::default(), &patch).await.expect("patched");
    eventually("one pod", || available(1)).await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    api.delete("web", &orphan).await.expect("deleted");
    eventually("an orphan", || async {
        let pods = world.pods().await;
        let alone = |pod: &Pod| pod.metadata.owner_references.as_ref().is_none_or(Vec::is_empty);
        (pods.iter().filter(|pod| alone(pod)).count() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_job_runs_to_its_end() {
    let world = World::start().await;
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}});
    let spec = json!({"completions": 3, "parallelism": 2, "backoffLimit": 1, "ttlSecondsAfterFinished": 1, "template": template});
    world.create::<Job>(json!({"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": spec})).await;
    let (jobs, pods) = (world.api::<Job>(), world.api::<Pod>());
    let ended = Mutex::new(0);
    let job = eventually("it is complete", || async {
        for pod in world.pods().await {
            let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
            // One fails, and is replaced after a wait.
            if running {
                let count = *ended.lock().expect("not poisoned");
                let phase = if count == 1 { "Failed" } else { "Succeeded" };
                let patch = Patch::Merge(json!({"status": {"phase": phase}}));
                let name = pod.metadata.name.as_deref().unwrap_or("");
                pods.patch_status(name, &PatchParams::default(), &patch).await.ok()?;
                *ended.lock().expect("not poisoned") += 1;
            }
        }
        let job = jobs.get("web").await.ok()?;
        let conditions = job.status.as_ref()?.conditions.clone()?;
        conditions.iter().any(|condition| condition.type_ == "Complete").then_some(job)
    })
    .await;
    let status = job.status.expect("a status");
    assert_eq!((status.succeeded, status.failed, status.active), (Some(3), Some(1), None));
    eventually("it is gone, and its pods are", || async {
        let gone = jobs.get_opt("web").await.ok()?.is_none();
        (gone && world.pods().await.is_empty()).then_some(())
    })
    .await;
}

/// A status that feeds itself, or two controllers that disagree, would write for ever.
#[tokio::test]
async fn in_calm_nothing_is_written() {
    const CALM: Duration = Duration::from_millis(700);
    let world = World::start().await;
    let ports = json!([{"port": 80}]);
    let service = json!({"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {"selector": {"app": "web"}, "ports": ports}});
    world.create::<Service>(service).await;
    let budget = json!({"metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    world.create::<PodDisruptionBudget>(budget).await;
    world.create::<Deployment>(deployment(2)).await;
    world.wait_available(2).await;
    let last = Mutex::new((String::new(), Instant::now()));
    eventually("nothing is written any more", || async {
        let list = world.api::<Event>().list(&ListParams::default()).await.ok()?;
        let revision = list.metadata.resource_version?;
        let mut last = last.lock().expect("not poisoned");
        if last.0 != revision {
            *last = (revision, Instant::now());
        }
        (last.1.elapsed() > CALM).then_some(())
    })
    .await;
    let budget = world.api::<PodDisruptionBudget>().get("web").await.expect("the budget");
    assert_eq!(budget.status.expect("a status").disruptions_allowed, 1);
}
