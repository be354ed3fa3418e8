//! The process that is the parent of all containers of a node.

use std::ffi::OsString;

/// Runs the launcher until it is told to shut down, with the arguments that follow `launcher` on the command line.
/// Must be called before the process has a second thread.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    drop(arguments.into_iter());
    report("the launcher is not built yet");
    1
}

/// To whoever started the launcher: it reads standard error until the launcher stands on its own.
fn report(message: &str) {
    use std::io::Write;
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "{message}");
}
