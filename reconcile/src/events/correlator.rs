//! Which events are told, which are counted and which are kept back: the rules of client-go's `record` package.
//!
//! 1. A source may tell 25 events about an object and then one more every five minutes.
//! 2. From the tenth event within ten minutes that differs only in its message, they become one "combined" event.
//! 3. An event equal to an earlier one raises the earlier one's count.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::EventType;

const BURST: f64 = 25.0;
const SECONDS_PER_TOKEN: f64 = 300.0;
const COMBINE_FROM: usize = 10;
const COMBINE_WITHIN_SECONDS: f64 = 600.0;
/// How many different things are remembered of each sort.
const MEMORY: usize = 4096;

pub(super) struct Observed {
    pub component: String,
    pub host: Option<String>,
    pub regarding: ObjectReference,
    pub kind: EventType,
    pub reason: String,
    pub message: String,
    pub at: Timestamp,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Drop,
    Create(Event),
    /// The event of this name exists, as far as we know, and gets the count, time and message.
    Repeat(Event),
}

#[derive(Default)]
pub(super) struct Correlator {
    buckets: Recent<Bucket>,
    groups: Recent<Group>,
    told: Recent<Told>,
}

#[derive(Clone)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

#[derive(Clone)]
struct Group {
    messages: BTreeSet<String>,
    at: Timestamp,
}

#[derive(Clone)]
struct Told {
    name: String,
    first: Timestamp,
    count: i32,
}

impl Correlator {
    pub fn observe(&mut self, observed: &Observed) -> Outcome {
        if !self.may_tell(observed) {
            return Outcome::Drop;
        }
        let combined = self.is_one_of_many(observed);
        let message = if combined {
            format!("(combined from similar events): {}", observed.message)
        } else {
            observed.message.clone()
        };
        let mut same = key(observed, true);
        if !combined {
            same.push(observed.message.clone());
        }
        let told = match self.told.get(&same) {
            Some(told) => Told { count: told.count + 1, ..told.clone() },
            None => Told { name: event_name(observed), first: observed.at, count: 1 },
        };
        self.told.put(same, told.clone());
        let event = event(observed, &told, message);
        if told.count > 1 { Outcome::Repeat(event) } else { Outcome::Create(event) }
    }

    fn may_tell(&mut self, observed: &Observed) -> bool {
        let key = key(observed, false);
        let mut bucket = self.buckets.get(&key).cloned().unwrap_or(Bucket { tokens: BURST, at: observed.at });
        let refill = seconds_between(bucket.at, observed.at) / SECONDS_PER_TOKEN;
        bucket.tokens = (bucket.tokens + refill).min(BURST);
        bucket.at = observed.at;
        let may = bucket.tokens >= 1.0;
        if may {
            bucket.tokens -= 1.0;
        }
        self.buckets.put(key, bucket);
        may
    }

    fn is_one_of_many(&mut self, observed: &Observed) -> bool {
        let key = key(observed, true);
        let fresh = || Group { messages: BTreeSet::new(), at: observed.at };
        let mut group = self.groups.get(&key).cloned().unwrap_or_else(fresh);
        if seconds_between(group.at, observed.at) > COMBINE_WITHIN_SECONDS {
            group = fresh();
        }
        group.at = observed.at;
        group.messages.insert(observed.message.clone());
        let combined = group.messages.len() >= COMBINE_FROM;
        if combined {
            group.messages.pop_first();
        }
        self.groups.put(key, group);
        combined
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

fn key(observed: &Observed, with_reason: bool) -> Vec<String> {
    let object = &observed.regarding;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let mut key = vec![
        observed.component.clone(),
        text(&observed.host),
        text(&object.kind),
        text(&object.namespace),
        text(&object.name),
        text(&object.uid),
        observed.kind.as_str().to_owned(),
    ];
    if with_reason {
        key.push(text(&object.field_path));
        key.push(observed.reason.clone());
    }
    key
}

/// The longest object name leaves no room for the suffix, so it is cut: 253 is the limit of names.
fn event_name(observed: &Observed) -> String {
    let suffix = format!(".{:x}", observed.at.as_nanosecond());
    let mut name = observed.regarding.name.clone().unwrap_or_default();
    name.truncate(253 - suffix.len());
    name + &suffix
}

fn event(observed: &Observed, told: &Told, message: String) -> Event {
    let namespace = observed.regarding.namespace.clone().filter(|namespace| !namespace.is_empty());
    Event {
        metadata: ObjectMeta {
            name: Some(told.name.clone()),
            namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        involved_object: observed.regarding.clone(),
        type_: Some(observed.kind.as_str().to_owned()),
        reason: Some(observed.reason.clone()),
        message: Some(message),
        count: Some(told.count),
        first_timestamp: Some(Time(told.first)),
        last_timestamp: Some(Time(observed.at)),
        source: Some(EventSource { component: Some(observed.component.clone()), host: observed.host.clone() }),
        reporting_component: Some(observed.component.clone()),
        reporting_instance: observed.host.clone(),
        ..Event::default()
    }
}

/// A map that forgets what was put least recently.
struct Recent<V> {
    values: HashMap<Vec<String>, (u64, V)>,
    order: BTreeMap<u64, Vec<String>>,
    turn: u64,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new(), turn: 0 }
    }
}

impl<V> Recent<V> {
    fn get(&self, key: &Vec<String>) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    fn put(&mut self, key: Vec<String>, value: V) {
        self.turn += 1;
        if let Some((turn, _)) = self.values.insert(key.clone(), (self.turn, value)) {
            self.order.remove(&turn);
        }
        self.order.insert(self.turn, key);
        if self.values.len() > MEMORY
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(reason: &str, message: &str, second: i64) -> Observed {
        Observed {
            component: "test".into(),
            host: None,
            regarding: ObjectReference {
                name: Some("web".into()),
                namespace: Some("shop".into()),
                ..Default::default()
            },
            kind: EventType::Normal,
            reason: reason.into(),
            message: message.into(),
            at: Timestamp::from_second(1_700_000_000 + second).expect("a time"),
        }
    }

    fn told(outcome: Outcome) -> String {
        match outcome {
            Outcome::Drop => "drop".into(),
            Outcome::Create(event) => format!("create {}", event.message.unwrap_or_default()),
            Outcome::Repeat(event) => format!("{}x {}", event.count.unwrap_or(0), event.message.unwrap_or_default()),
        }
    }

    #[test]
    fn equal_events_are_counted_under_one_name() {
        let mut correlator = Correlator::default();
        let Outcome::Create(first) = correlator.observe(&observed("Pulled", "a", 0)) else {
            panic!("the first is created")
        };
        let Outcome::Repeat(second) = correlator.observe(&observed("Pulled", "a", 5)) else {
            panic!("the second is counted")
        };
        assert_eq!(first.metadata.name, second.metadata.name);
        assert_eq!((second.count, second.first_timestamp), (Some(2), first.first_timestamp));
        assert_eq!(told(correlator.observe(&observed("Pulled", "b", 6))), "create b");
    }

    #[test]
    fn many_messages_for_one_reason_are_combined() {
        let mut correlator = Correlator::default();
        let outcomes: Vec<String> =
            (0..12).map(|n| told(correlator.observe(&observed("Failed", &format!("m{n}"), n)))).collect();
        assert_eq!(outcomes[8], "create m8");
        assert_eq!(outcomes[9], "create (combined from similar events): m9");
        assert_eq!(outcomes[10], "2x (combined from similar events): m10");
        assert_eq!(told(correlator.observe(&observed("Failed", "later", 2000))), "create later");
    }

    #[test]
    fn a_noisy_object_is_silenced_and_heard_again_slowly() {
        let mut correlator = Correlator::default();
        let dropped =
            (0..40).filter(|n| told(correlator.observe(&observed(&format!("R{n}"), "m", 0))) == "drop").count();
        assert_eq!(dropped, 15);
        assert_eq!(told(correlator.observe(&observed("Next", "m", 299))), "drop");
        assert_eq!(told(correlator.observe(&observed("Next", "m", 301))), "create m");
        assert_eq!(told(correlator.observe(&observed("Again", "m", 302))), "drop");
    }
}
