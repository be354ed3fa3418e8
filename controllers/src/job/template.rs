//! The pods that a Job makes.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube::core::ObjectMeta;

use super::pods::{FAILURES, FINALIZER, IGNORED_FAILURES, INDEX};

/// Where a container finds its index.
const VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The longest prefix to which the server adds a suffix.
const LONGEST_PREFIX: usize = 58;

/// For an indexed Job: the index, and for one that bounds the failures of an index how many there were (that count, and that do not).
pub(super) struct Place {
    pub index: i32,
    pub failures: Option<(i32, i32)>,
}

pub(super) fn pod(job: &Job, place: Option<&Place>) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    let name = job.metadata.name.as_deref().unwrap_or("");
    let mut finalizers = meta.finalizers.unwrap_or_default();
    if !finalizers.iter().any(|own| own == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    let metadata = ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: job.metadata.namespace.clone(),
        labels: meta.labels,
        annotations: meta.annotations,
        finalizers: Some(finalizers),
        ..ObjectMeta::default()
    };
    let mut pod = Pod { metadata, spec: template.spec, status: None };
    if let Some(place) = place {
        put(&mut pod, name, place);
    }
    pod
}

fn put(pod: &mut Pod, job: &str, place: &Place) {
    let index = place.index.to_string();
    let suffix = format!("-{index}-");
    let prefix: String = job.chars().take(LONGEST_PREFIX - suffix.len()).collect();
    pod.metadata.generate_name = Some(prefix + &suffix);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(INDEX.to_owned(), index.clone());
    let annotations: &mut BTreeMap<_, _> = pod.metadata.annotations.get_or_insert_default();
    if let Some((counted, ignored)) = place.failures {
        annotations.insert(FAILURES.to_owned(), counted.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED_FAILURES.to_owned(), ignored.to_string());
        }
    }
    let Some(spec) = &mut pod.spec else { return };
    spec.hostname = Some(format!("{job}-{index}"));
    annotations.insert(INDEX.to_owned(), index);
    let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
    containers.for_each(tell_index);
}

fn tell_index(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == VARIABLE) {
        return;
    }
    let field_path = format!("metadata.labels['{INDEX}']");
    let field_ref = Some(ObjectFieldSelector { api_version: None, field_path });
    let value_from = Some(EnvVarSource { field_ref, ..EnvVarSource::default() });
    variables.push(EnvVar { name: VARIABLE.to_owned(), value: None, value_from });
}
