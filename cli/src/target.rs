//! The objects that a person names: `pods`, `pod web-0 web-1`, `deploy/web svc/web`, `pods,services`, `all`.

use anyhow::{Context, Result, bail};

use crate::resources::Resource;
use crate::session::Session;

/// Resources with the names wanted of each; no names means all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub resource: Resource,
    pub names: Vec<String>,
}

/// Reads the words after a verb.
pub async fn parse(session: &Session, words: &[String]) -> Result<Vec<Target>> {
    let Some(first) = words.first() else {
        bail!("You must specify the type of resource. Use `setpoint get pods`, for example.");
    };
    if words.iter().any(|word| word.contains('/')) {
        let mut targets: Vec<Target> = Vec::new();
        for word in words {
            let (kind, name) = word
                .split_once('/')
                .with_context(|| "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form")?;
            if name.is_empty() {
                bail!("arguments in resource/name form must have a single resource and name");
            }
            let resource = session.resource(kind).await?;
            match targets.iter_mut().find(|target| target.resource == resource) {
                Some(target) => target.names.push(name.to_owned()),
                None => targets.push(Target { resource, names: vec![name.to_owned()] }),
            }
        }
        return Ok(targets);
    }
    let names = words[1..].to_vec();
    let mut targets = Vec::new();
    for kind in first.split(',') {
        let category = session.catalogue().await?.in_category(kind);
        if category.is_empty() {
            targets.push(Target { resource: session.resource(kind).await?, names: names.clone() });
        } else {
            let listed = category.into_iter().filter(|one| one.allows("list"));
            targets.extend(listed.map(|one| Target { resource: one.clone(), names: names.clone() }));
        }
    }
    Ok(targets)
}

/// Exactly one object; a bare name is of `default_kind`.
pub async fn one(session: &Session, words: &[String], default_kind: Option<&str>) -> Result<(Resource, String)> {
    let words = match (words, default_kind) {
        ([name], Some(kind)) if !name.contains('/') => vec![kind.to_owned(), name.clone()],
        _ => words.to_vec(),
    };
    let mut targets = parse(session, &words).await?;
    match (targets.pop(), targets.is_empty()) {
        (Some(Target { resource, mut names }), true) if names.len() == 1 => Ok((resource, names.remove(0))),
        _ => bail!("expected one object, such as `deployment/web`"),
    }
}

/// Escapes a query value.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
