//! A closed loop: each client sends its next request when the last one is answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Method;

use super::client::{Access, Connection};
use super::figures::percentile;
use super::processes::{Meter, Spent};

pub struct Call {
    pub method: Method,
    pub path: String,
    pub body: Bytes,
}

pub struct Outcome {
    pub spent: Spent,
    sorted: Vec<Duration>,
}

impl Outcome {
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    pub fn per_second(&self) -> f64 {
        self.count() as f64 / self.spent.wall.as_secs_f64()
    }

    pub fn cpu_us(&self) -> f64 {
        self.spent.cpu.as_secs_f64() * 1e6 / self.count().max(1) as f64
    }

    pub fn percentile_ms(&self, part: f64) -> f64 {
        super::figures::ms(percentile(&self.sorted, part))
    }
}

/// `call` makes the request number `n` of client `c`. Every answer must be a success.
pub async fn run(
    access: &Access,
    roots: &[i32],
    clients: usize,
    time: Duration,
    call: impl Fn(usize, usize) -> Call,
) -> Result<Outcome> {
    let connections = try_join_all((0..clients).map(|_| access.connect())).await?;
    let meter = Meter::start(roots);
    let end = Instant::now() + time;
    let loops = connections.into_iter().enumerate().map(|(client, connection)| one(connection, client, end, &call));
    let results = try_join_all(loops).await?;
    let spent = meter.stop();
    let mut sorted = results.concat();
    sorted.sort_unstable();
    Ok(Outcome { spent, sorted })
}

async fn one(
    mut connection: Connection,
    client: usize,
    end: Instant,
    call: &impl Fn(usize, usize) -> Call,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let Call { method, path, body } = call(client, latencies.len());
        let words = format!("{method} {path}");
        let start = Instant::now();
        let (status, answer) = connection.send(method, &path, body).await.context(words.clone())?;
        latencies.push(start.elapsed());
        if !status.is_success() {
            bail!("{words}: {status}: {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(latencies)
}
