//! A storm as text: the seed of the world, and lines `at STEP ACTION`. Written for a seed that failed, and read to replay it.

use std::fmt;

use crate::action::{Action, NoAction};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    pub seed: u64,
    /// How many steps the storm lasts.
    pub steps: u64,
    /// In the order of steps.
    pub actions: Vec<(u64, Action)>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Action(#[from] NoAction),
    #[error("read a scenario: {0:?} is neither `seed N`, `steps N`, `at STEP ACTION` nor a comment")]
    Line(String),
}

impl Scenario {
    /// # Errors
    /// The first line that means nothing.
    pub fn parse(text: &str) -> Result<Scenario, Error> {
        let mut scenario = Scenario::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wrong = || Error::Line(line.to_owned());
            let (word, rest) = line.split_once(' ').ok_or_else(wrong)?;
            match word {
                "seed" => scenario.seed = rest.parse().map_err(|_| wrong())?,
                "steps" => scenario.steps = rest.parse().map_err(|_| wrong())?,
                "at" => {
                    let (step, action) = rest.split_once(' ').ok_or_else(wrong)?;
                    scenario.actions.push((step.parse().map_err(|_| wrong())?, action.parse()?));
                }
                _ => return Err(wrong()),
            }
        }
        Ok(scenario)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}\nsteps {}", self.seed, self.steps)?;
        self.actions.iter().try_for_each(|(step, action)| writeln!(f, "at {step} {action}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::{Storm, Weather};

    #[test]
    fn what_is_written_can_be_read() {
        let mut storm = Storm::new(1, Weather::Rough);
        let actions = (0..2000).map(|step| (step, storm.action())).collect();
        let scenario = Scenario { seed: 1, steps: 2000, actions };
        assert_eq!(Scenario::parse(&scenario.to_string()).unwrap(), scenario);
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["seed x", "at 5", "at x compact", "at 5 dance", "at 5 crash", "at 5 scale shop/web-0", "steps"] {
            assert!(Scenario::parse(text).is_err(), "{text}");
        }
        assert!(Scenario::parse("# only a comment\n\nseed 3").is_ok());
    }
}
