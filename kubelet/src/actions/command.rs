//! Running a command in a container to its end.

use std::time::Duration;

use runtime::spec::ExecSpec;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::node_runtime::{NodeRuntime, Output};

/// What a probe or hook shows of a command's output.
const LONGEST_OUTPUT: usize = 10 << 10;
const SIGKILL: i32 = 9;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandEnd {
    Exited { code: i32, output: String },
    TimedOut,
}

/// Reads to the end, keeping the first bytes: a command must not block on a full pipe.
async fn drain(stream: Option<Output>) -> Vec<u8> {
    async fn read(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
        let mut kept = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            let room = LONGEST_OUTPUT.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..count.min(room)]);
        }
        kept
    }
    match stream {
        Some(stream) => read(stream).await,
        None => Vec::new(),
    }
}

/// An error: the command could not be run at all.
pub async fn run(
    runtime: &dyn NodeRuntime,
    container: &str,
    args: Vec<String>,
    timeout: Option<Duration>,
) -> Result<CommandEnd, runtime::Error> {
    let spec = ExecSpec { container: container.to_owned(), args, terminal: false, stdin: false };
    let execution = runtime.exec(spec).await?;
    let (streams, signal) = (execution.streams, execution.signal);
    let finish = async {
        let (stdout, stderr, exit) = tokio::join!(drain(streams.stdout), drain(streams.stderr), execution.exit);
        exit.map(|exit| (exit.code, [stdout, stderr].concat()))
    };
    let limit = timeout.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
    match tokio::time::timeout(limit, finish).await {
        Ok(Ok((code, output))) => {
            let output = String::from_utf8_lossy(&output).into_owned();
            Ok(CommandEnd::Exited { code, output })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            signal(SIGKILL).await;
            Ok(CommandEnd::TimedOut)
        }
    }
}
