//! `cargo xtask triples`: patches that need three objects, ours and those of Kubernetes' own Go libraries (`e2e/clients/oracle`), and
//! where they differ: server-side apply and updates of managed objects, strategic merge patches, and the patch that `kubectl apply`
//! makes of what was applied, what shall be and what is.
//!
//! [`make`] makes objects from a seed, [`ours`] answers as our server does, [`oracle`] asks the Go program. Managers come about in
//! stories: an object is created, updated and applied by several, one after the other.

mod make;
mod oracle;
mod ours;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::diff::kinds::{self, Kind};
use crate::diff::random::Random;
use oracle::{Oracle, Question};

/// Differences that are printed.
const SHOWN: usize = 20;
/// Groups of kinds that client-go does not know.
const SERVERS: [&str; 2] = ["apiextensions.k8s.io/", "apiregistration.k8s.io/"];
/// How often a question is asked again to which there are two right answers.
const AGAIN: usize = 20;
/// What happens to one object.
const STEPS: usize = 8;

#[derive(clap::Args)]
pub struct Options {
    /// How many questions, roughly
    #[arg(long, default_value_t = 2_000)]
    count: usize,
    /// The same seed makes the same questions
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(options: &Options) -> Result<()> {
    let Some(mut oracle) = Oracle::start()? else { return Ok(()) };
    let tally = compare(&mut oracle, options.count, options.seed)?;
    crate::say(format_args!(
        "{} questions ({} answered with an error by both), {} differences",
        tally.asked,
        tally.refused,
        tally.differences.len()
    ));
    for difference in tally.differences.iter().take(SHOWN) {
        crate::say(format_args!("{difference}"));
    }
    ensure!(tally.differences.is_empty(), "{} differences", tally.differences.len());
    Ok(())
}

#[derive(Default)]
struct Tally {
    asked: usize,
    refused: usize,
    differences: Vec<String>,
}

fn compare(oracle: &mut Oracle, count: usize, seed: u64) -> Result<Tally> {
    let known = |kind: &&Kind| kind.schema().is_some() && !SERVERS.iter().any(|own| kind.api_version.starts_with(own));
    let kinds: Vec<&Kind> = kinds::all().filter(|kind| known(kind) && !kind.review).collect();
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    while tally.asked < count {
        let mut random = random.split();
        let kind = *random.pick(&kinds);
        if random.percent(60) {
            story(oracle, kind, &mut random, &mut tally)?;
        } else {
            patches(oracle, kind, &mut random, &mut tally)?;
        }
    }
    Ok(tally)
}

/// The life of one object, until the answers differ.
fn story(oracle: &mut Oracle, kind: &'static Kind, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let mut first = make::object(kind, random);
    make::forget_empties(&mut first);
    let mut question = Question {
        verb: "update",
        kind,
        manager: "maker",
        force: false,
        live: Value::Null,
        sent: first,
        original: Value::Null,
    };
    for _ in 0..STEPS {
        match ask(oracle, &question, tally)? {
            Agreed::Result(mut result) => {
                // Go knows by it that an object is there already.
                result["metadata"]["uid"] = "u".into();
                question.live = result;
            }
            Agreed::Refusal if question.live.is_null() => return Ok(()),
            Agreed::Refusal => {}
            Agreed::Not => return Ok(()),
        }
        if random.percent(40) {
            question.verb = "update";
            question.manager = *random.pick(&["maker", "editor", "controller"]);
            question.sent = make::changed(&question.live, kind, random);
            make::forget_empties(&mut question.sent);
        } else {
            question.verb = "apply";
            question.manager = *random.pick(&["one", "two", "kubectl"]);
            question.force = random.percent(40);
            question.sent = make::configuration(&question.live, kind, random);
        }
    }
    Ok(())
}

fn patches(oracle: &mut Oracle, kind: &'static Kind, random: &mut Random, tally: &mut Tally) -> Result<()> {
    let live = make::object(kind, random);
    let modified = make::configuration(&live, kind, random);
    let (verb, sent, original) = if random.percent(60) {
        ("strategic", make::patch(modified, random), Value::Null)
    } else {
        ("threeway", modified, make::configuration(&live, kind, random))
    };
    ask(oracle, &Question { verb, kind, manager: "", force: false, live, sent, original }, tally).map(drop)
}

enum Agreed {
    Result(Value),
    Refusal,
    Not,
}

fn ask(oracle: &mut Oracle, question: &Question, tally: &mut Tally) -> Result<Agreed> {
    let mut theirs = oracle.ask(question)?;
    let ours = ours::answer(question);
    tally.asked += 1;
    if ours != theirs && question.is_ambiguous() {
        for _ in 0..AGAIN {
            let again = oracle.ask(question)?;
            if ours == again {
                theirs = again;
                break;
            }
        }
    }
    let agreed = match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) if ours == theirs => return Ok(Agreed::Result(theirs.clone())),
        // Conflicts are told in full; the words of other errors are compared by `cargo xtask diff`.
        (Err(ours), Err(theirs)) => {
            !(ours.starts_with("Apply failed") || theirs.starts_with("Apply failed")) || ours == theirs
        }
        // A bug of the library: it compares maps as if they were keys.
        (Ok(_), Err(theirs)) => theirs.contains("comparing uncomparable type"),
        _ => false,
    };
    if agreed {
        tally.refused += 1;
        return Ok(Agreed::Refusal);
    }
    let show = |answer: &Result<Value, String>| match answer {
        Ok(value) => value.to_string(),
        Err(error) => format!("error: {error}"),
    };
    let asked = json!({"verb": question.verb, "manager": question.manager, "force": question.force, "live": question.live,
        "sent": question.sent, "original": question.original});
    tally.differences.push(format!(
        "{} {} of {}\n  asked:  {asked}\n  ours:   {}\n  theirs: {}\n  {}",
        question.verb,
        question.manager,
        question.kind.kind,
        show(&ours),
        show(&theirs),
        oracle::difference(&ours, &theirs)
    ));
    Ok(Agreed::Not)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTIONS: usize = 500;
    const SEED: u64 = 1;

    /// Of what `cargo xtask triples` asks for long.
    #[test]
    fn a_sample_is_answered_as_kubernetes_libraries_do() -> Result<()> {
        let Some(mut oracle) = Oracle::start()? else { return Ok(()) };
        let Tally { asked, differences, .. } = compare(&mut oracle, QUESTIONS, SEED)?;
        ensure!(differences.is_empty(), "{} differences of {asked}\n{}", differences.len(), differences.join("\n"));
        Ok(())
    }
}
