//! In a network namespace of the test's own thread; skipped without root.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use super::*;
use crate::sys;

fn own_namespace(body: impl FnOnce() + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        eprintln_skip();
        return;
    }
    std::thread::spawn(|| {
        sys::unshare(libc::CLONE_NEWNET).expect("unshare");
        body();
    })
    .join()
    .expect("thread");
}

#[expect(clippy::print_stderr, reason = "says why a test did nothing")]
fn eprintln_skip() {
    eprintln!("skipped: needs root");
}

fn namespace() -> OwnedFd {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/proc/thread-self/ns/net", flags, rustix::fs::Mode::empty()).expect("ns")
}

#[test]
fn a_bridge_is_made_repaired_and_removed() {
    own_namespace(|| {
        let gateway: IpAddr = "10.99.0.1".parse().expect("ip");
        ensure_bridge("sptest0", gateway, 24, 1450).expect("make");
        ensure_bridge("sptest0", gateway, 24, 1400).expect("repair");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/conf/sptest0/route_localnet").expect("read"), "1\n");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("read"), "1\n");
        std::net::UdpSocket::bind((gateway, 0)).expect("the gateway is an address of this host");
        route_to_bridge("sptest0", "10.97.0.0".parse().expect("ip"), 16).expect("route");
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).expect("bind");
        socket.connect("10.97.1.2:1").expect("there is a route");
        assert_eq!(socket.local_addr().expect("address").ip(), gateway);
        let six: IpAddr = "fd00:99::1".parse().expect("ip");
        ensure_bridge("sptest0", six, 64, 1400).expect("second family");
        std::net::UdpSocket::bind((six, 0)).expect("usable at once");
        remove_bridge("sptest0").expect("remove");
        remove_bridge("sptest0").expect("remove again");
        assert!(!link_exists(&Netlink::open().expect("netlink"), "sptest0").expect("find"));
    });
}

#[test]
fn a_sandbox_reaches_the_gateway() {
    own_namespace(|| {
        let host = Netlink::open().expect("netlink");
        let gateway: IpAddr = "10.98.0.1".parse().expect("ip");
        ensure_bridge("sptest1", gateway, 24, 1500).expect("bridge");
        let listener = std::net::TcpListener::bind((gateway, 0)).expect("listen");
        let port = listener.local_addr().expect("address").port();
        std::thread::spawn(move || {
            sys::unshare(libc::CLONE_NEWNET).expect("unshare");
            let inside = Netlink::open().expect("netlink");
            loopback_up(&inside).expect("lo");
            let network = SandboxNetwork {
                bridge: "sptest1".into(),
                address: "10.98.0.7".parse().expect("ip"),
                // The gateway is outside of it, and reached all the same.
                prefix_len: 32,
                gateway,
                mtu: 1500,
            };
            connect_sandbox(&host, &inside, namespace().as_fd(), "pod-a", &network).expect("connect");
            let stream = std::net::TcpStream::connect((gateway, port)).expect("reach the gateway");
            assert_eq!(stream.local_addr().expect("address").ip(), network.address);
            std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
            // The link of an earlier sandbox of this id is in the way.
            sys::unshare(libc::CLONE_NEWNET).expect("unshare");
            let inside = Netlink::open().expect("netlink");
            connect_sandbox(&host, &inside, namespace().as_fd(), "pod-a", &network).expect("connect again");
            let mut other = network.clone();
            other.bridge = "nowhere".into();
            let error = connect_sandbox(&host, &inside, namespace().as_fd(), "pod-b", &other).expect_err("no bridge");
            assert_eq!(error.to_string(), "find link nowhere: No such device (os error 19)");
        })
        .join()
        .expect("sandbox");
    });
}

/// Two machines on one link, each with a network of its own behind it.
#[test]
fn machines_reach_each_others_networks() {
    own_namespace(|| {
        let folder = tempfile::tempdir().expect("folder");
        ensure_bridge("spteste0", "10.95.0.1".parse().expect("ip"), 24, 1500).expect("bridge");
        let at = |name: &str| folder.path().join(name);
        for (name, address) in [("a", "10.95.0.2"), ("b", "10.95.0.3")] {
            between::ensure_namespace(&at(name)).expect("make");
            between::ensure_namespace(&at(name)).expect("again");
            let network = SandboxNetwork {
                bridge: "spteste0".into(),
                address: address.parse().expect("ip"),
                prefix_len: 24,
                gateway: "10.95.0.1".parse().expect("ip"),
                mtu: 1500,
            };
            between::connect_namespace(&at(name), name, &network).expect("connect");
            between::connect_namespace(&at(name), name, &network).expect("again");
        }
        let inside = |name: &str, work: fn()| {
            let namespace = between::open_namespace(&at(name)).expect("open");
            std::thread::spawn(move || {
                sys::setns(&namespace, libc::CLONE_NEWNET).expect("enter");
                work();
            })
            .join()
            .expect("inside");
        };
        let ip = |text: &str| -> Ipv4Addr { text.parse().expect("ip") };
        assert!(between::is_on_link(ip("10.95.0.2")).expect("look"));
        assert!(!between::is_on_link(ip("192.0.2.1")).expect("no route at all"));
        between::set_route(ip("10.94.1.0"), 24, ip("10.95.0.2")).expect("route");
        assert!(!between::is_on_link(ip("10.94.1.9")).expect("by way of a"));
        between::remove_route(ip("10.94.1.0"), 24).expect("remove");
        between::remove_route(ip("10.94.1.0"), 24).expect("again");

        // a and b by tunnel: an address of b's network answers in b, asked from a's.
        const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3]];
        inside("b", || {
            let ip = |text: &str| -> Ipv4Addr { text.parse().expect("ip") };
            let tunnel = between::Tunnel { name: "spvb", local: ip("10.95.0.3"), mac: MACS[1], mtu: 1450 };
            between::ensure_tunnel(&tunnel, ip("10.93.2.0")).expect("tunnel");
            let peer = between::TunnelPeer {
                address: ip("10.95.0.2"),
                mac: MACS[0],
                network: ip("10.93.1.0"),
                prefix_len: 24,
            };
            between::set_tunnel_peer("spvb", &peer).expect("peer");
            ensure_bridge("spb", "10.93.2.1".parse().expect("ip"), 24, 1500).expect("bridge");
            let listener = std::net::TcpListener::bind("10.93.2.1:80").expect("listen");
            std::thread::spawn(move || drop(listener.accept()));
        });
        inside("a", || {
            let ip = |text: &str| -> Ipv4Addr { text.parse().expect("ip") };
            let tunnel = between::Tunnel { name: "spva", local: ip("10.95.0.2"), mac: MACS[0], mtu: 1450 };
            between::ensure_tunnel(&tunnel, ip("10.93.1.0")).expect("tunnel");
            between::ensure_tunnel(&tunnel, ip("10.93.1.0")).expect("again");
            let peer = between::TunnelPeer {
                address: ip("10.95.0.3"),
                mac: MACS[1],
                network: ip("10.93.2.0"),
                prefix_len: 24,
            };
            between::set_tunnel_peer("spva", &peer).expect("peer");
            between::set_tunnel_peer("spva", &peer).expect("again");
            let to = "10.93.2.1:80".parse().expect("address");
            std::net::TcpStream::connect_timeout(&to, std::time::Duration::from_secs(5)).expect("reach b");
            between::remove_tunnel("spva").expect("remove");
            assert!(std::net::TcpStream::connect_timeout(&to, std::time::Duration::from_millis(100)).is_err());
        });
        for name in ["a", "b"] {
            between::remove_namespace(&at(name)).expect("remove");
            between::remove_namespace(&at(name)).expect("again");
            assert!(!at(name).exists());
        }
    });
}

#[test]
fn link_names_fit_and_differ() {
    let (a, b) = (host_link("default-web-0"), host_link("default-web-1"));
    assert!(a.len() <= 15 && a != b, "{a} {b}");
}
