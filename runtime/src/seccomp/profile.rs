//! Profile files in the format of container engines (docker, containerd, CRI-O): a default action and rules by name.

use serde::Deserialize;

use super::compile::{self, Action, Condition, Operator, Rules};
use super::syscalls;

const EPERM: u16 = libc::EPERM as u16;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: ActionName,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<String>,
    action: ActionName,
    errno_ret: Option<u16>,
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
    op: OperatorName,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum ActionName {
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
enum OperatorName {
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

impl ActionName {
    fn action(self, errno: Option<u16>) -> Action {
        match self {
            Self::Allow => Action::Allow,
            Self::Errno => Action::Errno(errno.unwrap_or(EPERM)),
            Self::Log => Action::Log,
            Self::Trap => Action::Trap,
            Self::KillThread => Action::KillThread,
            Self::KillProcess => Action::KillProcess,
        }
    }
}

impl Argument {
    /// A call has six arguments.
    fn condition(&self) -> Option<Condition> {
        let (operator, value) = match self.op {
            OperatorName::Ne => (Operator::NotEqual, self.value),
            OperatorName::Lt => (Operator::Less, self.value),
            OperatorName::Le => (Operator::LessOrEqual, self.value),
            OperatorName::Eq => (Operator::Equal, self.value),
            OperatorName::Ge => (Operator::GreaterOrEqual, self.value),
            OperatorName::Gt => (Operator::Greater, self.value),
            OperatorName::MaskedEq => (Operator::MaskedEqual(self.value), self.value_two),
        };
        (self.index < 6).then_some(Condition { argument: self.index, operator, value, lower_half: false })
    }
}

/// Rules and the default action. Calls that this architecture does not know are skipped, as engines do. `None`: a rule is about an
/// argument that no call has.
pub fn rules(profile: &Profile) -> Option<(Rules, Action)> {
    let mut rules = Rules::new();
    for rule in &profile.syscalls {
        let conditions = rule.args.iter().flatten().map(Argument::condition).collect::<Option<Vec<_>>>()?;
        let compiled = compile::Rule { conditions, action: rule.action.action(rule.errno_ret) };
        for number in rule.names.iter().filter_map(|name| syscalls::number(name)) {
            rules.entry(number).or_default().push(compiled.clone());
        }
    }
    Some((rules, profile.default_action.action(profile.default_errno_ret)))
}
