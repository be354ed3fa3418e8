//! The whole control plane on one thread, from one seed.
//!
//! What runs is what runs in production: the API server over the memory store, all controllers, the scheduler, the pod
//! machines, each component with its own drivers and clients on a runtime of its own. What is simulated is the machine below
//! them: time and randomness (`interpose` in the binary: the two libc calls that they come from), the network between
//! components, and the containers of a node. The simulator decides when a message arrives, whose turn it is, and what fails.
//!
//! The way through: [`world`] is the loop; [`machine`] is one component, which may crash between any two messages; [`wire`]
//! carries requests, answers and watch events, late or never; [`disk`] is the store, which outlives the API server and keeps
//! the history that [`oracle`] judges; [`node`] is a node: the kubelet's pod machines, and hardware that outlives them.
//! [`action`] is what users do and what fails, as readable lines; [`storm`] makes them from a seed,
//! [`scenario`] reads them back. [`bugs`] are planted to see that they are found.

pub mod action;
pub mod bugs;
pub mod clock;
pub mod disk;
pub mod machine;
pub mod node;
pub mod oracle;
pub mod rng;
pub mod scenario;
pub mod server;
pub mod storm;
pub mod trace;
pub mod user;
pub mod wire;
pub mod world;
