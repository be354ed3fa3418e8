//! Events that watches have sent, and what the watch caches have received (`apiserver/pkg/endpoints/metrics`,
//! `apiserver/pkg/storage/cacher/metrics`). A watch counts by itself and tells when it has nothing left to send: one addition for
//! each size of a batch, however many events there were.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use api::exposition::{Histogram, exponential, family, histograms};

use crate::core::Core;
use crate::registry::Descriptor;

/// Ends of sizes: 1 KiB to 128 KiB.
const SIZES: usize = 8;
const BILLION: u64 = 1_000_000_000;

/// By group, version and resource.
#[derive(Default)]
pub(crate) struct Watches(RwLock<BTreeMap<[Box<str>; 3], Arc<Histogram>>>);

impl Watches {
    /// For one watch.
    pub fn begin(&self, row: &Descriptor) -> Tally {
        let key = [&row.info.group, &row.info.version, &row.info.plural].map(|text| Box::from(&**text));
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let sizes = found.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Histogram::new(&exponential(1024.0, 2.0, SIZES)));
            all.entry(key).or_insert_with(new).clone()
        });
        Tally { sizes, counts: [0; SIZES + 1], bytes: [0; SIZES + 1] }
    }

    pub fn render(&self, text: &mut String) {
        let all: Vec<([Box<str>; 3], Arc<Histogram>)> = {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            all.iter().map(|(key, sizes)| (key.clone(), sizes.clone())).collect()
        };
        let lines = || {
            all.iter().filter(|(_, sizes)| sizes.count() > 0).map(|([group, version, resource], sizes)| {
                (format!("group=\"{group}\",resource=\"{resource}\",version=\"{version}\""), &**sizes)
            })
        };
        histograms(text, "apiserver_watch_events_sizes", lines());
        let total = lines().map(|(labels, sizes)| (labels, sizes.count() as f64));
        family(text, "apiserver_watch_events_total", "counter", total);
    }
}

/// What one watch has sent and not told yet.
pub(crate) struct Tally {
    sizes: Arc<Histogram>,
    counts: [u64; SIZES + 1],
    bytes: [u64; SIZES + 1],
}

impl Tally {
    pub fn sent(&mut self, bytes: usize) {
        let place = self.sizes.place(bytes as f64).min(SIZES);
        self.counts[place] += 1;
        self.bytes[place] += bytes as u64;
    }

    pub fn tell(&mut self) {
        for (place, (count, bytes)) in self.counts.iter_mut().zip(&mut self.bytes).enumerate() {
            if *count > 0 {
                self.sizes.add(place, *count, bytes.saturating_mul(BILLION));
                (*count, *bytes) = (0, 0);
            }
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Of each cache: how many changes it was given since it was loaded, and its newest revision.
pub(super) fn caches(core: &Core, text: &mut String) {
    let (mut received, mut revisions) = (Vec::new(), Vec::new());
    for row in core.registry.all().filter(|row| row.shape.is_none()) {
        let Some(cache) = core.caches.get(&row.storage) else { continue };
        let labels = format!("group=\"{}\",resource=\"{}\"", row.info.group, row.info.plural);
        let (changes, revision) = cache.progress();
        received.push((labels.clone(), changes as f64));
        revisions.push((labels, revision as f64));
    }
    family(text, "apiserver_watch_cache_events_received_total", "counter", received);
    family(text, "apiserver_watch_cache_resource_version", "gauge", revisions);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn events_are_told_by_what_is_watched() {
        let registry = Registry::built_in();
        let watches = Watches::default();
        let row = registry.get("apps", "v1", "deployments").unwrap();
        let mut one = watches.begin(row);
        [10, 1024, 1025, 500_000].into_iter().for_each(|bytes| one.sent(bytes));
        let mut text = String::new();
        watches.render(&mut text);
        assert_eq!(text, "");
        one.tell();
        one.sent(7);
        drop(one);
        watches.render(&mut text);
        let labels = "group=\"apps\",resource=\"deployments\",version=\"v1\"";
        for line in [
            format!("apiserver_watch_events_total{{{labels}}} 5"),
            format!("apiserver_watch_events_sizes_bucket{{{labels},le=\"1024\"}} 3"),
            format!("apiserver_watch_events_sizes_bucket{{{labels},le=\"131072\"}} 4"),
            format!("apiserver_watch_events_sizes_sum{{{labels}}} 502066"),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
