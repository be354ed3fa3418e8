//! Claims and volumes that somebody made, from their meeting to their end.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::world::{NAMESPACE, World, eventually};

#[tokio::test]
async fn a_claim_is_bound_and_both_go() {
    let world = World::start().await;
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    for (name, size) in [("large", "5Gi"), ("fitting", "2Gi"), ("small", "500Mi")] {
        let volume = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": size}, "hostPath": {"path": "/data"}}});
        let volume = serde_json::from_value(volume).expect("a volume");
        volumes.create(&PostParams::default(), &volume).await.expect("created");
    }
    let phase_of = async |name: &str| volumes.get(name).await.ok()?.status?.phase;
    for name in ["large", "fitting", "small"] {
        eventually("it is available", || async { (phase_of(name).await? == "Available").then_some(()) }).await;
    }
    let claim = json!({"metadata": {"name": "c", "namespace": NAMESPACE}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    world.create::<PersistentVolumeClaim>(claim).await;
    let claims = world.api::<PersistentVolumeClaim>();
    let bound = eventually("the claim is bound", || async {
        let claim = claims.get("c").await.ok()?;
        (claim.status.as_ref()?.phase.as_deref()? == "Bound").then_some(claim)
    })
    .await;
    assert_eq!(bound.spec.and_then(|spec| spec.volume_name).as_deref(), Some("fitting"));
    assert_eq!(
        bound.status.and_then(|status| status.capacity?.get("storage").map(|size| size.0.clone())).as_deref(),
        Some("2Gi")
    );
    eventually("the volume is bound", || async { (phase_of("fitting").await? == "Bound").then_some(()) }).await;

    volumes.delete("fitting", &DeleteParams::default()).await.expect("marked");
    assert!(volumes.get_opt("fitting").await.expect("an answer").is_some(), "it is in use");
    claims.delete("c", &DeleteParams::default()).await.expect("marked");
    eventually("both are gone", || async {
        let gone = claims.get_opt("c").await.ok()?.is_none() && volumes.get_opt("fitting").await.ok()?.is_none();
        gone.then_some(())
    })
    .await;
}
