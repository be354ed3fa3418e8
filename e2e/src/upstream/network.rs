//! kube-apiserver advertises an address, which must not be of loopback, and wants a default route.

use anyhow::{Result, ensure};

use crate::Program;
use crate::namespace::Namespace;

/// Of the range for measurements between networks (RFC 2544), which no real network has.
pub const ADDRESS: &str = "198.18.0.1";
const GATEWAY: &str = "198.18.0.2";
const BRIDGE: &str = "upstream0";

/// Gives the namespace a bridge with the address and, where there is none, a default route over it. Does nothing the second time.
pub fn prepare(namespace: &Namespace) -> Result<()> {
    if namespace.links()?.iter().any(|link| link == BRIDGE) {
        return Ok(());
    }
    let network = format!("{ADDRESS}/24");
    run(namespace, &["link", "add", BRIDGE, "type", "bridge"])?;
    run(namespace, &["address", "add", &network, "dev", BRIDGE])?;
    run(namespace, &["link", "set", BRIDGE, "up"])?;
    if ip(namespace, &["route", "show", "default"]).ok()?.trim().is_empty() {
        run(namespace, &["route", "add", "default", "via", GATEWAY, "dev", BRIDGE])?;
    }
    Ok(())
}

/// Takes it away again, for a namespace that goes on. The route goes with the bridge.
pub fn remove(namespace: &Namespace) -> Result<()> {
    run(namespace, &["link", "delete", BRIDGE])
}

fn ip(namespace: &Namespace, arguments: &[&str]) -> Program {
    let path = crate::find_program("ip").unwrap_or_else(|| "ip".into());
    Program::new(namespace.command(path)).args(arguments)
}

fn run(namespace: &Namespace, arguments: &[&str]) -> Result<()> {
    let outcome = ip(namespace, arguments).run()?;
    ensure!(outcome.code == 0, "{outcome}");
    Ok(())
}
