//! What is wrong with a manifest is said in Kubernetes' words, and nothing changes.

use anyhow::{Result, ensure};
use e2e::objects::{config_map, deployment, pod};
use e2e::{Cluster, Outcome, with_cluster};
use serde_json::json;

/// A manifest, and what both clients say about it. `{verb}` is what the client was doing.
struct Bad {
    name: &'static str,
    manifest: String,
    words: Vec<&'static str>,
}

fn bad(name: &'static str, manifest: impl ToString, words: &[&'static str]) -> Bad {
    Bad { name, manifest: manifest.to_string(), words: words.to_vec() }
}

fn manifests() -> Vec<Bad> {
    let mut unknown = deployment("bad", 1);
    unknown["spec"]["replicaz"] = 2.into();
    let mut wrong_type = deployment("bad", 1);
    wrong_type["spec"]["replicas"] = "three".into();
    let mut nowhere = config_map("bad", json!({}));
    nowhere["metadata"]["namespace"] = "nowhere".into();
    let mut no_match = deployment("bad", 1);
    no_match["spec"]["selector"]["matchLabels"] = json!({"app": "other"});
    let mut port = pod("bad", "true");
    port["spec"]["containers"][0]["ports"] = json!([{"containerPort": 70000}]);
    port["spec"]["restartPolicy"] = "Sometimes".into();
    vec![
        bad(
            "an unknown field",
            unknown,
            &["Error from server (BadRequest)", "strict decoding error: unknown field \"spec.replicaz\""],
        ),
        bad(
            "a wrong type",
            wrong_type,
            &[
                "Error from server (BadRequest)",
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go \
                 struct field DeploymentSpec.spec.replicas of type int32",
            ],
        ),
        bad(
            "a bad name",
            config_map("Bad_Name", json!({})),
            &[
                "The ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 \
               subdomain must consist of lower case alphanumeric characters, '-' or '.'",
            ],
        ),
        bad("a missing namespace", nowhere, &["Error from server (NotFound)", "namespaces \"nowhere\" not found"]),
        bad(
            "a selector that does not match",
            no_match,
            &["The Deployment \"bad\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"bad\"}: \
               `selector` does not match template `labels`"],
        ),
        bad(
            "two errors",
            port,
            &[
                "The Pod \"bad\" is invalid: ",
                "* spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "* spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ],
        ),
        bad(
            "over 3 MiB",
            config_map("bad", json!({"k": "x".repeat(3 << 20)})),
            &["Error from server (RequestEntityTooLarge)", "Request entity too large: limit is 3145728"],
        ),
        bad(
            "an unknown kind",
            json!({"apiVersion": "v1", "kind": "Pot", "metadata": {"name": "bad"}}),
            &["no matches for kind \"Pot\" in version \"v1\""],
        ),
        bad("tabs", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: bad\n", &["error converting YAML to JSON"]),
        bad("no kind", "apiVersion: v1\nmetadata: {name: bad}\n", &["error validating data: kind not set"]),
        bad("no version", "kind: Pod\nmetadata: {name: bad}\n", &["error validating data: apiVersion not set"]),
    ]
}

#[test]
fn bad_manifests_get_kubernetes_words_and_change_nothing() -> Result<()> {
    with_cluster(|cluster| {
        let before = objects(cluster)?;
        for Bad { name, manifest, words } in manifests() {
            let file = cluster.file("bad.yaml", &manifest)?;
            let file = file.to_string_lossy();
            for (client, outcome) in both(cluster, &["apply", "-f", &file])? {
                expect(
                    name,
                    client,
                    &outcome,
                    if client == "kubectl" { words_of_kubectl(name, &words) } else { &words },
                )?;
            }
            let created = cluster.kubectl(["create", "-f", &file]).run()?;
            let words = if name == "over 3 MiB" { &words } else { words_of_kubectl(name, &words) };
            expect(name, "kubectl create", &created, words)?;
        }
        for (client, outcome) in both(cluster, &["apply", "-f", "nothing.yaml"])? {
            expect("a missing file", client, &outcome, &["error: the path \"nothing.yaml\" does not exist"])?;
        }
        ensure!(objects(cluster)? == before, "something was changed");
        good_ones_among_bad_are_applied(cluster)?;
        an_update_that_is_refused_changes_nothing(cluster)?;
        warns_when_asked_to(cluster)
    })
}

/// Where kubectl itself refuses before it asks the server, any refusal will do.
fn words_of_kubectl<'a>(name: &str, words: &'a [&'static str]) -> &'a [&'static str] {
    match name {
        // It is too large for the annotation of an apply; whether a definition of the kind exists cannot be asked yet.
        "over 3 MiB" | "an unknown kind" => &[],
        _ => words,
    }
}

fn both(cluster: &Cluster, words: &[&str]) -> Result<[(&'static str, Outcome); 2]> {
    let ours = cluster.setpoint([]).args(words).run()?;
    let theirs = cluster.kubectl([]).args(words).run()?;
    Ok([("setpoint", ours), ("kubectl", theirs)])
}

fn expect(name: &str, client: &str, outcome: &Outcome, words: &[&str]) -> Result<()> {
    ensure!(outcome.code == 1, "{name} by {client}: {outcome}");
    for words in words {
        ensure!(outcome.stderr.contains(words), "{name} by {client}: {words:?} is not in {}", clipped(outcome));
    }
    ensure!(!outcome.stderr.contains("panicked"), "{name} by {client}: {}", clipped(outcome));
    Ok(())
}

fn clipped(outcome: &Outcome) -> String {
    outcome.to_string().chars().take(3000).collect()
}

/// Everything that a bad manifest could have made.
fn objects(cluster: &Cluster) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in ["/api/v1/configmaps", "/api/v1/pods", "/apis/apps/v1/deployments", "/api/v1/namespaces"] {
        for item in cluster.api().items(path)? {
            found.push(format!("{path} {} {}", item["metadata"]["name"], item["metadata"]["resourceVersion"]));
        }
    }
    Ok(found)
}

fn good_ones_among_bad_are_applied(cluster: &Cluster) -> Result<()> {
    let mut unknown = config_map("second", json!({}));
    unknown["dota"] = json!({});
    let all = format!("{}\n---\n{unknown}\n---\n{}", config_map("first", json!({})), config_map("third", json!({})));
    for client in [cluster.setpoint(["apply", "-f", "-"]), cluster.kubectl(["apply", "-f", "-"])] {
        let outcome = client.input(all.clone()).run()?;
        ensure!(outcome.code == 1 && outcome.stderr.contains("unknown field \"dota\""), "{outcome}");
        ensure!(outcome.stdout.contains("configmap/first") && outcome.stdout.contains("configmap/third"), "{outcome}");
    }
    cluster.kubectl(["delete", "cm", "first", "third"]).ok()?;
    Ok(())
}

fn an_update_that_is_refused_changes_nothing(cluster: &Cluster) -> Result<()> {
    cluster.apply(&deployment("web", 1))?;
    let path = "/apis/apps/v1/namespaces/default/deployments/web";
    cluster.api().deployment_ready("web")?;
    let before = cluster.api().get(path)?;
    let mut selector = deployment("web", 5);
    selector["spec"]["selector"]["matchLabels"]["more"] = "yes".into();
    selector["spec"]["template"]["metadata"]["labels"]["more"] = "yes".into();
    let file = cluster.file("selector.json", selector.to_string())?;
    for (client, outcome) in both(cluster, &["apply", "-f", &file.to_string_lossy()])? {
        let words = ["The Deployment \"web\" is invalid: spec.selector: Invalid value: ", "field is immutable"];
        expect("an immutable field", client, &outcome, &words)?;
    }
    let (code, answer) = cluster.api().request(
        "PATCH",
        path,
        Some(&json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 5}})),
    )?;
    let words = "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply \
                 your changes to the latest version and try again";
    ensure!(code == 409 && answer["message"] == words, "{answer}");
    let after = cluster.api().get(path)?;
    ensure!(after == before);
    Ok(())
}

fn warns_when_asked_to(cluster: &Cluster) -> Result<()> {
    let mut unknown = config_map("warned", json!({"k": "v"}));
    unknown["dota"] = json!({});
    for client in [cluster.setpoint([]), cluster.kubectl([])] {
        let outcome = client.args(["apply", "--validate=warn", "-f", "-"]).input(unknown.to_string()).run()?;
        ensure!(outcome.code == 0 && outcome.stderr.contains("Warning: unknown field \"dota\""), "{outcome}");
        ensure!(cluster.api().get("/api/v1/namespaces/default/configmaps/warned")?.get("dota").is_none());
        cluster.kubectl(["delete", "cm", "warned"]).ok()?;
    }
    Ok(())
}

#[test]
fn requests_that_no_client_sends_are_answered_in_words() -> Result<()> {
    with_cluster(|cluster| {
        let api = cluster.api();
        let maps = "/api/v1/namespaces/default/configmaps";
        let json = "application/json";
        let cases = [
            ("POST", maps, json, "{\"kind\": \"ConfigMap\"", 400),
            ("POST", maps, json, "", 400),
            ("POST", maps, json, "[]", 400),
            ("POST", maps, "text/plain", "hello", 415),
            (
                "POST",
                maps,
                json,
                "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {\"name\": \"a\"}}",
                400,
            ),
            ("PUT", "/api/v1/namespaces/default/configmaps/a", json, "{\"metadata\": {\"name\": \"b\"}}", 400),
            ("PATCH", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", json, "{}", 415),
            ("GET", "/api/v1/namespaces/default/configmaps?limit=x", json, "", 400),
            ("GET", "/api/v1/namespaces/default/configmaps?labelSelector=a%20b%20c", json, "", 400),
            ("GET", "/api/v1/namespaces/default/configmaps?fieldSelector=data.x%3D1", json, "", 400),
            ("GET", "/api/v1/namespaces/default/nothings", json, "", 404),
            ("GET", "/apis/nothing/v1", json, "", 404),
            ("GET", "/nothing", json, "", 404),
            ("DELETE", "/api/v1/nodes", json, "{\"kind\": 5}", 400),
            ("TRACE", maps, json, "", 405),
        ];
        for (method, path, kind, body, expected) in cases {
            let (code, answer) = api.send(method, path, kind, body.as_bytes().to_vec())?;
            ensure!(code == expected, "{method} {path} {body}: {code} instead of {expected}: {answer}");
            let plain = path == "/nothing";
            ensure!(plain || answer["kind"] == "Status" || answer.is_string(), "{method} {path}: {answer}");
        }
        without_credentials(cluster)
    })
}

fn without_credentials(cluster: &Cluster) -> Result<()> {
    let Some(curl) = e2e::find_program("curl") else { return e2e::missing("a client without credentials needs curl") };
    let get = |path: &str, header: &str| {
        let url = format!("https://127.0.0.1:6443{path}");
        cluster.program(&curl).args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, &url]).ok()
    };
    ensure!(get("/api/v1/pods", "X: y")? == "403", "an anonymous request is forbidden");
    ensure!(get("/api/v1/pods", "Authorization: Bearer nonsense")? == "401");
    ensure!(get("/readyz", "X: y")? == "200");
    ensure!(get("/version", "X: y")? == "200");
    Ok(())
}
