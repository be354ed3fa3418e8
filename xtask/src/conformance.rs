//! `cargo xtask conformance`: the official suite's tests of a level against a cluster of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use e2e::conformance::{self, Target, Test, Verdict, report};
use e2e::upstream::{self, Part};
use serde_json::json;

use crate::say;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Levels of tests, C1 to C13 [default: those of C1]
    #[arg(long, value_delimiter = ',')]
    level: Vec<String>,
    /// Only tests with one of these texts in title or area, or with this number
    #[arg(long)]
    focus: Vec<String>,
    /// Not these
    #[arg(long)]
    skip: Vec<String>,
    /// Whose cluster
    #[arg(long, value_enum, default_value_t = Against::Setpoint)]
    against: Against,
    /// Tests at a time
    #[arg(long, default_value_t = 4)]
    procs: usize,
    /// Minutes that all of it may take
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Where verdicts, ginkgo's report and its log stay [default: target/conformance/WHOSE-LEVEL]
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Against {
    /// `setpoint up`, one node, of this working copy
    Setpoint,
    /// etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with a node that is an object only
    Upstream,
}

/// Whether all passed.
pub fn run(options: &Options) -> Result<bool> {
    let tests = wanted(options, conformance::list::all()?)?;
    for part in [Part::Ginkgo, Part::E2eTest] {
        part.path()?;
    }
    let folder = folder(options)?;
    say(format_args!("{} tests", tests.len()));
    let mut verdicts = Vec::new();
    let mut run = |target: Target<'_>| {
        let limit = Duration::from_secs(options.minutes * 60);
        verdicts = conformance::run(target, &tests, options.procs, limit, &folder)?;
        anyhow::Ok(())
    };
    match options.against {
        Against::Setpoint => e2e::cluster::with_place(|cluster| {
            // Some tests wait until history is compacted.
            cluster.up(["--compaction-interval", "30s"])?;
            run(Target { kubeconfig: &cluster.kubeconfig(), namespace: &cluster.namespace })
        })?,
        Against::Upstream => {
            let arguments = vec!["--etcd-compaction-interval=30s".to_owned()];
            let options = upstream::Options { controllers: true, scheduler: true, arguments, ..Default::default() };
            let upstream = upstream::start(&options)?;
            add_node(&upstream)?;
            run(Target { kubeconfig: &upstream.kubeconfig, namespace: &upstream.namespace })?;
        }
    }
    tell(&verdicts, &folder)
}

fn wanted(options: &Options, mut tests: Vec<Test>) -> Result<Vec<Test>> {
    let levels = if options.level.is_empty() { &["C1".to_owned()][..] } else { &options.level[..] };
    let matches = |test: &Test, words: &[String]| {
        words
            .iter()
            .any(|word| test.title.contains(word) || test.area.contains(word) || test.number.to_string() == *word)
    };
    tests.retain(|test| levels.iter().any(|level| level.eq_ignore_ascii_case(test.level)));
    tests.retain(|test| options.focus.is_empty() || matches(test, &options.focus));
    tests.retain(|test| !matches(test, &options.skip));
    ensure!(!tests.is_empty(), "no test is of that level and focus");
    Ok(tests)
}

fn folder(options: &Options) -> Result<PathBuf> {
    let whose = if options.against == Against::Setpoint { "setpoint" } else { "upstream" };
    let level = if options.level.is_empty() { "C1".to_owned() } else { options.level.join("-") };
    let usual = || e2e::binary::repository().join("target/conformance").join(format!("{whose}-{level}"));
    let folder = options.dir.clone().unwrap_or_else(usual);
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// The suite waits until there is a node that pods could go to.
fn add_node(upstream: &upstream::Upstream) -> Result<()> {
    let api = e2e::Api::new(&upstream.kubeconfig, &upstream.namespace)?;
    let mut node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "object"}});
    api.create("/api/v1/nodes", &node)?;
    let amounts = json!({"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "50Gi"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "ItSaysSo"});
    node["status"] = json!({"capacity": amounts, "allocatable": amounts, "conditions": [ready]});
    api.patch("/api/v1/nodes/object/status", &node)?;
    // Admission gives a new node a taint that says not ready.
    api.patch("/api/v1/nodes/object", &json!({"spec": {"taints": null}}))?;
    Ok(())
}

fn tell(verdicts: &[Verdict], folder: &Path) -> Result<bool> {
    let path = folder.join("verdicts.json");
    std::fs::write(&path, format!("{:#}\n", report::json(verdicts)))?;
    for verdict in verdicts.iter().filter(|verdict| !verdict.passed) {
        say(format_args!("\nfailed: {} {} ({})", verdict.test.number, verdict.test.title, verdict.test.area));
        for line in verdict.message.lines() {
            say(format_args!("    {line}"));
        }
    }
    say(format_args!("\n{:<36} {:>7} {:>7}", "area", "passed", "failed"));
    for (area, (passed, failed)) in report::by_area(verdicts) {
        say(format_args!("{area:<36} {passed:>7} {failed:>7}"));
    }
    let passed = verdicts.iter().filter(|verdict| verdict.passed).count();
    let failed = verdicts.len() - passed;
    say(format_args!("{:<36} {passed:>7} {failed:>7}\n{}", "all", path.display()));
    Ok(failed == 0)
}
