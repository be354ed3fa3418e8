//! `cargo xtask authz`: who may do what, asked of our API server and of upstream's, and where they disagree.
//!
//! ```text
//! world (the same objects on both) -> roles and bindings compared
//! identities x questions (verbs x resources x places, paths) -> SubjectAccessReviews to both -> what differs
//!                      `-> a sample as real requests, by impersonation
//! ```
//! - [`identities`] are the users, [`questions`] what is asked about each; [`world`] makes what the answers depend on.
//! - [`ask`] asks one server, over several connections; [`policy`] compares the bootstrap roles and bindings.

mod ask;
mod identities;
mod policy;
mod questions;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::bench::client::Access;
use crate::diff::servers::{self, Servers};
use ask::Answer;
use identities::Identity;
use questions::Question;

/// Differences that are shown of one identity.
const SHOWN: usize = 12;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only identities whose name has this in it
    #[arg(long)]
    identity: Vec<String>,
    /// Our server, built [default: build it]
    #[arg(long)]
    binary: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let binary = servers::binary(options.binary.as_deref())?;
    let servers = Servers::start(&binary, &["--enable-admission-plugins=NodeRestriction"])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let differences = runtime.block_on(async {
        tokio::select! {
            differences = compare(options, &servers) => differences,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })?;
    if differences == 0 { Ok(()) } else { bail!("{differences} differences") }
}

/// How many differences there are; they are printed.
async fn compare(options: &Options, servers: &Servers) -> Result<usize> {
    let (ours, theirs) = (Access::read(&servers.ours)?, Access::read(&servers.theirs)?);
    world::make(&ours).await?;
    world::make(&theirs).await?;
    let mut found = policy::compare(&ours, &theirs).await?;
    crate::say(format_args!("roles and bindings: {found} differences"));
    let questions = questions::all(&theirs).await?;
    let wanted = |identity: &&Identity| {
        options.identity.is_empty() || options.identity.iter().any(|part| identity.user.contains(part.as_str()))
    };
    let mut total = 0;
    for identity in identities::ALL.iter().filter(wanted) {
        let reviews: Vec<Value> = questions.iter().map(|question| question.review(identity)).collect();
        let (own, other) = (ask::reviews(&ours, &reviews).await?, ask::reviews(&theirs, &reviews).await?);
        let asked = questions.iter().zip(own.iter().zip(&other));
        let different: Vec<_> = asked.filter(|(_, (own, other))| !own.agrees(other)).collect();
        let requests = sample(&questions, identity, &ours, &theirs).await?;
        let allowed = other.iter().filter(|answer| answer.is_allowed()).count();
        let (user, count) = (identity.user, different.len() + requests.len());
        crate::say(format_args!("{user}: {} questions, {allowed} allowed, {count} differences", reviews.len()));
        total += reviews.len();
        found += count;
        show(&different);
        requests.iter().take(SHOWN).for_each(|text| crate::say(format_args!("  {text}")));
    }
    crate::say(format_args!("{total} questions to each, {found} differences"));
    Ok(found)
}

/// Grouped by what the two say, with an example.
fn show(different: &[(&Question, (&Answer, &Answer))]) {
    let mut groups: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (question, (own, other)) in different {
        let group = groups.entry(format!("{own} instead of {other}")).or_insert((0, question.to_string()));
        group.0 += 1;
    }
    for (what, (count, example)) in groups.iter().take(SHOWN) {
        crate::say(format_args!("  {count} x {what}, such as {example}"));
    }
}

/// Real requests by impersonation; what differs, as text.
async fn sample(questions: &[Question], identity: &Identity, ours: &Access, theirs: &Access) -> Result<Vec<String>> {
    let requests: Vec<_> = questions.iter().filter_map(|question| question.request(identity)).collect();
    let (own, other) = (ask::requests(ours, &requests).await?, ask::requests(theirs, &requests).await?);
    let asked = requests.iter().zip(own.iter().zip(&other));
    let different = asked.filter(|(_, (own, other))| own != other);
    Ok(different.map(|(request, (own, other))| format!("{}: {own} instead of {other}", request.path)).collect())
}
