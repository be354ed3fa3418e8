//! The decision about one pod: judge nodes, prefer among those that fit.

use crate::diagnosis::{Diagnosis, Refused};
use crate::framework::{Filter, Profile, Refusal};
use crate::pod::PodInfo;
use crate::snapshot::{Row, Snapshot};

#[derive(Clone, Debug)]
pub enum Decision {
    /// To the node of this name.
    Bind(String),
    Unschedulable(Diagnosis),
}

/// In clusters smaller than this every node is judged; in larger ones the search ends when enough nodes fit.
const JUDGE_ALL_BELOW: usize = 100;
/// Upstream judges half of a cluster of 100 nodes, less of larger ones, and never less than this share.
const LEAST_PERCENT: usize = 5;

/// Decides where `pod` runs. `tie` decides between equally good nodes and where the search begins: with the same arguments the
/// answer is the same.
///
/// A `Bind` names a node that every plugin of the profile accepts; `Unschedulable` means that none does.
pub fn schedule(pod: &PodInfo, snapshot: &Snapshot, profile: &Profile, tie: u64) -> Decision {
    if snapshot.is_empty() {
        return Decision::Unschedulable(Diagnosis::no_nodes());
    }
    let checks = Checks::new(pod, snapshot, profile);
    if let Some((plugin, reason)) = checks.refused {
        return Decision::Unschedulable(Diagnosis::refused_outright(pod, snapshot.len(), plugin, reason));
    }
    let (fitting, refused) = judge(&checks, snapshot, tie);
    if fitting.is_empty() {
        let named = |(row, plugin, refusal)| Refused { node: snapshot.node(row).name.clone(), plugin, refusal };
        let refused = refused.into_iter().map(named).collect();
        let narrowed = checks.only.is_some().then(|| checks.narrowed_by.clone());
        return Decision::Unschedulable(Diagnosis::new(pod, snapshot, profile, refused, narrowed));
    }
    let best = if fitting.len() == 1 { fitting[0] } else { prefer(pod, snapshot, profile, &fitting, tie) };
    Decision::Bind(snapshot.node(best).name.clone())
}

/// Whether the pod fits on one node, and if not why: what the plugins say, first refusal first.
pub fn fits(pod: &PodInfo, snapshot: &Snapshot, profile: &Profile, row: Row) -> Result<(), (&'static str, Refusal)> {
    let checks = Checks::new(pod, snapshot, profile);
    if let Some((plugin, reason)) = checks.refused {
        return Err((plugin, Refusal::unresolvable(reason)));
    }
    checks.run(row)
}

type Check<'a> = Box<dyn Fn(Row) -> Result<(), Refusal> + 'a>;

/// What the plugins of a profile have to say about one pod.
struct Checks<'a> {
    checks: Vec<(&'static str, Check<'a>)>,
    refused: Option<(&'static str, &'static str)>,
    /// The names of the only nodes that can fit, and which plugins said so.
    only: Option<Vec<&'a str>>,
    narrowed_by: Vec<&'static str>,
}

impl<'a> Checks<'a> {
    fn new(pod: &'a PodInfo, snapshot: &'a Snapshot, profile: &Profile) -> Checks<'a> {
        let mut all = Checks { checks: Vec::new(), refused: None, only: None, narrowed_by: Vec::new() };
        for weighted in &profile.plugins {
            let name = weighted.plugin.name();
            match weighted.plugin.filter(pod, snapshot) {
                Filter::Pass => {}
                Filter::Refuse(reason) => {
                    all.refused.get_or_insert((name, reason));
                }
                Filter::Check(check) => all.checks.push((name, check)),
                Filter::Only(mut names, check) => {
                    if let Some(only) = &all.only {
                        names.retain(|name| only.contains(name));
                    }
                    all.only = Some(names);
                    all.narrowed_by.push(name);
                    all.checks.push((name, check));
                }
            }
        }
        all
    }

    fn run(&self, row: Row) -> Result<(), (&'static str, Refusal)> {
        self.checks.iter().try_for_each(|(name, check)| check(row).map_err(|refusal| (*name, refusal)))
    }
}

type RefusedRow = (Row, &'static str, Refusal);

fn judge(checks: &Checks<'_>, snapshot: &Snapshot, tie: u64) -> (Vec<Row>, Vec<RefusedRow>) {
    let rows: Vec<Row> = match &checks.only {
        Some(names) => names.iter().filter_map(|name| snapshot.row(name)).collect(),
        None => snapshot.rows().collect(),
    };
    let enough = enough(rows.len());
    let start = if rows.is_empty() { 0 } else { (tie % rows.len() as u64) as usize };
    let (mut fitting, mut refused) = (Vec::new(), Vec::new());
    for row in rows[start..].iter().chain(&rows[..start]) {
        match checks.run(*row) {
            Ok(()) => fitting.push(*row),
            Err((plugin, refusal)) => refused.push((*row, plugin, refusal)),
        }
        if fitting.len() == enough {
            break;
        }
    }
    (fitting, refused)
}

/// How many fitting nodes end the search.
fn enough(nodes: usize) -> usize {
    if nodes < JUDGE_ALL_BELOW {
        return nodes.max(1);
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(LEAST_PERCENT);
    (nodes * percent / 100).max(JUDGE_ALL_BELOW)
}

fn prefer(pod: &PodInfo, snapshot: &Snapshot, profile: &Profile, fitting: &[Row], tie: u64) -> Row {
    let mut totals = vec![0i64; fitting.len()];
    for weighted in profile.plugins.iter().filter(|weighted| weighted.weight > 0) {
        let Some(score) = weighted.plugin.score(pod, snapshot) else { continue };
        let mut scores: Vec<i64> = fitting.iter().map(|row| (score.of)(*row)).collect();
        score.normalize.apply(&mut scores);
        for (total, score) in totals.iter_mut().zip(scores) {
            *total += score * weighted.weight;
        }
    }
    let ranked = fitting.iter().zip(totals).max_by_key(|(row, total)| (*total, mix(tie ^ row.0 as u64)));
    ranked.map_or(fitting[0], |(row, _)| *row)
}

/// Spreads the bits of a number (splitmix64).
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
