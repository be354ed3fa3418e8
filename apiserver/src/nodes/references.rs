//! What a Pod or a PersistentVolume names that its node must be able to read. Only those fields are read.

use std::borrow::Cow;

use serde::Deserialize;

use super::graph::{Kind, Vertex};

/// The mark of a pod that a node made itself: it must not lead the node to anything.
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: PodSpec<'a>,
    #[serde(borrow)]
    status: Option<PodStatus<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    annotations: Option<std::collections::BTreeMap<Cow<'a, str>, serde::de::IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec<'a> {
    #[serde(borrow)]
    node_name: Cow<'a, str>,
    #[serde(borrow)]
    service_account_name: Cow<'a, str>,
    #[serde(borrow)]
    image_pull_secrets: Option<Vec<Named<'a>>>,
    #[serde(borrow)]
    containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    ephemeral_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow)]
    volumes: Option<Vec<Volume<'a>>>,
    #[serde(borrow)]
    resource_claims: Option<Vec<Claim<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container<'a> {
    #[serde(borrow)]
    env: Option<Vec<Env<'a>>>,
    #[serde(borrow)]
    env_from: Option<Vec<Source<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Env<'a> {
    #[serde(borrow)]
    value_from: Option<Source<'a>>,
}

/// Of one variable, or of all that an object has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source<'a> {
    #[serde(borrow, alias = "secretKeyRef")]
    secret_ref: Option<Named<'a>>,
    #[serde(borrow, alias = "configMapKeyRef")]
    config_map_ref: Option<Named<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    secret: Option<WithSecret<'a>>,
    #[serde(borrow)]
    config_map: Option<Named<'a>>,
    #[serde(borrow)]
    projected: Option<Projected<'a>>,
    #[serde(borrow)]
    persistent_volume_claim: Option<ClaimName<'a>>,
    ephemeral: Option<serde::de::IgnoredAny>,
    #[serde(flatten, borrow)]
    disk: Disk<'a>,
}

/// Storage of other systems, which pods and volumes may both name.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Disk<'a> {
    #[serde(borrow)]
    azure_file: Option<WithSecret<'a>>,
    #[serde(borrow)]
    cephfs: Option<WithSecret<'a>>,
    #[serde(borrow)]
    cinder: Option<WithSecret<'a>>,
    #[serde(borrow)]
    flex_volume: Option<WithSecret<'a>>,
    #[serde(borrow)]
    rbd: Option<WithSecret<'a>>,
    #[serde(borrow, rename = "scaleIO")]
    scale_io: Option<WithSecret<'a>>,
    #[serde(borrow)]
    iscsi: Option<WithSecret<'a>>,
    #[serde(borrow)]
    storageos: Option<WithSecret<'a>>,
    #[serde(borrow)]
    csi: Option<Driver<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WithSecret<'a> {
    #[serde(borrow)]
    secret_name: Cow<'a, str>,
    #[serde(borrow)]
    secret_namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    secret_ref: Option<Named<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Driver<'a> {
    #[serde(borrow)]
    node_publish_secret_ref: Option<Named<'a>>,
    #[serde(borrow)]
    node_stage_secret_ref: Option<Named<'a>>,
    #[serde(borrow)]
    node_expand_secret_ref: Option<Named<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Projected<'a> {
    #[serde(borrow)]
    sources: Option<Vec<ProjectedSource<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProjectedSource<'a> {
    #[serde(borrow)]
    secret: Option<Named<'a>>,
    #[serde(borrow)]
    config_map: Option<Named<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClaimName<'a> {
    #[serde(borrow)]
    claim_name: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Claim<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    resource_claim_name: Option<Cow<'a, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus<'a> {
    #[serde(borrow)]
    resource_claim_statuses: Option<Vec<Claim<'a>>>,
    #[serde(borrow)]
    extended_resource_claim_status: Option<Claim<'a>>,
}

impl Pod<'_> {
    /// The node that it is bound to; empty when there is none yet.
    pub fn node(&self) -> &str {
        &self.spec.node_name
    }

    /// What it leads its node to.
    pub fn references(&self) -> Vec<Vertex> {
        let annotations = self.metadata.annotations.as_ref();
        let is_mirror = annotations.is_some_and(|annotations| annotations.contains_key(MIRROR));
        if is_mirror { Vec::new() } else { self.uses() }
    }

    /// What it needs. Some may be there twice.
    pub fn uses(&self) -> Vec<Vertex> {
        let mut found = Found { namespace: &self.metadata.namespace, vertices: Vec::new() };
        let Self { metadata, spec, status } = self;
        found.add(Kind::ServiceAccount, &spec.service_account_name);
        spec.image_pull_secrets.iter().flatten().for_each(|secret| found.add(Kind::Secret, &secret.name));
        let containers = [&spec.containers, &spec.init_containers, &spec.ephemeral_containers];
        for container in containers.into_iter().flatten().flatten() {
            let variables = container.env.iter().flatten().filter_map(|env| env.value_from.as_ref());
            for source in variables.chain(container.env_from.iter().flatten()) {
                found.named(Kind::Secret, source.secret_ref.as_ref());
                found.named(Kind::ConfigMap, source.config_map_ref.as_ref());
            }
        }
        for volume in spec.volumes.iter().flatten() {
            found.volume(volume, &metadata.name);
        }
        for claim in spec.resource_claims.iter().flatten() {
            let made = || {
                let statuses = status.as_ref()?.resource_claim_statuses.as_ref()?;
                statuses.iter().find(|made| made.name == claim.name)?.resource_claim_name.as_ref()
            };
            let name = claim.resource_claim_name.as_ref().or_else(made);
            name.into_iter().for_each(|name| found.add(Kind::ResourceClaim, name));
        }
        let extended = status.as_ref().and_then(|status| status.extended_resource_claim_status.as_ref());
        let extended = extended.and_then(|claim| claim.resource_claim_name.as_ref());
        extended.into_iter().for_each(|name| found.add(Kind::ResourceClaim, name));
        found.vertices
    }
}

struct Found<'a> {
    namespace: &'a str,
    vertices: Vec<Vertex>,
}

impl Found<'_> {
    fn add(&mut self, kind: Kind, name: &str) {
        if !name.is_empty() {
            self.vertices.push(Vertex::new(kind, self.namespace, name));
        }
    }

    fn named(&mut self, kind: Kind, named: Option<&Named>) {
        named.into_iter().for_each(|named| self.add(kind, &named.name));
    }

    fn volume(&mut self, volume: &Volume, pod: &str) {
        volume.secret.iter().for_each(|secret| self.add(Kind::Secret, &secret.secret_name));
        self.named(Kind::ConfigMap, volume.config_map.as_ref());
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            self.named(Kind::Secret, source.secret.as_ref());
            self.named(Kind::ConfigMap, source.config_map.as_ref());
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            self.add(Kind::Claim, &claim.claim_name);
        } else if volume.ephemeral.is_some() {
            self.add(Kind::Claim, &format!("{pod}-{}", volume.name));
        }
        for secret in volume.disk.in_pods() {
            self.add(Kind::Secret, secret);
        }
    }
}

impl Disk<'_> {
    fn with_secrets(&self) -> impl Iterator<Item = &WithSecret<'_>> {
        let Self { cephfs, cinder, flex_volume, rbd, scale_io, iscsi, storageos, .. } = self;
        [cephfs, cinder, flex_volume, rbd, scale_io, iscsi, storageos].into_iter().flatten()
    }

    fn in_pods(&self) -> impl Iterator<Item = &str> {
        let azure = self.azure_file.iter().map(|disk| &*disk.secret_name);
        let publish = self.csi.iter().filter_map(|csi| Some(&*csi.node_publish_secret_ref.as_ref()?.name));
        let others = self.with_secrets().filter_map(|disk| Some(&*disk.secret_ref.as_ref()?.name));
        azure.chain(others).chain(publish)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PersistentVolume<'a> {
    #[serde(borrow)]
    spec: PersistentVolumeSpec<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PersistentVolumeSpec<'a> {
    #[serde(borrow)]
    claim_ref: Option<Named<'a>>,
    #[serde(flatten, borrow)]
    disk: Disk<'a>,
}

impl PersistentVolume<'_> {
    /// The claim that it is for; `None` when it is for none.
    pub fn claim(&self) -> Option<Vertex> {
        let claim = self.spec.claim_ref.as_ref()?;
        Some(Vertex::new(Kind::Claim, &claim.namespace, &claim.name))
    }

    /// What nodes need to mount it. A secret that says no namespace is in the claim's, where it may be left out.
    pub fn secrets(&self) -> Vec<Vertex> {
        let own = self.spec.claim_ref.as_ref().map(|claim| &*claim.namespace).unwrap_or_default();
        let disk = &self.spec.disk;
        let azure =
            disk.azure_file.iter().map(|disk| (disk.secret_namespace.as_deref().unwrap_or(""), &*disk.secret_name));
        let others = disk.with_secrets().filter_map(|disk| disk.secret_ref.as_ref());
        let others = others.map(|secret| (&*secret.namespace, &*secret.name));
        let csi = disk.csi.iter().flat_map(|csi| {
            [&csi.node_publish_secret_ref, &csi.node_stage_secret_ref, &csi.node_expand_secret_ref]
                .into_iter()
                .flatten()
        });
        let csi = csi.map(|secret| (&*secret.namespace, &*secret.name));
        let all = azure.chain(others).chain(csi).filter(|(_, name)| !name.is_empty());
        all.map(|(namespace, name)| Vertex::new(Kind::Secret, if namespace.is_empty() { own } else { namespace }, name))
            .collect()
    }
}

/// What names one node: a VolumeAttachment or a ResourceSlice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OfNode<'a> {
    #[serde(borrow)]
    spec: NodeName<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeName<'a> {
    #[serde(borrow)]
    node_name: Option<Cow<'a, str>>,
}

impl OfNode<'_> {
    /// Empty when it is of no node.
    pub fn node(&self) -> &str {
        self.spec.node_name.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: Value, status: Value) -> Vec<String> {
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec, "status": status}).to_string();
        let pod: Pod = serde_json::from_str(&pod).unwrap();
        pod.references().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pod_leads_to_what_it_uses() {
        let container = json!({"env": [
            {"name": "a", "value": "x"},
            {"name": "b", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "c", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
            {"name": "d", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]});
        let table = [
            ("nothing", json!({}), &[][..]),
            ("an account", json!({"serviceAccountName": "a"}), &["serviceaccounts n/a"]),
            ("pull", json!({"imagePullSecrets": [{"name": "s"}, {}]}), &["secrets n/s"]),
            ("variables", json!({"containers": [container]}), &["secrets n/s", "configmaps n/m"]),
            (
                "all variables",
                json!({"initContainers": [{"envFrom": [{"secretRef": {"name": "s"}}]}],
                    "ephemeralContainers": [{"envFrom": [{"configMapRef": {"name": "m"}}]}]}),
                &["secrets n/s", "configmaps n/m"],
            ),
            (
                "volumes",
                json!({"volumes": [{"name": "1", "secret": {"secretName": "s"}}, {"name": "2", "configMap": {"name": "m"}},
                    {"name": "3", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "4", "ephemeral": {}},
                    {"name": "5", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "t"}}},
                    {"name": "6", "emptyDir": {}}]}),
                &[
                    "secrets n/s",
                    "configmaps n/m",
                    "persistentvolumeclaims n/c",
                    "persistentvolumeclaims n/p-4",
                    "secrets n/t",
                ],
            ),
            (
                "projected",
                json!({"volumes": [{"name": "1", "projected": {"sources": [{"secret": {"name": "s"}},
                    {"configMap": {"name": "m"}}, {"serviceAccountToken": {"path": "t"}}]}}]}),
                &["secrets n/s", "configmaps n/m"],
            ),
            ("disk", json!({"volumes": [{"name": "1", "scaleIO": {"secretRef": {"name": "s"}}}]}), &["secrets n/s"]),
            (
                "claims",
                json!({"resourceClaims": [{"name": "a", "resourceClaimName": "c"}, {"name": "b"}]}),
                &["resourceclaims n/c", "resourceclaims n/made"],
            ),
        ];
        for (name, spec, expected) in table {
            let status = json!({"resourceClaimStatuses": [{"name": "b", "resourceClaimName": "made"}]});
            assert_eq!(pod(spec, status), expected, "{name}");
        }
    }

    #[test]
    fn a_mirror_pod_leads_nowhere() {
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "annotations": {MIRROR: "x"}},
            "spec": {"nodeName": "w", "imagePullSecrets": [{"name": "s"}]}});
        let text = pod.to_string();
        let pod: Pod = serde_json::from_str(&text).unwrap();
        assert_eq!((pod.node(), pod.references().len()), ("w", 0));
    }

    #[test]
    fn a_volume_leads_to_secrets_that_nodes_need() {
        let claim = json!({"namespace": "n", "name": "c"});
        let table = [
            ("azure", json!({"azureFile": {"secretName": "s"}}), &["secrets n/s"][..]),
            ("azure elsewhere", json!({"azureFile": {"secretName": "s", "secretNamespace": "m"}}), &["secrets m/s"]),
            ("ceph", json!({"cephfs": {"secretRef": {"name": "s"}}}), &["secrets n/s"]),
            (
                "csi",
                json!({"csi": {"nodeStageSecretRef": {"name": "s", "namespace": "m"},
                    "controllerPublishSecretRef": {"name": "t", "namespace": "m"}}}),
                &["secrets m/s"],
            ),
            ("none", json!({"hostPath": {"path": "/x"}}), &[]),
        ];
        for (name, mut spec, expected) in table {
            spec["claimRef"] = claim.clone();
            let text = json!({"spec": spec}).to_string();
            let volume: PersistentVolume = serde_json::from_str(&text).unwrap();
            let secrets: Vec<String> = volume.secrets().iter().map(ToString::to_string).collect();
            assert_eq!(secrets, expected, "{name}");
            assert_eq!(volume.claim().unwrap().to_string(), "persistentvolumeclaims n/c", "{name}");
        }
    }
}
