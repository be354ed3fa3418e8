//! The one place of the program that reads and writes YAML for people.

use anyhow::{Result, anyhow};
use serde_json::Value;

/// All documents of a stream; empty ones are left out. JSON is YAML. Octal numbers are YAML 1.1's: file modes are written so.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let mut options = serde_saphyr::Options::default();
    options.legacy_octal_numbers = true;
    // What is read is the user's own file: a budget would only refuse large charts.
    options.budget = None;
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| anyhow!("error converting YAML to JSON: {}", first_line(&error.to_string())))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// What is wrong and where; the excerpt that the parser draws below is left out.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    format!("yaml: {}", line.strip_prefix("error: ").unwrap_or(line))
}

pub fn to_string(value: &Value) -> Result<String> {
    Ok(serde_saphyr::to_string(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn streams_of_documents_are_read_as_kubectl_reads_them() {
        let cases = [
            ("a: 1\n---\nb: 2\n", json!([{"a": 1}, {"b": 2}])),
            ("---\n---\na: 0644\n", json!([{"a": 420}])),
            ("{\"a\": \"yes\"}", json!([{"a": "yes"}])),
            ("# nothing\n", json!([])),
        ];
        for (text, expected) in cases {
            assert_eq!(Value::Array(documents(text).unwrap()), expected, "{text}");
        }
        assert!(documents("a:\n\t- b\n").unwrap_err().to_string().contains("converting YAML to JSON"));
    }
}
