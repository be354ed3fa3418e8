//! Objects of custom kinds in other versions than they are stored in, where a webhook converts them. Everything else about versions is in
//! [`crate::custom`] and needs nobody to be asked.
//!
//! Reads convert what they show, many objects in one review; what lists and watches were shown is kept. Writes convert before the commit
//! what they store, and after it what they answer. [`Forms`] are conversions that something asks for which cannot wait: it is done
//! again when they are there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Object;
use api::gvk::GroupVersionKind;
use api::status::Status;
use bytes::Bytes;
use serde::Deserialize;

use crate::admission::Reader;
use crate::cache::{Change, Stored};
use crate::core::{Core, Existing};
use crate::custom::CustomKind;
use crate::managed::{Managers, read_stored};
use crate::registry::Descriptor;

/// How many objects are sent at once.
const BATCH: usize = 500;
/// For an answer. Upstream waits as long as the request does.
const PATIENCE: Duration = Duration::from_secs(30);

impl Core {
    /// Objects in any version as the row has them, in their order.
    ///
    /// # Errors
    /// In upstream's words.
    pub async fn convert(&self, row: &Descriptor, mut objects: Vec<Object>) -> Result<Vec<Object>, Status> {
        let Some((custom, _)) = row.converted() else {
            objects.iter_mut().try_for_each(|object| row.load(object, 0).map(drop))?;
            return Ok(objects);
        };
        for object in &mut objects {
            custom.prepare(object);
        }
        let foreign: Vec<usize> = (0..objects.len()).filter(|index| !custom.is_own(&objects[*index])).collect();
        for batch in foreign.chunks(BATCH) {
            let sent = batch.iter().map(|index| std::mem::take(&mut objects[*index])).collect();
            let converted = self.ask(custom, sent, custom.gvk()).await?;
            for (index, mut object) in batch.iter().zip(converted) {
                custom.settle_converted(&mut object);
                objects[*index] = object;
            }
        }
        Ok(objects)
    }

    async fn ask(&self, custom: &CustomKind, sent: Vec<Object>, to: &GroupVersionKind) -> Result<Vec<Object>, Status> {
        let Some(converter) = custom.converter() else { return Ok(sent) };
        let uid = uuid::Uuid::new_v4().to_string();
        let review = converter.review(&uid, &sent, &to.api_version()).map_err(Status::plain)?;
        let services = self.registry.find("", "services");
        let service = |namespace: &str, name: &str| {
            let found = services.map(|row| self.cached(row, namespace, name)).transpose();
            found.map(Option::flatten).map_err(|status| status.message)
        };
        let answered = self.webhooks.post(&converter.client, "", PATIENCE, review.to_string(), service).await;
        let answered = answered.map_err(|why| Status::plain(converter.failed(&sent, to, &why)))?;
        converter.answer(&uid, &answered, &sent, to).map_err(Status::plain)
    }

    /// A stored object for a write. `None` when the row is not converted by a webhook, or need not be.
    pub async fn existing(&self, row: &Descriptor, json: &Bytes, revision: u64) -> Result<Option<Existing>, Status> {
        let Some((custom, _)) = row.converted().filter(|(custom, _)| !custom.shows(revision)) else { return Ok(None) };
        let mut stored: Object = serde_json::from_slice(json).map_err(Status::internal)?;
        let stale = custom.prepare(&mut stored);
        let converted = self.convert(row, vec![stored]).await?.pop().unwrap_or_default();
        let (object, managers) = read_stored(converted.to_string().as_bytes()).map_err(Status::internal)?;
        Ok(Some(Existing { object, managers, json: json.clone(), revision, stale }))
    }

    /// What is stored of an object, where the webhook says that; `None` where nobody has to be asked.
    pub async fn to_store(
        &self,
        row: &Descriptor,
        object: &Object,
        managers: &Managers,
    ) -> Result<Option<Object>, Status> {
        let Some((custom, _)) = row.converted().filter(|(custom, _)| !custom.stores_itself()) else { return Ok(None) };
        let mut whole = object.clone();
        managers.put_into(&mut whole);
        let converted = self.ask(custom, vec![whole], &custom.stored_kind()).await?.pop();
        let mut object = converted.unwrap_or_default();
        custom.settle_for_store(&mut object);
        Ok(Some(object))
    }

    /// The text of an object, stored or not, as the row shows it.
    pub async fn shown(&self, row: &Descriptor, json: Bytes) -> Result<Bytes, Status> {
        match row.converted() {
            Some((custom, _)) if !is_in(custom, &json) => {
                let object = serde_json::from_slice(&json).map_err(Status::internal)?;
                let converted = self.convert(row, vec![object]).await?.pop().unwrap_or_default();
                Ok(converted.to_string().into())
            }
            _ => Ok(json),
        }
    }

    /// Objects at rest as the row shows them.
    pub async fn shown_all(&self, row: &Descriptor, items: Vec<Arc<Stored>>) -> Result<Vec<Arc<Stored>>, Status> {
        let Some((custom, _)) = row.converted() else { return Ok(items) };
        let known = |item: &Arc<Stored>| {
            if custom.shows(item.revision) || is_in(custom, &item.json) {
                Some(item.clone())
            } else {
                custom.kept(item)
            }
        };
        let mut shown: Vec<Option<Arc<Stored>>> = items.iter().map(known).collect();
        let missing: Vec<usize> = (0..items.len()).filter(|index| shown[*index].is_none()).collect();
        let parse = |index: &usize| serde_json::from_slice(&items[*index].json).map_err(Status::internal);
        let objects = missing.iter().map(parse).collect::<Result<Vec<Object>, Status>>()?;
        for (index, object) in missing.into_iter().zip(self.convert(row, objects).await?) {
            let item = &items[index];
            let stored = Stored::decode(object.to_string().into(), item.revision, &row.selectable);
            let stored = Arc::new(stored.map_err(Status::internal)?);
            custom.keep(item, stored.clone());
            shown[index] = Some(stored);
        }
        Ok(shown.into_iter().flatten().collect())
    }

    /// Changes as the row shows them.
    pub async fn shown_changes(&self, row: &Descriptor, changes: Vec<Arc<Change>>) -> Result<Vec<Arc<Change>>, Status> {
        if row.converted().is_none() {
            return Ok(changes);
        }
        let states = changes.iter().flat_map(|change| [&change.current, &change.previous]);
        let mut shown = self.shown_all(row, states.clone().flatten().cloned().collect()).await?.into_iter();
        let mut states = states.map(|state| state.as_ref().and_then(|_| shown.next()));
        let mut converted = Vec::with_capacity(changes.len());
        for change in &changes {
            let (current, previous) = (states.next().flatten(), states.next().flatten());
            converted.push(Arc::new(Change::new(change.revision, current, previous)));
        }
        Ok(converted)
    }
}

/// Whether a text is of an object in that version.
fn is_in(custom: &CustomKind, json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "apiVersion")]
        api_version: String,
    }
    serde_json::from_slice::<Typed>(json).is_ok_and(|typed| typed.api_version == custom.gvk().api_version())
}

/// Conversions that managers of fields are compared by. Comparing cannot wait for a webhook: what is not there is noted, and asked for.
#[derive(Default)]
pub(crate) struct Forms {
    /// By the wanted version and the text of the object.
    known: Mutex<BTreeMap<(String, String), Object>>,
    missing: Mutex<Vec<(Arc<Descriptor>, Object)>>,
}

impl Forms {
    /// The object in the row's version; `None` when it has to be asked for.
    pub fn get(&self, row: &Arc<Descriptor>, object: &Object) -> Option<Object> {
        let key = (row.info.api_version(), object.to_string());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if known.is_none() {
            self.missing.lock().unwrap_or_else(PoisonError::into_inner).push((row.clone(), object.clone()));
        }
        known
    }

    /// Asks for what is missing. Whether something was is the answer: then what was missing it is to be done again.
    pub async fn fill(&self, core: &Core) -> Result<bool, Status> {
        let missing = std::mem::take(&mut *self.missing.lock().unwrap_or_else(PoisonError::into_inner));
        let any = !missing.is_empty();
        for (row, object) in missing {
            let key = (row.info.api_version(), object.to_string());
            let converted = core.convert(&row, vec![object]).await?.pop().unwrap_or_default();
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, converted);
        }
        Ok(any)
    }
}
