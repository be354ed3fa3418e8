//! Pods, the host and Services reach each other.

use anyhow::{Context, Result, ensure};
use e2e::objects::{FOREVER, at, pod, service, text};
use e2e::{Cluster, eventually, with_cluster};
use serde_json::{Value, json};

/// Answers every request with the pod's name, while `/tmp/www/ready` exists it is Ready.
fn server(name: &str) -> Value {
    let script =
        "mkdir -p /tmp/www; hostname > /tmp/www/index.html; touch /tmp/www/ready; exec httpd -f -p 8080 -h /tmp/www";
    let mut pod = pod(name, script);
    pod["metadata"]["labels"] = json!({"app": "server"});
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "web", "containerPort": 8080}]);
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"exec": {"command": ["cat", "/tmp/www/ready"]}, "periodSeconds": 1, "failureThreshold": 1});
    pod
}

#[test]
fn everybody_reaches_whom_they_should() -> Result<()> {
    with_cluster(|cluster| {
        for name in ["one", "two"] {
            cluster.api().create_pod(&server(name))?;
        }
        // Their addresses are looked at from the machine.
        cluster.api().create_pod(&cluster.on_first_node(pod("client", FOREVER))?)?;
        let mut on_host = pod("on-host", FOREVER);
        on_host["spec"]["hostNetwork"] = true.into();
        cluster.api().create_pod(&cluster.on_first_node(on_host)?)?;
        for name in ["one", "two", "client", "on-host"] {
            cluster.api().pod_ready(name)?;
        }
        pods_have_addresses(cluster)?;
        let address = a_service_spreads_requests(cluster)?;
        endpoints_follow_readiness(cluster, &address)?;
        changes_of_the_service_take_effect(cluster, &address)
    })
}

fn fetch(cluster: &Cluster, from: &str, address: &str) -> Result<String> {
    cluster.shell(from, &format!("timeout 5 wget -qO- http://{address}/"))
}

fn address(cluster: &Cluster, name: &str) -> Result<String> {
    Ok(text(&cluster.api().pod(name)?, "status.podIP").to_owned())
}

fn pods_have_addresses(cluster: &Cluster) -> Result<()> {
    let one = address(cluster, "one")?;
    ensure!(fetch(cluster, "client", &format!("{one}:8080"))? == "one", "from pod to pod");
    ensure!(fetch(cluster, "one", &format!("{one}:8080"))? == "one", "from a pod to itself by its address");
    ensure!(fetch(cluster, "on-host", &format!("{one}:8080"))? == "one", "from a pod of the host's network");
    ensure!(cluster.http_get(&one, 8080)?.trim() == "one", "from the host");
    let node = address(cluster, "on-host")?;
    let listener = cluster.namespace.run(|| std::net::TcpListener::bind((node.as_str(), 9000)))??;
    let script = format!("nc -w 3 {node} 9000 </dev/null");
    let mut client = cluster.setpoint(["exec", "client", "--", "sh", "-c", &script]).start()?;
    let (mut stream, peer) = listener.accept()?;
    std::io::Write::write_all(&mut stream, b"from the host\n")?;
    drop(stream);
    client.line("the host's words", |line| line == "from the host")?;
    ensure!(peer.ip().to_string() == address(cluster, "client")?, "the host sees the pod's own address, not {peer}");
    ensure!(cluster.shell("client", "cat /etc/hosts")?.contains("\tclient"));
    Ok(())
}

fn a_service_spreads_requests(cluster: &Cluster) -> Result<String> {
    cluster.apply(&service("web", "server", 80, 8080))?;
    let mut named = service("named", "server", 81, 8080);
    named["spec"]["ports"][0]["targetPort"] = "web".into();
    cluster.apply(&named)?;
    let of = |name: &str| -> Result<String> {
        let object = cluster.api().get(&format!("/api/v1/namespaces/default/services/{name}"))?;
        Ok(text(&object, "spec.clusterIP").to_owned())
    };
    let (web, named) = (of("web")?, of("named")?);
    ensure!(web != named);
    eventually("both pods are endpoints", || Ok((endpoints(cluster, "web")?.len() == 2).then_some(())))?;
    for from in ["client", "one", "on-host"] {
        eventually(&format!("{from} reaches the service"), || Ok(Some(fetch(cluster, from, &web)?)))?;
    }
    ensure!(["one", "two"].contains(&fetch(cluster, "client", &format!("{named}:81"))?.as_str()), "a named port");
    let answers = (0..40).map(|_| cluster.http_get(&web, 80)).collect::<Result<Vec<_>>>()?;
    for name in ["one", "two"] {
        ensure!(answers.iter().any(|answer| answer.trim() == name), "{name} gets no request: {answers:?}");
    }
    // A pod that is its own service's endpoint reaches itself, too.
    let script = format!("for i in $(seq 20); do timeout 5 wget -qO- http://{web}/ || echo failed; done | sort -u");
    ensure!(cluster.shell("one", &script)? == "one\ntwo");
    Ok(web)
}

fn endpoints(cluster: &Cluster, service: &str) -> Result<Vec<String>> {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{service}"
    );
    let slices = cluster.api().items(&path)?;
    let all = slices.iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
    Ok(all.filter(|one| one["conditions"]["ready"] == true).map(|one| text(&one, "addresses.0").to_owned()).collect())
}

fn endpoints_follow_readiness(cluster: &Cluster, web: &str) -> Result<()> {
    let (one, two) = (address(cluster, "one")?, address(cluster, "two")?);
    cluster.shell("one", "rm /tmp/www/ready")?;
    eventually("one is no endpoint", || Ok((endpoints(cluster, "web")? == [two.clone()]).then_some(())))?;
    let old = cluster.api().get("/api/v1/namespaces/default/endpoints/web")?;
    ensure!(text(&old, "subsets.0.notReadyAddresses.0.ip") == one, "{old}");
    eventually("the rules follow", || {
        let answers = (0..10).map(|_| cluster.http_get(web, 80)).collect::<Result<Vec<_>>>()?;
        Ok(answers.iter().all(|answer| answer.trim() == "two").then_some(()))
    })?;
    cluster.shell("two", "rm /tmp/www/ready")?;
    eventually("there are no endpoints", || Ok(endpoints(cluster, "web")?.is_empty().then_some(())))?;
    eventually("a service without endpoints refuses", || {
        let error = cluster.http_get(web, 80).err().context("it answers")?;
        Ok(format!("{error:#}").contains("refused").then_some(()))
    })?;
    let refused = cluster.setpoint(["exec", "client", "--", "timeout", "5", "wget", "-qO-", &format!("http://{web}/")]);
    let refused = refused.run()?;
    ensure!(refused.stderr.contains("Connection refused"), "{refused}");
    for name in ["one", "two"] {
        cluster.shell(name, "touch /tmp/www/ready")?;
        cluster.api().pod_ready(name)?;
    }
    eventually("it answers again", || Ok(cluster.http_get(web, 80).ok()))?;
    Ok(())
}

fn changes_of_the_service_take_effect(cluster: &Cluster, web: &str) -> Result<()> {
    let api = cluster.api();
    let path = "/api/v1/namespaces/default/services/web";
    api.patch(path, &json!({"spec": {"ports": [{"port": 8081, "targetPort": 8080}]}}))?;
    eventually("the new port answers", || Ok(cluster.http_get(web, 8081).ok()))?;
    eventually("the old port does not", || Ok(cluster.http_get(web, 80).err()))?;
    cluster.kubectl(["delete", "pod", "one"]).ok()?;
    eventually("a deleted pod is no endpoint", || Ok((endpoints(cluster, "web")?.len() == 1).then_some(())))?;
    ensure!(cluster.http_get(web, 8081)?.trim() == "two");
    let (code, answer) = api.request("PATCH", path, Some(&json!({"spec": {"clusterIP": "10.1.2.3"}})))?;
    ensure!(code == 422 && text(&answer, "message").contains("may not change once set"), "{answer}");
    cluster.kubectl(["delete", "service", "web"]).ok()?;
    eventually("a deleted service does not answer", || Ok(cluster.http_get(web, 8081).err()))?;
    eventually("its slices are gone", || Ok(endpoints(cluster, "web")?.is_empty().then_some(())))?;
    let kubernetes = api.get("/api/v1/namespaces/default/services/kubernetes")?;
    let first = text(&kubernetes, "spec.clusterIP");
    ensure!(first.ends_with(".0.1") && at(&kubernetes, "spec.ports.0.port") == 443, "{kubernetes}");
    let reachable = cluster.shell("client", &format!("nc -w 3 {first} 443 </dev/null && echo open"))?;
    ensure!(reachable == "open", "the API server's own Service: {reachable}");
    Ok(())
}
