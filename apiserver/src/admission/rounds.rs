//! Mutating admission goes over an object a second time when something that is told of it has changed it: others may want to see what came
//! of it. What the two steps that do so, policies and webhooks, remember of the first time.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use api::Object;

#[derive(Debug, Default)]
pub struct Rounds {
    stage: Mutex<Stage>,
    pub policies: Asked,
    pub webhooks: Asked,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    is_second: bool,
    wants_second: bool,
}

impl Rounds {
    fn stage<R>(&self, change: impl FnOnce(&mut Stage) -> R) -> R {
        change(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether all steps are to go over the object once more; from now on they do.
    pub fn begin_second(&self) -> bool {
        self.stage(|stage| {
            stage.is_second = stage.wants_second;
            std::mem::take(&mut stage.wants_second)
        })
    }

    pub fn is_second(&self) -> bool {
        self.stage(|stage| stage.is_second)
    }

    /// There are two at most.
    pub fn want_second(&self) {
        self.stage(|stage| stage.wants_second = !stage.is_second);
    }
}

/// Whom one step has asked.
#[derive(Debug, Default)]
pub struct Asked(Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    /// What came of the first round.
    made: Option<Object>,
    /// Who may be asked again, and has not been since.
    seen: BTreeSet<String>,
    /// Who is to be asked again.
    again: BTreeSet<String>,
}

impl Asked {
    fn change<R>(&self, change: impl FnOnce(&mut Round) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A second round begins: others may have changed the object after the first.
    pub fn compare(&self, object: Option<&Object>) {
        self.change(|round| {
            if round.made.as_ref() != object {
                round.again.append(&mut round.seen);
            }
        });
    }

    /// The object is another one than those have seen that may be asked again.
    pub fn changed(&self) {
        self.change(|round| round.again.append(&mut round.seen));
    }

    pub fn is_due(&self, id: &str) -> bool {
        self.change(|round| round.again.contains(id))
    }

    /// Somebody who may be asked again has seen the object.
    pub fn saw(&self, id: &str) {
        self.change(|round| {
            round.seen.insert(id.to_owned());
        });
    }

    pub fn ended(&self, object: Option<&Object>) {
        self.change(|round| round.made = object.cloned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_has_seen_something_else_is_asked_again() {
        let rounds = Rounds::default();
        let (one, two) = (json!({"a": 1}), json!({"a": 2}));
        rounds.webhooks.saw("first");
        assert!(!rounds.begin_second(), "nobody has changed anything");
        rounds.webhooks.changed();
        rounds.want_second();
        rounds.webhooks.saw("second");
        rounds.webhooks.ended(Some(&one));
        assert!(rounds.begin_second() && rounds.is_second());
        rounds.webhooks.compare(Some(&one));
        assert_eq!(["first", "second"].map(|id| rounds.webhooks.is_due(id)), [true, false]);
        rounds.webhooks.compare(Some(&two));
        assert_eq!(["first", "second"].map(|id| rounds.webhooks.is_due(id)), [true, true]);
        assert!(!rounds.policies.is_due("first"), "others have their own");
        rounds.want_second();
        assert!(!rounds.begin_second(), "there is no third");
    }
}
