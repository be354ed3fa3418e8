//! What ginkgo's report says about the tests that were wanted.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::list::{Test, plain};

/// Of a failure's message: what follows is a dump.
const MESSAGE_LINES: usize = 6;
const LINE_LENGTH: usize = 300;

#[derive(Clone, Debug)]
pub struct Verdict {
    pub test: Test,
    pub passed: bool,
    pub seconds: f64,
    /// First lines of the failure; why it did not run, if it did not.
    pub message: String,
}

/// A verdict for each wanted test, in their order.
pub fn read(report: &[u8], wanted: &[Test]) -> Result<Vec<Verdict>> {
    let report: Value = serde_json::from_slice(report).context("read ginkgo's report")?;
    let mut found = BTreeMap::new();
    for spec in children(&report).flat_map(|suite| children(&suite["SpecReports"])) {
        let state = spec["State"].as_str().unwrap_or_default();
        if spec["LeafNodeType"] == "It" && state != "skipped" {
            found.insert(title(spec), spec);
        }
    }
    let verdict = |test: &Test| match found.get(test.title) {
        Some(spec) => Verdict {
            test: test.clone(),
            passed: spec["State"] == "passed",
            seconds: spec["RunTime"].as_f64().unwrap_or(0.0) / 1e9,
            message: message(spec),
        },
        None => Verdict { test: test.clone(), passed: false, seconds: 0.0, message: "it did not run".to_owned() },
    };
    Ok(wanted.iter().map(verdict).collect())
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn title(spec: &Value) -> String {
    let mut texts: Vec<&str> = children(&spec["ContainerHierarchyTexts"]).filter_map(Value::as_str).collect();
    texts.extend(spec["LeafNodeText"].as_str());
    plain(&texts.join(" "))
}

fn message(spec: &Value) -> String {
    let failure = spec["Failure"]["Message"].as_str().unwrap_or_default();
    let lines = failure.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).take(MESSAGE_LINES);
    let lines: Vec<String> = lines.map(|line| line.chars().take(LINE_LENGTH).collect()).collect();
    lines.join("\n")
}

/// Area, passed, failed.
pub fn by_area(verdicts: &[Verdict]) -> BTreeMap<&'static str, (usize, usize)> {
    let mut areas = BTreeMap::new();
    for verdict in verdicts {
        let counts: &mut (usize, usize) = areas.entry(verdict.test.area).or_default();
        if verdict.passed {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
    }
    areas
}

/// For programs.
pub fn json(verdicts: &[Verdict]) -> Value {
    let one = |verdict: &Verdict| {
        let Test { number, level, area, title } = &verdict.test;
        json!({
            "number": number, "level": level, "area": area, "title": title,
            "passed": verdict.passed, "seconds": verdict.seconds, "message": verdict.message,
        })
    };
    verdicts.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wanted_test_has_a_verdict() {
        let test = |title| Test { number: 1, level: "C1", area: "a", title };
        let spec = |text: &str, state: &str, message: &str| {
            json!({
                "ContainerHierarchyTexts": ["[sig-x] Things [Serial]"], "LeafNodeType": "It", "LeafNodeText": text,
                "State": state, "RunTime": 1_500_000_000, "Failure": {"Message": message},
            })
        };
        let report = json!([{"SpecReports": [
            spec("should work [Conformance]", "passed", ""),
            spec("should fail [Conformance]", "failed", "expected\n\n  1\n"),
            spec("should wait", "skipped", ""),
        ]}]);
        let wanted = [test("Things should fail"), test("Things should work"), test("Things should wait")];
        let verdicts = read(report.to_string().as_bytes(), &wanted).unwrap();
        let seen: Vec<_> = verdicts.iter().map(|verdict| (verdict.passed, verdict.message.as_str())).collect();
        assert_eq!(seen, [(false, "expected\n  1"), (true, ""), (false, "it did not run")]);
        assert!((verdicts[0].seconds - 1.5).abs() < 1e-9);
        assert_eq!(by_area(&verdicts)["a"], (1, 2));
    }
}
