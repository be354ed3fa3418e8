//! What people read: standard output for results, standard error for progress and errors.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program prints")]

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

/// A line of result. A reader that is gone (`| head`) is no error.
pub fn line(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Result that ends its own lines.
pub fn text(text: &str) {
    bytes(text.as_bytes());
}

/// Result as it comes, visible at once.
pub fn bytes(bytes: &[u8]) {
    let mut out = io::stdout();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// A line for the person, beside the results.
pub fn note(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Where log lines go. A full disk behind it must not end the program, which a failing write of the standard library's macros does.
pub fn log() -> impl Write {
    struct Log(io::Stderr);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.write_all(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    Log(io::stderr())
}

/// Steps of something that takes a while: a spinner on a terminal, plain lines elsewhere.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    last: Mutex<String>,
}

impl Progress {
    pub fn start() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner:.cyan} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(std::time::Duration::from_millis(80));
            bar
        });
        Self { bar, last: Mutex::new(String::new()) }
    }

    /// What is going on now. Saying the same again prints nothing.
    pub fn step(&self, text: &str) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *last == text {
            return;
        }
        text.clone_into(&mut last);
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => note(format_args!("{text}")),
        }
    }

    /// Something that is done and stays on the screen.
    pub fn done(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("✔ {text}")),
            None => note(format_args!("{text}")),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
