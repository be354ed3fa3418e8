//! Messages between daemon and launcher: JSON, with file descriptors beside them.
//!
//! The daemon sends [`Call`]s, the launcher answers each with one [`ToDaemon::Reply`] of the same number, in any order, and sends
//! events in between. The protocol changes by addition; [`VERSION`] counts the changes that an older side would misread. `Hello` and
//! `Replace` stay as they are in every version: by them sides of different versions tell each other apart, and the launcher
//! becomes the daemon's program.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::spec::{ContainerSpec, ExecSpec, Exit, Listing, ProcessId, RuntimeEvent, SandboxSpec, Usage};

pub const VERSION: u32 = 2;

#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    pub number: u64,
    pub request: Request,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    Hello,
    CreateSandbox(Box<SandboxSpec>),
    RemoveSandbox {
        id: String,
    },
    /// `layers` are overlay lower directories, top first.
    StartContainer {
        spec: Box<ContainerSpec>,
        layers: Vec<PathBuf>,
    },
    SignalContainer {
        id: String,
        signal: i32,
    },
    KillContainer {
        id: String,
    },
    RemoveContainer {
        id: String,
    },
    Exec(Box<ExecSpec>),
    SignalExec {
        exec: u64,
        signal: i32,
    },
    Attach {
        id: String,
    },
    NetworkNamespace {
        sandbox: String,
    },
    List,
    /// Done when every container that is being started runs or has failed.
    Settle,
    Usage {
        id: String,
    },
    Shutdown,
    /// Execute the program whose file comes along, with these arguments before the launcher's own, and go on as that one.
    Replace {
        arguments: Vec<String>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub enum ToDaemon {
    Reply {
        number: u64,
        result: Result<Answer, Failure>,
    },
    Event(RuntimeEvent),
    ExecExited {
        exec: u64,
        exit: Exit,
    },
    /// Another daemon has shut the runtime down: nothing is left to reconnect to.
    Ended,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Hello {
        version: u32,
        /// Of the state that it hands over when it is replaced; 0: it cannot be.
        #[serde(default)]
        state: u32,
    },
    /// False: it is that program already.
    Replaced {
        replaced: bool,
    },
    Done,
    Started(ProcessId),
    Listing(Listing),
    Usage(Usage),
    /// One file descriptor came along for each stream.
    Exec {
        exec: u64,
        streams: Vec<Stream>,
    },
    Attached {
        streams: Vec<Stream>,
    },
    Namespace,
}

/// What a file descriptor beside a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    Stdin,
    Stdout,
    Stderr,
    /// The master side of a pseudo terminal: input, output and window size in one.
    Terminal,
}

/// Why the launcher did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    #[error("find {what} {id:?}")]
    NotFound { what: String, id: String },
    #[error("make {what} {id:?}: it exists")]
    Exists { what: String, id: String },
    #[error("reach container {id:?}: it is not running")]
    NotRunning { id: String },
    /// The process was not started. `code` is what a shell would answer: 127 not found, 126 not executable, 128 anything else.
    #[error("start: {message}")]
    Start { code: i32, message: String },
    #[error("{0}")]
    Other(String),
}
