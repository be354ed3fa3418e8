//! Real containers of a busybox root file system. Needs root and Debian's busybox-static; without them the tests say so and
//! pass. Each test has a network namespace, a state directory, cgroups and a launcher of its own, and removes them.

mod basics;
mod handover;
mod isolation;
mod life;
mod logs;
mod mounts;
mod network;
mod node;
mod streams;
