//! kube-rs, an independent client: typed objects, watches that go on, resourceVersions that mean what they should.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use e2e::{Cluster, with_cluster};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn kube_rs_works_against_it() -> Result<()> {
    with_cluster(|cluster| {
        cluster.api().run(|client| async move {
            watches_resume(&client).await?;
            watches_filter(&client).await?;
            revisions_are_compared(&client).await?;
            lists_come_in_pages(&client).await?;
            informers_see_everything(&client).await
        })?;
        an_informer_survives_a_crash_of_the_server(cluster)
    })
}

fn map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        data: Some(BTreeMap::from([("k".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    }
}

async fn next<T>(events: &mut (impl Stream<Item = kube::Result<WatchEvent<T>>> + Unpin)) -> Result<WatchEvent<T>> {
    let event = tokio::time::timeout(LIMIT, events.next()).await.context("no event came")?;
    event.context("the watch ended")?.context("the watch failed")
}

fn revision(object: &impl ResourceExt) -> u64 {
    object.resource_version().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A watch from a list's revision sees everything after it; one from an event's revision sees everything after that.
async fn watches_resume(client: &Client) -> Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let list = maps.list(&ListParams::default()).await?;
    let start = list.metadata.resource_version.context("a list has a revision")?;
    maps.create(&PostParams::default(), &map("w", "1")).await?;
    let two = maps.patch("w", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "2"}}))).await?;
    let same = maps.patch("w", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "2"}}))).await?;
    ensure!(revision(&two) == revision(&same), "a write that changes nothing makes a revision");
    maps.delete("w", &DeleteParams::default()).await?;

    let mut events = maps.watch(&WatchParams::default(), &start).await?.boxed();
    let (WatchEvent::Added(one), WatchEvent::Modified(seen)) = (next(&mut events).await?, next(&mut events).await?)
    else {
        bail!("not the events that were expected");
    };
    ensure!(revision(&one) < revision(&seen) && revision(&seen) == revision(&two));
    let WatchEvent::Deleted(last) = next(&mut events).await? else { bail!("no deletion") };
    ensure!(
        last.data == two.data && revision(&last) > revision(&two),
        "a deletion has the last object and its own revision"
    );

    let mut resumed = maps.watch(&WatchParams::default(), &revision(&one).to_string()).await?.boxed();
    let WatchEvent::Modified(again) = next(&mut resumed).await? else { bail!("the resumed watch begins elsewhere") };
    ensure!(again == seen);
    // All watchers of the same revisions see the same.
    let WatchEvent::Deleted(again) = next(&mut resumed).await? else { bail!("no deletion") };
    ensure!(again == last);
    Ok(())
}

/// An object that begins or ceases to match is an ADDED or DELETED for the watcher.
async fn watches_filter(client: &Client) -> Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let start = maps.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    let red = WatchParams::default().labels("color=red");
    let mut events = maps.watch(&red, &start).await?.boxed();
    maps.create(&PostParams::default(), &map("f", "1")).await?;
    let paint = |color: &str| Patch::Merge(json!({"metadata": {"labels": {"color": color}}}));
    let added = maps.patch("f", &PatchParams::default(), &paint("red")).await?;
    let removed = maps.patch("f", &PatchParams::default(), &paint("blue")).await?;
    let WatchEvent::Added(one) = next(&mut events).await? else { bail!("no ADDED") };
    ensure!(revision(&one) == revision(&added));
    let WatchEvent::Deleted(two) = next(&mut events).await? else { bail!("no DELETED") };
    ensure!(revision(&two) == revision(&removed));
    maps.delete("f", &DeleteParams::default()).await?;
    Ok(())
}

async fn revisions_are_compared(client: &Client) -> Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let first = maps.create(&PostParams::default(), &map("r", "1")).await?;
    let exists = maps.create(&PostParams::default(), &map("r", "1")).await;
    ensure!(reason(exists)? == (409, "AlreadyExists".to_owned()));
    let mut stale = first.clone();
    stale.data = Some(BTreeMap::from([("k".to_owned(), "2".to_owned())]));
    let second = maps.replace("r", &PostParams::default(), &stale).await?;
    ensure!(revision(&second) > revision(&first) && second.uid() == first.uid());
    ensure!(reason(maps.replace("r", &PostParams::default(), &stale).await)? == (409, "Conflict".to_owned()));
    let absent = maps.replace("absent", &PostParams::default(), &map("absent", "1")).await;
    ensure!(reason(absent)? == (404, "NotFound".to_owned()));
    let wrong = DeleteParams {
        preconditions: Some(kube::api::Preconditions { uid: Some("wrong".to_owned()), ..Default::default() }),
        ..DeleteParams::default()
    };
    ensure!(reason(maps.delete("r", &wrong).await)?.0 == 409);
    maps.delete("r", &DeleteParams::default()).await?;
    Ok(())
}

fn reason<T>(result: kube::Result<T>) -> Result<(u16, String)> {
    match result {
        Err(kube::Error::Api(status)) => {
            let Status { code, reason, .. } = *status;
            Ok((code, reason))
        }
        Err(error) => Err(error.into()),
        Ok(_) => bail!("it should have failed"),
    }
}

async fn lists_come_in_pages(client: &Client) -> Result<()> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    for number in 0..7 {
        let mut object = map(&format!("page-{number}"), "1");
        object.metadata.labels = Some(BTreeMap::from([("paged".to_owned(), "yes".to_owned())]));
        maps.create(&PostParams::default(), &object).await?;
    }
    let mut parameters = ListParams::default().labels("paged=yes").limit(3);
    let (mut names, mut revisions) = (Vec::new(), Vec::new());
    loop {
        let page = maps.list(&parameters).await?;
        names.extend(page.items.iter().map(ResourceExt::name_any));
        revisions.push(page.metadata.resource_version.clone());
        // What happens between two pages is on none of them.
        maps.delete("page-6", &DeleteParams::default()).await.map(drop).or_else(|error| match error {
            kube::Error::Api(_) => Ok(()),
            other => Err(other),
        })?;
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    ensure!(names == (0..7).map(|number| format!("page-{number}")).collect::<Vec<_>>(), "{names:?}");
    ensure!(revisions.len() == 3 && revisions.iter().all(|revision| *revision == revisions[0]), "{revisions:?}");
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("paged=yes")).await?;
    ensure!(maps.list(&ListParams::default().labels("paged=yes")).await?.items.is_empty());
    Ok(())
}

async fn informers_see_everything(client: &Client) -> Result<()> {
    use kube::runtime::watcher::{Config, Event, watcher};
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    for config in [Config::default(), Config::default().streaming_lists()] {
        let mut events = watcher(maps.clone(), config.labels("informed=yes")).boxed();
        let mut informed = map("informed", "1");
        informed.metadata.labels = Some(BTreeMap::from([("informed".to_owned(), "yes".to_owned())]));
        maps.create(&PostParams::default(), &informed).await?;
        let mut seen = Vec::new();
        tokio::time::timeout(LIMIT, async {
            while let Some(event) = events.try_next().await? {
                match event {
                    Event::InitApply(object) | Event::Apply(object) => {
                        seen.push("applied");
                        maps.delete(&object.name_any(), &DeleteParams::default()).await?;
                    }
                    Event::Delete(_) => break,
                    Event::Init | Event::InitDone => {}
                }
            }
            anyhow::Ok(())
        })
        .await
        .context("the deletion is not seen")??;
        ensure!(seen == ["applied"], "{seen:?}");
    }
    let pods: Api<Pod> = Api::all(client.clone());
    pods.list(&ListParams::default()).await?;
    Ok(())
}

fn an_informer_survives_a_crash_of_the_server(cluster: &mut Cluster) -> Result<()> {
    use kube::runtime::WatchStreamExt;
    use kube::runtime::watcher::{Config, Event, watcher};
    let api = e2e::Api::new(&cluster.kubeconfig(), &cluster.namespace)?;
    let (sender, ready) = channel();
    thread::scope(|scope| {
        let informer = scope.spawn(|| {
            api.run(|client| async move {
                let maps: Api<ConfigMap> = Api::default_namespaced(client);
                let mut events = watcher(maps, Config::default()).default_backoff().boxed();
                let seen = async {
                    while let Some(event) = events.next().await {
                        match event {
                            Ok(Event::InitDone) => drop(sender.send(())),
                            Ok(Event::Apply(object) | Event::InitApply(object)) if object.name_any() == "after" => {
                                return;
                            }
                            _ => {}
                        }
                    }
                };
                tokio::time::timeout(LIMIT, seen).await.context("the informer does not see what came after the crash")
            })
        });
        ready.recv_timeout(LIMIT).context("the informer does not start")?;
        cluster.kill_daemon()?;
        cluster.up([])?;
        let path = "/api/v1/namespaces/default/configmaps";
        cluster.api().create(path, &e2e::objects::config_map("after", json!({})))?;
        informer.join().ok().context("the informer panicked")?
    })
}
