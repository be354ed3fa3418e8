//! Programs as tests run them: with a deadline, and with everything they said in the failure.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, set_parent_process_death_signal};

/// No program that a test runs to its end takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Lines of a program that a failure shows.
const TAIL: usize = 40;

/// A program with its arguments, not started yet.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    shown: String,
    /// The exit code; a signal counts as 128 and its number.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The program will be killed when the thread that starts it ends, however that is. What the program starts itself is its own
/// affair.
pub fn bind(command: &mut Command) {
    // SAFETY: one system call between fork and exec.
    unsafe {
        command.pre_exec(|| set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from));
    }
}

impl Program {
    pub fn new(command: Command) -> Self {
        Self { command, input: Vec::new(), limit: LIMIT }
    }

    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub fn into_command(self) -> Command {
        self.command
    }

    fn shown(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    /// To its end.
    ///
    /// # Errors
    /// It cannot be started, or takes too long: then it is killed.
    pub fn run(mut self) -> Result<Outcome> {
        let shown = self.shown();
        let piped = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().with_context(|| format!("start {shown}"))?;
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let (input, pipe) = (std::mem::take(&mut self.input), child.stdin.take());
        let writer = thread::spawn(move || {
            if let Some(mut pipe) = pipe {
                // A program need not read all of it.
                let _ = pipe.write_all(&input);
            }
        });
        let status = wait(&mut child, self.limit)?;
        let _ = writer.join();
        let text =
            |reader: JoinHandle<Vec<u8>>| String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned();
        let (stdout, stderr) = (text(stdout), text(stderr));
        match status {
            Some(status) => Ok(Outcome { shown, code: code(status), stdout, stderr }),
            None => bail!("{shown}: still running after {:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.limit),
        }
    }

    /// To its end, which must be a good one. What it wrote to standard output.
    pub fn ok(self) -> Result<String> {
        let outcome = self.run()?;
        ensure!(outcome.code == 0, "{outcome}");
        Ok(outcome.stdout)
    }

    /// Succeeds and prints exactly this.
    pub fn prints(self, expected: &str) -> Result<()> {
        let shown = self.shown();
        let printed = self.ok()?;
        ensure!(printed == expected, "{shown} prints {printed:?}");
        Ok(())
    }

    /// To its end, which must be a failure in these words.
    pub fn fails_with(self, words: &str) -> Result<Outcome> {
        let outcome = self.run()?;
        ensure!(outcome.code != 0, "it should have failed: {outcome}");
        ensure!(outcome.stderr.contains(words), "expected {words:?} of {outcome}");
        Ok(outcome)
    }

    /// Started, to be read line by line while it runs.
    pub fn start(mut self) -> Result<Running> {
        let shown = self.shown();
        let piped = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().with_context(|| format!("start {shown}"))?;
        let (sender, lines) = channel();
        let streams = [child.stdout.take().map(as_reader), child.stderr.take().map(as_reader)];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Running { shown, child, lines, seen: Vec::new() })
    }
}

fn as_reader(stream: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(stream)
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// `None` when time is up; the program is killed then.
pub fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + limit;
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()))?;
        match poll(&mut [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            ended => return ended.map_err(Into::into).and_then(|_| Ok(Some(child.wait()?))),
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shown, code, stdout, stderr } = self;
        write!(f, "{shown}: exit code {code}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// A program that runs beside the test. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    shown: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("send a signal to {}", self.shown))
    }

    /// What it wrote last, for a failure.
    pub fn tail(&mut self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Every line that was read so far.
    pub fn lines(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// The first line from now on, of either stream, that is as wanted.
    pub fn line(&mut self, what: &str, mut wanted: impl FnMut(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + crate::wait::PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return Ok(line);
                    }
                }
                Err(reason) => {
                    let why = if reason == RecvTimeoutError::Timeout { "in time" } else { "before it ended" };
                    bail!("{}: no line with {what} {why}, only\n{}", self.shown, self.seen.join("\n"));
                }
            }
        }
    }

    /// What it wrote until its end, which must come.
    pub fn finish(mut self) -> Result<Outcome> {
        drop(self.child.stdin.take());
        let status = wait(&mut self.child, LIMIT)?;
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            self.seen.push(line);
        }
        let stdout = self.seen.join("\n");
        let status = status.with_context(|| format!("{}: does not end\n{stdout}", self.shown))?;
        Ok(Outcome { shown: self.shown.clone(), code: code(status), stdout, stderr: String::new() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new(Command::new("sh")).args(["-c", script])
    }

    #[test]
    fn programs_end_as_expected_or_say_what_they_did() {
        assert_eq!(shell("cat; echo more").input("in ").ok().unwrap(), "in more\n");
        assert!(format!("{:#}", shell("echo why >&2; exit 3").ok().unwrap_err()).contains("exit code 3"));
        assert_eq!(shell("echo why >&2; exit 3").fails_with("why").unwrap().code, 3);
        assert!(shell("echo why >&2").fails_with("why").is_err(), "it did not fail");
        assert!(shell("exit 1").fails_with("why").is_err(), "it failed in other words");
        assert_eq!(shell("kill -9 $$").run().unwrap().code, 137);
        let endless = shell("echo begun; exec sleep 100").limit(Duration::from_millis(300)).run();
        assert!(endless.unwrap_err().to_string().contains("begun"));
    }

    #[test]
    fn lines_are_read_while_a_program_runs() {
        let mut running = shell("echo one; echo two >&2; read answer").start().unwrap();
        let seen = running.line("one", |line| line == "one").unwrap();
        assert_eq!(seen, "one");
        assert_eq!(running.finish().unwrap().code, 1, "its input has ended");
        let mut running = shell("echo one").start().unwrap();
        assert!(running.line("two", |line| line == "two").unwrap_err().to_string().contains("one"));
    }
}
