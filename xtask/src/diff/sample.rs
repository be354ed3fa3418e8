//! A sample of the comparison, as a test. It wants upstream's servers, which the first who asks for them builds.

use anyhow::{Result, ensure};
use e2e::upstream::Part;

use super::compare::Class;
use super::{Options, parts, report};

/// Of pods, maps, Services, Deployments and custom objects, and of pages.
const FOCUS: [&str; 6] =
    ["picked/pages", "v1/configmaps", "v1/pods", "v1/services", "apps/v1/deployments", "v1/widgets"];
const REQUESTS: usize = 300;
const SEED: u64 = 1;
/// Causes of differences in words, headers and bodies that nobody has accepted: so many may be there, and no more.
const BUDGET: usize = 3;

/// Whether what it takes is on this machine; it is said if not.
fn ready() -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        return e2e::missing("two API servers in a network of their own need root").map(|()| false);
    }
    let there = Part::Etcd.find()?.is_some() && Part::KubeApiserver.find()?.is_some();
    if !there {
        e2e::missing("upstream's API server is built from its Go module, which needs Go")?;
    }
    Ok(there)
}

#[test]
fn upstreams_servers_are_there() -> Result<()> {
    ready().map(drop)
}

#[test]
fn a_sample_of_requests_is_answered_as_upstream_does() -> Result<()> {
    if !ready()? {
        return Ok(());
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = Options {
        requests: REQUESTS,
        seed: SEED,
        focus: FOCUS.map(str::to_owned).to_vec(),
        scenario: None,
        shrink: Vec::new(),
        output: None,
        lanes: 1,
        binary: None,
    };
    let (causes, ended) = parts::compare(&options)?;
    ended?;
    report::print(&causes, None)?;
    let open = report::open(&causes);
    let grave = open.iter().filter(|key| matches!(key.class, Class::Code | Class::Events | Class::Revision)).count();
    ensure!(grave == 0, "{grave} causes of differences in codes, events or revisions");
    ensure!(open.len() <= BUDGET, "{} causes of differences, {BUDGET} are known", open.len());
    Ok(())
}
