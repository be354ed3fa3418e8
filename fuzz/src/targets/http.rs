//! Connections: raw bytes, which hold requests in turn, through the server's front door as a client's whose certificate is an
//! administrator's.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use apiserver::front::pki::{self, Authority, ClientCertificate};
use apiserver::front::serve::{Front, converse};
use apiserver::front::tokens::ServiceAccountTokens;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Target, split};
use crate::server::{self, Server};

pub const TARGET: Target = Target {
    name: "http",
    run,
    header: 1,
    tree: None,
    words: &[
        "GET ",
        "POST ",
        "PUT ",
        "PATCH ",
        "DELETE ",
        "HEAD ",
        "OPTIONS ",
        "CONNECT ",
        " HTTP/1.1\r\n",
        "\r\n",
        "\r\n\r\n",
        "/api/v1/namespaces/default/",
        "pods",
        "configmaps",
        "services",
        "events",
        "/apis/apps/v1/",
        "deployments",
        "/scale",
        "/status",
        "/log",
        "/exec",
        "/proxy/",
        "/eviction",
        "/binding",
        "/token",
        "/api",
        "/apis",
        "/openapi/v2",
        "/openapi/v3",
        "/healthz?verbose",
        "/metrics",
        "/version",
        "?watch=1",
        "&resourceVersion=",
        "&resourceVersionMatch=Exact",
        "&limit=1",
        "&continue=",
        "&labelSelector=a%3Db",
        "&fieldSelector=metadata.name%3Da",
        "&timeoutSeconds=1",
        "&dryRun=All",
        "&fieldManager=m",
        "&force=true",
        "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "&allowWatchBookmarks=true",
        "&pretty=true",
        "Host: a\r\n",
        "Content-Type: application/json\r\n",
        "Content-Type: application/yaml\r\n",
        "Content-Type: application/apply-patch+yaml\r\n",
        "Content-Type: application/merge-patch+json\r\n",
        "Content-Type: application/json-patch+json\r\n",
        "Content-Type: application/strategic-merge-patch+json\r\n",
        "Content-Type: application/vnd.kubernetes.protobuf\r\n",
        "Accept: application/json;as=Table;g=meta.k8s.io;v=v1\r\n",
        "Accept: application/vnd.kubernetes.protobuf;q=0.5,*/*\r\n",
        "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1\r\n",
        "Accept-Encoding: gzip\r\n",
        "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: ",
        "Authorization: Bearer ",
        "Impersonate-User: a\r\n",
        "Impersonate-Group: g\r\n",
        "Impersonate-Extra-a: b\r\n",
        "Upgrade: SPDY/3.1\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        "If-None-Match: \"a\"\r\n",
        "Expect: 100-continue\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "%2F",
        "%00",
        "..",
        "//",
        "{\"metadata\":{\"name\":\"a\"}}",
    ],
};

/// Turns of the runtime in which nothing comes: nothing will.
const QUIET: usize = 100;
/// Watches and large lists go on; so much is read.
const ENOUGH: usize = 4 << 20;
/// Bits of the first byte: the client hangs up when it has sent everything; it shows no certificate.
const HANGS_UP: u8 = 1;
const NOBODY: u8 = 2;

fn run(data: &[u8]) {
    let Some(([form], bytes)) = split(data) else { return };
    server::with(|server| {
        let front = front(server);
        let read = server.runtime.block_on(async {
            let (mut client, end) = tokio::io::duplex(64 << 10);
            let chain = if form & NOBODY == 0 { &IDENTITIES.administrator[..] } else { &[] };
            let connection = tokio::spawn(converse(front, end, chain, IpAddr::V4(Ipv4Addr::LOCALHOST)));
            let read = exchange(&mut client, bytes, form & HANGS_UP != 0).await;
            drop(client);
            connection.abort();
            match connection.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => read,
            }
        });
        answers(&read);
        true
    });
}

/// Sends everything and reads what comes.
async fn exchange(client: &mut DuplexStream, bytes: &[u8], hangs_up: bool) -> Vec<u8> {
    let mut read = Vec::new();
    let (mut sent, mut quiet) = (0, 0);
    let mut buffer = vec![0; 16 << 10];
    while quiet < QUIET && read.len() < ENOUGH {
        quiet += 1;
        tokio::select! {
            biased;
            count = client.read(&mut buffer) => match count {
                Ok(count) if count > 0 => {
                    read.extend_from_slice(&buffer[..count]);
                    quiet = 0;
                }
                _ => break,
            },
            () = std::future::ready(()) => {}
        }
        if sent < bytes.len() {
            tokio::select! {
                biased;
                count = client.write(&bytes[sent..]) => {
                    let Ok(count) = count else { break };
                    sent += count;
                    quiet = 0;
                }
                () = std::future::ready(()) => {}
            }
        } else if hangs_up {
            break;
        }
        tokio::task::yield_now().await;
    }
    read
}

/// The first answer is one of HTTP; what fails inside is nothing that a client can bring about.
fn answers(read: &[u8]) {
    let Some(line) = read.split(|byte| *byte == b'\r').next().filter(|line| !line.is_empty()) else { return };
    if !line.starts_with(b"HTTP/1") {
        return;
    }
    let text = String::from_utf8_lossy(read);
    assert!(!text.contains(r#""reason":"InternalError""#), "{text}");
}

/// The server's identity, and an administrator's certificate.
struct Identities {
    tokens: Arc<ServiceAccountTokens>,
    tls: Arc<rustls::ServerConfig>,
    administrator: Vec<CertificateDer<'static>>,
}

static IDENTITIES: LazyLock<Identities> = LazyLock::new(|| {
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    let authority = Authority::create("fuzz", now).expect("an authority");
    let certificate = authority.certificate();
    let tls = pki::server_config(authority.identity(), certificate, ClientCertificate::Optional, &["http/1.1"]);
    let request = pki::Request { common_name: "fuzz", organizations: &["system:masters"], ..pki::Request::default() };
    let administrator = authority.issue(&request, now).expect("a certificate");
    let tokens = ServiceAccountTokens::new(&authority.identity().key, "https://fuzz.example.com");
    Identities {
        tokens: Arc::new(tokens.expect("the key of an authority is of the kind of tokens")),
        tls: Arc::new(tls.expect("a configuration")),
        administrator: vec![CertificateDer::from_pem_slice(administrator.certificate.as_bytes()).expect("PEM")],
    }
});

fn front(server: &Server) -> Arc<Front> {
    Arc::new(Front {
        server: Arc::new(server.api.clone()),
        tokens: IDENTITIES.tokens.clone(),
        tls: IDENTITIES.tls.clone(),
        proxies: None,
    })
}
