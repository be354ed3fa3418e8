//! A program on a terminal of its own, as a person sits at one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Program;
use crate::wait::PATIENCE;

#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// How much of `seen` was looked at.
    read: usize,
}

impl Terminal {
    pub fn start(program: Program, rows: u16, columns: u16) -> Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        tcsetwinsize(&ours, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        let mut command = program.into_command();
        command.stdin(Stdio::from(theirs.try_clone()?)).stdout(Stdio::from(theirs.try_clone()?)).stderr(theirs);
        // SAFETY: two system calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let child = command.spawn().context("start a program on a terminal")?;
        // The command holds the program's side: the screen ends only when all of it is closed.
        drop(command);
        let keyboard = File::from(ours);
        let mut screen = keyboard.try_clone()?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, keyboard, screen: receiver, seen: String::new(), read: 0 })
    }

    pub fn type_text(&mut self, text: &str) -> Result<()> {
        self.keyboard.write_all(text.as_bytes()).context("type")
    }

    /// Changes the size of the window.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        Ok(tcsetwinsize(&self.keyboard, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?)
    }

    /// Until this is on the screen, after what was waited for before.
    pub fn see(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[self.read..].find(text) {
                self.read += at + text.len();
                return Ok(());
            }
            match self.screen.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => bail!("{text:?} does not appear on the terminal: {:?}", self.seen),
            }
        }
    }

    /// The exit code, when the program ends by itself.
    pub fn finish(mut self) -> Result<i32> {
        let status = crate::command::wait(&mut self.child, PATIENCE)?;
        let status = status.with_context(|| format!("the program on the terminal does not end: {:?}", self.seen))?;
        status.code().context("the program on the terminal was killed")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_believes_in_it() {
        let script = "tty >/dev/null && stty size; read word; echo \"<$word>\"; exit 4";
        let program = Program::new(std::process::Command::new("sh")).args(["-c", script]);
        let mut terminal = Terminal::start(program, 33, 77).unwrap();
        terminal.see("33 77").unwrap();
        terminal.type_text("hello\n").unwrap();
        terminal.see("<hello>").unwrap();
        assert_eq!(terminal.finish().unwrap(), 4);
    }
}
