//! Single requests: CPU of the server per operation, latency, throughput on one core.

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use super::Effort;
use super::client::Access;
use super::cluster::Server;
use super::figures::{GroupOf, Report};
use super::load::{self, Call, Outcome};
use super::processes;

const CLIENTS: usize = 32;
const FEW: usize = 1_000;
const MANY: usize = 10_000;

pub async fn measure(server: &Server, effort: Effort, report: &mut Report) -> Result<()> {
    let Server { access, roots } = server;
    let mut connection = access.connect().await?;
    for name in ["bench-writes", "bench-few", "bench-many"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        connection.create("/api/v1/namespaces", &object).await?;
    }
    processes::pin_apart(roots)?;
    // First what is the same on every machine: how many objects a load makes depends on how fast it goes.
    fill(access, "bench-few", FEW).await?;
    fill(access, "bench-many", MANY).await?;
    lists(access, roots, effort, report).await?;
    writes_and_gets(access, roots, effort, report).await
}

/// Cost per operation, latencies and rate, in one group.
struct Reference {
    cpu_us: &'static str,
    per_second: &'static str,
    p50: &'static str,
    p99: &'static str,
}

fn add(group: &mut GroupOf<'_>, name: &str, outcome: &Outcome, reference: &Reference) {
    let spent = outcome.spent;
    group.add(format!("{name}: CPU each"), outcome.cpu_us(), "us", ("", reference.cpu_us), spent);
    group.add(format!("{name}: rate"), outcome.per_second(), "/s", ("", reference.per_second), spent);
    group.add(format!("{name}: p50"), outcome.percentile_ms(0.5), "ms", ("", reference.p50), spent);
    group.add(format!("{name}: p99"), outcome.percentile_ms(0.99), "ms", ("", reference.p99), spent);
}

async fn writes_and_gets(access: &Access, roots: &[i32], effort: Effort, report: &mut Report) -> Result<()> {
    let mut group = report.group("requests, a ConfigMap of 256 B, durable");
    let create = |round: &'static str| {
        move |client: usize, number: usize| Call {
            method: Method::POST,
            path: "/api/v1/namespaces/bench-writes/configmaps".to_owned(),
            body: config_map(&format!("{round}-{client}-{number}"), 0),
        }
    };
    let name = |client: usize| format!("/api/v1/namespaces/bench-writes/configmaps/many-{client}-0");
    let get = |client: usize, _| Call { method: Method::GET, path: name(client), body: Bytes::new() };
    let update = |client: usize, number: usize| Call {
        method: Method::PUT,
        path: name(client),
        body: config_map(&format!("many-{client}-0"), number + 1),
    };
    let few = load::run(access, roots, 1, effort.load, create("one")).await.context("create")?;
    let many = load::run(access, roots, CLIENTS, effort.load, create("many")).await.context("create")?;
    let creates = [
        Reference { cpu_us: "1730", per_second: "547", p50: "1.7", p99: "5.7" },
        Reference { cpu_us: "1012", per_second: "984", p50: "30", p99: "65" },
    ];
    add(&mut group, "create, 1 client", &few, &creates[0]);
    add(&mut group, "create, 32 clients", &many, &creates[1]);
    let gets = [
        Reference { cpu_us: "1026", per_second: "968", p50: "0.9", p99: "3.6" },
        Reference { cpu_us: "613", per_second: "1633", p50: "18", p99: "41" },
    ];
    for (clients, reference) in [1, CLIENTS].into_iter().zip(&gets) {
        let outcome = load::run(access, roots, clients, effort.load, get).await.context("get")?;
        add(&mut group, &format!("get, {clients} clients"), &outcome, reference);
    }
    let updates = [
        Reference { cpu_us: "2030", per_second: "472", p50: "1.9", p99: "8.0" },
        Reference { cpu_us: "1256", per_second: "792", p50: "37", p99: "78" },
    ];
    for (clients, reference) in [1, CLIENTS].into_iter().zip(&updates) {
        let outcome = load::run(access, roots, clients, effort.load, update).await.context("update")?;
        add(&mut group, &format!("update, {clients} clients"), &outcome, reference);
    }
    Ok(())
}

async fn lists(access: &Access, roots: &[i32], effort: Effort, report: &mut Report) -> Result<()> {
    let mut group = report.group("lists of ConfigMaps, JSON");
    let few = Reference { cpu_us: "10500", per_second: "90", p50: "11", p99: "" };
    let many = Reference { cpu_us: "125500", per_second: "8", p50: "103", p99: "" };
    let page = Reference { cpu_us: "8000", per_second: "127", p50: "7.8", p99: "8.8" };
    let cases = [
        ("all of 1000", "bench-few", "", FEW, few),
        ("all of 10000", "bench-many", "", MANY, many),
        ("first 500 of 10000", "bench-many", "?limit=500", 500, page),
    ];
    for (name, namespace, query, count, reference) in cases {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps{query}");
        let list = access.connect().await?.get(&path).await?;
        let items = list["items"].as_array().map_or(0, Vec::len);
        // The namespace's own ConfigMap, kube-root-ca.crt, may be among them.
        anyhow::ensure!(items == count || items == count + 1, "{path} has {items} items");
        let call = |_, _| Call { method: Method::GET, path: path.clone(), body: Bytes::new() };
        let outcome = load::run(access, roots, 1, effort.load, call).await.context("list")?;
        add(&mut group, name, &outcome, &reference);
    }
    let memory: u64 = processes::memory(roots).iter().map(|(_, kibibytes)| kibibytes).sum();
    let meter = processes::Meter::start(roots).stop();
    group.add(
        format!("memory (PSS) with {} ConfigMaps", FEW + MANY),
        memory as f64 / 1024.0,
        "MiB",
        ("", "710 (20000 objects)"),
        meter,
    );
    Ok(())
}

/// `count` ConfigMaps in a namespace.
async fn fill(access: &Access, namespace: &str, count: usize) -> Result<()> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let part = |client: usize| {
        let path = path.clone();
        async move {
            let mut connection = access.connect().await?;
            for number in (client..count).step_by(CLIENTS) {
                let body = config_map(&format!("item-{number:05}"), 0);
                connection.object(Method::POST, &path, body).await?;
            }
            anyhow::Ok(())
        }
    };
    try_join_all((0..CLIENTS).map(part)).await.with_context(|| format!("fill {namespace}")).map(drop)
}

fn config_map(name: &str, version: usize) -> Bytes {
    let value = format!("{version:0>256}");
    let object: Value = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value},
    });
    object.to_string().into()
}
