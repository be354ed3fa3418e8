//! Sends a scenario's steps to both servers and compares what they say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Pid;
use serde_json::{Value, json};

use super::causes;
use super::compare::{self, Difference};
use super::definitions;
use super::documents;
use super::history;
use super::pairs::Pairs;
use super::peer::{Answer, Peer, Watch};
use super::servers::Servers;
use super::step::{Action, Memory, Request, Scenario, Wire};
use super::unseen::Unseen;

/// Watches that have as many events as each other may still get one.
const QUIET: Duration = Duration::from_millis(15);
/// Watches that have not get this long to catch up.
const CATCH_UP: Duration = Duration::from_millis(1_500);
/// Of upstream's watch cache behind its store.
const LAG: Duration = Duration::from_millis(100);
/// In which a watch that reads the store has begun, on a busy machine too.
const SYNC: Duration = Duration::from_millis(400);
/// How often such a read is repeated while it differs.
const LOOKS: usize = 5;
const LOOK: Duration = Duration::from_millis(3);

pub struct Runner {
    ours: Peer,
    theirs: Peer,
    /// Our server.
    process: Pid,
    namespaces: usize,
    pub sent: usize,
    pub watches: usize,
    /// Both answers to the step that was compared last, for the report.
    pub last: Option<(Answer, Answer)>,
}

/// Our server's request, and what differs in the answers.
pub type Found = (Wire, Difference);

impl Runner {
    pub async fn new(servers: &Servers) -> Result<Self> {
        let (mut ours, mut theirs) = (Peer::new(&servers.ours)?, Peer::new(&servers.theirs)?);
        definitions::define(&mut ours, &mut theirs).await?;
        end_pages(&mut ours, &mut theirs).await?;
        Ok(Self { ours, theirs, process: servers.process(), namespaces: 0, sent: 0, watches: 0, last: None })
    }

    /// In a new namespace each time. Ends early where the servers' states part.
    pub async fn run(&mut self, scenario: &Scenario) -> Result<Vec<Found>> {
        self.namespaces += 1;
        let namespace = format!("d{}", self.namespaces);
        self.prepare(&namespace).await?;
        let memory = Memory { namespace, ..Memory::default() };
        let mut run = Run {
            runner: self,
            ours: memory.clone(),
            theirs: memory,
            pairs: Pairs { ignore_revisions: scenario.no_revisions, ..Pairs::default() },
            watches: BTreeMap::new(),
            unseen: Unseen::default(),
            found: Vec::new(),
        };
        for step in &scenario.steps {
            let before = run.found.len();
            run.step(&step.label, &step.action).await?;
            if run.found[before..].iter().any(|(_, difference)| causes::parts(difference, &step.action)) {
                break;
            }
        }
        Ok(run.found)
    }

    async fn prepare(&mut self, namespace: &str) -> Result<()> {
        let memory = Memory { namespace: namespace.to_owned(), ..Memory::default() };
        let object = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let requests = [
            Request::new("POST", "/api/v1/namespaces").json(object("Namespace", namespace)),
            // Pods want one, and nothing else makes it here.
            Request::new("POST", accounts).json(object("ServiceAccount", "default")),
        ];
        for request in requests {
            let (ours, theirs) = self.both(&request.wire(&memory), &request.wire(&memory)).await?;
            ensure!(ours.code == 201 && theirs.code == 201, "prepare {namespace}: {ours:?} {theirs:?}");
        }
        Ok(())
    }

    async fn both(&mut self, ours: &Wire, theirs: &Wire) -> Result<(Answer, Answer)> {
        self.sent += 1;
        let (mut a, mut b) = tokio::try_join!(self.ours.send(ours), self.theirs.send(theirs))?;
        if documents::are_at(&ours.target) {
            (a.body, b.body) = (documents::normal(&a.body), documents::normal(&b.body));
        }
        if let Cow::Owned(read) = compare::as_read(&b.body) {
            b.body = read;
        }
        Ok((a, b))
    }
}

/// Upstream has Events, ConfigMaps and Leases of its own in namespaces whose keys are behind those of all scenarios, so that a page of all
/// namespaces says that there is more. One of each that is there from the beginning makes both say so.
async fn end_pages(ours: &mut Peer, theirs: &mut Peer) -> Result<()> {
    let last =
        |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "last"}});
    let mut event = last("v1", "Event");
    event["involvedObject"] = json!({"kind": "Namespace", "name": "default", "namespace": "default"});
    let objects = [
        ("/api/v1/namespaces/default/events", event),
        ("/api/v1/namespaces/default/configmaps", last("v1", "ConfigMap")),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases", last("coordination.k8s.io/v1", "Lease")),
    ];
    for (path, object) in objects {
        let create = Request::new("POST", path).json(object).wire(&Memory::default());
        for peer in [&mut *ours, &mut *theirs] {
            let answer = peer.send(&create).await?;
            ensure!(answer.code == 201, "{} {}", answer.code, answer.body);
        }
    }
    Ok(())
}

struct Run<'a> {
    runner: &'a mut Runner,
    ours: Memory,
    theirs: Memory,
    pairs: Pairs,
    watches: BTreeMap<String, (Wire, Watch, Watch)>,
    unseen: Unseen,
    found: Vec<Found>,
}

impl Run<'_> {
    #[allow(clippy::disallowed_methods, reason = "two servers are being watched from outside")]
    async fn step(&mut self, label: &str, action: &Action) -> Result<()> {
        match action {
            Action::Send(request) => {
                let (ours, theirs) = (request.wire(&self.ours), request.wire(&self.theirs));
                let (mut a, mut b) = self.runner.both(&ours, &theirs).await?;
                let mut differences = compare::answers(&a, &b, &mut self.pairs.clone());
                for _ in 0..LOOKS {
                    if differences.is_empty() || !(reads_any_state(request) || tries_any_state(request, &a, &b)) {
                        break;
                    }
                    tokio::time::sleep(LAG).await;
                    (a, b) = self.runner.both(&ours, &theirs).await?;
                    differences = compare::answers(&a, &b, &mut self.pairs.clone());
                }
                if let Some(excused) = self.unseen.note(&ours, &a, &mut b, &mut self.pairs) {
                    if let Some((before, after)) = excused.revisions {
                        self.theirs.write(before, after);
                    }
                    self.found.push((ours.clone(), excused.difference));
                }
                differences = compare::answers(&a, &b, &mut self.pairs);
                self.found.extend(differences.into_iter().map(|difference| (ours.clone(), difference)));
                self.ours.answers.insert(label.to_owned(), a.body.clone());
                self.theirs.answers.insert(label.to_owned(), b.body.clone());
                self.runner.last = Some((a, b));
            }
            Action::Watch(request) => {
                let (ours, theirs) = (request.wire(&self.ours), request.wire(&self.theirs));
                self.runner.watches += 1;
                // With a revision or without one: upstream begins with what its cache has.
                tokio::time::sleep(LAG).await;
                let (a, b) = tokio::try_join!(self.runner.ours.watch(&ours), self.runner.theirs.watch(&theirs))?;
                if causes::resource(&ours.target) == "events" {
                    // Upstream has no cache of them: it answers, and then reads what there is.
                    tokio::time::sleep(SYNC).await;
                }
                self.watches.insert(label.to_owned(), (ours, a, b));
            }
            Action::Forget(request) => self.forget(request).await?,
            Action::EndWatch(of) => {
                if let Some((wire, ours, theirs)) = self.watches.remove(of) {
                    self.end(&wire, &ours, &theirs).await;
                }
            }
        }
        Ok(())
    }

    /// Until neither answers the request, which asks for what was before.
    #[allow(clippy::disallowed_methods, reason = "two servers are being watched from outside")]
    async fn forget(&mut self, request: &Request) -> Result<()> {
        history::forget(self.runner.process)?;
        let (ours, theirs) = (request.wire(&self.ours), request.wire(&self.theirs));
        let begin = Instant::now();
        loop {
            let (a, b) = self.runner.both(&ours, &theirs).await?;
            if a.code == 410 && b.code == 410 {
                return Ok(());
            }
            ensure!(begin.elapsed() < history::LIMIT, "the past is still there: {} {}", a.code, b.code);
            tokio::time::sleep(LAG).await;
        }
    }

    async fn end(&mut self, wire: &Wire, ours: &Watch, theirs: &Watch) {
        wait_for_events(ours, theirs).await;
        let (a, b) = (&ours.answer, &theirs.answer);
        let mut differences = compare::answers(a, b, &mut self.pairs);
        let (ours_seen, theirs_seen) = (ours.seen(), theirs.seen());
        if a.code == 200 && b.code == 200 {
            differences.extend(compare::events(&ours_seen, &theirs_seen, &mut self.pairs));
        }
        self.found.extend(differences.into_iter().map(|difference| (wire.clone(), difference)));
        let told = |answer: &Answer, events: Vec<Value>| {
            let body = if answer.code == 200 { Value::Array(events) } else { answer.body.clone() };
            Answer { body, ..answer.clone() }
        };
        self.runner.last = Some((told(a, ours_seen.events), told(b, theirs_seen.events)));
    }
}

/// A read at a revision may show any later state: upstream's cache lags, on a busy machine for long.
fn reads_any_state(request: &Request) -> bool {
    let at_a_revision = |(name, value): &(String, String)| name == "resourceVersion" && !value.is_empty();
    request.method == "GET" && request.query.iter().any(at_a_revision)
}

/// Upstream tries a patch on what its cache has, warns of what is in it, and then refuses it for what the store has. As nothing was
/// changed, it may be sent again.
fn tries_any_state(request: &Request, ours: &Answer, theirs: &Answer) -> bool {
    request.method == "PATCH" && ours.code >= 400 && ours.code == theirs.code
}

#[allow(clippy::disallowed_methods, reason = "events come when they come: this watches two servers from outside")]
async fn wait_for_events(ours: &Watch, theirs: &Watch) {
    let begin = Instant::now();
    let mut same_since: Option<(usize, Instant)> = None;
    while begin.elapsed() < CATCH_UP {
        let count = |watch: &Watch| {
            let seen = watch.seen();
            seen.events.iter().filter(|event| event["type"] != "BOOKMARK").count()
        };
        let (a, b) = (count(ours), count(theirs));
        same_since = match same_since {
            _ if a != b => None,
            Some((known, since)) if known == a => Some((known, since)),
            _ => Some((a, Instant::now())),
        };
        if same_since.is_some_and(|(_, since)| since.elapsed() >= QUIET) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
