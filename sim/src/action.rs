//! What happens to a cluster from outside, as one readable line each: what users do, and what fails.

use std::fmt;
use std::str::FromStr;

/// `namespace/name`.
pub type Named = String;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    CreateNamespace {
        name: String,
    },
    DeleteNamespace {
        name: String,
    },
    CreateDeployment(Deployment),
    Scale {
        name: Named,
        replicas: u64,
    },
    /// Another image: a rollout.
    Roll {
        name: Named,
        image: String,
    },
    /// `background`, `foreground` or `orphan`.
    DeleteDeployment {
        name: Named,
        propagation: String,
    },
    CreatePod {
        name: Named,
        image: String,
        restart: String,
        cpu: u64,
        grace: u64,
    },
    /// `grace`: as the pod says if it is not given.
    DeletePod {
        name: Named,
        grace: Option<u64>,
    },
    /// Pods of a Deployment, by their place in the order of names.
    DeleteMember {
        name: Named,
        index: u64,
    },
    EvictMember {
        name: Named,
        index: u64,
    },
    /// Takes a pod out of its ReplicaSet by its label.
    FreeMember {
        name: Named,
        index: u64,
    },
    CreateService {
        name: Named,
    },
    DeleteService {
        name: Named,
    },
    /// For the Deployment of the same name: `min=N` or `max=N`.
    CreateBudget {
        name: Named,
        min: Option<u64>,
        max: Option<u64>,
    },
    DeleteBudget {
        name: Named,
    },
    /// A ConfigMap that belongs to others of its namespace: `deployment/NAME` or `note/NAME`.
    CreateNote {
        name: Named,
        owner: String,
        also: Option<String>,
        /// Its owners wait for it when they are deleted in the foreground.
        blocks: bool,
    },
    /// As [`Action::DeleteDeployment`].
    DeleteNote {
        name: Named,
        propagation: String,
    },
    Cordon {
        node: String,
        on: bool,
    },
    Taint {
        node: String,
        on: bool,
    },
    DeleteNode {
        node: String,
    },

    /// `apiserver`, `controllers`, `scheduler` or a node's kubelet ends at once and comes back after `millis`.
    Crash {
        name: String,
        millis: u64,
    },
    /// As [`Action::Crash`], right after its `writes`th write from now on: in the middle of what it was doing.
    CrashAfter {
        name: String,
        writes: u64,
        millis: u64,
    },
    /// A node's machine dies, with its containers.
    PowerLoss {
        node: String,
        millis: u64,
    },
    Partition {
        name: String,
        millis: u64,
    },
    /// A component stands still, and goes on with what it knew before.
    Freeze {
        name: String,
        millis: u64,
    },
    /// Watch events to a client are late.
    Slow {
        name: String,
        by: u64,
        millis: u64,
    },
    /// One of a client's watches breaks.
    Cut {
        name: String,
        index: u64,
    },
    /// Requests and answers get lost.
    Lossy {
        percent: u64,
        millis: u64,
    },
    /// The API server's caches do not hear of writes.
    Lag {
        millis: u64,
    },
    Compact,
    Jump {
        name: String,
        millis: i64,
    },
    Exit {
        node: String,
        index: u64,
        code: u64,
    },
    /// Starting containers takes long.
    Sluggish {
        node: String,
        millis: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub name: Named,
    pub replicas: u64,
    pub image: String,
    pub surge: u64,
    pub unavailable: u64,
    pub recreate: bool,
    pub cpu: u64,
    pub grace: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("read an action: {0:?} is none")]
pub struct NoAction(String);

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Action::*;
        let sign = |on: &bool| if *on { "" } else { "un" };
        match self {
            CreateNamespace { name } => write!(f, "create namespace {name}"),
            DeleteNamespace { name } => write!(f, "delete namespace {name}"),
            CreateDeployment(Deployment { name, replicas, image, surge, unavailable, recreate, cpu, grace }) => write!(
                f,
                "create deployment {name} replicas={replicas} image={image} surge={surge} unavailable={unavailable} \
                 recreate={recreate} cpu={cpu} grace={grace}"
            ),
            Scale { name, replicas } => write!(f, "scale {name} replicas={replicas}"),
            Roll { name, image } => write!(f, "roll {name} image={image}"),
            DeleteDeployment { name, propagation } => write!(f, "delete deployment {name} {propagation}"),
            CreatePod { name, image, restart, cpu, grace } => {
                write!(f, "create pod {name} image={image} restart={restart} cpu={cpu} grace={grace}")
            }
            DeletePod { name, grace: None } => write!(f, "delete pod {name}"),
            DeletePod { name, grace: Some(grace) } => write!(f, "delete pod {name} grace={grace}"),
            DeleteMember { name, index } => write!(f, "delete member {name} {index}"),
            EvictMember { name, index } => write!(f, "evict member {name} {index}"),
            FreeMember { name, index } => write!(f, "free member {name} {index}"),
            CreateService { name } => write!(f, "create service {name}"),
            DeleteService { name } => write!(f, "delete service {name}"),
            CreateBudget { name, min, max } => {
                write!(f, "create budget {name}")?;
                min.iter().try_for_each(|min| write!(f, " min={min}"))?;
                max.iter().try_for_each(|max| write!(f, " max={max}"))
            }
            DeleteBudget { name } => write!(f, "delete budget {name}"),
            CreateNote { name, owner, also, blocks } => {
                write!(f, "create note {name} owner={owner} blocks={blocks}")?;
                also.iter().try_for_each(|also| write!(f, " also={also}"))
            }
            DeleteNote { name, propagation } => write!(f, "delete note {name} {propagation}"),
            Cordon { node, on } => write!(f, "{}cordon {node}", sign(on)),
            Taint { node, on } => write!(f, "{}taint {node}", sign(on)),
            DeleteNode { node } => write!(f, "delete node {node}"),
            Crash { name, millis } => write!(f, "crash {name} for={millis}"),
            CrashAfter { name, writes, millis } => write!(f, "crash {name} after={writes} for={millis}"),
            PowerLoss { node, millis } => write!(f, "powerloss {node} for={millis}"),
            Partition { name, millis } => write!(f, "partition {name} for={millis}"),
            Freeze { name, millis } => write!(f, "freeze {name} for={millis}"),
            Slow { name, by, millis } => write!(f, "slow {name} by={by} for={millis}"),
            Cut { name, index } => write!(f, "cut {name} {index}"),
            Lossy { percent, millis } => write!(f, "lossy percent={percent} for={millis}"),
            Lag { millis } => write!(f, "lag for={millis}"),
            Compact => write!(f, "compact"),
            Jump { name, millis } => write!(f, "jump {name} by={millis}"),
            Exit { node, index, code } => write!(f, "exit {node} {index} code={code}"),
            Sluggish { node, millis } => write!(f, "sluggish {node} for={millis}"),
        }
    }
}

/// The words of a line, and its `key=value`s.
struct Line<'a> {
    text: &'a str,
    words: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn option(&self, key: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    fn parsed<T: FromStr>(&self, key: &str) -> Result<T, NoAction> {
        self.option(key).and_then(|value| value.parse().ok()).ok_or_else(|| NoAction(self.text.to_owned()))
    }

    fn text(&self, key: &str) -> Result<String, NoAction> {
        self.parsed(key)
    }

    fn number(&self, key: &str) -> Result<u64, NoAction> {
        self.parsed(key)
    }

    fn maybe(&self, key: &str) -> Result<Option<u64>, NoAction> {
        self.option(key).map(|_| self.number(key)).transpose()
    }

    fn none<T>(&self) -> Result<T, NoAction> {
        Err(NoAction(self.text.to_owned()))
    }
}

impl FromStr for Action {
    type Err = NoAction;

    fn from_str(text: &str) -> Result<Action, NoAction> {
        let line = Line { text, words: text.split_whitespace().collect() };
        let plain: Vec<&str> = line.words.iter().copied().filter(|word| !word.contains('=')).collect();
        match plain[..] {
            [verb @ ("create" | "delete" | "evict" | "free"), kind, name, ref rest @ ..] => {
                on_object(&line, (verb, kind), name.to_owned(), rest)
            }
            ["scale", name] => Ok(Action::Scale { name: name.to_owned(), replicas: line.number("replicas")? }),
            ["roll", name] => Ok(Action::Roll { name: name.to_owned(), image: line.text("image")? }),
            ["cordon" | "uncordon", node] => {
                Ok(Action::Cordon { node: node.to_owned(), on: text.starts_with("cordon") })
            }
            ["taint" | "untaint", node] => Ok(Action::Taint { node: node.to_owned(), on: text.starts_with("taint") }),
            ref words => failure(&line, words),
        }
    }
}

fn on_object(line: &Line, what: (&str, &str), name: String, rest: &[&str]) -> Result<Action, NoAction> {
    let propagation = || rest.first().copied().unwrap_or("background").to_owned();
    let index = || rest.first().and_then(|index| index.parse().ok()).ok_or_else(|| NoAction(line.text.to_owned()));
    Ok(match what {
        ("create", "namespace") => Action::CreateNamespace { name },
        ("delete", "namespace") => Action::DeleteNamespace { name },
        ("create", "deployment") => Action::CreateDeployment(Deployment {
            name,
            replicas: line.number("replicas")?,
            image: line.text("image")?,
            surge: line.number("surge")?,
            unavailable: line.number("unavailable")?,
            recreate: line.parsed("recreate")?,
            cpu: line.number("cpu")?,
            grace: line.number("grace")?,
        }),
        ("delete", "deployment") => Action::DeleteDeployment { name, propagation: propagation() },
        ("create", "note") => Action::CreateNote {
            name,
            owner: line.text("owner")?,
            also: line.option("also").map(str::to_owned),
            blocks: line.parsed("blocks")?,
        },
        ("delete", "note") => Action::DeleteNote { name, propagation: propagation() },
        ("create", "pod") => Action::CreatePod {
            name,
            image: line.text("image")?,
            restart: line.text("restart")?,
            cpu: line.number("cpu")?,
            grace: line.number("grace")?,
        },
        ("delete", "pod") => Action::DeletePod { name, grace: line.maybe("grace")? },
        ("delete", "member") => Action::DeleteMember { name, index: index()? },
        ("evict", "member") => Action::EvictMember { name, index: index()? },
        ("free", "member") => Action::FreeMember { name, index: index()? },
        ("create", "service") => Action::CreateService { name },
        ("delete", "service") => Action::DeleteService { name },
        ("create", "budget") => Action::CreateBudget { name, min: line.maybe("min")?, max: line.maybe("max")? },
        ("delete", "budget") => Action::DeleteBudget { name },
        ("delete", "node") => Action::DeleteNode { node: name },
        _ => return line.none(),
    })
}

fn failure(line: &Line, words: &[&str]) -> Result<Action, NoAction> {
    let millis = || line.number("for");
    let number = |text: &str| text.parse().map_err(|_| NoAction(line.text.to_owned()));
    Ok(match *words {
        ["crash", name] => match line.maybe("after")? {
            Some(writes) => Action::CrashAfter { name: name.to_owned(), writes, millis: millis()? },
            None => Action::Crash { name: name.to_owned(), millis: millis()? },
        },
        ["powerloss", node] => Action::PowerLoss { node: node.to_owned(), millis: millis()? },
        ["partition", name] => Action::Partition { name: name.to_owned(), millis: millis()? },
        ["freeze", name] => Action::Freeze { name: name.to_owned(), millis: millis()? },
        ["slow", name] => Action::Slow { name: name.to_owned(), by: line.number("by")?, millis: millis()? },
        ["cut", name, index] => Action::Cut { name: name.to_owned(), index: number(index)? },
        ["lossy"] => Action::Lossy { percent: line.number("percent")?, millis: millis()? },
        ["lag"] => Action::Lag { millis: millis()? },
        ["compact"] => Action::Compact,
        ["jump", name] => Action::Jump { name: name.to_owned(), millis: line.parsed("by")? },
        ["exit", node, index] => {
            Action::Exit { node: node.to_owned(), index: number(index)?, code: line.number("code")? }
        }
        ["sluggish", node] => Action::Sluggish { node: node.to_owned(), millis: millis()? },
        _ => return line.none(),
    })
}

impl Action {
    /// Something fails; otherwise a user acts.
    pub fn is_fault(&self) -> bool {
        use Action::*;
        matches!(
            self,
            Crash { .. }
                | CrashAfter { .. }
                | PowerLoss { .. }
                | Partition { .. }
                | Freeze { .. }
                | Slow { .. }
                | Cut { .. }
                | Lossy { .. }
                | Lag { .. }
                | Compact
                | Jump { .. }
                | Exit { .. }
                | Sluggish { .. }
        )
    }
}
