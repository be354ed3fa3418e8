//! Roles and bindings of the system: those of a new server, compared object by object.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use crate::bench::client::Access;

const LISTS: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

type Objects = BTreeMap<String, Value>;

/// How many differ; they are printed.
pub async fn compare(ours: &Access, theirs: &Access) -> Result<usize> {
    let (own, other) = (read(ours).await?, read(theirs).await?);
    let mut found = 0;
    for key in own.keys().chain(other.keys().filter(|key| !own.contains_key(*key))) {
        let (one, two) = (own.get(key), other.get(key));
        if one != two {
            found += 1;
            let show = |object: Option<&Value>| object.map_or_else(|| "nothing".to_owned(), Value::to_string);
            crate::say(format_args!("{key}: {} instead of {}", show(one), show(two)));
        }
    }
    Ok(found)
}

async fn read(access: &Access) -> Result<Objects> {
    let mut connection = access.connect().await?;
    let mut found = Objects::new();
    for list in LISTS {
        let answer = connection.get(&format!("/apis/rbac.authorization.k8s.io/v1/{list}")).await?;
        for item in answer["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            let text = |key: &str| item["metadata"][key].as_str().unwrap_or_default().to_owned();
            let key = format!("{list} {}/{}", text("namespace"), text("name"));
            if let Some(members) = item.as_object_mut() {
                // Ours repeats in each item what the list says of all.
                members.retain(|member, _| member != "apiVersion" && member != "kind");
            }
            // What each server makes up.
            let metadata = item["metadata"].as_object_mut().into_iter();
            for metadata in metadata {
                for made_up in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
                    metadata.remove(made_up);
                }
            }
            found.insert(key, item);
        }
    }
    Ok(found)
}
