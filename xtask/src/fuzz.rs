//! Long runs of fuzz targets. `fuzz/src/lib.rs` says what they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// libFuzzer's own clock counts time that passes; ours, CPU time, is in the target. This ends what hangs for good.
const HANG_SECONDS: u32 = 120;
/// Of the whole process: what one input may take is counted in the target.
const RESIDENT_MEGABYTES: u32 = 2048;

#[derive(clap::Args)]
pub struct Options {
    /// Targets, by name; all of them if none is named
    targets: Vec<String>,
    /// CPU seconds for each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub fn run(options: &Options) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace around this crate")?;
    let program = build(root)?;
    let mut targets = options.targets.clone();
    if targets.is_empty() {
        for entry in std::fs::read_dir(root.join("fuzz/corpus"))? {
            targets.push(entry?.file_name().to_string_lossy().into_owned());
        }
        targets.sort();
    }
    for target in targets {
        fuzz(root, &program, &target, options.seconds)?;
    }
    Ok(())
}

/// Builds it apart from everything else: its code is instrumented.
fn build(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/fuzz");
    let built = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["build", "--package", "fuzz", "--features", "libfuzzer", "--profile", "fuzz", "--target-dir"])
        .arg(&folder)
        .env("RUSTC_WRAPPER", root.join("fuzz/instrument"))
        // In place of those of `.cargo/config.toml`: libFuzzer's threads do not work in a static program.
        .env("RUSTFLAGS", "-Ctarget-feature=-crt-static")
        .current_dir(root)
        .status()
        .context("start cargo")?;
    ensure!(built.success(), "failed to build the fuzz targets");
    Ok(folder.join("x86_64-unknown-linux-gnu/fuzz/fuzz"))
}

/// New inputs are kept in `target/fuzz/corpus`, which the next run goes on from.
fn fuzz(root: &Path, program: &Path, target: &str, seconds: u64) -> Result<()> {
    let seeds = root.join("fuzz/corpus").join(target);
    let (grown, crashes) = (root.join("target/fuzz/corpus").join(target), root.join("target/fuzz/crashes"));
    std::fs::create_dir_all(&grown)?;
    std::fs::create_dir_all(&crashes)?;
    let ended = Command::new(program)
        .args([&grown, &seeds])
        .arg(format!("-artifact_prefix={}/{target}-", crashes.display()))
        .args(["-max_len=8192", "-len_control=0", "-use_value_profile=1", "-print_final_stats=1"])
        .args([format!("-timeout={HANG_SECONDS}"), format!("-rss_limit_mb={RESIDENT_MEGABYTES}")])
        .env("FUZZ_TARGET", target)
        .env("FUZZ_CPU_SECONDS", seconds.to_string())
        .status()
        .context("start the fuzzer")?;
    ensure!(ended.success(), "{target}: an input that breaks it is in {}", crashes.display());
    Ok(())
}
