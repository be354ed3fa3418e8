//! The two libc functions that time and randomness come from, for every library in this binary. Outside of a simulation they
//! are the kernel's.

use std::ffi::c_int;

use sim::clock;

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    if !clock::is_simulated() {
        // SAFETY: the arguments are the caller's, passed on unchanged.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) as c_int };
    }
    let nanoseconds = match id {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => clock::wall(),
        _ => clock::steady() as i64,
    };
    let value = libc::timespec { tv_sec: nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 };
    // SAFETY: a caller of clock_gettime gives a place for the time.
    unsafe { time.write(value) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if !clock::is_simulated() {
        // SAFETY: the arguments are the caller's, passed on unchanged.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize };
    }
    for at in 0..length {
        // SAFETY: a caller of getrandom gives a buffer of this length.
        unsafe { buffer.add(at).write((clock::entropy() >> 24) as u8) };
    }
    length as isize
}
