//! Against the kernel, in a network namespace of the test's own.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::rules::{RuleSet, Rules};

/// Runs in a new network namespace with `lo` up and the addresses that the test serves on. `None` without the privilege.
fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            // SAFETY: only this thread, which ends with the test, changes its namespace.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                tracing::warn!("skipped: a network namespace needs root");
                return None;
            }
            for arguments in [
                "link set lo up",
                "addr add 10.77.0.1/32 dev lo",
                "addr add 10.77.0.2/32 dev lo",
                "route add 10.96.0.0/16 dev lo",
            ] {
                let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
                assert!(status.success(), "ip {arguments}");
            }
            Some(test())
        });
        run.join().unwrap()
    })
}

/// Answers each connection with its name.
fn serve(address: &str, name: u8) -> Backend {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let SocketAddr::V4(local) = listener.local_addr().unwrap() else { unreachable!("bound to IPv4") };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), &[name]);
        }
    });
    Backend { address: *local.ip(), port: local.port() }
}

/// The backends that answer at an address over some connections; `None` when it is refused.
fn answers(address: &str) -> Option<BTreeSet<u8>> {
    let mut seen = BTreeSet::new();
    for _ in 0..40 {
        let mut stream = match TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(2)) {
            Ok(stream) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return None,
            Err(error) => panic!("connect to {address}: {error}"),
        };
        let mut name = [0];
        stream.read_exact(&mut name).unwrap();
        seen.insert(name[0]);
    }
    Some(seen)
}

fn pods() -> PodNetwork {
    PodNetwork { cluster: (Ipv4Addr::new(10, 77, 0, 0), 16), bridge: "br-test".into(), guests: None }
}

#[test]
fn connections_go_where_the_rules_say() {
    let checked = in_namespace(|| {
        let (a, b) = (serve("10.77.0.1", b'a'), serve("10.77.0.2", b'b'));
        let front = |last| Frontend::Address { address: [10, 96, 0, last].into(), protocol: Protocol::Tcp, port: 80 };
        let node = Frontend::NodePort { protocol: Protocol::Tcp, port: 30080 };
        let to = |backends: &[Backend]| Rule { backends: backends.to_vec(), ..Rule::default() };
        let mut rules = RuleSet::default();
        let mut table = Table::open("setpoint_test").unwrap();
        rules.replace("x", Rules::from([(front(1), to(&[a, b])), (front(2), to(&[b])), (front(3), to(&[]))]));
        table.replace(&pods(), &rules.all()).unwrap();
        let set = |names: &str| Some(names.bytes().collect::<BTreeSet<u8>>());
        assert_eq!(answers("10.96.0.1:80"), set("ab"));
        assert_eq!(answers("10.96.0.2:80"), set("b"));
        assert_eq!(answers("10.96.0.3:80"), None, "no backend: refused at once");

        let sticky = Rule { affinity: true, ..to(&[a, b]) };
        let outside = Rule { masquerade: true, ..to(&[a]) };
        let changes = rules.replace("x", Rules::from([(front(1), sticky), (front(3), to(&[a])), (node, outside)]));
        table.apply(&changes).unwrap();
        assert_eq!(answers("10.96.0.1:80").unwrap().len(), 1, "affinity keeps to one");
        assert_eq!(answers("10.96.0.3:80"), set("a"));
        assert_eq!(answers("10.77.0.2:30080"), set("a"), "node port on a local address");

        let changes = rules.replace("x", Rules::from([(front(1), to(&[]))]));
        table.apply(&changes).unwrap();
        assert_eq!(answers("10.96.0.1:80"), None);
        assert!(table.uses.is_empty());
        table.replace(&pods(), &rules.all()).unwrap();
        table.remove().unwrap();
        table.remove().unwrap();
    });
    if checked.is_none() {
        tracing::warn!("nothing was checked");
    }
}

#[test]
fn thousands_of_services_fit_in_one_transaction() {
    in_namespace(|| {
        let mut rules = RuleSet::default();
        for number in 0..3_000u16 {
            let [high, low] = number.to_be_bytes();
            let frontend = Frontend::Address { address: [10, 96, high, low].into(), protocol: Protocol::Udp, port: 53 };
            let backends = (1..=3).map(|last| Backend { address: [10, 77, low, last].into(), port: 5353 }).collect();
            rules.replace(&format!("s/{number}"), Rules::from([(frontend, Rule { backends, ..Rule::default() })]));
        }
        let mut table = Table::open("setpoint_many").unwrap();
        table.replace(&pods(), &rules.all()).unwrap();
        let changes = rules.replace("s/77", Rules::new());
        table.apply(&changes).unwrap();
        table.remove().unwrap();
    });
}

#[test]
fn a_refused_transaction_changes_nothing_and_says_what() {
    in_namespace(|| {
        let mut table = Table::open("setpoint_refused").unwrap();
        let frontend = Frontend::NodePort { protocol: Protocol::Tcp, port: 1 };
        let rule = Rule { backends: vec![Backend { address: [10, 77, 0, 1].into(), port: 1 }], ..Rule::default() };
        let changes = Changes { removed: vec![], set: vec![(frontend, None, rule)] };
        let error = table.apply(&changes).unwrap_err().to_string();
        assert!(error.contains("change nftables"), "{error}");
        assert!(table.uses.is_empty());
    });
}
