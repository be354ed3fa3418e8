//! What happens in a storm, from a seed: users who want everything at once, and machines that fail.

use crate::action::{Action, Deployment};
use crate::clock::{MILLISECOND, SECOND};
use crate::rng::Rng;

pub const NAMESPACES: [&str; 2] = ["shop", "bank"];
pub const NODES: u8 = 3;
/// Names of notes: few, so that they own each other.
const NOTES: u64 = 3;

/// How rough it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Users only.
    Fair,
    Rough,
}

impl Weather {
    /// Every fourth storm is without failures: then the rules that failures excuse from are strict.
    pub fn of(seed: u64) -> Weather {
        if seed.is_multiple_of(4) { Weather::Fair } else { Weather::Rough }
    }
}

pub struct Storm {
    rng: Rng,
    weather: Weather,
    /// What follows at once.
    next: Option<Action>,
}

impl Storm {
    pub fn new(seed: u64, weather: Weather) -> Storm {
        Storm { rng: Rng::new(seed, "storm"), weather, next: None }
    }

    /// How long until the next action, in nanoseconds: mostly short, sometimes long enough for leases to run out.
    pub fn pause(&mut self) -> u64 {
        if self.next.is_some() {
            return self.rng.between(0, 200 * MILLISECOND);
        }
        match self.rng.between(0, 100) {
            0..58 => self.rng.between(0, 400 * MILLISECOND),
            58..86 => self.rng.between(0, 6 * SECOND),
            86..96 => self.rng.between(0, 30 * SECOND),
            _ => self.rng.between(20 * SECOND, 90 * SECOND),
        }
    }

    pub fn action(&mut self) -> Action {
        if let Some(next) = self.next.take() {
            return next;
        }
        if self.weather == Weather::Rough && self.rng.chance(40) { self.fault() } else { self.wish() }
    }

    fn named(&mut self, kind: &str, of: u64) -> String {
        let namespace = self.rng.pick(&NAMESPACES);
        format!("{namespace}/{kind}-{}", self.rng.between(0, of))
    }

    fn deployment(&mut self) -> String {
        self.named("web", 2)
    }

    fn node(&mut self) -> String {
        format!("node-{}", self.rng.between(0, NODES.into()))
    }

    fn image(&mut self) -> String {
        let kind = self.rng.pick(&["web", "web", "web", "slow", "stubborn"]);
        format!("{kind}:{}", self.rng.between(0, 4))
    }

    fn wish(&mut self) -> Action {
        let name = self.deployment();
        match self.rng.between(0, 116) {
            0..16 => Action::CreateDeployment(Deployment {
                name,
                replicas: self.rng.between(0, 5),
                image: self.image(),
                surge: self.rng.between(0, 3),
                unavailable: self.rng.between(0, 3),
                recreate: self.rng.chance(15),
                cpu: *self.rng.pick(&[100, 300, 700]),
                grace: self.rng.between(0, 6),
            }),
            16..32 => Action::Scale { name, replicas: self.rng.between(0, 6) },
            32..46 => Action::Roll { name, image: self.image() },
            46..51 => Action::DeleteDeployment { name, propagation: self.propagation() },
            51..58 => {
                let name = self.named("bare", 2);
                self.create_pod(name)
            }
            58..64 => {
                let name = self.named("bare", 2);
                if self.rng.chance(60) {
                    // As `kubectl replace --force` does.
                    self.next = Some(self.create_pod(name.clone()));
                }
                Action::DeletePod { name, grace: *self.rng.pick(&[None, Some(0), Some(0), Some(3)]) }
            }
            64..68 => Action::DeleteMember { name, index: self.rng.between(0, 8) },
            68..76 => Action::EvictMember { name, index: self.rng.between(0, 8) },
            76..78 => Action::FreeMember { name, index: self.rng.between(0, 8) },
            78..82 => Action::CreateService { name },
            82..83 => Action::DeleteService { name },
            83..87 => match self.rng.chance(50) {
                true => Action::CreateBudget { name, min: Some(self.rng.between(0, 4)), max: None },
                false => Action::CreateBudget { name, min: None, max: Some(self.rng.between(0, 3)) },
            },
            87..89 => Action::DeleteBudget { name },
            89..93 => Action::Cordon { node: self.node(), on: self.rng.chance(40) },
            93..95 => Action::Taint { node: self.node(), on: self.rng.chance(40) },
            95..96 => Action::DeleteNode { node: self.node() },
            96..97 => Action::DeleteNamespace { name: (*self.rng.pick(&NAMESPACES)).to_owned() },
            97..100 => Action::CreateNamespace { name: (*self.rng.pick(&NAMESPACES)).to_owned() },
            100..112 => self.create_note(),
            _ => Action::DeleteNote { name: self.named("note", NOTES), propagation: self.propagation() },
        }
    }

    fn propagation(&mut self) -> String {
        (*self.rng.pick(&["background", "background", "foreground", "orphan"])).to_owned()
    }

    fn create_note(&mut self) -> Action {
        let name = self.named("note", NOTES);
        let owner = self.owner();
        let also = self.rng.chance(30).then(|| self.owner());
        Action::CreateNote { name, owner, also, blocks: self.rng.chance(50) }
    }

    fn owner(&mut self) -> String {
        match self.rng.chance(60) {
            true => format!("deployment/web-{}", self.rng.between(0, 2)),
            false => format!("note/note-{}", self.rng.between(0, NOTES)),
        }
    }

    fn create_pod(&mut self, name: String) -> Action {
        // What ends must stay ended, or calm never comes.
        let (image, restart) = match self.rng.between(0, 4) {
            0 => (format!("job:{}:0", self.rng.between(0, 20)), "OnFailure"),
            1 => (format!("job:{}:1", self.rng.between(0, 20)), "Never"),
            _ => (self.image(), "Always"),
        };
        let (cpu, grace) = (*self.rng.pick(&[100, 300, 700]), self.rng.between(0, 6));
        Action::CreatePod { name, image, restart: restart.to_owned(), cpu, grace }
    }

    /// A component that can crash.
    fn component(&mut self) -> String {
        match self.rng.between(0, 6) {
            0 | 1 => "controllers".to_owned(),
            2 => "scheduler".to_owned(),
            3 => "apiserver".to_owned(),
            _ => self.node(),
        }
    }

    /// Something that watches.
    fn watcher(&mut self) -> String {
        match self.rng.between(0, 4) {
            0 | 1 => "controllers".to_owned(),
            2 => "scheduler".to_owned(),
            _ => self.node(),
        }
    }

    fn fault(&mut self) -> Action {
        // Longer than a message takes: nothing of the old process arrives when the new one looks.
        let short = self.rng.between(200, 5_000);
        match self.rng.between(0, 106) {
            0..12 => Action::Crash { name: self.component(), millis: short },
            12..24 => {
                let writes = *self.rng.pick(&[1, 1, 1, 2, 2, 3, 5, 9]);
                Action::CrashAfter { name: self.component(), writes, millis: short }
            }
            24..27 => Action::PowerLoss { node: self.node(), millis: self.rng.between(10, 90_000) },
            27..33 => Action::Partition { name: self.watcher(), millis: self.rng.between(10, 90_000) },
            33..45 => Action::Slow { name: self.watcher(), by: self.rng.between(1, 2_000), millis: short },
            45..65 => Action::Cut { name: self.watcher(), index: self.rng.between(0, 64) },
            65..71 => Action::Lossy { percent: self.rng.between(1, 40), millis: short },
            71..77 => Action::Lag { millis: self.rng.between(10, 3_000) },
            77..83 => Action::Compact,
            83..87 => {
                let by = self.rng.between(0, 120_000) as i64 - 60_000;
                Action::Jump { name: self.component(), millis: by }
            }
            87..96 => Action::Exit { node: self.node(), index: self.rng.between(0, 8), code: self.rng.between(0, 2) },
            96..100 => Action::Sluggish { node: self.node(), millis: self.rng.between(10, 30_000) },
            _ => {
                let most = *self.rng.pick(&[2_000, 10_000, 90_000]);
                Action::Freeze { name: self.component(), millis: self.rng.between(10, most) }
            }
        }
    }
}
