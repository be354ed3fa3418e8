//! `port-forward`: connections to this machine go on to ports of a pod.

use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::pods;
use crate::output;
use crate::resources::Resource;
use crate::session::{Connection, Session};

#[derive(Debug, clap::Args)]
pub struct PortForward {
    /// A pod, or an object that has pods: `web-0`, `svc/web`, `deployment/web`
    what: String,
    /// `8080:80` makes port 80 of the pod port 8080 of this machine; `:80` takes a free one, `80` the same. A port may have a name
    #[arg(required = true)]
    ports: Vec<String>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
}

impl PortForward {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        let meant = pods::meant(&session, &self.what).await?;
        let pod_name = meant.name().to_owned();
        let pods::Meant { pod, resource, object } = meant;
        let api: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
        let mut listeners = Vec::new();
        for words in &self.ports {
            let (local, remote) = split(words)?;
            let remote = remote_port(&resource, &object, &pod, remote)?;
            let local = match local {
                "" if words.starts_with(':') => 0,
                "" => remote,
                local => local.parse().with_context(|| format!("{local:?} is no port of this machine"))?,
            };
            let listener = TcpListener::bind((self.address, local)).await;
            let listener = listener.with_context(|| format!("listen on {}:{local}", self.address))?;
            output::line(format_args!("Forwarding from {} -> {remote}", listener.local_addr()?));
            listeners.push((listener, remote));
        }
        let serve = listeners.into_iter().map(|(listener, port)| serve(listener, api.clone(), pod_name.clone(), port));
        futures::future::try_join_all(serve).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Local and remote port of `LOCAL:REMOTE`, `:REMOTE` or `REMOTE`.
fn split(words: &str) -> Result<(&str, &str)> {
    match words.split_once(':').unwrap_or(("", words)) {
        (_, "") => bail!("{words:?} names no port of the pod"),
        (_, remote) if remote.contains(':') => bail!("{words:?} has more than two ports"),
        ports => Ok(ports),
    }
}

/// The number of a pod's port: by name, or by the port of a Service that leads to it.
fn remote_port(resource: &Resource, object: &Value, pod: &Value, words: &str) -> Result<u16> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let ports = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let of_container = |name: &str| {
        let containers = ports(&pod["spec"]["containers"]);
        let all: Vec<Value> = containers.iter().flat_map(|container| ports(&container["ports"])).collect();
        all.iter().find(|port| port["name"] == name).and_then(|port| number(&port["containerPort"]))
    };
    let wanted = words.parse::<u16>().ok().filter(|port| *port > 0);
    if resource.plural != "services" {
        return wanted.or_else(|| of_container(words)).with_context(|| format!("the pod has no port {words:?}"));
    }
    let all = ports(&object["spec"]["ports"]);
    let found = all.iter().find(|port| port["name"] == words || wanted.is_some() && number(&port["port"]) == wanted);
    let port = found.with_context(|| format!("the service has no port {words:?}"))?;
    let target = match &port["targetPort"] {
        Value::String(name) => of_container(name),
        target => number(target).or_else(|| number(&port["port"])),
    };
    target.with_context(|| format!("port {words:?} of the service leads to no port of the pod"))
}

/// Until the program ends. An error of one connection is told, and others go on.
async fn serve(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16) -> Result<()> {
    loop {
        let (connection, _) = listener.accept().await.context("accept a connection")?;
        let (pods, pod) = (pods.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(error) = forward(connection, &pods, &pod, port).await {
                output::note(format_args!("an error occurred forwarding to port {port}: {error:#}"));
            }
        });
    }
}

async fn forward(mut connection: TcpStream, pods: &Api<Pod>, pod: &str, port: u16) -> Result<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await.context("reach the pod")?;
    let error = forwarder.take_error(port).context("no channel for errors")?;
    let mut stream = forwarder.take_stream(port).context("no channel for data")?;
    let copied = tokio::io::copy_bidirectional(&mut connection, &mut stream).await;
    drop(stream);
    if let Some(error) = error.await {
        bail!("{error}");
    }
    // A connection that was reset by either end is over, too.
    copied.map(drop).or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_named_or_numbered() {
        assert_eq!(split("8080:80").unwrap(), ("8080", "80"));
        assert_eq!(split(":http").unwrap(), ("", "http"));
        assert_eq!(split("80").unwrap(), ("", "80"));
        assert!(split("8080:").is_err() && split("").is_err() && split("1:2:3").is_err());
        let resource = |plural: &str| Resource { plural: plural.to_owned(), ..Resource::default() };
        let pod = json!({"spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]}});
        let service = json!({"spec": {"ports": [
            {"name": "a", "port": 80, "targetPort": "web"}, {"port": 81, "targetPort": 9}, {"port": 82},
            {"port": 83, "targetPort": "none"},
        ]}});
        let table = [
            ("pods", "80", Some(80)),
            ("pods", "web", Some(8080)),
            ("pods", "none", None),
            ("services", "80", Some(8080)),
            ("services", "a", Some(8080)),
            ("services", "81", Some(9)),
            ("services", "82", Some(82)),
            ("services", "83", None),
            ("services", "8080", None),
        ];
        for (plural, words, expected) in table {
            assert_eq!(remote_port(&resource(plural), &service, &pod, words).ok(), expected, "{plural} {words}");
        }
    }
}
