//! A unified diff of two JSON trees, for messages.

use serde_json::Value;

const CONTEXT: usize = 3;

/// Empty when nothing differs.
pub fn diff(old: &Value, new: &Value) -> String {
    let (old, new) = (pretty(old), pretty(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let mut text = String::new();
    let mut at = 0;
    while let Some(first) = lines[at..].iter().position(|line| line.mark != ' ').map(|offset| at + offset) {
        let start = first.saturating_sub(CONTEXT).max(at);
        let mut end = first;
        while let Some(next) = lines[end..].iter().position(|line| line.mark != ' ') {
            if next > 2 * CONTEXT {
                break;
            }
            end += next + 1;
        }
        at = (end + CONTEXT).min(lines.len());
        hunk(&mut text, &lines[start..at]);
    }
    text
}

struct Line<'t> {
    mark: char,
    /// Numbers of the line in both texts, from 1: where it is, or would be.
    old: usize,
    new: usize,
    text: &'t str,
}

fn hunk(text: &mut String, lines: &[Line]) {
    let count = |mark: char| lines.iter().filter(|line| line.mark != mark).count();
    let Some(first) = lines.first() else { return };
    text.push_str(&format!("@@ -{},{} +{},{} @@\n", first.old, count('+'), first.new, count('-')));
    for line in lines {
        text.push_str(&format!("{}{}\n", line.mark, line.text));
    }
}

/// Longest common subsequence of the lines between the common start and end.
fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let tail = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(old, new)| old == new).count();
    let (olds, news) = (&old[start..old.len() - tail], &new[start..new.len() - tail]);
    let mut length = vec![vec![0_usize; news.len() + 1]; olds.len() + 1];
    for row in (0..olds.len()).rev() {
        for column in (0..news.len()).rev() {
            length[row][column] = if olds[row] == news[column] {
                length[row + 1][column + 1] + 1
            } else {
                length[row + 1][column].max(length[row][column + 1])
            };
        }
    }
    let mut marks: Vec<char> = vec![' '; start];
    let (mut row, mut column) = (0, 0);
    while row < olds.len() || column < news.len() {
        if row < olds.len() && column < news.len() && olds[row] == news[column] {
            marks.push(' ');
            (row, column) = (row + 1, column + 1);
        } else if row < olds.len() && (column == news.len() || length[row + 1][column] >= length[row][column + 1]) {
            marks.push('-');
            row += 1;
        } else {
            marks.push('+');
            column += 1;
        }
    }
    marks.extend(std::iter::repeat_n(' ', tail));
    let (mut row, mut column) = (0, 0);
    let mut lines = Vec::with_capacity(marks.len());
    for mark in marks {
        let text = if mark == '+' { new[column] } else { old[row] };
        lines.push(Line { mark, old: row + 1, new: column + 1, text });
        row += usize::from(mark != '+');
        column += usize::from(mark != '-');
    }
    lines
}

fn pretty(value: &Value) -> String {
    // One space of indent, as upstream's messages have.
    let two = serde_json::to_string_pretty(value).unwrap_or_default();
    let narrow = two.lines().map(|line| {
        let rest = line.trim_start();
        format!("{}{rest}\n", " ".repeat((line.len() - rest.len()) / 2))
    });
    narrow.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shows_the_lines_that_differ() {
        let old = json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9, "j": 10, "k": 11});
        let new = json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 0, "g": 7, "h": 8, "i": 9, "j": 10, "k": 11});
        let expected = "@@ -4,7 +4,7 @@\n  \"c\": 3,\n  \"d\": 4,\n  \"e\": 5,\n- \"f\": 6,\n+ \"f\": 0,\n  \"g\": 7,\n  \"h\": 8,\n  \"i\": 9,\n";
        assert_eq!(diff(&old, &new), expected);
        assert_eq!(diff(&old, &old), "");
    }
}
