//! A session of exec or attach over SPDY: a stream each for error, stdin, stdout, stderr and the terminal's size, opened by the client.

use std::collections::BTreeMap;
use std::time::Duration;

use api::status::Status;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::channel::size;
use super::streams::{Begun, Outlet, Outputs, Wanted, Work, feed};
use crate::driver::Shared;
use crate::node_runtime::{Input, Resize};
use crate::spdy::{self, Stream};

/// Those of upstream's kubelet. Version 4 writes the outcome as a Status, the others a failure as text; 1 and 2 have no sizes.
pub const PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// For the client to open all streams that it wants.
const OPENING: Duration = Duration::from_secs(30);

pub async fn run(shared: &Shared, upgraded: Upgraded, protocol: &str, wanted: Wanted, work: Work) {
    let (reader, writer) = tokio::io::split(TokioIo::new(upgraded));
    let mut incoming = spdy::serve(reader, writer);
    let sizes = wanted.tty && matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let mut kinds = vec!["error"];
    let optional = [("stdin", wanted.stdin), ("stdout", wanted.stdout), ("stderr", wanted.stderr), ("resize", sizes)];
    kinds.extend(optional.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind)));
    let Ok(Some(mut streams)) = tokio::time::timeout(OPENING, open(&mut incoming, &kinds)).await else {
        return tracing::debug!("a client of exec or attach did not open its streams");
    };
    let Some(error) = streams.remove("error") else { return };
    let status = match work.begin(shared, wanted).await {
        Ok(mut begun) => {
            let signal = begun.take_signal();
            let status = connect(&mut incoming, streams, begun).await;
            if status.is_none() && wanted.tty {
                Begun::line_is_lost(signal).await;
            }
            status
        }
        Err(why) => Some(Status::internal(why).to_json()),
    };
    if let Some(text) = status.and_then(|status| words(protocol, &status)) {
        error.outlet.write(text).await;
    }
    error.outlet.finish().await;
}

/// The streams of these kinds, by kind. `None`: the client went away.
async fn open(incoming: &mut spdy::Incoming, kinds: &[&'static str]) -> Option<BTreeMap<&'static str, Stream>> {
    let mut streams = BTreeMap::new();
    while streams.len() < kinds.len() {
        let stream = incoming.next().await?;
        let kind = stream.headers.get("streamType").unwrap_or_default();
        match kinds.iter().find(|known| **known == kind && !streams.contains_key(*known)) {
            Some(kind) => {
                stream.outlet.accept().await;
                streams.insert(*kind, stream);
            }
            None => drop(stream.outlet.reset().await),
        }
    }
    Some(streams)
}

/// Until the process has ended and its output has been sent. `None`: the client went away before.
async fn connect(
    incoming: &mut spdy::Incoming,
    mut streams: BTreeMap<&'static str, Stream>,
    begun: Begun,
) -> Option<Value> {
    let outlets: Vec<_> =
        ["stdout", "stderr"].iter().filter_map(|kind| Some(streams.get(kind)?.outlet.clone())).collect();
    let outputs = [("stdout", begun.streams.stdout), ("stderr", begun.streams.stderr)];
    let outputs: Vec<_> = outputs
        .into_iter()
        .filter_map(|(kind, output)| Some((output?, Outlet::Spdy(streams.get(kind)?.outlet.clone()))))
        .collect();
    let outputs = Outputs::start(outputs);
    let inputs = [
        streams.remove("stdin").map(|stream| tokio::spawn(read_input(stream, begun.streams.stdin))),
        streams.remove("resize").map(|stream| tokio::spawn(read_sizes(stream, begun.streams.resize))),
    ];
    // The client opens no more streams: the next that is heard is its end.
    let gone = async {
        while let Some(stream) = incoming.next().await {
            stream.outlet.reset().await;
        }
    };
    let status = tokio::select! {
        status = outputs.finish(begun.exit) => Some(status),
        () = gone => None,
    };
    inputs.into_iter().flatten().for_each(|task| task.abort());
    for outlet in outlets {
        outlet.finish().await;
    }
    status
}

async fn read_input(mut stream: Stream, mut stdin: Option<Input>) {
    while let Some(data) = stream.read().await {
        feed(&mut stdin, &data).await;
    }
}

/// One JSON object on each line.
async fn read_sizes(mut stream: Stream, resize: Option<Resize>) {
    const LINE_MAX: usize = 4096;
    let mut line = Vec::new();
    while let Some(data) = stream.read().await {
        for byte in data {
            if byte != b'\n' && line.len() < LINE_MAX {
                line.push(byte);
                continue;
            }
            if let (Some((columns, rows)), Some(resize)) = (size(&line), &resize) {
                resize(columns, rows);
            }
            line.clear();
        }
    }
}

/// The outcome for the error stream. `None`: this version says nothing about a success.
fn words(protocol: &str, status: &Value) -> Option<Bytes> {
    if protocol == "v4.channel.k8s.io" {
        return Some(status.to_string().into());
    }
    let failed = status["status"] != "Success";
    failed.then(|| Bytes::copy_from_slice(status["message"].as_str().unwrap_or_default().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_version_has_its_words() {
        let (good, bad) = (json!({"status": "Success"}), json!({"status": "Failure", "message": "m"}));
        let table = [
            ("v4.channel.k8s.io", &good, Some("{\"status\":\"Success\"}")),
            ("v3.channel.k8s.io", &good, None),
            ("v3.channel.k8s.io", &bad, Some("m")),
            ("channel.k8s.io", &bad, Some("m")),
        ];
        for (protocol, status, expected) in table {
            assert_eq!(
                words(protocol, status),
                expected.map(|text| Bytes::copy_from_slice(text.as_bytes())),
                "{protocol}"
            );
        }
    }
}
