//! Custom resources as every kubectl sees them: a definition comes, objects of its kind are written and shown, both go.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Cluster, Kubectl, Program, eventually, with_cluster};
use serde_json::{Value, json};

const DEFINITION: &str = "customresourcedefinition.apiextensions.k8s.io/widgets.example.com";
/// Definitions that many clusters have; the module has them as files.
const OPERATOR: &str = "github.com/cert-manager/cert-manager@v1.19.1";

type Step = fn(&Cluster, &Kubectl) -> Result<()>;

const STEPS: [(&str, Step); 5] =
    [("define", defines), ("write", writes), ("show", shows), ("scale", scales), ("remove", removes)];

#[test]
fn custom_resources_are_used_by_every_kubectl() -> Result<()> {
    with_cluster(|cluster| {
        for kubectl in cluster.kubectls() {
            for (name, step) in STEPS {
                step(cluster, &kubectl).map_err(|error| error.context(format!("{name} with {}", kubectl.name)))?;
            }
        }
        Ok(())
    })
}

fn definition() -> Value {
    let integer = json!({"type": "integer", "minimum": 0});
    let spec = json!({
        "type": "object", "required": ["size"], "description": "What is wanted.",
        "properties": {
            "size": {"type": "integer", "description": "How big it is.", "minimum": 1},
            "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "replicas": integer,
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "weight": {"x-kubernetes-int-or-string": true}}}},
        },
    });
    let status = json!({"type": "object", "properties": {"replicas": integer, "phase": {"type": "string"}}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
                ],
            }],
        },
    })
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

fn apply(cluster: &Cluster, kubectl: &Kubectl, object: &Value) -> Program {
    cluster.with_kubectl(kubectl, ["apply", "-f", "-"]).input(object.to_string())
}

fn defines(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let said = apply(cluster, kubectl, &definition()).ok()?;
    ensure!(said == format!("{DEFINITION} created\n"), "{said}");
    cluster.with_kubectl(kubectl, ["wait", "--for=condition=established", "--timeout=20s", DEFINITION]).ok()?;
    let mut wrong = definition();
    wrong["metadata"]["name"] = "gadgets.example.com".into();
    apply(cluster, kubectl, &wrong).fails_with(
        "The CustomResourceDefinition \"gadgets.example.com\" is invalid: metadata.name: Invalid value: \
         \"gadgets.example.com\": must be spec.names.plural+\".\"+spec.group",
    )?;
    let resources = cluster.with_kubectl(kubectl, ["api-resources", "--api-group=example.com", "--no-headers"]).ok()?;
    let words: Vec<&str> = resources.split_whitespace().collect();
    ensure!(words == ["widgets", "wd", "example.com/v1", "true", "Widget"], "{resources}");
    let explained = cluster.with_kubectl(kubectl, ["explain", "widget.spec.size"]).ok()?;
    ensure!(explained.contains("How big it is.") && explained.contains("<integer>"), "{explained}");
    Ok(())
}

fn writes(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let said = apply(cluster, kubectl, &widget("a", json!({"size": 3, "replicas": 1}))).ok()?;
    ensure!(said == "widget.example.com/a created\n", "{said}");
    let color = cluster.with_kubectl(kubectl, ["get", "widget", "a", "-o=jsonpath={.spec.color}"]).ok()?;
    ensure!(color == "red", "{color}");
    let said = apply(cluster, kubectl, &widget("a", json!({"size": 3, "replicas": 1}))).ok()?;
    ensure!(said == "widget.example.com/a unchanged\n", "{said}");
    let refusals = [
        (
            json!({"size": "big"}),
            "The Widget \"b\" is invalid: spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \
             \"string\"",
        ),
        (json!({}), "The Widget \"b\" is invalid: spec.size: Required value"),
        (
            json!({"size": 1, "color": "grey"}),
            "The Widget \"b\" is invalid: spec.color: Unsupported value: \"grey\": supported values: \"red\", \"blue\"",
        ),
        (json!({"size": 1, "odd": 2}), "strict decoding error: unknown field \"spec.odd\""),
        (
            json!({"size": 1, "parts": [{"name": "x"}, {"name": "x"}]}),
            "The Widget \"b\" is invalid: spec.parts[1]: Duplicate value: {\"name\":\"x\"}",
        ),
    ];
    for (spec, words) in refusals {
        apply(cluster, kubectl, &widget("b", spec)).fails_with(words)?;
    }
    let pruned = widget("b", json!({"size": 1, "odd": 2, "parts": [{"name": "x", "weight": "5%"}]}));
    // Created and not applied: who applies in the client would take its fields along to the server.
    cluster.with_kubectl(kubectl, ["create", "--validate=ignore", "-f", "-"]).input(pruned.to_string()).ok()?;
    let spec = cluster.api().get("/apis/example.com/v1/namespaces/default/widgets/b")?["spec"].clone();
    ensure!(spec == json!({"size": 1, "color": "red", "parts": [{"name": "x", "weight": "5%"}]}), "{spec}");
    let more = widget("b", json!({"size": 1, "parts": [{"name": "y", "weight": 2}]}));
    let said = apply(cluster, kubectl, &more).args(["--server-side", "--field-manager=other"]).ok()?;
    ensure!(said == "widget.example.com/b serverside-applied\n", "{said}");
    let parts = cluster.with_kubectl(kubectl, ["get", "wd/b", "-o=jsonpath={.spec.parts[*].name}"]).ok()?;
    ensure!(parts == "x y", "{parts}");
    let editor = cluster.file("editor.sh", "#!/bin/sh\nsed -i 's/size: 1/size: 7/' \"$1\"\n")?;
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    cluster
        .with_kubectl(kubectl, ["edit", "widget", "b"])
        .env("KUBE_EDITOR", editor.to_string_lossy().as_ref())
        .ok()?;
    ensure!(cluster.with_kubectl(kubectl, ["get", "widget", "b", "-o=jsonpath={.spec.size}"]).ok()? == "7");
    Ok(())
}

fn shows(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let patch = r#"{"status": {"phase": "Ready", "replicas": 1}}"#;
    let path = ["patch", "widget", "a", "--subresource=status", "--type=merge", "-p", patch];
    cluster.with_kubectl(kubectl, path).ok()?;
    let table = cluster.with_kubectl(kubectl, ["get", "wd"]).ok()?;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(lines == [vec!["NAME", "SIZE", "PHASE"], vec!["a", "3", "Ready"], vec!["b", "7"]], "{table}");
    let wide = cluster.with_kubectl(kubectl, ["get", "widgets", "-o=wide"]).ok()?;
    ensure!(wide.lines().next().is_some_and(|head| head.ends_with("COLOR")), "{wide}");
    ensure!(cluster.with_kubectl(kubectl, ["get", "all", "-o=name"]).ok()?.contains("widget.example.com/a"));
    let described = cluster.with_kubectl(kubectl, ["describe", "widget", "a"]).ok()?;
    ensure!(described.contains("Kind:         Widget") && described.contains("Phase:     Ready"), "{described}");
    Ok(())
}

fn scales(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let said = cluster.with_kubectl(kubectl, ["scale", "widget/a", "--replicas=4"]).ok()?;
    ensure!(said == "widget.example.com/a scaled\n", "{said}");
    let replicas = cluster.with_kubectl(kubectl, ["get", "widget", "a", "-o=jsonpath={.spec.replicas}"]).ok()?;
    ensure!(replicas == "4", "{replicas}");
    Ok(())
}

fn removes(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let said = cluster.with_kubectl(kubectl, ["delete", DEFINITION, "--timeout=30s"]).ok()?;
    ensure!(said.contains("\"widgets.example.com\" deleted"), "{said}");
    // kubectl has the kind in its cache still.
    cluster.with_kubectl(kubectl, ["get", "widgets"]).fails_with("the server could not find the requested resource")?;
    apply(cluster, kubectl, &definition()).ok()?;
    cluster.with_kubectl(kubectl, ["wait", "--for=condition=established", "--timeout=20s", DEFINITION]).ok()?;
    ensure!(cluster.api().get("/apis/example.com/v1/widgets")?["items"] == json!([]), "objects went with their kind");
    cluster.with_kubectl(kubectl, ["delete", DEFINITION]).ok()?;
    Ok(())
}

#[test]
fn definitions_of_a_known_operator_are_accepted() -> Result<()> {
    let Some(go) = e2e::find_program("go") else {
        return e2e::missing("reading the definitions of an operator needs Go");
    };
    // Outside of the cluster's network: this may come from afar.
    let module = Program::new(Command::new(go)).args(["mod", "download", "-json", OPERATOR]);
    let module = module.limit(Duration::from_secs(300)).ok()?;
    let module: Value = serde_json::from_str(&module).context("read what Go says of the module")?;
    with_cluster(|cluster| {
        let folder = module["Dir"].as_str().context("the module has no folder")?;
        let mut names = Vec::new();
        for file in std::fs::read_dir(format!("{folder}/deploy/crds")).context("read the module's definitions")? {
            let file = file?.path();
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let file = file.to_string_lossy().into_owned();
            cluster.kubectl(["apply", "--server-side", "-f", &file]).ok()?;
            names.push(file);
        }
        ensure!(names.len() >= 6, "{names:?}");
        let all = ["wait", "--for=condition=established", "--timeout=30s", "crd", "--all"];
        cluster.kubectl(all).ok()?;
        let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "own"},
            "spec": {"selfSigned": {}}});
        cluster.apply(&issuer)?;
        eventually("the issuer is listed", || {
            let list = cluster.kubectl(["get", "issuers", "-o=name"]).ok()?;
            Ok((list == "issuer.cert-manager.io/own\n").then_some(()))
        })?;
        let wrong =
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c"}, "spec": {}});
        let said = cluster.kubectl(["create", "-f", "-"]).input(wrong.to_string()).run()?;
        for field in ["spec.secretName: Required value", "spec.issuerRef: Required value"] {
            if !said.stderr.contains(field) {
                bail!("{said}");
            }
        }
        Ok(())
    })
}
