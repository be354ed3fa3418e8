//! Another build of the program takes over: the launcher executes it, and stays the process that it is.
//!
//! ```text
//! daemon: Replace, with the new program ──> same as ours? nothing to do
//!    state to a memfd ──> a child runs the new program with --check: does it understand this very state? no: refused, we go on
//!    descriptors lose close-on-exec ──execve──> --take-over: reads the state, goes on where we were, answers the daemon
//! ```
//! Children stay children, their exits wait as zombies and their output in pipes; sockets of daemons stay open, and so do answers
//! that are due. Everything that [`Launcher`] holds is in the state, or can be had again.
//!
//! [`VERSION`] counts the changes of the state that another program would misread; what is merely unknown or missing is found by
//! the check, before anything is given up.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use super::clients::{Outcome, ReplyTo};
use super::state::Launcher;
use super::{explain, report};
use crate::container;
use crate::descriptor::{self, Descriptor};
use crate::protocol::{Answer, Failure};
use crate::sys::{self, Child};

/// Of the state.
pub const VERSION: u32 = 1;

/// What a program says that was asked to check a state and understands it.
const UNDERSTOOD: &str = "the state is understood";
/// A check takes milliseconds; containers wait meanwhile if they write more than a pipe holds.
const CHECK: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    /// Who is told that it went well.
    to: ReplyTo,
    launcher: &'a Launcher,
}

#[derive(Deserialize)]
struct Body {
    to: ReplyTo,
    launcher: Launcher,
}

impl Launcher {
    /// Comes back only when this program stays: it is the same one, or the other one cannot take over.
    pub fn replace(&mut self, arguments: &[String], program: Option<OwnedFd>, to: ReplyTo) -> Outcome {
        let refuse = |error: io::Error| Failure::Other(format!("replace the launcher: {error}"));
        let program = program.ok_or_else(|| refuse(io::Error::other("no program came along")))?;
        if is_own(&program).map_err(refuse)? {
            return Ok((Answer::Replaced { replaced: false }, Vec::new()));
        }
        if self.ending.is_some() {
            return Err(refuse(io::Error::other("the runtime is shutting down")));
        }
        let error = match self.hand_over(arguments, &program, to) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        report(&format!("another program cannot take over: {error}"));
        Err(refuse(error))
    }

    fn hand_over(&self, arguments: &[String], program: &OwnedFd, to: ReplyTo) -> io::Result<std::convert::Infallible> {
        let state = explain(write(self, to), "write the state")?;
        let command = |option: &str| -> io::Result<Vec<CString>> {
            let own = self.options.arguments();
            let rest = [option.to_owned(), state.as_raw_fd().to_string()];
            arguments.iter().cloned().chain(own).chain(rest).map(|word| Ok(CString::new(word)?)).collect()
        };
        check(program, &command("--check")?)?;
        let take_over = command("--take-over")?;
        let failed = explain(descriptor::pass_on(program), "pass descriptors on")
            .and_then(|()| explain(sys::execute(program, &take_over), "execute the program"));
        // Children must not inherit what is not meant for them.
        descriptor::keep()?;
        failed
    }
}

/// Whether this is the program that we are: the same file, or the same bytes.
fn is_own(program: &OwnedFd) -> io::Result<bool> {
    let own = File::open("/proc/self/exe")?;
    let other = File::open(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
    let (of_own, of_other) = (own.metadata()?, other.metadata()?);
    let facts = |of: &std::fs::Metadata| (of.dev(), of.ino(), of.mtime(), of.mtime_nsec(), of.len());
    if facts(&of_own) == facts(&of_other) {
        return Ok(true);
    }
    Ok(of_own.len() == of_other.len() && same_bytes(&own, &other)?)
}

fn same_bytes(a: &File, b: &File) -> io::Result<bool> {
    const CHUNK: usize = 64 * 1024;
    let (mut of_a, mut of_b) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut offset = 0;
    loop {
        let length = a.read_at(&mut of_a, offset)?;
        if length == 0 {
            return Ok(true);
        }
        if b.read_exact_at(&mut of_b[..length], offset).is_err() || of_a[..length] != of_b[..length] {
            return Ok(false);
        }
        offset += length as u64;
    }
}

fn write(launcher: &Launcher, to: ReplyTo) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("launcher-state", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(&Written { version: VERSION, to, launcher })?)?;
    Ok(file)
}

fn read(mut file: &File) -> io::Result<Body> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> io::Result<Body> {
    let Head { version } = explain(serde_json::from_slice(bytes), "read the state's version")?;
    if version != VERSION {
        return Err(io::Error::other(format!("the state is of version {version}, this program knows {VERSION}")));
    }
    explain(serde_json::from_slice(bytes), "read the state")
}

/// Asks a program whether it understands the state, in a child that has all our descriptors.
fn check(program: &OwnedFd, command: &[CString]) -> io::Result<()> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the launcher has one thread.
    let Some(child) = unsafe { sys::clone_process(0, None) }? else {
        let failed = descriptor::pass_on(program)
            .and_then(|()| Ok(rustix::stdio::dup2_stdout(&writer)?))
            .and_then(|()| Ok(rustix::stdio::dup2_stderr(&writer)?))
            .and_then(|()| sys::execute(program, command));
        let Err(error) = failed;
        report(&format!("execute the program: {error}"));
        container::exit(1)
    };
    drop(writer);
    let succeeded = outcome(&child)?;
    let mut answer = vec![0; 4096];
    super::output::set_nonblocking(&reader)?;
    let length = rustix::io::read(&reader, &mut answer).unwrap_or(0);
    let answer = String::from_utf8_lossy(&answer[..length]).trim_end().to_owned();
    match (succeeded, answer) {
        (true, answer) if answer == UNDERSTOOD => Ok(()),
        (_, answer) if answer.is_empty() => Err(io::Error::other("it does not understand the state")),
        (_, answer) => Err(io::Error::other(format!("it does not understand the state: {answer}"))),
    }
}

/// Whether a child ends well, and in time.
fn outcome(child: &Child) -> io::Result<bool> {
    let patience = Timespec::try_from(CHECK).map_err(io::Error::other)?;
    let mut ends = [PollFd::from_borrowed_fd(child.pidfd.as_fd(), PollFlags::IN)];
    if !matches!(rustix::event::poll(&mut ends, Some(&patience)), Ok(1)) {
        let _ = sys::pidfd_send_signal(&child.pidfd, libc::SIGKILL);
    }
    let status =
        rustix::process::waitpid(rustix::process::Pid::from_raw(child.pid), rustix::process::WaitOptions::empty())?;
    Ok(status.is_some_and(|(_, status)| status.exit_status() == Some(0)))
}

/// `--check`: says whether the state can be understood. Nothing is changed: all descriptors are copies.
pub fn check_state(number: i32) -> io::Result<()> {
    let file = Descriptor::<File>::from_number(number)?;
    read(&file)?;
    writeln!(io::stdout(), "{UNDERSTOOD}")
}

/// `--take-over`: the launcher as the program before left it.
pub fn take_over(number: i32) -> io::Result<Launcher> {
    // As at the first start; executing a program undid it.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    let file = Descriptor::<File>::from_number(number)?;
    let Body { to, mut launcher } = read(&file)?;
    let strays = descriptor::close_strays()?;
    if !strays.is_empty() {
        report(&format!("the program before left descriptors open that nobody knows: {strays:?}"));
    }
    launcher.reply(to, Ok((Answer::Replaced { replaced: true }, Vec::new())));
    launcher.reap()?;
    Ok(launcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_not_understood_is_refused() {
        let cases: [(&[u8], &str); 4] = [
            (b"", "read the state's version"),
            (b"{\"launcher\":{}}", "missing field `version`"),
            (b"{\"version\":999,\"launcher\":{}}", "the state is of version 999, this program knows 1"),
            (b"{\"version\":1,\"to\":{\"client\":1,\"number\":1},\"launcher\":{}}", "read the state: missing field"),
        ];
        for (state, expected) in cases {
            let error = parse(state).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn programs_are_compared_by_what_they_are() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("write");
            File::open(path).expect("open")
        };
        let long = vec![7; 200_000];
        let other = [&long[..199_999], &[8]].concat();
        assert!(same_bytes(&file("a", &long), &file("b", &long)).expect("read"));
        assert!(!same_bytes(&file("c", &long), &file("d", &other)).expect("read"));
        assert!(!same_bytes(&file("e", b"ab"), &file("f", b"a")).expect("read"));
        assert!(is_own(&File::open("/proc/self/exe").expect("open").into()).expect("compare"));
        assert!(!is_own(&file("g", b"x").into()).expect("compare"));
    }
}
