//! What only etcd can get wrong: connections that break, members that end, TLS.

use std::net::{IpAddr, TcpListener};

use etcd_server::{Place, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use store::{Error, Etcd, EtcdOptions, EtcdTls, Expect, Range, Revision, Store};

use crate::support::{bytes, next, put, take, text, value, write};

async fn connect(endpoints: &[String]) -> Etcd {
    Etcd::connect(&EtcdOptions { endpoints: endpoints.to_vec(), tls: None }).await.expect("connect")
}

/// An endpoint where nobody listens.
fn nobody() -> String {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{closed}")
}

#[tokio::test]
async fn a_watch_goes_on_over_a_restart_of_etcd() {
    let Some(mut server) = Server::start().unwrap() else { return };
    let store = connect(&[server.endpoint()]).await;
    let base = store.revision().await.unwrap();
    let mut all = store.watch(Range::all(), base).await.unwrap();
    let mut quiet = store.watch(Range::prefix("quiet/"), base).await.unwrap();
    let mut first = put(&store, "a", "0").await;
    assert_eq!(next(&mut all).await.unwrap().revision.0, first);
    for round in 1..=3 {
        server.kill();
        server.resume().unwrap();
        let before = first;
        first = until_written(&store, "a", &round.to_string()).await;
        for revision in before + 1..=first {
            assert_eq!(next(&mut all).await.unwrap().revision.0, revision, "no event is lost or repeated");
        }
    }
    let written = put(&store, "quiet/a", "1").await;
    assert_eq!(next(&mut quiet).await.unwrap().revision.0, written);
}

/// Writes that may fail while etcd is away; a failed one may have taken place.
async fn until_written(store: &Etcd, key: &str, text: &str) -> u64 {
    loop {
        match write(store, key, value(text), Expect::Any).await {
            Ok(revision) => return revision.0,
            Err(Error::Unavailable(_)) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_watch_that_a_compaction_overtook_while_etcd_was_away_is_told() {
    let Some(mut server) = Server::start().unwrap() else { return };
    let store = connect(&[server.endpoint()]).await;
    let start = store.revision().await.unwrap();
    let mut watch = store.watch(Range::prefix("a/"), start).await.unwrap();
    let first = put(&store, "a/1", "1").await;
    assert_eq!(next(&mut watch).await.unwrap().revision.0, first);
    put(&store, "other", "1").await;
    let last = put(&store, "other", "2").await;
    store.compact(Revision(last)).await.unwrap();
    server.kill();
    server.resume().unwrap();
    server.ready().unwrap();
    // Beginning again at a compacted revision is refused, never skipped over.
    let end = next(&mut watch).await;
    assert!(matches!(end, Err(Error::Compacted { oldest }) if oldest.0 == last), "{end:?}");
}

#[tokio::test]
async fn a_member_that_is_away_is_passed_over() {
    let Some(server) = Server::start().unwrap() else { return };
    let store = connect(&[nobody(), server.endpoint(), nobody()]).await;
    let mut watch = store.watch(Range::all(), store.revision().await.unwrap()).await.unwrap();
    let revision = put(&store, "a", "1").await;
    assert_eq!(next(&mut watch).await.unwrap().revision.0, revision);
}

/// A cluster of three, each of which ends and comes back in turn, while a watcher and a writer go on.
#[tokio::test]
async fn the_death_of_one_member_of_three_loses_nothing() {
    let Some(mut servers) = cluster() else { return };
    let endpoints: Vec<String> = servers.iter().map(Server::endpoint).collect();
    let store = connect(&endpoints).await;
    let base = store.revision().await.unwrap().0;
    let mut watch = store.watch(Range::all(), Revision(base)).await.unwrap();
    let mut seen = base;
    for (round, server) in servers.iter_mut().enumerate() {
        server.kill();
        let last = until_written(&store, "a", &round.to_string()).await;
        while seen < last {
            seen += 1;
            assert_eq!(next(&mut watch).await.unwrap().revision.0, seen);
        }
        assert_eq!(text(&store.get(bytes("a")).await.unwrap().unwrap().value), round.to_string());
        server.resume().unwrap();
        server.ready().unwrap();
    }
}

fn cluster() -> Option<Vec<Server>> {
    let mut places: Vec<Place> = (0..3).map(|_| Place::free().unwrap()).collect();
    let members: Vec<String> =
        places.iter().enumerate().map(|(number, place)| format!("m{number}=http://{}", place.peer)).collect();
    for (number, place) in places.iter_mut().enumerate() {
        let name = format!("m{number}");
        place.arguments = ["--name", &name, "--initial-cluster", &members.join(",")].map(str::to_owned).to_vec();
    }
    let mut servers = Vec::new();
    for place in places {
        servers.push(Server::prepare(place).unwrap()?);
    }
    servers.iter_mut().for_each(|server| server.resume().unwrap());
    servers.iter().for_each(|server| server.ready().unwrap());
    Some(servers)
}

#[tokio::test]
async fn etcd_and_its_client_know_each_other_by_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = authority();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let (certificate, key) = leaf(&issuer, ExtendedKeyUsagePurpose::ServerAuth);
    let mut place = Place::free().unwrap();
    place.tls = true;
    let files = [("--cert-file", certificate), ("--key-file", key), ("--trusted-ca-file", issuer.pem())];
    place.arguments = files.iter().flat_map(|(flag, text)| [(*flag).to_owned(), file(flag, text)]).collect();
    place.arguments.push("--client-cert-auth".to_owned());
    let Some(server) = Server::start_at(place).unwrap() else { return };

    let options = |tls: EtcdTls| EtcdOptions { endpoints: vec![server.endpoint()], tls: Some(tls) };
    let identity = leaf(&issuer, ExtendedKeyUsagePurpose::ClientAuth);
    let known = EtcdTls { authority: issuer.pem(), identity: Some(identity.clone()) };
    let store = Etcd::connect(&options(known)).await.unwrap();
    let mut watch = store.watch(Range::all(), store.revision().await.unwrap()).await.unwrap();
    put(&store, "a", "1").await;
    assert!(take(&mut watch, 1).await[0].ends_with("put a:  -> 1"));

    let strangers = [
        ("another CA", EtcdTls { authority: authority().pem(), identity: Some(identity) }),
        ("no certificate", EtcdTls { authority: issuer.pem(), identity: None }),
    ];
    let refused = strangers.map(|(name, tls)| {
        let options = options(tls);
        async move {
            let refused = Etcd::connect(&options).await.map(drop);
            assert!(matches!(refused, Err(Error::Open(_))), "{name}: {refused:?}");
        }
    });
    futures::future::join_all(refused).await;
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM.
fn leaf(issuer: &CertifiedIssuer<'static, KeyPair>, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.subject_alt_names.push(rcgen::SanType::IpAddress(IpAddr::from([127, 0, 0, 1])));
    parameters.extended_key_usages = vec![usage];
    (parameters.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}
