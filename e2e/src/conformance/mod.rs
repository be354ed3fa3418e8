//! The official conformance suite, run against a cluster, test by test or level by level.
//!
//! [`list`] knows the tests: `e2e/upstream/conformance.tsv` has each with its level, which says what a cluster must have. [`run`]
//! gives those that are wanted to ginkgo and reads its report into [`report::Verdict`]s.

pub mod list;
pub mod report;
mod run;

pub use list::Test;
pub use report::Verdict;
pub use run::{Target, run};
