//! Lists: selectors, pages, and what resourceVersion means.

use serde_json::{Value, json};
use store::Revision;

use crate::harness::{Answer, Server, config_map};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn with_maps(count: usize) -> Server {
    let server = Server::start().await;
    for index in 0..count {
        let mut object = config_map(&format!("m{index}"), json!({}));
        object["metadata"]["labels"] = json!({"odd": (index % 2 == 1).to_string()});
        server.post(MAPS, &object).await.expect(201);
    }
    server
}

#[tokio::test]
async fn selectors_choose() {
    let server = with_maps(4).await;
    let table = [
        ("labelSelector=odd%3Dtrue", vec!["m1", "m3"]),
        ("labelSelector=odd%20in%20(true,false),odd!%3Dtrue", vec!["m0", "m2"]),
        ("fieldSelector=metadata.name%3Dm2", vec!["m2"]),
        ("fieldSelector=metadata.name!%3Dm2", vec!["m0", "m1", "m3"]),
    ];
    for (query, expected) in table {
        assert_eq!(server.get(&format!("{MAPS}?{query}")).await.names(), expected, "{query}");
        assert_eq!(server.get(&format!("/api/v1/configmaps?{query}")).await.names(), expected, "{query}");
    }
    for query in ["labelSelector=a%20b", "fieldSelector=data.x%3Dy", "fieldSelector=x"] {
        assert_eq!(server.get(&format!("{MAPS}?{query}")).await.code, 400, "{query}");
    }
}

#[tokio::test]
async fn pages_show_one_revision() {
    let server = with_maps(5).await;
    let first = server.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!(first.names(), ["m0", "m1"]);
    assert_eq!(first.body["metadata"]["remainingItemCount"], 3);
    // What happens in between is not seen.
    server.delete(&format!("{MAPS}/m2"), &Value::Null).await.expect(200);
    server.post(MAPS, &config_map("m9", json!({}))).await.expect(201);
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    let second = server.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((second.names(), second.version()), (vec!["m2".into(), "m3".into()], first.version()));
    assert_eq!(second.body["metadata"]["remainingItemCount"], 1);
    let token = second.body["metadata"]["continue"].as_str().unwrap();
    let third = server.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!((third.names(), third.version()), (vec!["m4".into()], first.version()));
    assert_eq!(third.body["metadata"].get("continue"), None);
}

#[tokio::test]
async fn pages_with_selectors_are_full() {
    let server = with_maps(7).await;
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = server.get(&format!("{MAPS}?limit=2&labelSelector=odd%3Dfalse&continue={token}")).await;
        assert_eq!(page.body["metadata"].get("remainingItemCount"), None);
        names.extend(page.names());
        match page.body["metadata"]["continue"].as_str() {
            Some(next) => {
                assert_eq!(page.names().len(), 2);
                token = next.to_owned();
            }
            None => break,
        }
    }
    assert_eq!(names, ["m0", "m2", "m4", "m6"]);
}

#[tokio::test]
async fn later_pages_are_of_the_whole_collection() {
    let server = with_maps(3).await;
    let all = "/api/v1/configmaps?limit=1&fieldSelector=metadata.namespace%3Ddefault";
    let first = server.get(all).await;
    let token = |page: &Answer| page.body["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(first.names(), ["m0"]);
    // Upstream reads the token of a page that a field had narrowed below the whole collection: where `m0` would be a namespace.
    let second = server.get(&format!("{all}&continue={}", token(&first))).await;
    assert!(second.names().is_empty());
}

#[tokio::test]
async fn an_expired_page_says_how_to_go_on() {
    let server = with_maps(4).await;
    let first = server.get(&format!("{MAPS}?limit=1")).await;
    server.delete(&format!("{MAPS}/m1"), &Value::Null).await.expect(200);
    let store = server.api.config().store.clone();
    let newest = store.revision().await.unwrap();
    store.compact(Revision(newest.0)).await.unwrap();
    let token = first.body["metadata"]["continue"].as_str().unwrap();
    let expired = server.get(&format!("{MAPS}?limit=1&continue={token}")).await;
    assert_eq!((expired.code, expired.body["reason"].as_str()), (410, Some("Expired")));
    assert!(expired.message().starts_with("The provided continue parameter is too old"));
    let token = expired.body["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{MAPS}?continue={token}")).await;
    assert_eq!(rest.names(), ["m2", "m3"]);
    assert_ne!(rest.version(), first.version());
    let old = server.get(&format!("{MAPS}?resourceVersion={}&resourceVersionMatch=Exact", first.version())).await;
    assert_eq!((old.code, old.message()), (410, "The resourceVersion for the provided list is too old."));
}

#[tokio::test]
async fn the_resource_version_decides_what_is_shown() {
    let server = with_maps(2).await;
    let before = server.get(MAPS).await.version();
    server.post(MAPS, &config_map("m2", json!({}))).await.expect(201);
    let newest = server.get(MAPS).await;
    assert_eq!(newest.names().len(), 3);
    let table = [
        (format!("resourceVersion={before}&resourceVersionMatch=Exact"), vec!["m0", "m1"], Some(before.clone())),
        // The old way to ask for exactly that.
        (format!("resourceVersion={before}&limit=10"), vec!["m0", "m1"], Some(before.clone())),
        (format!("resourceVersion={before}&resourceVersionMatch=NotOlderThan"), vec!["m0", "m1", "m2"], None),
        (format!("resourceVersion={before}"), vec!["m0", "m1", "m2"], None),
        ("resourceVersion=0&limit=1".to_owned(), vec!["m0", "m1", "m2"], None),
    ];
    for (query, names, version) in table {
        let list = server.get(&format!("{MAPS}?{query}")).await;
        assert_eq!(list.names(), names, "{query}: {}", list.body);
        if let Some(version) = version {
            assert_eq!(list.version(), version, "{query}");
        }
    }
    let single = server.get(&format!("{MAPS}?resourceVersion={before}&limit=1&fieldSelector=metadata.name%3Dm0")).await;
    assert_eq!(single.names(), ["m0"]);
    assert_ne!(single.version(), before, "one object is shown as it is now");
    for query in [
        "resourceVersion=x",
        "continue=x",
        "resourceVersion=5&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",
    ] {
        assert_eq!(server.get(&format!("{MAPS}?{query}")).await.code, 400, "{query}");
    }
    // A list's version is the store's, not that of its newest item.
    let other = server.get("/api/v1/secrets").await;
    assert!(other.version().parse::<u64>().unwrap() >= newest.version().parse::<u64>().unwrap());
}
