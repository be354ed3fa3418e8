//! What happens between clone and execve: a child of the launcher becomes a container's process.
//!
//! The launcher has one thread, so the child may allocate and call anything. It reports over a socket that closes by itself when
//! the command is executed: [`Report`]s, then silence means success.
//!
//! [`first`] builds the container (root file system by [`rootfs`], [`filesystems`], [`mask`], [`volumes`]); [`exec`] joins one;
//! both end in [`process`]. [`sandbox`] makes namespaces, [`reaper`] is the first process of a shared one. [`inroot`] resolves paths that an image or a volume could have prepared.

pub mod capabilities;
mod command;
mod error;
pub mod exec;
mod filesystems;
pub mod first;
mod inroot;
mod mask;
mod mount;
mod process;
pub mod reaper;
mod rootfs;
pub mod sandbox;
mod terminal;
mod users;
mod volumes;

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::wire::Channel;
pub use error::{StartError, Step};
pub use mount::{INERT, attach, clone_fd, clone_path, create as create_mount};
pub use process::Process;
pub use process::Stdio;
pub use users::Identity;

/// What a child tells the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// About to execute. The terminal's master side comes along when there is one.
    Ready {
        identity: Identity,
        environment: Vec<String>,
    },
    /// A sandbox' namespaces, in the order network, ipc, uts, those that it has of its own.
    Namespaces,
    Failed {
        code: i32,
        message: String,
    },
}

/// The child's end of the socket.
pub type Reporter = Channel<OwnedFd>;

/// Reports a failure and ends the child. Its exit code is seen by nobody.
pub fn fail(reporter: &mut Reporter, error: StartError) -> ! {
    let StartError { code, message } = error;
    // If the launcher is gone there is nobody to tell.
    let _ = reporter.push(&Report::Failed { code, message }, Vec::new()).and_then(|()| reporter.flush());
    exit(1)
}

/// Ends a child without running anything that the launcher registered.
pub fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}
