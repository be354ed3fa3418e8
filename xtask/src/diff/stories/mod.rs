//! What is asked, in which order: a walk of random operations on a few objects of one kind, seen by a watch. [`picked`] has
//! what is worth asking each time.

pub mod changes;
mod deletes;
mod discovery;
mod documents;
mod ends;
mod expired;
mod patches;
pub mod picked;
mod reads;
mod special;
mod writes;

use super::kinds::{self, Kind};
use super::peer::PROTOBUF;
use super::random::Random;
use super::step::{Action, Content, Request, Scenario, Step};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// How often, in percent, a value is one that its field does not allow.
const WILD: usize = 12;

/// Scenarios with about so many requests: the picked ones first, then walks.
pub fn scenarios(seed: u64, requests: usize, focus: &[String]) -> Vec<Scenario> {
    let mut random = Random::new(seed);
    let fits = |text: &str| focus.is_empty() || focus.iter().any(|word| text.contains(word));
    let kinds: Vec<_> = kinds::all().filter(|kind| kind.weight > 0 && fits(&named(kind))).collect();
    let mut scenarios: Vec<_> = picked::scenarios().into_iter().filter(|scenario| fits(&scenario.name)).collect();
    let mut count: usize = scenarios.iter().map(|scenario| scenario.steps.len()).sum();
    let weights: Vec<usize> = kinds.iter().map(|kind| kind.weight).collect();
    while count < requests && !kinds.is_empty() {
        let kind = kinds[random.weighted(&weights)];
        let name = format!("{} walk {} of seed {seed}", named(kind), scenarios.len());
        let scenario = walk(random.split(), kind, name);
        count += scenario.steps.len();
        scenarios.push(scenario);
    }
    scenarios
}

fn named(kind: &Kind) -> String {
    format!("{}/{}", kind.api_version, kind.plural)
}

fn walk(random: Random, kind: &'static Kind, name: String) -> Scenario {
    let mut story = Story::new(random, kind);
    if kind.review {
        for _ in 0..8 {
            story.create();
        }
        return Scenario { name, steps: story.steps, no_revisions: false };
    }
    let watched = story.random.percent(60);
    if watched && story.random.percent(50) {
        story.watch();
    }
    for _ in 0..2 + story.random.below(3) {
        story.create();
    }
    if watched && story.open.is_none() {
        story.watch();
    }
    for _ in 0..8 + story.random.below(14) {
        story.act();
    }
    if let Some(label) = story.open.take() {
        story.push(Action::EndWatch(label));
    }
    Scenario { name, steps: story.steps, no_revisions: false }
}

/// A scenario in the making.
struct Story {
    random: Random,
    kind: &'static Kind,
    steps: Vec<Step>,
    /// Label of the watch that is open.
    open: Option<String>,
    /// Labels of steps that answered an object, by its name if it worked.
    objects: Vec<(&'static str, String)>,
    /// Labels of steps that answered a list.
    lists: Vec<String>,
    /// An object got a generated name.
    generated: bool,
}

impl Story {
    fn new(random: Random, kind: &'static Kind) -> Self {
        Self { random, kind, steps: Vec::new(), open: None, objects: Vec::new(), lists: Vec::new(), generated: false }
    }

    fn push(&mut self, action: Action) -> String {
        let label = format!("s{}", self.steps.len());
        self.steps.push(Step { label: label.clone(), action });
        label
    }

    fn send(&mut self, mut request: Request) -> String {
        if self.kind.dry && request.method != "GET" {
            request.query.retain(|(name, _)| name != "dryRun");
            request = request.query("dryRun", "All");
            if request.method == "DELETE" {
                // Options in a body count instead of those in the query.
                request.body = Content::None;
            }
        }
        self.push(Action::Send(request))
    }

    fn act(&mut self) {
        match self.random.weighted(&[14, 10, 14, 14, 16, 10, 2, 8, 10]) {
            0 => self.create(),
            1 => self.get(),
            2 => self.list(),
            3 => self.update(),
            4 => self.patch(),
            5 => self.delete(),
            6 => self.delete_collection(),
            7 => self.subresource(),
            _ => self.apply(),
        }
    }

    fn a_name(&mut self) -> &'static str {
        NAMES[self.random.weighted(&[6, 4, 2, 1])]
    }

    /// Label of a step that answered this object, the latest one mostly.
    fn seen(&mut self, name: &str) -> Option<String> {
        let of_name: Vec<_> = self.objects.iter().filter(|(other, _)| *other == name).map(|(_, label)| label).collect();
        let last = of_name.len().checked_sub(1)?;
        let at = if self.random.percent(80) { last } else { self.random.below(of_name.len()) };
        Some(of_name[at].clone())
    }

    /// A reference to a revision that was seen, or none.
    fn a_revision(&mut self) -> String {
        let labels: Vec<_> = self.objects.iter().map(|(_, label)| label).chain(&self.lists).collect();
        if labels.is_empty() { "0".to_owned() } else { format!("${{rv:{}}}", self.random.pick(&labels)) }
    }

    /// Who writes, and how strictly.
    fn write_options(&mut self, mut request: Request) -> Request {
        if self.random.percent(25) {
            let value = *self.random.pick(&["Strict", "Strict", "Warn", "Ignore", "strict"]);
            request = request.query("fieldValidation", value);
        }
        if self.random.percent(20) {
            request = request.query("fieldManager", *self.random.pick(&["m1", "m2", "m1", "a\u{7}b"]));
        }
        if self.random.percent(10) {
            request = request.query("dryRun", *self.random.pick(&["All", "All", "All", "Some"]));
        }
        if self.random.percent(3) {
            request = request.query("pretty", "true");
        }
        self.agent(request)
    }

    fn agent(&mut self, request: Request) -> Request {
        let agent = *self.random.pick(&["kubectl/v1.35 (linux)", "kubectl/v1.35 (linux)", "other"]);
        request.header("user-agent", agent)
    }

    fn accept(&mut self, request: Request) -> Request {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let partial = if self.random.percent(50) { "PartialObjectMetadata" } else { "PartialObjectMetadataList" };
        let partial = format!("application/json;as={partial};v=v1;g=meta.k8s.io,application/json");
        match self.random.weighted(&[70, 14, 8, 1, 1, 1, 6, 2]) {
            1 => request.header("accept", &format!("{table},application/json")).maybe_include(&mut self.random),
            2 => request.header("accept", &partial),
            3 => request.header("accept", "*/*"),
            4 => request.header("accept", "text/html"),
            5 => request.header("accept", "application/json;as=Other;v=v1;g=meta.k8s.io"),
            6 => request.header("accept", PROTOBUF),
            7 => request.header("accept", &partial.replace("application/json", PROTOBUF)),
            _ => request,
        }
    }
}

impl Request {
    fn maybe_include(self, random: &mut Random) -> Self {
        if random.percent(30) {
            self.query("includeObject", *random.pick(&["None", "Metadata", "Object", "All"]))
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_asks_the_same() {
        let text = |seed| format!("{:?}", walk(Random::new(seed), kinds::all().next().expect("a kind"), String::new()));
        assert!(text(1) == text(1));
        assert!(text(1) != text(2));
    }

    #[test]
    fn a_focus_leaves_the_rest_out() {
        let scenarios = scenarios(1, 200, &["v1/pods".to_owned()]);
        assert!(scenarios.iter().all(|scenario| scenario.name.contains("v1/pods")));
        assert!(scenarios.iter().map(|scenario| scenario.steps.len()).sum::<usize>() >= 200);
    }
}
