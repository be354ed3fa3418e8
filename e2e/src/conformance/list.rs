//! The conformance tests as data.

use anyhow::{Context, Result};

/// Facts: number, level, area, title. The number is this project's, the level a judgement.
const FACTS: &str = include_str!("../../upstream/conformance.tsv");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    pub number: u16,
    /// `C1` to `C13`: the capability after which it can pass.
    pub level: &'static str,
    pub area: &'static str,
    /// Texts of containers and leaf, without tags in brackets.
    pub title: &'static str,
}

/// All of them, in order of their numbers.
pub fn all() -> Result<Vec<Test>> {
    FACTS.lines().filter(|line| !line.starts_with('#')).map(|line| test(line).context(line)).collect()
}

fn test(line: &'static str) -> Option<Test> {
    let mut fields = line.split('\t');
    let number = fields.next()?.parse().ok()?;
    Some(Test { number, level: fields.next()?, area: fields.next()?, title: fields.next()? })
}

/// The text without what is in brackets, with single spaces: titles are compared in this form.
pub fn plain(text: &str) -> String {
    let mut depth = 0;
    let outside = text.chars().filter(|char| match char {
        '[' => {
            depth += 1;
            false
        }
        ']' => {
            depth -= 1;
            false
        }
        _ => depth == 0,
    });
    outside.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Test {
    /// A regular expression for ginkgo, which knows the title with tags anywhere between its words.
    pub fn focus(&self) -> String {
        const TAGS: &str = r"\s*(\[[^\]]*\]\s*)*";
        let words: Vec<String> = self.title.split(' ').map(quote).collect();
        format!(r"\[sig-[a-z-]+\]{TAGS}{}{TAGS}$", words.join(TAGS))
    }
}

fn quote(word: &str) -> String {
    let mut quoted = String::new();
    for char in word.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_conformance_test_is_in_the_list() {
        let all = all().unwrap();
        let numbers: Vec<u16> = all.iter().map(|test| test.number).collect();
        assert_eq!(numbers, (1..=441).collect::<Vec<_>>());
        assert_eq!(all.iter().filter(|test| test.level == "C1").count(), 71);
        assert!(all.iter().all(|test| plain(test.title) == test.title), "titles are without tags");
    }

    #[test]
    fn tags_are_no_part_of_a_title() {
        let cases = [
            ("[sig-apps] ReplicaSet should list [Slow] [Conformance]", "ReplicaSet should list"),
            ("Namespaces [Serial] should apply", "Namespaces should apply"),
            ("plain", "plain"),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn a_focus_allows_tags_between_words_and_quotes_the_rest() {
        let test = Test { number: 1, level: "C1", area: "a", title: "should 406 (a.b)" };
        let tags = r"\s*(\[[^\]]*\]\s*)*";
        assert_eq!(test.focus(), format!(r"\[sig-[a-z-]+\]{tags}should{tags}406{tags}\(a\.b\){tags}$"));
    }
}
