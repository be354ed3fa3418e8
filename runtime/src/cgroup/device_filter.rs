//! The device list for cgroup v2, which has no devices controller: a BPF program that the kernel asks at each open and mknod.
//!
//! It is the same list as [`super::limits::DEVICES`]. The program is loaded once and attached to each group.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::sys;

/// `struct bpf_insn`: opcode, registers (source in the high half), jump offset, constant.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    constant: i32,
}

const LOAD_WORD: u8 = 0x61;
const SHIFT_RIGHT: u8 = 0x74;
const AND: u8 = 0x54;
const MOVE: u8 = 0xb7;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

const MKNOD: i32 = 1;
const CHARACTER: i32 = 2;

/// Character devices by major number, with their minor numbers; none: all of them.
const CHARACTER_DEVICES: [(i32, &[i32]); 3] = [(1, &[3, 5, 7, 8, 9]), (5, &[0, 1, 2]), (136, &[])];

fn instruction(code: u8, registers: u8, offset: i16, constant: i32) -> Instruction {
    Instruction { code, registers, offset, constant }
}

/// The context (register 1) holds three words: access in the high and type in the low half of the first, then major and minor.
fn program() -> Vec<Instruction> {
    let answer = |allowed: i32| [instruction(MOVE, 0, 0, allowed), instruction(EXIT, 0, 0, 0)];
    let mut code = vec![
        instruction(LOAD_WORD, 0x12, 0, 0),
        instruction(LOAD_WORD, 0x13, 0, 0),
        instruction(SHIFT_RIGHT, 3, 0, 16),
        instruction(AND, 2, 0, 0xffff),
        instruction(LOAD_WORD, 0x14, 4, 0),
        instruction(LOAD_WORD, 0x15, 8, 0),
        // Making a node is allowed for any device: using it is what counts.
        instruction(JUMP_UNLESS_EQUAL, 3, 2, MKNOD),
    ];
    code.extend(answer(1));
    code.push(instruction(JUMP_IF_EQUAL, 2, 2, CHARACTER));
    code.extend(answer(0));
    for (major, minors) in CHARACTER_DEVICES {
        // Per minor number a test and an answer; at the end a refusal.
        let body = if minors.is_empty() { 2 } else { 3 * minors.len() + 2 };
        code.push(instruction(JUMP_UNLESS_EQUAL, 4, body as i16, major));
        for minor in minors {
            code.push(instruction(JUMP_UNLESS_EQUAL, 5, 2, *minor));
            code.extend(answer(1));
        }
        code.extend(answer(i32::from(minors.is_empty())));
    }
    code.extend(answer(0));
    code
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The first members of bpf(2)'s attributes for loading; the rest may be left out.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes live through the call and their size is passed; what they point to is alive in the callers.
    sys::check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) })
}

/// Loads the program.
pub fn load() -> io::Result<OwnedFd> {
    let (code, license) = (program(), c"Apache-2.0");
    let attributes = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
    };
    let fd = bpf(PROG_LOAD, &attributes)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Limits the devices of a group's processes, for as long as the group exists.
pub fn attach(program: impl AsFd, group: impl AsFd) -> io::Result<()> {
    let attributes = Attach {
        target: group.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        attach_type: CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROG_ATTACH, &attributes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn allows(kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let (code, context) = (program(), [access << 16 | kind, major, minor]);
        let mut registers = [0u64; 11];
        let mut at = 0;
        loop {
            let Instruction { code: operation, registers: named, offset, constant } = code[at];
            let (to, constant) = (usize::from(named & 0xf), constant as u64);
            at += 1;
            let jump = match operation {
                LOAD_WORD => {
                    registers[to] = context[offset as usize / 4].into();
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= constant;
                    false
                }
                AND => {
                    registers[to] &= constant;
                    false
                }
                MOVE => {
                    registers[to] = constant;
                    false
                }
                JUMP_IF_EQUAL => registers[to] == constant,
                JUMP_UNLESS_EQUAL => registers[to] != constant,
                EXIT => return registers[0] == 1,
                other => panic!("operation {other:#x}"),
            };
            if jump {
                at += offset as usize;
            }
        }
    }

    #[test]
    fn the_program_answers_like_the_list() {
        const BLOCK: u32 = 1;
        const CHAR: u32 = CHARACTER as u32;
        let (mknod, read, write) = (MKNOD as u32, 2, 4);
        let cases = [
            ("null", CHAR, read | write, 1, 3, true),
            ("urandom", CHAR, read, 1, 9, true),
            ("kmsg", CHAR, read, 1, 11, false),
            ("mem", CHAR, read, 1, 1, false),
            ("tty", CHAR, read, 5, 0, true),
            ("ptmx", CHAR, read | write, 5, 2, true),
            ("a terminal", CHAR, write, 136, 77, true),
            ("a disk", BLOCK, read, 8, 0, false),
            ("a block device with the numbers of null", BLOCK, read, 1, 3, false),
            ("a disk's node", BLOCK, mknod, 8, 0, true),
            ("kvm", CHAR, read, 10, 232, false),
        ];
        for (name, kind, access, major, minor, expected) in cases {
            assert_eq!(allows(kind, access, major, minor), expected, "{name}");
        }
    }
}
