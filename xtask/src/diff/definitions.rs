//! Brings the custom kinds to both servers before anything is asked of them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::kinds::custom::{KINDS, definitions};
use super::peer::{Answer, Peer};
use super::step::{Memory, Request, Wire};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Who upstream's part for it is.
const MANAGER: &str = "kube-apiserver";
const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// Upstream's controllers of definitions are a part of kube-apiserver. Ours are not in the server: their word is repeated to it.
pub async fn define(ours: &mut Peer, theirs: &mut Peer) -> Result<()> {
    for definition in definitions() {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("{DEFINITIONS}/{name}");
        let create = wire(&Request::new("POST", DEFINITIONS).header("user-agent", MANAGER).json(definition.clone()));
        for peer in [&mut *ours, &mut *theirs] {
            let answer = peer.send(&create).await?;
            ensure!(answer.code == 201, "{} {}", answer.code, answer.body);
        }
        let established = until(theirs, &path, is_established).await?;
        let status = json!({"status": established.body["status"]});
        let tell = Request::new("PATCH", format!("{path}/status"));
        let tell = tell.body("application/merge-patch+json", super::step::Content::Json(status));
        let told = ours.send(&wire(&tell.header("user-agent", MANAGER))).await?;
        ensure!(told.code == 200, "{} {}", told.code, told.body);
    }
    for kind in KINDS.iter().filter(|kind| kind.custom) {
        for peer in [&mut *ours, &mut *theirs] {
            until(peer, &kind.everywhere(), |answer| answer.code == 200).await?;
        }
    }
    Ok(())
}

fn wire(request: &Request) -> Wire {
    request.wire(&Memory::default())
}

fn is_established(answer: &Answer) -> bool {
    let conditions = answer.body["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition: &Value| condition["type"] == "Established" && condition["status"] == "True")
}

#[allow(clippy::disallowed_methods, reason = "two servers are being watched from outside")]
async fn until(peer: &mut Peer, path: &str, holds: impl Fn(&Answer) -> bool) -> Result<Answer> {
    let begin = Instant::now();
    loop {
        let answer = peer.send(&wire(&Request::new("GET", path))).await?;
        if holds(&answer) {
            return Ok(answer);
        }
        ensure!(begin.elapsed() < LIMIT, "{path}: {} {}", answer.code, answer.body);
        tokio::time::sleep(LOOK).await;
    }
}
