//! Tests of the machine against a fake world with a virtual clock: text scenarios and random histories.

mod property;
mod scenario;
mod world;
