//! The smallest requests that still show a difference.

use anyhow::Result;
use serde_json::Value;

use super::causes::{Example, Key};
use super::compare::short;
use super::runner::Runner;
use super::step::{Action, Content, Request, Scenario};

/// Of runs of the scenario. More make nothing smaller, as a rule.
const ATTEMPTS: usize = 250;

pub async fn shrink(runner: &mut Runner, key: &Key, example: &Example) -> Result<()> {
    let mut search = Search { runner, key, left: ATTEMPTS };
    let mut scenario = example.scenario.clone();
    if !search.shows(&scenario).await? {
        crate::say(format_args!("{} {} does not show again by itself", key.place, key.what));
        return Ok(());
    }
    search.fewer_steps(&mut scenario).await?;
    search.smaller_requests(&mut scenario).await?;
    // Once more, for the answers.
    search.left = 1;
    search.shows(&scenario).await?;
    crate::say(format_args!("\nsmallest for {:?} {} {}:", key.class, key.place, key.what));
    for step in &scenario.steps {
        crate::say(format_args!("  {}: {}", step.label, told(&step.action)));
    }
    if let Some((ours, theirs)) = &search.runner.last {
        crate::say(format_args!("  ours     {} {}", ours.code, short(&ours.body)));
        crate::say(format_args!("  upstream {} {}\n", theirs.code, short(&theirs.body)));
    }
    Ok(())
}

struct Search<'a> {
    runner: &'a mut Runner,
    key: &'a Key,
    left: usize,
}

impl Search<'_> {
    async fn shows(&mut self, scenario: &Scenario) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        let found = self.runner.run(scenario).await?;
        Ok(found.iter().any(|(wire, difference)| Key::of(difference, wire) == *self.key))
    }

    async fn fewer_steps(&mut self, scenario: &mut Scenario) -> Result<()> {
        let mut end = scenario.steps.len();
        while end > 0 {
            // Large pieces first, from the back.
            let mut size = (end / 2).max(1);
            loop {
                let mut smaller = scenario.clone();
                smaller.steps.drain(end - size..end);
                if self.shows(&smaller).await? {
                    *scenario = smaller;
                    end -= size;
                    break;
                }
                if size == 1 {
                    end -= 1;
                    break;
                }
                size /= 2;
            }
        }
        Ok(())
    }

    async fn smaller_requests(&mut self, scenario: &mut Scenario) -> Result<()> {
        for index in 0..scenario.steps.len() {
            loop {
                let before = scenario.clone();
                for smaller in smaller(&scenario.steps[index].action) {
                    let mut candidate = scenario.clone();
                    candidate.steps[index].action = smaller;
                    if self.shows(&candidate).await? {
                        *scenario = candidate;
                        break;
                    }
                }
                if told(&before.steps[index].action) == told(&scenario.steps[index].action) {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The same request with one thing less.
fn smaller(action: &Action) -> Vec<Action> {
    let (request, rebuild): (_, fn(Request) -> Action) = match action {
        Action::Send(request) => (request, Action::Send),
        Action::Watch(request) => (request, Action::Watch),
        Action::Forget(_) | Action::EndWatch(_) => return Vec::new(),
    };
    let mut smaller = Vec::new();
    for index in 0..request.query.len() {
        let mut less = request.clone();
        less.query.remove(index);
        smaller.push(less);
    }
    for (index, (name, _)) in request.headers.iter().enumerate() {
        if name != "content-type" {
            let mut less = request.clone();
            less.headers.remove(index);
            smaller.push(less);
        }
    }
    let (value, content): (_, Box<dyn Fn(Value) -> Content>) = match &request.body {
        Content::Json(value) => (value, Box::new(Content::Json)),
        Content::Edited { of, changes } => {
            let of = of.clone();
            (changes, Box::new(move |changes| Content::Edited { of: of.clone(), changes }))
        }
        Content::None | Content::Text(_) => return smaller.into_iter().map(rebuild).collect(),
    };
    for value in pruned(value) {
        smaller.push(Request { body: content(value), ..request.clone() });
    }
    smaller.into_iter().map(rebuild).collect()
}

/// The value without one of its parts, for each part; large parts first.
fn pruned(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    match value {
        Value::Object(members) => {
            for key in members.keys().filter(|key| !matches!(key.as_str(), "apiVersion" | "kind")) {
                let mut less = members.clone();
                less.remove(key);
                all.push(Value::Object(less));
            }
            for (key, member) in members {
                for part in pruned(member) {
                    let mut less = members.clone();
                    less.insert(key.clone(), part);
                    all.push(Value::Object(less));
                }
            }
        }
        Value::Array(elements) => {
            for index in 0..elements.len() {
                let mut less = elements.clone();
                less.remove(index);
                all.push(Value::Array(less));
                for part in pruned(&elements[index]) {
                    let mut less = elements.clone();
                    less[index] = part;
                    all.push(Value::Array(less));
                }
            }
        }
        _ => {}
    }
    all
}

pub fn told(action: &Action) -> String {
    let (word, request) = match action {
        Action::Send(request) => ("", request),
        Action::Watch(request) => ("watch ", request),
        Action::Forget(request) => ("forget what is before ", request),
        Action::EndWatch(of) => return format!("end of watch {of}"),
    };
    let query: Vec<_> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers: Vec<_> = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let body = match &request.body {
        Content::None => String::new(),
        Content::Json(value) => value.to_string(),
        Content::Text(text) => text.clone(),
        Content::Edited { of, changes } => format!("(answer of {of} with {changes})"),
    };
    format!("{word}{} {}?{} [{}] {body}", request.method, request.path, query.join("&"), headers.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_part_can_go() {
        let value = json!({"kind": "K", "a": {"b": 1}, "c": [1]});
        let expected = [
            json!({"kind": "K", "c": [1]}),
            json!({"kind": "K", "a": {"b": 1}}),
            json!({"kind": "K", "a": {}, "c": [1]}),
            json!({"kind": "K", "a": {"b": 1}, "c": []}),
        ];
        assert_eq!(pruned(&value), expected);
    }
}
