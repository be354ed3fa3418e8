//! Profile files in the format of container engines (docker, containerd, CRI-O): a default action and rules by name.

use std::collections::BTreeMap;

use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};
use serde::Deserialize;

use super::{Rules, SeccompError, syscalls};

const EPERM: u32 = libc::EPERM as u32;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: Action,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: Action,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Operator,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

impl Action {
    fn to_kernel(self, errno: Option<u32>) -> SeccompAction {
        match self {
            Self::Allow => SeccompAction::Allow,
            Self::Errno => SeccompAction::Errno(errno.unwrap_or(EPERM)),
            Self::Log => SeccompAction::Log,
            Self::Trap => SeccompAction::Trap,
            Self::KillThread => SeccompAction::KillThread,
            Self::KillProcess => SeccompAction::KillProcess,
        }
    }
}

impl Argument {
    fn condition(&self) -> Result<SeccompCondition, SeccompError> {
        let (operator, value) = match self.op {
            Operator::Ne => (SeccompCmpOp::Ne, self.value),
            Operator::Lt => (SeccompCmpOp::Lt, self.value),
            Operator::Le => (SeccompCmpOp::Le, self.value),
            Operator::Eq => (SeccompCmpOp::Eq, self.value),
            Operator::Ge => (SeccompCmpOp::Ge, self.value),
            Operator::Gt => (SeccompCmpOp::Gt, self.value),
            Operator::MaskedEq => (SeccompCmpOp::MaskedEq(self.value), self.value_two),
        };
        Ok(SeccompCondition::new(self.index, SeccompCmpArgLen::Qword, operator, value)?)
    }
}

/// One filter per action. The kernel runs all of them and takes the strictest answer, so the first filter lets through what any
/// rule names and answers the default action to the rest; each other filter answers its action to its own rules.
/// Calls that this architecture does not know are skipped, as engines do.
pub fn filters(profile: &Profile) -> Result<Vec<(Rules, SeccompAction, SeccompAction)>, SeccompError> {
    let default = profile.default_action.to_kernel(profile.default_errno_ret);
    let mut named = Rules::new();
    let mut by_action: Vec<(SeccompAction, Rules)> = Vec::new();
    for rule in &profile.syscalls {
        let action = rule.action.to_kernel(rule.errno_ret);
        for number in rule.names.iter().filter_map(|name| syscalls::number(name)) {
            add(&mut named, number, rule)?;
            if action == SeccompAction::Allow {
                continue;
            }
            let index = by_action.iter().position(|(known, _)| *known == action).unwrap_or_else(|| {
                by_action.push((action.clone(), Rules::new()));
                by_action.len() - 1
            });
            add(&mut by_action[index].1, number, rule)?;
        }
    }
    let mut filters = Vec::new();
    if default != SeccompAction::Allow {
        filters.push((named, default, SeccompAction::Allow));
    }
    filters.extend(by_action.into_iter().map(|(action, rules)| (rules, SeccompAction::Allow, action)));
    Ok(filters)
}

fn add(rules: &mut Rules, number: i64, rule: &Rule) -> Result<(), SeccompError> {
    let conditions = rule.args.iter().flatten().map(Argument::condition).collect::<Result<Vec<_>, _>>()?;
    match rules.entry(number).or_insert_with(|| Some(Vec::new())) {
        // Already unconditional.
        None => {}
        entry if conditions.is_empty() => *entry = None,
        Some(known) => known.push(SeccompRule::new(conditions)?),
    }
    Ok(())
}

/// The form that seccompiler takes: no conditions at all is an empty list.
pub fn flatten(rules: Rules) -> BTreeMap<i64, Vec<SeccompRule>> {
    rules.into_iter().map(|(number, conditions)| (number, conditions.unwrap_or_default())).collect()
}
