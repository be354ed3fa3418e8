//! What a watch saw, as lines.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};

use crate::website::Website;

/// The annotation in which a writer counts.
pub const VALUE: &str = "setpoint.dev/value";

pub fn say(what: &str, fields: &[(&str, String)]) {
    let mut line = serde_json::Map::from_iter([("type".to_owned(), what.into())]);
    line.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
    println!("{}", serde_json::Value::from(line));
}

/// Says every event. What a list finds is compared with what was known: it may have been missed.
pub async fn watch(websites: Api<Website>) {
    let mut known: BTreeMap<String, Website> = BTreeMap::new();
    let mut listed: Option<BTreeSet<String>> = None;
    let mut events = watcher(websites, watcher::Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Err(error) => eprintln!("again: {error}"),
            Ok(watcher::Event::Init) => listed = Some(BTreeSet::new()),
            Ok(watcher::Event::InitApply(website)) => {
                if let Some(listed) = &mut listed {
                    listed.insert(website.name_any());
                }
                applied(&mut known, website);
            }
            Ok(watcher::Event::InitDone) => {
                let listed = listed.take().unwrap_or_default();
                let gone: Vec<String> = known.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                for name in gone {
                    known.remove(&name).inspect(|website| tell("MISSED", website));
                }
            }
            Ok(watcher::Event::Apply(website)) => applied(&mut known, website),
            Ok(watcher::Event::Delete(website)) => {
                known.remove(&website.name_any());
                tell("DELETED", &website);
            }
        }
    }
}

fn applied(known: &mut BTreeMap<String, Website>, website: Website) {
    let before = known.insert(website.name_any(), website.clone());
    match before {
        None => tell("ADDED", &website),
        Some(before) if before.resource_version() == website.resource_version() => {}
        Some(_) => tell("MODIFIED", &website),
    }
}

fn tell(what: &str, website: &Website) {
    let fields = [
        ("kind", "Website".to_owned()),
        ("name", website.name_any()),
        ("uid", website.uid().unwrap_or_default()),
        ("revision", website.resource_version().unwrap_or_default()),
        ("value", website.annotations().get(VALUE).cloned().unwrap_or_default()),
    ];
    say(what, &fields);
}
