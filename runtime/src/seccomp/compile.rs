//! From rules to a filter program (classic BPF).
//!
//! The program finds a system call by halving ranges of numbers, about eight steps. A list of comparisons, as other compilers write
//! it, works as well but costs every container 0.9 ms at its start: the kernel runs a new filter once for each call there is.

use std::collections::BTreeMap;

use libc::sock_filter;

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Allow,
    Errno(u16),
    Log,
    Trap,
    KillThread,
    KillProcess,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The argument's bits of the mask equal the value.
    MaskedEqual(u64),
}

/// About one argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    pub argument: u8,
    pub operator: Operator,
    pub value: u64,
    /// The kernel takes the lower half only: the upper one must not decide.
    pub lower_half: bool,
}

/// An action when all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// By number of the call; the first rule whose conditions hold decides.
pub type Rules = BTreeMap<u32, Vec<Rule>>;

impl Rule {
    pub fn always(action: Action) -> Self {
        Self { conditions: Vec::new(), action }
    }
}

impl Action {
    fn code(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A jump to behind the rule, until its length is known.
const FAIL: u8 = u8::MAX;

#[cfg(target_arch = "x86_64")]
const THIS_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const THIS_ARCHITECTURE: u32 = 0xc000_00b7;

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn statement(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

/// A program that answers `default` to calls without a rule that holds. Calls by another architecture's convention (32-bit
/// programs) end the process: their numbers mean something else.
pub fn compile(rules: &Rules, default: Action) -> Vec<sock_filter> {
    let mut program = vec![
        statement(LOAD, ARCHITECTURE),
        jump(IF_EQUAL, THIS_ARCHITECTURE, 1, 0),
        statement(RETURN, Action::KillProcess.code()),
        statement(LOAD, NUMBER),
    ];
    program.extend(search(&ranges(rules, default)));
    program
}

/// Neighbouring calls with the same answer, by the first number: together they cover all numbers.
fn ranges(rules: &Rules, default: Action) -> Vec<(u32, Vec<sock_filter>)> {
    let mut ranges: Vec<(u32, Vec<sock_filter>)> = Vec::new();
    let mut add = |start: u32, code: Vec<sock_filter>| {
        let same = |other: &[sock_filter]| {
            other.len() == code.len()
                && other.iter().zip(&code).all(|(a, b)| (a.code, a.jt, a.jf, a.k) == (b.code, b.jt, b.jf, b.k))
        };
        if !ranges.last().is_some_and(|(_, last)| same(last)) {
            ranges.push((start, code));
        }
    };
    let otherwise = || vec![statement(RETURN, default.code())];
    let mut next = 0;
    for (number, rules) in rules {
        if *number > next {
            add(next, otherwise());
        }
        add(*number, answer(rules, default));
        next = number + 1;
    }
    add(next, otherwise());
    ranges
}

fn search(ranges: &[(u32, Vec<sock_filter>)]) -> Vec<sock_filter> {
    let (left, right) = match ranges {
        [] => return Vec::new(),
        [(_, code)] => return code.clone(),
        _ => ranges.split_at(ranges.len() / 2),
    };
    let (start, left, right) = (right[0].0, search(left), search(right));
    let mut code = match u8::try_from(left.len()) {
        Ok(distance) => vec![jump(IF_AT_LEAST, start, distance, 0)],
        // Too far for a conditional jump.
        Err(_) => vec![jump(IF_AT_LEAST, start, 0, 1), statement(JUMP, left.len() as u32)],
    };
    code.extend(left);
    code.extend(right);
    code
}

/// The answer for one call.
fn answer(rules: &[Rule], default: Action) -> Vec<sock_filter> {
    let mut code = Vec::new();
    for rule in rules {
        let mut block: Vec<sock_filter> = rule.conditions.iter().flat_map(check).collect();
        block.push(statement(RETURN, rule.action.code()));
        let length = block.len();
        for (at, instruction) in block.iter_mut().enumerate() {
            let behind = (length - at - 1) as u8;
            for target in [&mut instruction.jt, &mut instruction.jf] {
                if *target == FAIL {
                    *target = behind;
                }
            }
        }
        code.extend(block);
        if rule.conditions.is_empty() {
            return code;
        }
    }
    code.push(statement(RETURN, default.code()));
    code
}

/// Goes on when the condition holds, else to `FAIL`.
fn check(condition: &Condition) -> Vec<sock_filter> {
    let low = ARGUMENTS + 8 * u32::from(condition.argument);
    let (load_low, load_high) = (statement(LOAD, low), statement(LOAD, low + 4));
    let (value_low, value_high) = (condition.value as u32, (condition.value >> 32) as u32);
    // The lower half alone, and the upper half before it, which may decide alone.
    let (upper, lower) = match condition.operator {
        Operator::Equal => (vec![jump(IF_EQUAL, value_high, 0, FAIL)], vec![jump(IF_EQUAL, value_low, 0, FAIL)]),
        Operator::NotEqual => (vec![jump(IF_EQUAL, value_high, 0, 2)], vec![jump(IF_EQUAL, value_low, FAIL, 0)]),
        Operator::MaskedEqual(mask) => (
            vec![statement(AND, (mask >> 32) as u32), jump(IF_EQUAL, value_high, 0, FAIL)],
            vec![statement(AND, mask as u32), jump(IF_EQUAL, value_low, 0, FAIL)],
        ),
        Operator::Greater | Operator::GreaterOrEqual => {
            let code = if condition.operator == Operator::Greater { IF_GREATER } else { IF_AT_LEAST };
            let upper = vec![jump(IF_GREATER, value_high, 3, 0), jump(IF_EQUAL, value_high, 0, FAIL)];
            (upper, vec![jump(code, value_low, 0, FAIL)])
        }
        Operator::Less | Operator::LessOrEqual => {
            let code = if condition.operator == Operator::Less { IF_AT_LEAST } else { IF_GREATER };
            let upper = vec![jump(IF_GREATER, value_high, FAIL, 0), jump(IF_EQUAL, value_high, 0, 2)];
            (upper, vec![jump(code, value_low, FAIL, 0)])
        }
    };
    let mut code = Vec::new();
    if !condition.lower_half {
        code.push(load_high);
        code.extend(upper);
    }
    code.push(load_low);
    code.extend(lower);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would.
    fn run(program: &[sock_filter], number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = vec![number, THIS_ARCHITECTURE, 0, 0];
        data.extend(arguments.iter().flat_map(|argument| [*argument as u32, (argument >> 32) as u32]));
        let (mut at, mut register) = (0, 0);
        loop {
            let instruction = program[at];
            at += 1;
            let test = match instruction.code {
                LOAD => {
                    register = data[instruction.k as usize / 4];
                    continue;
                }
                AND => {
                    register &= instruction.k;
                    continue;
                }
                JUMP => {
                    at += instruction.k as usize;
                    continue;
                }
                RETURN => return instruction.k,
                IF_EQUAL => register == instruction.k,
                IF_GREATER => register > instruction.k,
                IF_AT_LEAST => register >= instruction.k,
                other => panic!("instruction {other:#x}"),
            };
            at += usize::from(if test { instruction.jt } else { instruction.jf });
        }
    }

    #[test]
    fn every_number_gets_its_answer() {
        let rule = |action| vec![Rule::always(action)];
        let rules: Rules = (0..2000)
            .filter(|number| number % 3 != 0)
            .map(|number| (number, rule(if number % 7 == 0 { Action::Errno(7) } else { Action::Allow })))
            .collect();
        let program = compile(&rules, Action::Errno(1));
        for number in (0..2100).chain([0x4000_0001, u32::MAX]) {
            let expected = rules.get(&number).map_or(Action::Errno(1), |rules| rules[0].action);
            assert_eq!(run(&program, number, [0; 6]), expected.code(), "{number}");
        }
        let other_architecture = [program[0], program[1], program[2]];
        assert_eq!(other_architecture[2].k, Action::KillProcess.code());
    }

    #[test]
    fn conditions_compare_whole_arguments() {
        const BIG: u64 = 0x1_0000_0005;
        type Holds = fn(u64) -> bool;
        let cases: [(Operator, u64, Holds); 8] = [
            (Operator::Equal, BIG, |it| it == BIG),
            (Operator::NotEqual, BIG, |it| it != BIG),
            (Operator::Less, BIG, |it| it < BIG),
            (Operator::LessOrEqual, BIG, |it| it <= BIG),
            (Operator::Greater, BIG, |it| it > BIG),
            (Operator::GreaterOrEqual, BIG, |it| it >= BIG),
            (Operator::MaskedEqual(0x1_0000_000f), BIG, |it| it & 0x1_0000_000f == BIG),
            (Operator::Equal, 5, |it| it == 5),
        ];
        for (operator, value, holds) in cases {
            let condition = Condition { argument: 2, operator, value, lower_half: false };
            let second = Condition { argument: 0, operator: Operator::Equal, value: 9, lower_half: true };
            let rule = Rule { conditions: vec![condition, second], action: Action::Allow };
            let program = compile(&[(10, vec![rule])].into(), Action::Errno(1));
            for argument in [0, 4, 5, 6, BIG - 1, BIG, BIG + 1, 0x2_0000_0000, u64::MAX, 0xffff_ffff] {
                let expected = if holds(argument) { Action::Allow } else { Action::Errno(1) };
                let got = run(&program, 10, [0xff_0000_0009, 0, argument, 0, 0, 0]);
                assert_eq!(got, expected.code(), "{operator:?} {value:#x} of {argument:#x}");
                assert_eq!(run(&program, 10, [8, 0, argument, 0, 0, 0]), Action::Errno(1).code());
            }
        }
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let condition = Condition { argument: 0, operator: Operator::Equal, value: 1, lower_half: true };
        let rules = vec![
            Rule { conditions: vec![condition], action: Action::Trap },
            Rule { conditions: vec![Condition { value: 2, ..condition }], action: Action::Log },
            Rule::always(Action::Errno(3)),
            Rule::always(Action::Allow),
        ];
        let program = compile(&[(4, rules)].into(), Action::KillThread);
        for (argument, expected) in [(1, Action::Trap), (2, Action::Log), (5, Action::Errno(3))] {
            assert_eq!(run(&program, 4, [argument, 0, 0, 0, 0, 0]), expected.code());
        }
        assert_eq!(run(&program, 3, [0; 6]), Action::KillThread.code());
    }
}
