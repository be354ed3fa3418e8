//! Two API servers on one etcd: the same watch from either, whichever of them dies, and one leader at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::cluster::with_place;
use e2e::{Api, Cluster, eventually, within};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};
use store::Store;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const RESTARTS: usize = 20;
/// The last object of the writer.
const END: &str = "the-end";

/// A `setpoint server` that may be killed and started again.
struct Server<'c> {
    cluster: &'c Cluster,
    number: u8,
    endpoint: String,
    process: Option<Child>,
}

impl<'c> Server<'c> {
    /// Started, and answering.
    fn new(cluster: &'c Cluster, number: u8, endpoint: &str) -> Result<Self> {
        let mut server = Self { cluster, number, endpoint: endpoint.to_owned(), process: None };
        server.start()?;
        Ok(server)
    }

    fn data_dir(&self) -> PathBuf {
        self.cluster.folder().join(format!("server-{}", self.number))
    }

    fn log(&self) -> PathBuf {
        self.cluster.folder().join(format!("server-{}.log", self.number))
    }

    fn start(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log())?;
        let program = self.cluster.home_setpoint(["server"]).args([
            "--data-dir",
            &self.data_dir().to_string_lossy(),
            "--etcd-endpoints",
            &self.endpoint,
            "--advertise-address",
            &address(self.number),
            "--api-port",
            &(7000 + u16::from(self.number)).to_string(),
            "--leader-elect-lease-duration",
            "3",
        ]);
        let mut command = program.env("SETPOINT_LOG", "warn,reconcile=info").into_command();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn().context("start a server")?);
        self.ready()
    }

    fn ready(&mut self) -> Result<()> {
        eventually("the server is ready", || {
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("it ended with {status}: {}", fs::read_to_string(self.log())?);
            }
            Ok((self.api()?.request("GET", "/readyz", None)?.0 == 200).then_some(()))
        })
    }

    fn api(&self) -> Result<Api> {
        Api::new(&self.data_dir().join("kubeconfig"), &self.cluster.namespace)
    }

    fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it runs")?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// As a supervisor ends it.
    fn terminate(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it runs")?;
        let pid = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        ensure!(e2e::command::wait(&mut process, Duration::from_secs(20))?.is_some(), "it does not end");
        Ok(())
    }

    /// How often it said that it leads a component.
    fn leads(&self, component: &str) -> Result<usize> {
        let log = fs::read_to_string(self.log())?;
        Ok(log.lines().filter(|line| line.contains("leading") && line.contains(component)).count())
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn address(number: u8) -> String {
    format!("10.99.0.{number}")
}

/// Two servers on an etcd in the cluster's namespace.
fn with_servers(test: impl for<'c> FnOnce(Server<'c>, Server<'c>) -> Result<()>) -> Result<()> {
    with_place(|place| {
        let Some(endpoint) = place.start_etcd()? else { return Ok(()) };
        for number in [1, 2] {
            let address = format!("{}/32", address(number));
            place.program("ip").args(["address", "add", &address, "dev", "lo"]).ok()?;
        }
        let one = Server::new(place, 1, &endpoint)?;
        let other = Server::new(place, 2, &endpoint)?;
        let logs = [one.log(), other.log()];
        test(one, other).with_context(|| {
            let last = logs.iter().map(|log| {
                let text = fs::read_to_string(log).unwrap_or_default();
                text.lines().rev().take(30).map(|line| format!("{line}\n")).collect::<String>()
            });
            format!("the servers' logs, newest lines first:\n{}", last.collect::<Vec<_>>().join("---\n"))
        })
    })
}

/// What a watcher saw, or history says: type, name, revision.
type Seen = (String, String, u64);

#[test]
fn watches_go_on_at_another_server_without_a_lost_or_repeated_event() -> Result<()> {
    with_servers(|mut one, mut other| {
        let version = one.api()?.get(MAPS)?["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let start: u64 = version.parse()?;
        let done = AtomicBool::new(false);
        let (seen, written) = thread::scope(|scope| -> Result<_> {
            let paths = [one.data_dir(), other.data_dir()].map(|folder| folder.join("kubeconfig"));
            let namespace = &one.cluster.namespace;
            let apis =
                || -> Result<[Api; 2]> { Ok([Api::new(&paths[0], namespace)?, Api::new(&paths[1], namespace)?]) };
            let (ours, theirs, writers) = (apis()?, apis()?, apis()?);
            let first = scope.spawn(move || follow(&ours, 0, start));
            let second = scope.spawn(move || follow(&theirs, 1, start));
            let done = &done;
            let writer = scope.spawn(move || write(&writers, done));
            let killed = (0..RESTARTS).try_for_each(|round| {
                let server = if round % 2 == 0 { &mut one } else { &mut other };
                server.kill()?;
                server.start()
            });
            done.store(true, Ordering::SeqCst);
            let written = writer.join().expect("the writer does not panic");
            let followed = [first, second].map(|watch| watch.join().expect("the watcher does not panic"));
            killed?;
            let [first, second] = followed;
            Ok(([first?, second?], written?))
        })?;
        let history = history(one.cluster, &one.endpoint, start)?;
        ensure!(written > RESTARTS, "the writer wrote {written} times only");
        for (number, seen) in seen.iter().enumerate() {
            let wrong = seen.iter().zip(&history).find(|(seen, happened)| seen != happened);
            ensure!(wrong.is_none(), "watcher {number} saw {wrong:?}");
            ensure!(seen.len() == history.len(), "watcher {number} saw {} of {} events", seen.len(), history.len());
        }
        Ok(())
    })
}

/// Creates, changes and deletes at whichever server answers, until it is done. How much was acknowledged.
fn write(servers: &[Api; 2], done: &AtomicBool) -> Result<usize> {
    let (mut written, mut number) = (0, 0_usize);
    let send = |method: &str, path: &str, body: Option<&Value>| {
        servers.iter().any(|server| server.request(method, path, body).is_ok_and(|(code, _)| code < 300))
    };
    while !done.load(Ordering::SeqCst) {
        let name = format!("m{}", number % 7);
        let path = format!("{MAPS}/{name}");
        let object = json!({"metadata": {"name": name}, "data": {"n": number.to_string()}});
        let patch = json!({"data": {"n": number.to_string()}});
        written += usize::from(match number % 5 {
            0 => send("DELETE", &path, None),
            1 | 3 => send("PATCH", &path, Some(&patch)),
            _ => send("POST", MAPS, Some(&object)),
        });
        number += 1;
        thread::sleep(Duration::from_millis(5));
    }
    let last = json!({"metadata": {"name": END}});
    // Refused, too, when an earlier attempt was not answered and succeeded.
    eventually("the last object is written", || {
        let there =
            |server: &Api| server.request("GET", &format!("{MAPS}/{END}"), None).is_ok_and(|(code, _)| code == 200);
        Ok((send("POST", MAPS, Some(&last)) || servers.iter().any(there)).then_some(()))
    })?;
    Ok(written)
}

/// Watches until the last object, from `at` on at the other server whenever the watch ends.
fn follow(servers: &[Api; 2], mut at: usize, start: u64) -> Result<Vec<Seen>> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut version = start;
    let deadline = Instant::now() + Duration::from_secs(180);
    while seen.last().is_none_or(|(_, name, _)| name != END) {
        ensure!(Instant::now() < deadline, "the last object does not come after {version}, {} events", seen.len());
        let more = servers[at].run(|client| watch(client, version))?;
        version = more.last().map_or(version, |(_, _, revision)| *revision);
        seen.extend(more);
        at = 1 - at;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(seen)
}

/// Events after `version` until the watch breaks, or the last object.
///
/// # Errors
/// The server says that it does not know any more.
async fn watch(client: kube::Client, version: u64) -> Result<Vec<Seen>> {
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(client, "default");
    let mut seen = Vec::new();
    let Ok(events) = maps.watch(&WatchParams::default(), &version.to_string()).await else { return Ok(seen) };
    let mut events = std::pin::pin!(events);
    while let Some(Ok(event)) = events.next().await {
        let (kind, map) = match event {
            WatchEvent::Added(map) => ("ADDED", map),
            WatchEvent::Modified(map) => ("MODIFIED", map),
            WatchEvent::Deleted(map) => ("DELETED", map),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(status) => bail!("the watch from {version} ended: {status:?}"),
        };
        let name = map.metadata.name.unwrap_or_default();
        let last = name == END;
        seen.push((kind.to_owned(), name, map.metadata.resource_version.unwrap_or_default().parse()?));
        if last {
            break;
        }
    }
    Ok(seen)
}

/// What etcd itself says that happened, up to the last object.
fn history(cluster: &Cluster, endpoint: &str, start: u64) -> Result<Vec<Seen>> {
    cluster.namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let options = store::EtcdOptions { endpoints: vec![endpoint.to_owned()], tls: None };
            let etcd = store::Etcd::connect(&options).await?;
            let prefix = "/registry/core/configmaps/default/";
            let mut events = etcd.watch(store::Range::prefix(prefix), store::Revision(start)).await?;
            let mut happened: Vec<Seen> = Vec::new();
            while happened.last().is_none_or(|(_, name, _)| name != END) {
                let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await?;
                let event = event.context("etcd's history ended")??;
                let kind = match (&event.previous, &event.current) {
                    (None, _) => "ADDED",
                    (Some(_), Some(_)) => "MODIFIED",
                    (Some(_), None) => "DELETED",
                };
                let name = String::from_utf8(event.key[prefix.len()..].to_vec())?;
                happened.push((kind.to_owned(), name, event.revision.0));
            }
            Ok(happened)
        })
    })?
}

const COMPONENTS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

#[test]
fn one_server_leads_and_another_takes_over() -> Result<()> {
    with_servers(|mut one, mut other| {
        for component in COMPONENTS {
            eventually("somebody leads", || Ok((one.leads(component)? + other.leads(component)? > 0).then_some(())))?;
        }
        works(&other, "first")?;
        // Longer than a lease: the other one would have taken it if it could.
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            for component in COMPONENTS {
                let leaders = one.leads(component)? + other.leads(component)?;
                ensure!(leaders == 1, "{leaders} lead {component}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        // The one that leads the controllers dies, and the other takes over what it led.
        let leads = |server: &Server| server.leads(COMPONENTS[0]);
        if leads(&one)? == 0 {
            std::mem::swap(&mut one, &mut other);
        }
        one.kill()?;
        within(Duration::from_secs(20), "the other one leads", || Ok((leads(&other)? == 1).then_some(())))?;
        works(&other, "second")?;
        // One that is told to end gives the lead back at once.
        one.start()?;
        let before = leads(&one)?;
        other.terminate()?;
        within(Duration::from_secs(20), "it leads again", || Ok((leads(&one)? == before + 1).then_some(())))?;
        works(&one, "third")
    })
}

/// Controllers work: a ReplicaSet and its pods come from a Deployment.
fn works(server: &Server, name: &str) -> Result<()> {
    let api = server.api()?;
    let labels: BTreeMap<&str, &str> = BTreeMap::from([("app", name)]);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    api.create("/apis/apps/v1/namespaces/default/deployments", &deployment)?;
    eventually("the deployment has pods", || Ok((api.pods_of(name)?.len() == 2).then_some(())))
}
