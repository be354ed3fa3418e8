//! A sample of the official conformance suite; `cargo xtask conformance` runs all of a level.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::with_place;
use e2e::conformance::{self, Target};
use e2e::upstream::Part;

/// Quick ones, of as many areas as possible: of discovery, lists, patches, status, watches, selectors, validation, tokens, tables.
const SAMPLE: [u16; 10] = [49, 54, 66, 91, 160, 166, 202, 227, 239, 288];
const LIMIT: Duration = Duration::from_secs(300);
const PROCESSES: usize = 4;

#[test]
fn the_official_suite_is_there() -> Result<()> {
    suite_is_there().map(drop)
}

fn suite_is_there() -> Result<bool> {
    let there = Part::E2eTest.find()?.is_some() && Part::Ginkgo.find()?.is_some();
    if !there {
        e2e::missing("the official test suite is built from its Go module, which needs Go")?;
    }
    Ok(there)
}

#[test]
fn tests_of_the_official_suite_pass() -> Result<()> {
    if !suite_is_there()? {
        return Ok(());
    }
    with_place(|cluster| {
        cluster.up([])?;
        let mut tests = conformance::list::all()?;
        tests.retain(|test| SAMPLE.contains(&test.number));
        let target = Target { kubeconfig: &cluster.kubeconfig(), namespace: &cluster.namespace };
        let verdicts = conformance::run(target, &tests, PROCESSES, LIMIT, &cluster.folder().join("report"))?;
        let failed: Vec<String> = verdicts
            .iter()
            .filter(|verdict| !verdict.passed)
            .map(|verdict| format!("{} {}: {}", verdict.test.number, verdict.test.title, verdict.message))
            .collect();
        ensure!(verdicts.len() == SAMPLE.len(), "{} of {} tests are in the list", verdicts.len(), SAMPLE.len());
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    })
}
