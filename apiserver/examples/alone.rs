//! An API server and nothing else, over the memory store, behind its real front door: what other programs compare with another
//! API server, or measure.
//!
//! `alone FOLDER ADDRESS:PORT [ADVERTISED:PORT [FEATURE-GATES RUNTIME-CONFIG]]`: writes `FOLDER/kubeconfig` (an administrator's) once it listens, and serves until it is killed. On
//! SIGUSR1 it forgets the history of its store.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use apiserver::features::Features;
use apiserver::front::pki::{self, Authority, ClientCertificate, Identity, Request};
use apiserver::front::serve::{Front, serve};
use apiserver::front::tokens::ServiceAccountTokens;
use apiserver::registry::Registry;
use apiserver::{ApiServer, Config};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error>;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: alone FOLDER ADDRESS:PORT [ADVERTISED:PORT [FEATURE-GATES RUNTIME-CONFIG]]".into());
    };
    let address: SocketAddr = address.parse()?;
    let now = Timestamp::now();
    let authority = Authority::create("alone-ca", now)?;
    let serving = Request {
        common_name: "kube-apiserver",
        names: &["localhost", "kubernetes.default.svc"],
        addresses: &[address.ip()],
        ..Request::default()
    };
    let serving = authority.issue(&serving, now)?;
    // As the administrator of the other server (`e2e::upstream`), with whose answers this one's are compared.
    let admin = Request { common_name: "admin", organizations: &["system:masters"], ..Request::default() };
    let admin = authority.issue(&admin, now)?;
    let signing = authority.issue(&Request { common_name: "tokens", ..Request::default() }, now)?;

    let random = SystemRandom::new();
    let random = move || {
        let mut bytes = [0; 8];
        random.fill(&mut bytes).map(|()| u64::from_ne_bytes(bytes)).unwrap_or_default()
    };
    let tokens = Arc::new(ServiceAccountTokens::new(&signing.key, ISSUER)?);
    let store = Arc::new(store::Memory::new());
    let mut config = Config::new(store.clone(), Arc::new(Timestamp::now), Arc::new(random));
    config.enforce_rbac();
    config.max_in_flight = Some(apiserver::flowcontrol::DEFAULT_SEATS);
    config.token_issuer = tokens.clone();
    if let Some(advertised) = arguments.next() {
        config.advertise = advertised.parse()?;
    }
    let (gates, served) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    config.features = Features::read(&gates, &served, &Registry::known())?;
    let server = Arc::new(ApiServer::new(config));
    let tls = pki::server_config(&serving, authority.certificate(), ClientCertificate::Optional, &["h2", "http/1.1"])?;
    let front = Arc::new(Front { server: server.clone(), tokens, tls: Arc::new(tls), proxies: None });
    let cancel = CancellationToken::new();
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(serve(front, listener, cancel.clone()));
    let asked = signal(SignalKind::user_defined1())?;
    tokio::spawn(compact(store, asked));
    let config = kubeconfig(address, authority.certificate(), &admin)?;
    // Whoever waits for the file must not find half of it.
    let path = Path::new(&folder).join("kubeconfig");
    std::fs::write(path.with_extension("new"), config)?;
    std::fs::rename(path.with_extension("new"), path)?;
    server.run_background(cancel).await;
    Ok(())
}

/// Each time that it is asked to: nothing before now can be read then.
async fn compact(store: Arc<store::Memory>, mut asked: Signal) {
    while asked.recv().await.is_some() {
        if let Ok(now) = store.revision().await
            && let Err(error) = store.compact(now).await
        {
            tracing::warn!(%error, "history is not compacted");
        }
    }
}

fn kubeconfig(address: SocketAddr, authority: &str, admin: &Identity) -> Result<String, Error> {
    let encode = |pem: &str| STANDARD.encode(pem);
    let mut text = String::new();
    writeln!(text, "apiVersion: v1\nkind: Config\ncurrent-context: alone")?;
    writeln!(text, "clusters: [{{name: alone, cluster: {{server: \"https://{address}\", ")?;
    writeln!(text, "  certificate-authority-data: {}}}}}]", encode(authority))?;
    writeln!(text, "users: [{{name: admin, user: {{client-certificate-data: {},", encode(&admin.certificate))?;
    writeln!(text, "  client-key-data: {}}}}}]", encode(&admin.key))?;
    writeln!(text, "contexts: [{{name: alone, context: {{cluster: alone, user: admin}}}}]")?;
    Ok(text)
}
