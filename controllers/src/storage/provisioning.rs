//! Owns:    the volumes that are made for claims by what is built in.
//! Watches: PersistentVolumeClaims, StorageClasses, PersistentVolumes.
//! Writes:  PersistentVolumeClaims (annotations), PersistentVolumes (create), events.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Resource;
use kube::core::ObjectMeta;
use reconcile::execute::{Executor, Root};
use reconcile::informer::{Change, Store};
use reconcile::{Action, Key, Manager, Outcome, Plan, PlanEvent, Queue, Reconciler};
use serde_json::json;

use super::{
    ACCOUNT, FINALIZER, IN_TREE, PROVISIONED_BY, Provisioner, Provisioners, SELECTED_NODE, STORAGE_PROVISIONERS,
    unknown,
};
use crate::common::volumes::{class_of_claim, volume_name};
use crate::pvcbinding;

const NAME: &str = "persistentvolume-provisioner-controller";
const QUEUE: &str = "claims_to_provision";
const CREATED_BY: &str = "kubernetes.io/createdby";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const FAILED: &str = "ProvisioningFailed";

struct Provisioning {
    executor: Executor,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    classes: Store<StorageClass>,
    provisioners: Provisioners,
}

/// What a claim needs that has no volume.
enum Step<'p> {
    Nothing,
    Fail(String),
    /// It is another program's turn.
    External(String),
    Provision(&'p Arc<dyn Provisioner>),
}

pub(super) fn start(manager: &Manager, provisioners: Provisioners) {
    let queue: Arc<Queue<Key>> = Arc::default();
    let claims = manager.informers().start::<PersistentVolumeClaim>();
    let classes = manager.informers().start::<StorageClass>();
    let volumes = manager.informers().start::<PersistentVolume>();
    let adding = queue.clone();
    claims.on_change(move |change| {
        if let Change::Applied { new, .. } = change
            && volume_name(new).is_empty()
        {
            adding.add(Key::of(&**new));
        }
    });
    let (adding, waiting) = (queue.clone(), claims.clone());
    classes.on_change(move |change| {
        if let Change::Applied { new, .. } = change {
            let name = new.metadata.name.as_deref().unwrap_or_default();
            let waiting = waiting.list();
            let its = waiting.iter().filter(|claim| volume_name(claim).is_empty() && class_of_claim(claim) == name);
            its.for_each(|claim| adding.add(Key::of(&**claim)));
        }
    });
    let waits_for = vec![claims.progress(), classes.progress(), volumes.progress()];
    let executor = manager.executor(NAME, ACCOUNT);
    let reconciler = Provisioning { executor, claims, volumes, classes, provisioners };
    manager.add_reconciler([NAME, QUEUE], queue, 5, Arc::new(reconciler), waits_for);
}

impl Reconciler for Provisioning {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome> {
        async move {
            let Some(claim) = self.claims.get(key) else { return Outcome::default() };
            let all = self.volumes.list();
            let class = self.classes.find(None, &class_of_claim(&claim));
            let root = Root::of(&*claim);
            match step(&claim, class.as_deref(), &all, &self.provisioners) {
                Step::Nothing => Outcome::default(),
                Step::Fail(why) => self.perform(&root, failed(&why)).await,
                Step::External(name) => self.perform(&root, external(&claim, &name)).await,
                Step::Provision(provisioner) => self.provision(&claim, class.as_deref(), provisioner, &root).await,
            }
        }
        .boxed()
    }
}

impl Provisioning {
    async fn perform(&self, root: &Root, plan: Plan) -> Outcome {
        self.executor.perform(Some(root), &plan).await.into()
    }

    async fn provision(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
        provisioner: &Arc<dyn Provisioner>,
        root: &Root,
    ) -> Outcome {
        if let Some(action) = annotate(claim, provisioner.name()) {
            // The claim comes back with it.
            return self.perform(root, Plan { actions: vec![action], ..Plan::default() }).await;
        }
        match provisioner.provision(claim).await {
            Ok(spec) => {
                let name = provisioner.name();
                let volume = volume(claim, class, provisioner, spec);
                let told = PlanEvent::normal(
                    "ProvisioningSucceeded",
                    format!("Successfully provisioned volume {{name}} using {name}"),
                );
                let action = Action::create(&volume).on_success(told);
                self.perform(root, Plan { actions: vec![action], ..Plan::default() }).await
            }
            Err(why) => {
                let class = class_of_claim(claim);
                let plan = failed(&format!("Failed to provision volume with StorageClass {class:?}: {why}"));
                let error = reconcile::Error::Incomplete(why);
                Outcome { error: Some(error), ..self.perform(root, plan).await }
            }
        }
    }
}

fn failed(why: &str) -> Plan {
    Plan { events: vec![PlanEvent::warning(FAILED, why)], ..Plan::default() }
}

fn external(claim: &PersistentVolumeClaim, name: &str) -> Plan {
    let text = format!(
        "Waiting for a volume to be created either by the external provisioner '{name}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    let events = vec![PlanEvent::normal("ExternalProvisioning", text)];
    Plan { actions: annotate(claim, name).into_iter().collect(), events, ..Plan::default() }
}

/// Says on the claim whose turn it is.
fn annotate(claim: &PersistentVolumeClaim, name: &str) -> Option<Action> {
    let has =
        |key: &&str| claim.metadata.annotations.as_ref().and_then(|all| all.get(*key)).is_some_and(|own| own == name);
    if STORAGE_PROVISIONERS.iter().all(has) {
        return None;
    }
    let [one, other] = STORAGE_PROVISIONERS;
    let patch = json!({"metadata": {"annotations": {one: name, other: name}}});
    Some(Action::merge_patch(claim, patch).same_uid(claim))
}

fn step<'p>(
    claim: &PersistentVolumeClaim,
    class: Option<&StorageClass>,
    volumes: &[Arc<PersistentVolume>],
    provisioners: &'p Provisioners,
) -> Step<'p> {
    let name = class_of_claim(claim);
    let spec = claim.spec.as_ref();
    let made = volume_of(claim);
    let there = volumes.iter().any(|volume| volume.metadata.name.as_ref() == Some(&made));
    if claim.metadata.deletion_timestamp.is_some() || !volume_name(claim).is_empty() || name.is_empty() || there {
        return Step::Nothing;
    }
    let Some(class) = class else { return Step::Fail(format!("storageclass.storage.k8s.io {name:?} not found")) };
    let waits = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    let chosen = claim.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(SELECTED_NODE));
    if waits && !chosen || pvcbinding::finds(claim, volumes) {
        return Step::Nothing;
    }
    let Some(provisioner) = provisioners.named(&class.provisioner) else {
        return match class.provisioner.starts_with(IN_TREE) {
            true => Step::Fail(unknown(&class.provisioner)),
            false => Step::External(class.provisioner.clone()),
        };
    };
    if spec.is_some_and(|spec| spec.data_source.is_some()) {
        let plugin = &class.provisioner;
        return Step::Fail(format!(
            "plugin {plugin:?} is not a CSI plugin. Only CSI plugin can provision a claim with a datasource"
        ));
    }
    if let Some(options) = class.mount_options.as_ref().filter(|options| !options.is_empty()) {
        return Step::Fail(format!(
            "Mount options are not supported by the provisioner but StorageClass {name:?} has mount options [{}]",
            options.join(" ")
        ));
    }
    match provisioner.disabled() {
        Some(why) => Step::Fail(format!("Failed to create provisioner: {why}")),
        None => Step::Provision(provisioner),
    }
}

/// The name of the volume that is made for a claim.
fn volume_of(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default())
}

fn volume(
    claim: &PersistentVolumeClaim,
    class: Option<&StorageClass>,
    provisioner: &Arc<dyn Provisioner>,
    mut spec: k8s_openapi::api::core::v1::PersistentVolumeSpec,
) -> PersistentVolume {
    let wish = claim.spec.clone().unwrap_or_default();
    let policy = class.and_then(|class| class.reclaim_policy.clone()).unwrap_or_else(|| "Delete".to_owned());
    let requests = wish.resources.and_then(|resources| resources.requests).unwrap_or_default();
    let size = requests.get("storage").cloned();
    let modes = wish.access_modes.filter(|modes| !modes.is_empty());
    spec.access_modes = modes.or_else(|| Some(vec!["ReadWriteOnce".to_owned()]));
    spec.capacity = size.map(|size| BTreeMap::from([("storage".to_owned(), size)]));
    spec.claim_ref =
        Some(ObjectReference { resource_version: claim.metadata.resource_version.clone(), ..claim.object_ref(&()) });
    spec.storage_class_name = Some(class_of_claim(claim));
    let annotations =
        [(CREATED_BY, provisioner.created_by()), (BY_CONTROLLER, "yes"), (PROVISIONED_BY, provisioner.name())];
    let metadata = ObjectMeta {
        name: Some(volume_of(claim)),
        annotations: Some(annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        finalizers: (policy == "Delete").then(|| vec![FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    spec.persistent_volume_reclaim_policy = Some(policy);
    PersistentVolume { metadata, spec: Some(spec), status: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, merge, object, shared};
    use crate::storage::hostpath::HostPath;
    use serde_json::Value;

    fn claim(edit: &Value) -> PersistentVolumeClaim {
        let mut claim = json!({"metadata": {"name": "c", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "s", "resources": {"requests": {"storage": "2Gi"}}}});
        merge(&mut claim, edit);
        object(claim)
    }

    fn class(edit: &Value) -> StorageClass {
        let mut class = json!({"metadata": {"name": "s"}, "provisioner": "kubernetes.io/host-path",
            "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
        merge(&mut class, edit);
        object(class)
    }

    #[test]
    fn a_claim_gets_a_volume_made_where_it_finds_none() {
        let none = json!({});
        let free = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "2Gi"}, "storageClassName": "s"}, "status": {"phase": "Available"}});
        let made = json!({"metadata": {"name": "pvc-u"}, "spec": {}});
        let later = json!({"volumeBindingMode": "WaitForFirstConsumer"});
        let on_node = json!({"metadata": {"annotations": {SELECTED_NODE: "n"}}});
        let by = |name: &str| Some(class(&json!({"provisioner": name})));
        let source = json!({"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "d"}}});
        let plain = || Some(class(&none));
        let table = [
            ("made", claim(&none), plain(), vec![], true, "provision"),
            ("there is one", claim(&none), plain(), vec![free], true, "nothing"),
            ("made already", claim(&none), plain(), vec![made], true, "nothing"),
            ("has one", claim(&json!({"spec": {"volumeName": "v"}})), plain(), vec![], true, "nothing"),
            ("no class", claim(&json!({"spec": {"storageClassName": ""}})), None, vec![], true, "nothing"),
            (
                "class that is not there",
                claim(&none),
                None,
                vec![],
                true,
                "storageclass.storage.k8s.io \"s\" not found",
            ),
            ("waits for a pod", claim(&none), Some(class(&later)), vec![], true, "nothing"),
            ("has its pod", claim(&on_node), Some(class(&later)), vec![], true, "provision"),
            ("another program's", claim(&none), by("example.com/disk"), vec![], true, "external example.com/disk"),
            (
                "not built in",
                claim(&none),
                by("kubernetes.io/x"),
                vec![],
                true,
                "no volume plugin matched name: kubernetes.io/x",
            ),
            ("a source", claim(&source), plain(), vec![], true, "is not a CSI plugin"),
            (
                "options",
                claim(&none),
                Some(class(&json!({"mountOptions": ["ro", "x"]}))),
                vec![],
                true,
                "has mount options [ro x]",
            ),
            (
                "off",
                claim(&none),
                plain(),
                vec![],
                false,
                "Failed to create provisioner: provisioning in volume plugin",
            ),
        ];
        for (name, claim, class, volumes, enabled, expected) in table {
            let provisioners = Provisioners(vec![Arc::new(HostPath::new(enabled))]);
            let told = match step(&claim, class.as_ref(), &shared(volumes), &provisioners) {
                Step::Nothing => "nothing".to_owned(),
                Step::Fail(why) => why,
                Step::External(name) => format!("external {name}"),
                Step::Provision(_) => "provision".to_owned(),
            };
            assert!(told.contains(expected), "{name}: {told}");
        }
    }

    #[test]
    fn the_claim_says_whose_turn_it_is() {
        let plan = external(&claim(&json!({})), "example.com/disk");
        let [one, other] = STORAGE_PROVISIONERS;
        let patch = json!({"metadata": {"annotations": {one: "example.com/disk", other: "example.com/disk"}}});
        assert_eq!(actions(&plan), [format!("patch PersistentVolumeClaim shop/c {patch}")]);
        assert!(
            plan.events[0].message.starts_with("Waiting for a volume to be created either by the external provisioner")
        );
        let told = claim(&patch);
        assert!(external(&told, "example.com/disk").actions.is_empty());
    }

    #[test]
    fn a_volume_is_for_its_claim() {
        let provisioner: Arc<dyn Provisioner> = Arc::new(HostPath::new(true));
        let made = volume(&claim(&json!({})), Some(&class(&json!({}))), &provisioner, Default::default());
        let expected = json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": "pvc-u", "finalizers": [FINALIZER], "annotations": {
                CREATED_BY: "hostpath-dynamic-provisioner", BY_CONTROLLER: "yes",
                PROVISIONED_BY: "kubernetes.io/host-path",
            }},
            "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}, "storageClassName": "s",
                "persistentVolumeReclaimPolicy": "Delete", "claimRef": {"apiVersion": "v1", "name": "c",
                    "kind": "PersistentVolumeClaim", "namespace": "shop", "uid": "u", "resourceVersion": "7"}},
        });
        assert_eq!(serde_json::to_value(made).unwrap(), expected);
        let kept = volume(
            &claim(&json!({})),
            Some(&class(&json!({"reclaimPolicy": "Retain"}))),
            &provisioner,
            Default::default(),
        );
        assert_eq!(kept.metadata.finalizers, None);
    }
}
