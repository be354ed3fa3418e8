//! ginkgo and the official test binary against a cluster.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::list::Test;
use super::report::{self, Verdict};
use crate::Program;
use crate::namespace::Namespace;
use crate::upstream::Part;

const REPORT: &str = "ginkgo.json";
const LOG: &str = "ginkgo.log";
/// For ginkgo to end by itself once time is up.
const GRACE: Duration = Duration::from_secs(120);

/// The cluster that is tested.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub kubeconfig: &'a Path,
    pub namespace: &'a Namespace,
}

/// Runs tests, several at a time; those that are serial alone, at the end. Report and log stay in `folder`.
///
/// # Errors
/// The suite cannot be built or started; a test that fails, or did not run within `limit`, is no error.
pub fn run(
    target: Target<'_>,
    tests: &[Test],
    processes: usize,
    limit: Duration,
    folder: &Path,
) -> Result<Vec<Verdict>> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let report = folder.join(REPORT);
    let _ = fs::remove_file(&report);
    let mut command = target.namespace.command(Part::Ginkgo.path()?);
    command.current_dir(folder);
    for test in tests {
        command.arg(format!("--focus={}", test.focus()));
    }
    command.arg(format!("--procs={processes}")).arg(format!("--json-report={REPORT}"));
    // When time is up, ginkgo ends what runs and still reports the rest.
    command.args(["--no-color", "--silence-skips"]).arg(format!("--timeout={}s", limit.as_secs()));
    command.arg(Part::E2eTest.path()?);
    command.arg("--").arg(format!("--kubeconfig={}", target.kubeconfig.display()));
    if let Some(kubectl) = Part::Kubectl.find()? {
        command.arg(format!("--kubectl-path={}", kubectl.display()));
    }
    command.args(["--provider=skeleton", "--disable-log-dump"]);
    command.args(["--node-schedulable-timeout=1m", "--system-pods-startup-timeout=1m"]);
    let outcome = Program::new(command).limit(limit + GRACE).run()?;
    fs::write(folder.join(LOG), format!("{outcome}"))?;
    let text = fs::read(&report).with_context(|| format!("read {}; ginkgo said: {outcome}", report.display()))?;
    report::read(&text, tests)
}
