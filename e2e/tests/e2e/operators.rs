//! Operators on kinds of their own, in Rust and in Python: nothing is missed, everything is reconciled, deletions are cleaned up after.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use e2e::command::Running;
use e2e::history::Seen;
use e2e::objects::{at, has_condition, text};
use e2e::python::{program, python, script};
use e2e::storm::{COMPACTION, Target, VALUE, Writer};
use e2e::{Cluster, binary, cluster::with_place, eventually, history};
use serde_json::{Value, json};

use crate::weather;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn an_operator_of_kube_rs_misses_nothing() -> Result<()> {
    let program = binary::apart("website-operator", "e2e/clients/kube-rs")?;
    with_place(|cluster| {
        cluster.up([COMPACTION])?;
        let mut operator = cluster.program(&program).env("KUBECONFIG", cluster.kubeconfig()).start()?;
        operator.line("its kind is established", |line| line.contains("READY"))?;
        its_definition_is_in_force(cluster)?;
        let spec = json!({"image": "busybox:1", "replicas": 0});
        let mut writer = Writer::new(cluster, vec![target("Website", "websites", spec)])?;
        let calm = weather::endure(cluster, &mut writer, &mut [&mut operator])?;
        for change in writer.live() {
            let name = &change.name;
            let value = change.value.to_string();
            reconciled(cluster, "websites", name, &value)?;
            let deployment = cluster.api().get(&format!("{DEPLOYMENTS}/{name}"))?;
            ensure!(deployment["metadata"]["annotations"][VALUE] == *value, "{deployment}");
            ensure!(text(&deployment, "metadata.ownerReferences.0.uid") == change.uid, "{deployment}");
            let managers = at(&deployment, "metadata.managedFields").to_string();
            ensure!(managers.contains("\"website-operator\""), "{managers}");
        }
        heard_of_everything(&writer, &calm, &mut operator, "kube-rs")?;
        only_what_is_owned_is_left(cluster, DEPLOYMENTS, &writer, "")?;
        ensure!(operator.finish()?.code == 0, "the operator does not end well");
        Ok(())
    })
}

#[test]
fn an_operator_of_kopf_misses_nothing() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    with_place(|cluster| {
        cluster.up([COMPACTION])?;
        define_gadgets(cluster)?;
        let words = ["-m", "kopf", "run", "--standalone", "--namespace=default"];
        let mut operator = program(cluster, &python).args(words).args([script("gadgets.py")]).start()?;
        let mut writer = Writer::new(cluster, vec![target("Gadget", "gadgets", json!({"size": 3}))])?;
        weather::endure(cluster, &mut writer, &mut [&mut operator]).map_err(|error| error.context(operator.tail()))?;
        for change in writer.live() {
            let value = change.value.to_string();
            let child = reconciled(cluster, "gadgets", &change.name, &value)
                .and_then(|()| cluster.api().get(&format!("{MAPS}/gadget-{}", change.name)))
                .map_err(|error| error.context(operator.tail()))?;
            ensure!(child["data"]["value"] == *value, "{child}");
            ensure!(text(&child, "metadata.ownerReferences.0.uid") == change.uid, "{child}");
        }
        // Of several changes at once it shows the last one only, so none of them is sure to be seen.
        heard_of_everything(&writer, &[], &mut operator, "kopf")?;
        only_what_is_owned_is_left(cluster, MAPS, &writer, "gadget-")
    })
}

fn target(kind: &'static str, plural: &str, spec: Value) -> Target {
    let object = json!({"apiVersion": "e2e.setpoint.dev/v1", "kind": kind, "metadata": {}, "spec": spec});
    let path = format!("/apis/e2e.setpoint.dev/v1/namespaces/default/{plural}");
    Target { kind, path, shared: true, lingers: true, object }
}

/// A schema that leaves the status to the operator.
fn define_gadgets(cluster: &Cluster) -> Result<()> {
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let spec = json!({"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}});
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": free}}});
    let version =
        json!({"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}});
    let names = json!({"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.e2e.setpoint.dev"},
        "spec": {"group": "e2e.setpoint.dev", "scope": "Namespaced", "names": names, "versions": [version]},
    });
    cluster.api().create(DEFINITIONS, &definition)?;
    eventually("gadgets are established", || {
        let now = cluster.api().get(&format!("{DEFINITIONS}/gadgets.e2e.setpoint.dev"))?;
        Ok(has_condition(&now, "Established").then_some(()))
    })
}

/// What the derived definition says is checked, and kubectl can show it.
fn its_definition_is_in_force(cluster: &Cluster) -> Result<()> {
    let website = |spec: Value| {
        let metadata = json!({"name": "bad"});
        json!({"apiVersion": "e2e.setpoint.dev/v1", "kind": "Website", "metadata": metadata, "spec": spec}).to_string()
    };
    let cases = [
        (json!({"replicas": 0}), "spec.image: Required value"),
        (json!({"image": "x", "replicas": 9}), "spec.replicas: Invalid value"),
        (json!({"image": "x", "theme": "Pink"}), "spec.theme: Unsupported value: \"Pink\""),
        (json!({"image": "x", "pages": {"a": {"visibleFrom": "now"}}}), "spec.pages.a.title: Required value"),
        (json!({"image": "x", "colour": "red"}), "unknown field \"spec.colour\""),
    ];
    for (spec, words) in cases {
        cluster.kubectl(["create", "-f", "-"]).input(website(spec)).fails_with(words)?;
    }
    let explained = cluster.kubectl(["explain", "websites.spec.replicas"]).ok()?;
    ensure!(explained.contains("How many servers there are"), "{explained}");
    let good = json!({"image": "busybox:1", "pages": {"a": {"title": "A"}}});
    let good = website(good).replace("bad", "good");
    cluster.kubectl(["apply", "-f", "-"]).input(good).ok()?;
    reconciled(cluster, "websites", "good", "")?;
    let table = cluster.kubectl(["get", "web", "good"]).ok()?;
    ensure!(table.contains("REPLICAS") && table.contains("Light"), "{table}");
    cluster.kubectl(["scale", "website/good", "--replicas=1"]).ok()?;
    eventually("its deployment has one replica", || {
        Ok((*at(&cluster.api().get(&format!("{DEPLOYMENTS}/good"))?, "spec.replicas") == 1).then_some(()))
    })?;
    cluster.kubectl(["delete", "website", "good"]).ok()?;
    eventually("its deployment is gone", || {
        Ok(cluster.api().find(&format!("{DEPLOYMENTS}/good"))?.is_none().then_some(()))
    })
}

fn reconciled(cluster: &Cluster, plural: &str, name: &str, value: &str) -> Result<()> {
    let path = format!("/apis/e2e.setpoint.dev/v1/namespaces/default/{plural}/{name}");
    eventually(&format!("{name} is reconciled to {value:?}"), || {
        let object = cluster.api().get(&path)?;
        ensure!(at(&object, "status.value") == value, "{object}");
        Ok(Some(()))
    })
}

/// What its watch saw, and that it cleaned up once after each object that went.
fn heard_of_everything(
    writer: &Writer,
    calm: &[std::ops::Range<usize>],
    operator: &mut Running,
    name: &str,
) -> Result<()> {
    // Before the writer there was an object of another kind of test.
    let lines: Vec<String> = operator.lines().iter().filter(|line| !line.contains("\"good\"")).cloned().collect();
    let gone = |line: &String| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["type"] == "CLEANED").then(|| text(&line, "uid").to_owned())
    };
    let cleaned: BTreeSet<String> = lines.iter().filter_map(gone).collect();
    let deleted = writer.changes().iter().filter(|change| change.what == "DELETED").map(|change| change.uid.clone());
    let deleted: BTreeSet<String> = deleted.collect();
    ensure!(cleaned == deleted, "cleaned up: {cleaned:?}, deleted: {deleted:?}");
    let mut seen = history::events(&lines);
    if name == "kopf" {
        seen = one_after_the_other(seen, &cleaned);
    }
    history::check(writer.changes(), calm, &seen)?;
    history::tell(name, writer.changes(), seen.len());
    Ok(())
}

/// kopf works on each uid by itself, so events of an object may come before those of its namesake have ended. And it does not say
/// DELETED for what was gone when it listed again: that nothing ends unseen is what its handlers of deletions are for.
fn one_after_the_other(seen: Vec<Seen>, cleaned: &BTreeSet<String>) -> Vec<Seen> {
    let mut lives: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for event in seen.into_iter().filter(|event| event.what != "DELETED" && event.what != "MISSED") {
        lives.entry(event.uid.clone()).or_default().push(event);
    }
    let mut lives: Vec<Vec<Seen>> = lives.into_values().collect();
    lives.sort_by_key(|life| life[0].revision);
    for life in &mut lives {
        let last = life[life.len() - 1].clone();
        if cleaned.contains(&last.uid) {
            life.push(Seen { what: "MISSED".to_owned(), ..last });
        }
    }
    lives.concat()
}

/// Dependants go with their owners.
fn only_what_is_owned_is_left(cluster: &Cluster, path: &str, writer: &Writer, prefix: &str) -> Result<()> {
    let expected: BTreeSet<String> = writer.live().map(|change| format!("{prefix}{}", change.name)).collect();
    eventually("dependants are gone with their owners", || {
        let found = cluster.api().items(path)?;
        let names = found.iter().map(|object| text(object, "metadata.name").to_owned());
        let names: BTreeSet<String> = names.filter(|name| name != "kube-root-ca.crt").collect();
        ensure!(names == expected, "{names:?} instead of {expected:?}");
        Ok(Some(()))
    })
    .context("garbage collection")
}
