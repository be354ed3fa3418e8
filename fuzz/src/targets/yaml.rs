//! Bodies of YAML: the same object as its JSON. Manifests of several documents, as the command line reads them.

use serde_json::Value;

use super::json::VALIDATION;
use super::{Target, split};
use crate::kinds;
use crate::server;

pub const TARGET: Target = Target {
    name: "yaml",
    run,
    header: 2,
    tree: None,
    words: &[
        "---\n",
        "...\n",
        "- ",
        ": ",
        "? ",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "!!binary ",
        "!!int ",
        "|\n",
        ">-\n",
        "{",
        "}",
        "[",
        "]",
        "#",
        "\"",
        "'",
        "0644",
        "0o17",
        "0x1f",
        ".inf",
        ".nan",
        "~",
        "null",
        "yes",
        "on",
        "1e3",
        "%YAML 1.2\n",
        "\u{feff}",
        "\t",
        "apiVersion: v1\n",
        "kind: Pod\n",
        "metadata:\n  name: a\n",
        "spec:\n",
        "  - ",
        "\n",
        "1_000",
        "2026-01-01",
    ],
};

fn run(data: &[u8]) {
    let Some(([kind, validation], body)) = split(data) else { return };
    let documents = manifest(body);
    let kind = kinds::chosen(kind, body);
    server::with(|server| {
        let path = format!("{}?dryRun=All&fieldValidation={}", kind.path, VALIDATION[usize::from(validation) % 3]);
        server.reseed();
        let made = server.send("POST", &path, &[("content-type", "application/yaml")], body.to_vec());
        if made.is_good()
            && let [document] = &documents[..]
        {
            server.reseed();
            let same = server.send("POST", &path, &[("content-type", "application/json")], document.to_string());
            assert!(same.is_good(), "refused as JSON: {}", String::from_utf8_lossy(&same.bytes));
            assert_eq!(made.json(), same.json(), "another object as JSON");
        }
        true
    });
}

/// What is read can be written, and is the same when it is read again.
fn manifest(body: &[u8]) -> Vec<Value> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    let mut options = serde_saphyr::Options::default();
    options.legacy_octal_numbers = true;
    options.budget = None;
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options.clone()).unwrap_or_default();
    for document in &documents {
        let written = serde_saphyr::to_string(document).expect("what was read can be written");
        let again: Value = serde_saphyr::from_str_with_options(&written, options.clone())
            .unwrap_or_else(|error| panic!("what was written cannot be read: {error}\n{written}"));
        assert_eq!(&again, document, "{written}");
    }
    documents
}
