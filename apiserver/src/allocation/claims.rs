//! Claims in the store: one key for each address and port that is taken. Its value says for which Service.

use std::collections::BTreeMap;

use api::Object;
use api::meta::Meta;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Durability, Expect, Revision, Store, Value, Write};

use super::{Item, Return};
use crate::cache::prefix_range;

/// Outside of what is served.
const PREFIX: &str = "/setpoint/claims/";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub uid: String,
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Ours,
    /// Another Service has it.
    Others,
    /// This Service's, but by a write that is not this one.
    Busy,
}

impl Owner {
    pub fn of(service: &Object) -> Self {
        Self {
            uid: service.uid().to_owned(),
            namespace: service.namespace().to_owned(),
            name: service.name().to_owned(),
        }
    }
}

impl Item {
    fn key(self) -> Bytes {
        match self {
            Self::Address(address) => format!("{PREFIX}addresses/{address}"),
            Self::Port(port) => format!("{PREFIX}ports/{port}"),
        }
        .into()
    }

    fn of_key(key: &[u8]) -> Option<Self> {
        match std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?.split_once('/')? {
            ("addresses", address) => address.parse().ok().map(Self::Address),
            ("ports", port) => port.parse().ok().map(Self::Port),
            _ => None,
        }
    }
}

/// Also the revision of a claim that is ours now. With `look` nothing is written.
pub(super) async fn take(
    store: &dyn Store,
    item: Item,
    owner: &Owner,
    look: bool,
) -> store::Result<(Taken, Option<Revision>)> {
    let found = if look {
        store.get(item.key()).await?
    } else {
        let value = Value { bytes: serde_json::to_vec(owner).unwrap_or_default().into(), stamp: None };
        match store.write(item.key(), Write::Put(value), Expect::Absent, Durability::Synced).await {
            Ok(revision) => return Ok((Taken::Ours, Some(revision))),
            Err(store::Error::Conflict { actual }) => actual,
            Err(error) => return Err(error),
        }
    };
    Ok(match found {
        None => (Taken::Ours, None),
        Some(found) if read(&found.value).is_some_and(|other| other.uid == owner.uid) => (Taken::Busy, None),
        Some(_) => (Taken::Others, None),
    })
}

fn read(value: &[u8]) -> Option<Owner> {
    serde_json::from_slice(value).ok()
}

/// All claims, and the revision that they show. One that cannot be read belongs to nobody.
pub(super) async fn all(store: &dyn Store) -> store::Result<(Revision, BTreeMap<Item, (Option<Owner>, Revision)>)> {
    let page = store.range(prefix_range(PREFIX), None, 0).await?;
    let claims = page.items.iter().filter_map(|found| {
        let item = Item::of_key(&found.key)?;
        Some((item, (read(&found.value), found.modified)))
    });
    Ok((page.revision, claims.collect()))
}

/// Takes back exactly the claim that is meant, if it is still there.
pub(super) async fn forget(store: &dyn Store, returned: &Return) -> store::Result<()> {
    let key = returned.item.key();
    let revision = match returned.revision {
        Some(revision) => revision,
        None => match store.get(key.clone()).await? {
            Some(found) if read(&found.value).is_some_and(|owner| owner.uid == returned.uid) => found.modified,
            _ => return Ok(()),
        },
    };
    match store.write(key, Write::Delete, Expect::At(revision), Durability::Synced).await {
        Ok(_) | Err(store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
