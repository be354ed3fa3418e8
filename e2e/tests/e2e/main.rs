//! The cluster from outside, one file for each thing that it is good for.

mod bad_input;
mod client_go;
mod clients;
mod conformance;
mod crash;
mod forward;
mod healing;
mod helm;
mod joining;
mod kubectl;
mod lifecycle;
mod nodes;
mod ownership;
mod probes;
mod python;
mod roles;
mod rollout;
mod servers;
mod services;
mod soak;
mod streams;
mod up;
mod upgrade;
mod verbs;
mod volumes;
mod weather;
