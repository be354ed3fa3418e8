//! Watches against a model, over random writes: watchers with random selectors start anywhere, read when they like, are ended and go
//! on where they were, while history is compacted. Each sees exactly the events that [`history`] says it must, in their order, and
//! what lists show is what the model holds. [`selector`] has the model's own idea of selectors, [`watcher`] the watchers.

mod history;
mod random;
mod selector;
mod watcher;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Server;
use history::{History, Pod};
use random::Random;
use watcher::Watcher;

const NAMESPACE: &str = "model";
const PODS: &str = "/api/v1/namespaces/model/pods";
const COMPACTION: Duration = Duration::from_millis(700);
const WATCHERS: usize = 24;
/// Between two times that all watchers have read everything.
const WRITES: usize = 60;

/// `SETPOINT_EVENTS=1000000 cargo test -p apiserver --test api watchers_see` sees more.
#[tokio::test]
async fn watchers_see_what_the_model_says() {
    let wanted = std::env::var("SETPOINT_EVENTS").ok().and_then(|count| count.parse().ok());
    check(wanted.unwrap_or(8_000), 1).await;
}

async fn check(events: u64, seed: u64) {
    let server = Server::with(|config| config.compaction_interval = COMPACTION).await;
    server.namespace(NAMESPACE).await;
    let mut random = Random(seed);
    let mut history = History::default();
    let mut watchers = Vec::new();
    let mut seen = 0;
    // Whoever starts can say from where.
    write(&server, &mut history, &mut random).await;
    while seen < events {
        while watchers.len() < WATCHERS {
            watchers.push(Watcher::start(&server, &history, &mut random).await);
        }
        for _ in 0..WRITES {
            write(&server, &mut history, &mut random).await;
            if random.below(3) == 0 {
                let (at, most) = (random.below(watchers.len()), random.below(history.len() + 1));
                watchers[at].follow(&server, &history, most).await;
            }
        }
        for watcher in &mut watchers {
            watcher.follow(&server, &history, history.len()).await;
        }
        listed(&server, &history, &mut random).await;
        // Half of them end; others begin.
        for _ in 0..WATCHERS / 2 {
            let ended = watchers.swap_remove(random.below(watchers.len()));
            seen += ended.events;
        }
        history.forget(&watchers);
    }
}

/// One random write of one of some pods: it is made, labelled, given a phase or deleted.
async fn write(server: &Server, history: &mut History, random: &mut Random) {
    let name = format!("p{}", random.below(12));
    let path = format!("{PODS}/{name}");
    let Some(pod) = history.state().get(&name).cloned() else {
        let pod = Pod { phase: "Pending".to_owned(), ..Pod::random(random) };
        let made = server.post(PODS, &pod.object(&name)).await.expect(201);
        return history.push(revision(&made), &name, Some(pod));
    };
    match random.below(10) {
        0 => {
            server.delete(&path, &json!({"gracePeriodSeconds": 0})).await.expect(200);
            // The answer tells no revision: a list is newer, and nothing else was written in between.
            let list = server.get(&format!("{PODS}?limit=1")).await;
            history.push(list.version().parse().unwrap(), &name, None);
        }
        1..=3 => {
            let phase = Pod::random(random).phase;
            let told = server.patch(&format!("{path}/status"), "merge", &json!({"status": {"phase": phase}})).await;
            history.push(revision(&told.expect(200)), &name, Some(Pod { phase, ..pod }));
        }
        _ => {
            let labels = Pod::random(random).labels;
            let set = |key: &str| labels.get(key).map_or(Value::Null, |value| json!(value));
            let patch = json!({"metadata": {"labels": {"l": set("l"), "m": set("m")}}});
            let told = server.patch(&path, "merge", &patch).await.expect(200);
            history.push(revision(&told), &name, Some(Pod { labels, ..pod }));
        }
    }
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// A list shows what the model holds.
async fn listed(server: &Server, history: &History, random: &mut Random) {
    let selector = selector::Selector::random(random);
    let answer = server.get(&format!("{PODS}?{}", selector.query())).await;
    let items = answer.body["items"].as_array().unwrap().iter().map(history::read);
    let expected = history.state().iter().filter(|(name, pod)| selector.selects(name, pod));
    assert!(items.eq(expected.map(|(name, pod)| (name.clone(), pod.clone()))), "{selector:?}: {}", answer.body);
}
