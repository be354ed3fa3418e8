//! In a network namespace of the test's own thread; skipped without root.

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

#[test]
fn link_names_fit_and_differ() {
    let (a, b) = (host_link("default-web-0"), host_link("default-web-1"));
    assert!(a.len() <= 15 && a != b, "{a} {b}");
}
