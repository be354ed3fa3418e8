//! Every target on its corpus, and on mutations of it: a sample of what `cargo xtask fuzz` does for long.

use std::path::{Path, PathBuf};

use fuzz::{Random, TARGETS, Target, limits, mutate};

/// For each target.
const MUTATIONS: usize = 400;

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("readable"))).collect()
}

/// In one test: what inputs take of time and memory is counted, and they would be counted together.
#[test]
fn no_input_breaks_a_target() {
    let mut broken = Vec::new();
    for target in &TARGETS {
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{}: no corpus", target.name);
        for (path, input) in &corpus {
            broken.extend(breaks(target, input, &path.display().to_string()));
        }
        let mut random = Random::new(1);
        for index in 0..MUTATIONS {
            let mut input = random.pick(&corpus).1.clone();
            for _ in 0..=random.below(3) {
                input = mutate::mutate(target, &input, &mut random);
            }
            broken.extend(breaks(target, &input, &format!("mutation {index}")));
        }
    }
    assert!(broken.is_empty(), "{} inputs\n{}", broken.len(), broken.join("\n"));
}

fn breaks(target: &Target, input: &[u8], name: &str) -> Option<String> {
    let ended = std::panic::catch_unwind(|| limits::run(target, input));
    ended.is_err().then(|| format!("{}: {name} breaks it: {:?}", target.name, String::from_utf8_lossy(input)))
}
