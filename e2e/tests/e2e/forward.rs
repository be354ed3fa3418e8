//! port-forward and attach, over WebSockets and over SPDY.

use std::thread;

use anyhow::{Context, Result, ensure};
use e2e::command::Running;
use e2e::objects::{pod, service};
use e2e::terminal::Terminal;
use e2e::{Cluster, Kubectl, with_cluster};
use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Of the page that is fetched: more than any buffer on the way.
const PAGE: usize = 300_000;

#[test]
fn every_kubectl_forwards_ports_and_attaches() -> Result<()> {
    with_cluster(|cluster| {
        // One port is open on the pod's localhost only.
        let web = format!(
            "mkdir /tmp/www; yes page | head -c {PAGE} >/tmp/www/index.html; httpd -p 127.0.0.1:8081 -h /tmp/www; \
             exec httpd -f -p 8080 -h /tmp/www"
        );
        cluster.api().create_pod(&pod("web", &web))?;
        cluster.api().create("/api/v1/namespaces/default/services", &service("web", "web", 80, 8080))?;
        cluster.api().pod_ready("web")?;
        let kubectls = cluster.kubectls();
        let kubectls: Vec<Kubectl> = kubectls.iter().flat_map(|it| [it.clone(), it.over_spdy()]).collect();
        for (index, kubectl) in kubectls.iter().enumerate() {
            let name = || format!("{}{}", kubectl.name, if kubectl.spdy { " over SPDY" } else { "" });
            forwards(cluster, kubectl).with_context(|| format!("port-forward with {}", name()))?;
            attaches(cluster, kubectl, index).with_context(|| format!("attach with {}", name()))?;
        }
        built_in_verbs(cluster)?;
        other_clients_forward(cluster)
    })
}

/// `setpoint port-forward` and `setpoint attach`.
fn built_in_verbs(cluster: &Cluster) -> Result<()> {
    let forward = |words: [&str; 2]| -> Result<(Running, u16)> {
        let mut running = cluster.setpoint(["port-forward"]).args(words).start()?;
        let line = running.line("a port", |line| line.starts_with("Forwarding from 127.0.0.1:"))?;
        let port =
            line.trim_start_matches("Forwarding from 127.0.0.1:").split(' ').next().unwrap_or_default().parse()?;
        Ok((running, port))
    };
    for words in [["web", ":8081"], ["svc/web", ":80"]] {
        let (_running, port) = forward(words)?;
        fetch(cluster, port)?;
    }
    let (mut closed, port) = forward(["pod/web", ":9"])?;
    ensure!(cluster.http_get("127.0.0.1", port).is_err(), "somebody listens on port 9");
    closed.line("the reason", |line| line.contains("failed to connect to localhost:9 inside the pod"))?;

    let mut echo = pod("echo", "read word; echo got $word");
    echo["spec"]["restartPolicy"] = "Never".into();
    (echo["spec"]["containers"][0]["stdin"], echo["spec"]["containers"][0]["stdinOnce"]) = (true.into(), true.into());
    cluster.api().create_pod(&echo)?;
    cluster.api().pod_ready("echo")?;
    ensure!(cluster.setpoint(["attach", "-i", "echo"]).input("it\n").ok()? == "got it\n");
    cluster.api().pod_phase("echo", "Succeeded").map(drop)
}

/// A forwarder, and the ports on this side.
fn start(cluster: &Cluster, kubectl: &Kubectl, target: &str, ports: &[&str]) -> Result<(Running, Vec<u16>)> {
    let mut running = cluster.with_kubectl(kubectl, ["port-forward", target]).args(ports).start()?;
    let mut local = Vec::new();
    for _ in ports {
        let line = running.line("a port", |line| line.starts_with("Forwarding from 127.0.0.1:"))?;
        let port = line.trim_start_matches("Forwarding from 127.0.0.1:").split(' ').next().unwrap_or_default();
        local.push(port.parse().with_context(|| line.clone())?);
    }
    Ok((running, local))
}

fn fetch(cluster: &Cluster, port: u16) -> Result<()> {
    let page = cluster.http_get("127.0.0.1", port)?;
    ensure!(page.len() == PAGE && page.starts_with("page\npage\n"), "{} bytes", page.len());
    Ok(())
}

fn forwards(cluster: &Cluster, kubectl: &Kubectl) -> Result<()> {
    let (_running, ports) = start(cluster, kubectl, "pod/web", &[":8080", ":8081"])?;
    for _ in 0..3 {
        ports.iter().try_for_each(|port| fetch(cluster, *port))?;
    }
    // Several at once over one connection.
    let namespace = &cluster.namespace;
    let port = ports[0];
    namespace.run(|| {
        thread::scope(|scope| {
            // Threads are born in the namespace of their parent.
            let fetches: Vec<_> = (0..8).map(|_| scope.spawn(move || get(port))).collect();
            fetches.into_iter().try_for_each(|fetch| {
                let length = fetch.join().ok().context("a client panicked")??;
                ensure!(length > PAGE, "{length} bytes");
                Ok(())
            })
        })
    })??;
    let (_service, ports) = start(cluster, kubectl, "svc/web", &[":80"])?;
    fetch(cluster, ports[0])?;

    let (mut closed, ports) = start(cluster, kubectl, "pod/web", &[":9"])?;
    ensure!(cluster.http_get("127.0.0.1", ports[0]).is_err(), "somebody listens on port 9");
    let line = closed.line("the reason", |line| line.contains("an error occurred forwarding"))?;
    ensure!(line.contains("failed to connect to localhost:9 inside the pod: Connection refused"), "{line}");
    let missing = cluster.with_kubectl(kubectl, ["port-forward", "pod/nobody", ":80"]).run()?;
    ensure!(missing.code == 1 && missing.stderr.contains("pods \"nobody\" not found"), "{missing}");
    Ok(())
}

/// How many bytes an HTTP server answers.
fn get(port: u16) -> Result<usize> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(e2e::wait::PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.len())
}

fn attaches(cluster: &Cluster, kubectl: &Kubectl, index: usize) -> Result<()> {
    let api = cluster.api();
    let name = |what: &str| format!("{what}-{index}");
    let with_input = |what: &str, script: &str, once: bool, tty: bool| {
        let mut object = pod(&name(what), script);
        object["spec"]["restartPolicy"] = "Never".into();
        let container = &mut object["spec"]["containers"][0];
        (container["stdin"], container["stdinOnce"], container["tty"]) = (true.into(), once.into(), tty.into());
        object
    };
    api.create_pod(&with_input("once", "read word; echo got $word; read word; echo then $word", true, false))?;
    api.create_pod(&with_input("shell", "sh; exit 3", false, true))?;
    api.create_pod(&pod(&name("count"), "i=0; while :; do i=$((i+1)); echo count $i; sleep 0.1; done"))?;
    for what in ["once", "shell", "count"] {
        api.pod_ready(&name(what))?;
    }
    let attached = cluster.with_kubectl(kubectl, ["attach", "-i", &name("once")]).input("one\ntwo\n").ok()?;
    ensure!(attached.contains("got one\n") && attached.contains("then two\n"), "{attached:?}");
    api.pod_phase(&name("once"), "Succeeded")?;

    let mut counting = cluster.with_kubectl(kubectl, ["attach", &name("count")]).start()?;
    counting.line("what is written from now on", |line| line.starts_with("count "))?;
    drop(counting);

    let mut terminal = Terminal::start(cluster.with_kubectl(kubectl, ["attach", "-it", &name("shell")]), 33, 77)?;
    terminal.type_text("echo alive-$((1+1))\r")?;
    terminal.see("alive-2")?;
    terminal.type_text("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo sized-$((2+2))\r")?;
    terminal.see("sized-4")?;
    terminal.type_text("exit\r")?;
    terminal.finish()?;
    let ended = api.pod_phase(&name("shell"), "Failed")?;
    ensure!(ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3, "{}", ended["status"]);
    for what in ["once", "shell", "count"] {
        api.delete(&format!("/api/v1/namespaces/default/pods/{}", name(what)))?;
    }
    Ok(())
}

/// The channel protocol, which kube-rs speaks.
fn other_clients_forward(cluster: &Cluster) -> Result<()> {
    cluster.api().run(|client| async move {
        let pods = kube::Api::<Pod>::namespaced(client, "default");
        let mut forwarder = pods.portforward("web", &[8081, 9]).await?;
        let mut stream = forwarder.take_stream(8081).context("a stream")?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        ensure!(answer.len() > PAGE && answer.ends_with(b"page\n"), "{} bytes", answer.len());
        let error = forwarder.take_error(9).context("an error channel")?.await.context("no error")?;
        ensure!(error.contains("failed to connect to localhost:9 inside the pod"), "{error}");
        Ok(())
    })
}
