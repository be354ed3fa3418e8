//! A Table as aligned text, as kubectl prints it: upper-case headers, three spaces between columns, no column narrower than six.

use serde_json::Value;

use crate::jsonpath::to_text;

const PADDING: usize = 3;
const MIN_WIDTH: usize = 6;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrintOptions {
    pub no_headers: bool,
    pub wide: bool,
    /// A first column NAMESPACE. Needs rows with their metadata, as do the label columns.
    pub with_namespace: bool,
    /// A last column LABELS.
    pub show_labels: bool,
    /// One column per label key (`-L`).
    pub label_columns: Vec<String>,
    /// Put before names, as `pod/` or `deployment.apps/`.
    pub kind_prefix: Option<String>,
}

/// Prints tables one after the other; headers only when the columns change, and columns never get narrower. So the events of a watch
/// line up.
#[derive(Clone, Debug, Default)]
pub struct Printer {
    options: PrintOptions,
    columns: Vec<Value>,
    printed_headers: bool,
    widths: Vec<usize>,
}

/// One table by itself. Nothing for a table without rows.
pub fn print(table: &Value, options: &PrintOptions) -> String {
    Printer::new(options.clone()).print(table, None)
}

impl Printer {
    pub fn new(options: PrintOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// `event` is the type of a watch event, for `--output-watch-events`.
    pub fn print(&mut self, table: &Value, event: Option<&str>) -> String {
        let columns = table["columnDefinitions"].as_array().filter(|columns| !columns.is_empty());
        if let Some(columns) = columns.filter(|columns| **columns != self.columns) {
            self.columns.clone_from(columns);
            self.printed_headers = false;
        }
        let rows = table["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut lines = Vec::new();
        if !rows.is_empty() && !self.printed_headers && !self.options.no_headers {
            lines.push(self.headers(event));
        }
        self.printed_headers |= !rows.is_empty();
        lines.extend(rows.iter().map(|row| self.line(row, event)));
        self.align(&lines)
    }

    fn is_shown(&self, column: &Value) -> bool {
        self.options.wide || column["priority"].as_i64().unwrap_or_default() == 0
    }

    fn headers(&self, event: Option<&str>) -> Vec<String> {
        let mut headers: Vec<String> = event.map(|_| "EVENT".to_owned()).into_iter().collect();
        if self.options.with_namespace {
            headers.push("NAMESPACE".to_owned());
        }
        let shown = self.columns.iter().filter(|column| self.is_shown(column));
        headers.extend(shown.map(|column| column["name"].as_str().unwrap_or_default().to_uppercase()));
        let labels = self.options.label_columns.iter();
        headers.extend(labels.map(|key| key.rsplit('/').next().unwrap_or_default().to_uppercase()));
        if self.options.show_labels {
            headers.push("LABELS".to_owned());
        }
        headers
    }

    fn line(&self, row: &Value, event: Option<&str>) -> Vec<String> {
        let mut line: Vec<String> = event.map(|event| format!("{event:<8}")).into_iter().collect();
        let metadata = &row["object"]["metadata"];
        if self.options.with_namespace {
            line.push(metadata["namespace"].as_str().unwrap_or_default().to_owned());
        }
        let cells = row["cells"].as_array().into_iter().flatten();
        for (column, cell) in self.columns.iter().zip(cells).filter(|(column, _)| self.is_shown(column)) {
            let text = cell_text(cell);
            let is_name = column["format"] == "name" && column["type"] == "string";
            line.push(match self.options.kind_prefix.as_ref().filter(|_| is_name) {
                Some(kind) => format!("{kind}/{text}"),
                None => text,
            });
        }
        let label = |key: &String| metadata["labels"][key.as_str()].as_str().unwrap_or_default().to_owned();
        line.extend(self.options.label_columns.iter().map(label));
        if self.options.show_labels {
            line.push(format_labels(&metadata["labels"]));
        }
        line
    }

    fn align(&mut self, lines: &[Vec<String>]) -> String {
        for line in lines {
            self.widths.resize(self.widths.len().max(line.len()), MIN_WIDTH);
            for (width, cell) in self.widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count() + PADDING);
            }
        }
        let mut out = String::new();
        for line in lines {
            for (index, cell) in line.iter().enumerate() {
                out.push_str(cell);
                if index + 1 < line.len() {
                    out.extend(std::iter::repeat_n(' ', self.widths[index] - cell.chars().count()));
                }
            }
            out.push('\n');
        }
        out
    }
}

/// The first line of a cell, with escape characters made visible.
fn cell_text(cell: &Value) -> String {
    let text = match cell {
        Value::Null => return String::new(),
        other => to_text(other),
    };
    let shown = match text.find(['\n', '\r', '\u{c}']) {
        Some(end) => format!("{}...", &text[..end]),
        None => text,
    };
    shown.replace('\u{1b}', "^[").replace('\t', " ")
}

/// `a=b,c=d`, or `<none>`.
pub(super) fn format_labels(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let labels: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if labels.is_empty() { "<none>".to_owned() } else { labels.join(",") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Value {
        let row = |namespace: &str, cells: Value, labels: Value| json!({"cells": cells, "object": {"metadata": {"namespace": namespace, "labels": labels}}});
        json!({"columnDefinitions": [
                {"name": "Name", "type": "string", "format": "name", "priority": 0},
                {"name": "Ready", "type": "string", "priority": 0},
                {"name": "IP", "type": "string", "priority": 1},
                {"name": "Age", "type": "string", "priority": 0}],
            "rows": [
                row("default", json!(["web-0", "1/1", "10.0.0.1", "5m"]), json!({"app": "web", "a/tier": "x"})),
                row("kube-system", json!(["d", null, "10.0.0.200", "two\nlines"]), json!(null))]})
    }

    #[test]
    fn aligned_like_kubectl() {
        let plain = "NAME    READY   AGE\nweb-0   1/1     5m\nd               two...\n";
        assert_eq!(print(&table(), &PrintOptions::default()), plain);
        let wide = PrintOptions { wide: true, no_headers: true, ..Default::default() };
        assert_eq!(print(&table(), &wide), "web-0   1/1   10.0.0.1     5m\nd             10.0.0.200   two...\n");
    }

    #[test]
    fn namespaces_kinds_and_labels() {
        let options = PrintOptions {
            with_namespace: true,
            show_labels: true,
            label_columns: vec!["a/tier".into()],
            kind_prefix: Some("pod".into()),
            ..Default::default()
        };
        let expected = "NAMESPACE     NAME        READY   AGE      TIER   LABELS\n\
                        default       pod/web-0   1/1     5m       x      a/tier=x,app=web\n\
                        kube-system   pod/d               two...          <none>\n";
        assert_eq!(print(&table(), &options), expected);
    }

    #[test]
    fn watch_events_line_up() {
        let mut printer = Printer::new(PrintOptions::default());
        let first = printer.print(&table(), None);
        let later = json!({"columnDefinitions": null, "rows": [{"cells": ["x", "0/1", "", "1s"]}]});
        assert_eq!(printer.print(&later, None), "x       0/1     1s\n");
        assert!(first.starts_with("NAME"));
        assert_eq!(printer.print(&json!({"rows": []}), None), "");
        let mut printer = Printer::new(PrintOptions::default());
        assert!(
            printer.print(&table(), Some("ADDED")).starts_with("EVENT      NAME    READY   AGE\nADDED      web-0   ")
        );
    }
}
