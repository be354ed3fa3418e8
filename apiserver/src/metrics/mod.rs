//! What `/metrics` tells, in upstream's names and in the text format of Prometheus: what is counted here, and what is true at the moment.
//!
//! - [`requests`] counts requests and how long they took, [`admission`] what of that was admission, and what it refused.
//! - [`etcd`] counts what etcd is asked, [`watches`] what watches send and watch caches receive.
//! - [`process`] reads what the kernel knows of this process.

mod admission;
mod etcd;
mod process;
mod requests;
mod watches;

pub(crate) use admission::{Admissions, Phase};
pub(crate) use api::exposition::family;
pub(crate) use etcd::{Counted, Requests as EtcdRequests};
pub(crate) use requests::Requests;
pub(crate) use watches::{Tally, Watches};

use crate::core::Core;
use crate::routes;

pub(crate) fn render(core: &Core) -> String {
    let mut text = String::new();
    core.requests.render(&mut text);
    core.admissions.render(&mut text);
    storage(core, &mut text);
    core.watches.render(&mut text);
    watches::caches(core, &mut text);
    if let Some(requests) = &core.etcd {
        requests.render(&mut text);
    }
    if let Some(control) = &core.flow_control {
        control.figures(&mut text);
    }
    if let Some(audit) = &core.config.audit {
        let (told, lost) = audit.counts();
        family(&mut text, "apiserver_audit_event_total", "counter", [(String::new(), told as f64)]);
        let lost = [("plugin=\"log\"".to_owned(), lost as f64)];
        family(&mut text, "apiserver_audit_error_total", "counter", lost);
    }
    let (major, minor, version) = (routes::MAJOR, routes::MINOR, routes::GIT_VERSION);
    let build = format!("git_version=\"{version}\",major=\"{major}\",minor=\"{minor}\"");
    family(&mut text, "kubernetes_build_info", "gauge", [(build, 1.0)]);
    core.config.figures.iter().for_each(|figures| figures(&mut text));
    process::render(&mut text);
    text
}

/// Of each stored kind, how many objects there are and how large all of them are.
fn storage(core: &Core, text: &mut String) {
    let (mut counts, mut objects, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    for row in core.registry.all().filter(|row| row.shape.is_none()) {
        let Some(cache) = core.caches.get(&row.storage) else { continue };
        let size = cache.size();
        let (group, plural) = (&row.info.group, &row.info.plural);
        let name = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
        counts.push((format!("resource=\"{name}\""), size.objects as f64));
        objects.push((format!("group=\"{group}\",resource=\"{plural}\""), size.objects as f64));
        sizes.push((format!("group=\"{group}\",resource=\"{plural}\""), size.bytes as f64));
    }
    family(text, "apiserver_storage_objects", "gauge", counts);
    family(text, "apiserver_resource_objects", "gauge", objects);
    family(text, "apiserver_resource_size_estimate_bytes", "gauge", sizes);
}
