//! Both servers lose their past: what was asked for at an older revision is gone then (410).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Where upstream's etcd speaks JSON.
const ETCD: &str = "127.0.0.1:2379";
/// By which API servers tell each other that one of them has compacted.
const KEY: &str = "compact_rev_key";
/// Upstream's caches ask every 15 seconds whether anything was compacted.
pub const LIMIT: Duration = Duration::from_secs(40);

/// `ours` is the process of our server. The calling thread is in the servers' network. Neither has forgotten when this returns.
pub fn forget(ours: Pid) -> Result<()> {
    kill_process(ours, Signal::USR1).context("tell our server")?;
    let key = STANDARD.encode(KEY);
    let found = ask("range", &json!({"key": key}))?;
    let now = found["header"]["revision"].as_str().context("etcd tells no revision")?;
    ask("put", &json!({"key": key, "value": STANDARD.encode(now)}))?;
    ask("compaction", &json!({"revision": now, "physical": true})).map(drop)
}

fn ask(what: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let mut connection = TcpStream::connect(ETCD).context("connect to etcd")?;
    let length = body.len();
    write!(connection, "POST /v3/kv/{what} HTTP/1.0\r\nhost: {ETCD}\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).context("read etcd's answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("etcd answers no HTTP")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "etcd answers {what} with {answer}");
    serde_json::from_str(body).context("etcd answers no JSON")
}
