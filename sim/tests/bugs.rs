//! Bugs that are planted are found: a simulation that finds nothing would be worth nothing.

use std::process::Command;

use sim::bugs::Bug;

/// Ends at the first seed that finds it.
#[test]
fn every_planted_bug_is_found_within_1000_seeds() {
    for bug in Bug::ALL {
        let arguments = ["--seeds", "1000", "--jobs", "2", "--bug", bug.name()];
        let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{bug} is not found:\n{text}");
        assert!(text.contains("replay: cargo run -p sim -- --seed "), "{text}");
    }
}
