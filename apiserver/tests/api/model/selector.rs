//! Selectors, and what they mean.

use super::history::Pod;
use super::random::Random;

#[derive(Clone, Debug)]
pub struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    key: &'static str,
    is: Is,
}

#[derive(Clone, Debug)]
enum Is {
    There,
    Absent,
    OneOf(Vec<&'static str>),
    NoneOf(Vec<&'static str>),
}

const LABEL_VALUES: [&str; 3] = ["0", "1", "2"];

impl Selector {
    pub fn random(random: &mut Random) -> Self {
        let labels = (0..random.below(3)).map(|_| Term::label(random)).collect();
        let fields = (0..random.below(2)).map(|_| Term::field(random)).collect();
        Self { labels, fields }
    }

    /// As parameters of a request, with no ampersand in front.
    pub fn query(&self) -> String {
        let join = |terms: &[Term]| terms.iter().map(Term::text).collect::<Vec<_>>().join("%2C");
        format!("labelSelector={}&fieldSelector={}", join(&self.labels), join(&self.fields))
    }

    pub fn selects(&self, name: &str, pod: &Pod) -> bool {
        let label = |term: &Term| term.holds(pod.labels.get(term.key).map(String::as_str));
        let field = |term: &Term| {
            term.holds(Some(match term.key {
                "metadata.name" => name,
                "spec.nodeName" => &pod.node,
                _ => &pod.phase,
            }))
        };
        self.labels.iter().all(label) && self.fields.iter().all(field)
    }
}

impl Term {
    fn label(random: &mut Random) -> Self {
        let values = (0..=random.below(2)).map(|_| random.pick(&LABEL_VALUES)).collect();
        let is = match random.below(4) {
            0 => Is::There,
            1 => Is::Absent,
            2 => Is::OneOf(values),
            _ => Is::NoneOf(values),
        };
        Self { key: random.pick(&["l", "m"]), is }
    }

    fn field(random: &mut Random) -> Self {
        let (key, values): (_, &[&'static str]) = match random.below(3) {
            0 => ("metadata.name", &["p1", "p2"]),
            1 => ("spec.nodeName", &["", "n1"]),
            _ => ("status.phase", &["Running", "Pending"]),
        };
        let values = vec![random.pick(values)];
        Self { key, is: if random.below(2) == 0 { Is::OneOf(values) } else { Is::NoneOf(values) } }
    }

    fn text(&self) -> String {
        let key = self.key;
        match &self.is {
            Is::There => key.to_owned(),
            Is::Absent => format!("!{key}"),
            Is::OneOf(values) if values.len() == 1 => format!("{key}%3D{}", values[0]),
            Is::NoneOf(values) if values.len() == 1 => format!("{key}!%3D{}", values[0]),
            Is::OneOf(values) => format!("{key}%20in%20({})", values.join("%2C")),
            Is::NoneOf(values) => format!("{key}%20notin%20({})", values.join("%2C")),
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        match &self.is {
            Is::There => value.is_some(),
            Is::Absent => value.is_none(),
            Is::OneOf(values) => value.is_some_and(|value| values.contains(&value)),
            Is::NoneOf(values) => value.is_none_or(|value| !values.contains(&value)),
        }
    }
}
