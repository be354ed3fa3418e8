//! What no compiler checks: the shape of the repository. `cargo xtask tidy` prints what is wrong; a test runs the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

/// Exceptions: `path length reason` for a file, `path::function length reason` for a function.
const ALLOWED: &str = include_str!("../tidy-allow.txt");

/// Which of our crates a crate may use. Dependencies point one way, and siblings never meet.
const DIRECTION: [(&str, &[&str]); 13] = [
    ("api", &[]),
    ("cel", &["api"]),
    ("store", &[]),
    ("runtime", &[]),
    ("apiserver", &["api", "cel", "store"]),
    ("reconcile", &["api"]),
    ("controllers", &["api", "cel", "reconcile"]),
    ("scheduler", &["api", "reconcile"]),
    ("network", &["api", "reconcile"]),
    ("kubelet", &["api", "reconcile", "runtime"]),
    ("cli", &["api", "store", "apiserver", "reconcile", "controllers", "scheduler", "runtime", "kubelet", "network"]),
    ("fuzz", &["api", "cel", "store", "apiserver"]),
    ("sim", &["store", "apiserver", "reconcile", "controllers", "scheduler", "runtime", "kubelet"]),
];

/// Folders where a file that implements a trait must also be registered: the folder, the file that names each, the trait.
const REGISTERED: [(&str, &str, &str); 4] = [
    ("apiserver/src/admission", "apiserver/src/admission/mod.rs", "Admission"),
    ("apiserver/src/kinds", "apiserver/src/kinds/mod.rs", "Strategy"),
    ("controllers/src", "controllers/src/lib.rs", "Controller"),
    ("scheduler/src/plugins", "scheduler/src/plugins/mod.rs", "Plugin"),
];

/// Crates that print: a person runs them.
const PRINTING: [&str; 5] = ["cli", "sim", "fuzz", "xtask", "e2e"];

pub fn run() -> Result<()> {
    let problems = check(&root())?;
    for problem in &problems {
        crate::say(format_args!("{problem}"));
    }
    if problems.is_empty() { Ok(()) } else { bail!("{} problems", problems.len()) }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Everything that is wrong, one line each.
fn check(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    directions(root, &mut problems)?;
    let mut files = Vec::new();
    for (name, _) in DIRECTION {
        sources(&root.join(name), &mut files)?;
    }
    for name in ["e2e", "xtask"] {
        sources(&root.join(name), &mut files)?;
    }
    let allowed = allowances()?;
    let mut used = BTreeMap::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let path = file.strip_prefix(root)?.to_string_lossy().into_owned();
        lengths(&path, &text, &allowed, &mut used, &mut problems);
        words(&path, &text, &mut problems);
        reachable(file, &path, &mut problems)?;
    }
    registered(root, &mut problems)?;
    let stale = allowed.keys().filter(|key| !used.contains_key(*key));
    problems
        .extend(stale.map(|key| format!("xtask/tidy-allow.txt: {key} is within the limits or gone: remove the line")));
    Ok(problems)
}

fn directions(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    for (name, may_use) in DIRECTION {
        let manifest =
            fs::read_to_string(root.join(name).join("Cargo.toml")).with_context(|| format!("read {name}"))?;
        let mut section = String::new();
        for line in manifest.lines().map(str::trim) {
            if line.starts_with('[') {
                line.clone_into(&mut section);
            }
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let ours = DIRECTION.iter().any(|(other, _)| *other == dependency);
            if section == "[dependencies]" && ours && !may_use.contains(&dependency) {
                problems.push(format!("{name}/Cargo.toml: {name} must not depend on {dependency}"));
            }
        }
    }
    Ok(())
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

fn allowances() -> Result<BTreeMap<&'static str, usize>> {
    let lines = ALLOWED.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let (key, limit, reason) = (parts.next(), parts.next(), parts.next());
            match (key, limit.and_then(|limit| limit.parse().ok()), reason) {
                (Some(key), Some(limit), Some(_)) => Ok((key, limit)),
                _ => bail!("xtask/tidy-allow.txt: {line:?} is not `place length reason`"),
            }
        })
        .collect()
}

fn lengths(
    path: &str,
    text: &str,
    allowed: &BTreeMap<&'static str, usize>,
    used: &mut BTreeMap<&'static str, ()>,
    problems: &mut Vec<String>,
) {
    let mut limit = |key: &str, usual: usize, length: usize| {
        if length <= usual {
            return usual;
        }
        let found = allowed.get_key_value(key);
        if let Some((key, _)) = found {
            used.insert(key, ());
        }
        found.map_or(usual, |(_, limit)| *limit)
    };
    let lines = text.lines().count();
    let most = limit(path, MAX_FILE_LINES, lines);
    if lines > most {
        problems.push(format!("{path}: {lines} lines, at most {most}: look for the second idea"));
    }
    // A test's length is its table's.
    let is_test = path.contains("tests");
    for (name, length) in functions(text).into_iter().filter(|_| !is_test) {
        let most = limit(&format!("{path}::{name}"), MAX_FUNCTION_LINES, length);
        if length > most {
            problems.push(format!("{path}: function {name} has {length} lines, at most {most}"));
        }
    }
}

/// Name and length of each function, by the indentation that rustfmt gives.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim_start();
        if let Some(name) = function_name(trimmed) {
            let one_line = trimmed.ends_with('}') || trimmed.ends_with(';');
            if !one_line {
                open.push((indent, number, name.to_owned()));
            }
        } else if (trimmed == "}" || trimmed == ") -> Self;" || trimmed.ends_with(");"))
            && let Some(at) = open.iter().rposition(|(depth, _, _)| *depth == indent)
        {
            let (_, start, name) = open.swap_remove(at);
            if trimmed == "}" {
                found.push((name, number - start + 1));
            }
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for prefix in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn words(path: &str, text: &str, problems: &mut Vec<String>) {
    let crate_name = path.split('/').next().unwrap_or_default();
    let build_script = path.ends_with("build.rs");
    let own = path == "xtask/src/tidy.rs";
    for (number, line) in text.lines().enumerate().filter(|_| !own) {
        let code = line.split("//").next().unwrap_or_default();
        let mut refuse = |what: &str| problems.push(format!("{path}:{}: {what}", number + 1));
        if ["println!", "eprintln!", "print!(", "eprint!("].iter().any(|word| code.contains(word))
            && !PRINTING.contains(&crate_name)
            && !build_script
            && !path.contains("tests")
        {
            refuse("prints; only the command line talks to people: use tracing");
        }
        if ["todo!(", "unimplemented!(", "dbg!("].iter().any(|word| code.contains(word)) {
            refuse("unfinished: answer with a clear error and name it in the README's table");
        }
        if line.contains("FIXME") || line.contains("XXX:") || line.contains("TODO") {
            refuse("an unfinished mark: build it, or name it in the README's table");
        }
        if code.contains("#[ignore") {
            refuse("an ignored test checks nothing");
        }
    }
}

/// A file that no `mod` names is not compiled.
fn reachable(file: &Path, path: &str, problems: &mut Vec<String>) -> Result<()> {
    let (Some(folder), Some(stem)) = (file.parent(), file.file_stem().and_then(|stem| stem.to_str())) else {
        return Ok(());
    };
    let is_root = matches!(stem, "lib" | "main" | "build")
        || path.contains("/tests/")
        || path.contains("/examples/")
        || path.contains("/src/bin/");
    if is_root || path.contains("/benches/") {
        return Ok(());
    }
    let (name, homes) = if stem == "mod" {
        let parent = folder.parent().unwrap_or(folder);
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        (
            name.to_owned(),
            vec![parent.join("mod.rs"), parent.join("lib.rs"), parent.join("main.rs"), parent.with_extension("rs")],
        )
    } else {
        let homes =
            vec![folder.join("mod.rs"), folder.join("lib.rs"), folder.join("main.rs"), folder.with_extension("rs")];
        (stem.to_owned(), homes)
    };
    let mut texts: Vec<String> = homes.iter().filter_map(|home| fs::read_to_string(home).ok()).collect();
    // Tests beside their module are named by path from the module itself.
    let siblings = fs::read_dir(folder)?.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    texts.extend(siblings.filter(|text| text.contains(&format!("path = \"{name}.rs\""))));
    let named = texts.iter().any(|text| {
        text.contains(&format!("mod {name};"))
            || text.contains(&format!("mod {name} "))
            || text.contains(&format!("path = \"{name}.rs\""))
    });
    if !named {
        problems.push(format!("{path}: no `mod {name};` names it, so it is not compiled"));
    }
    Ok(())
}

fn registered(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    for (folder, register, role) in REGISTERED {
        let Ok(text) = fs::read_to_string(root.join(register)) else {
            problems.push(format!("{register}: it is missing"));
            continue;
        };
        for entry in fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if matches!(stem, "mod" | "lib") || path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let implements = fs::read_to_string(&path)?.contains(&format!("impl {role} for"));
            if implements && !text.contains(&format!("{stem}::")) {
                problems.push(format!("{folder}/{stem}.rs: {register} does not register it"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let problems = check(&root()).unwrap();
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }

    #[test]
    fn functions_are_measured() {
        let text = "pub async fn a(\n    x: u8,\n) -> u8 {\n    x\n}\nfn b() {}\nimpl X {\n    fn c(&self) {\n        y();\n    }\n}\n";
        assert_eq!(functions(text), [("a".to_owned(), 5), ("c".to_owned(), 3)]);
    }
}
