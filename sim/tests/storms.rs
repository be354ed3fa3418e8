//! Storms from seeds, each in a process of its own: every rule holds, and a seed is a run.

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).output().expect("the simulator starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_rule_holds_in_300_storms() {
    let output = sim(&["--seeds", "300", "--steps", "5000", "--jobs", "2"]);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in ["4", "7"] {
        let runs = [(); 2].map(|()| text(&sim(&["--seed", seed, "--steps", "1500"])));
        assert!(runs[0].contains(" hash "), "{}", runs[0]);
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
    let other = text(&sim(&["--seed", "8", "--steps", "1500"]));
    assert!(!other.contains("seed 7 "), "{other}");
}
