//! Aggregated discovery, kept as text: controllers and clients ask for it again and again, and kinds hardly ever change.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use api::discovery::{self, AggregatedVersion};
use api::resource::ResourceInfo;
use bytes::Bytes;

/// By whether it is of the core group, and the form.
#[derive(Default)]
pub(crate) struct Discovered(Mutex<BTreeMap<(bool, &'static str), Document>>);

struct Document {
    /// What it tells of.
    resources: Vec<ResourceInfo>,
    text: Bytes,
}

impl Discovered {
    pub fn document(&self, resources: &[ResourceInfo], is_core: bool, version: AggregatedVersion) -> Bytes {
        let key = (is_core, version.content_type());
        // Each change is one insertion.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = known.get(&key).filter(|document| document.resources == resources) {
            return document.text.clone();
        }
        let text = Bytes::from(discovery::aggregated(resources, is_core, version).to_string());
        known.insert(key, Document { resources: resources.to_vec(), text: text.clone() });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_kind_is_told_of() {
        let resource = |plural: &str| ResourceInfo {
            group: "shop.example".into(),
            version: "v1".into(),
            kind: plural.to_uppercase(),
            plural: plural.into(),
            ..ResourceInfo::default()
        };
        let (discovered, mut resources) = (Discovered::default(), vec![resource("carts")]);
        let text = |resources: &[ResourceInfo]| {
            let document = discovered.document(resources, false, AggregatedVersion::V2);
            String::from_utf8(document.to_vec()).unwrap()
        };
        let first = text(&resources);
        assert!(first.contains("carts") && !first.contains("orders"), "{first}");
        assert_eq!(text(&resources), first);
        resources.push(resource("orders"));
        assert!(text(&resources).contains("orders"));
        let core = discovered.document(&resources, true, AggregatedVersion::V2);
        assert!(!core.windows(5).any(|part| part == b"carts"), "the core group is another document");
    }
}
