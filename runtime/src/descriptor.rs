//! Descriptors that outlive their program: written down as numbers, taken over by the program that the process executes next.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::FdFlags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An open file of the launcher. Serialized it is its number, which means something in the same process only.
#[derive(Debug)]
pub struct Descriptor<T = OwnedFd>(T);

impl<T: AsFd + From<OwnedFd>> Descriptor<T> {
    /// Takes over what the program before left open, without close-on-exec, under this number. From then on the mark is set: what
    /// is still without it was not taken over, and a number that has it belongs to somebody already.
    fn adopt(number: i32) -> io::Result<Self> {
        if number <= 2 {
            return Err(io::Error::other(format!("descriptor {number} is a standard stream")));
        }
        // SAFETY: it is only asked for its flags; nobody opens or closes descriptors meanwhile.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        if rustix::io::fcntl_getfd(borrowed)?.contains(FdFlags::CLOEXEC) {
            return Err(io::Error::other(format!("descriptor {number} was not passed on, or is named twice")));
        }
        rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
        // SAFETY: it is open, and by the mark nobody else in this program has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number) }.into()))
    }

    pub fn from_number(number: i32) -> io::Result<Self> {
        Self::adopt(number).map_err(|error| io::Error::other(format!("take over descriptor {number}: {error}")))
    }
}

impl<T> Deref for Descriptor<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: AsFd> AsFd for Descriptor<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<T> From<T> for Descriptor<T> {
    fn from(file: T) -> Self {
        Self(file)
    }
}

impl From<Descriptor> for OwnedFd {
    fn from(descriptor: Descriptor) -> Self {
        descriptor.0
    }
}

impl<T: AsFd> Serialize for Descriptor<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::os::fd::AsRawFd;
        serializer.serialize_i32(self.as_fd().as_raw_fd())
    }
}

impl<'de, T: AsFd + From<OwnedFd>> Deserialize<'de> for Descriptor<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_number(i32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Numbers of everything that is open, standard streams aside.
fn open() -> io::Result<Vec<i32>> {
    let numbers = std::fs::read_dir("/proc/self/fd")?;
    let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.filter(|number| *number > 2).collect())
}

fn set_flags(number: i32, flags: FdFlags) -> rustix::io::Result<()> {
    // SAFETY: the flags of a descriptor are changed, nothing else; one that is not open is an error.
    rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, flags)
}

/// Everything that is open passes to the next program, but for `program` itself.
pub fn pass_on(program: &OwnedFd) -> io::Result<()> {
    for number in open()? {
        // Listing the folder takes a descriptor, too, which is closed by now.
        let _ = set_flags(number, FdFlags::empty());
    }
    Ok(rustix::io::fcntl_setfd(program, FdFlags::CLOEXEC)?)
}

/// Undoes [`pass_on`].
pub fn keep() -> io::Result<()> {
    for number in open()? {
        let _ = set_flags(number, FdFlags::CLOEXEC);
    }
    Ok(())
}

/// Closes what was passed on and not taken over. Answers the numbers.
pub fn close_strays() -> io::Result<Vec<i32>> {
    let is_stray = |number: &i32| {
        // SAFETY: as in `set_flags`.
        let borrowed = unsafe { BorrowedFd::borrow_raw(*number) };
        rustix::io::fcntl_getfd(borrowed).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC))
    };
    let strays: Vec<i32> = open()?.into_iter().filter(is_stray).collect();
    for number in &strays {
        // SAFETY: nothing in this program knows the number.
        drop(unsafe { OwnedFd::from_raw_fd(*number) });
    }
    Ok(strays)
}
