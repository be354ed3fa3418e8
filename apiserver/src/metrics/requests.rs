//! Requests by verb, kind and code, and how long they took (`k8s.io/apiserver/pkg/endpoints/metrics`).
//!
//! A request looks its series up by a hash of what it is, under a lock that only a series' first request takes for itself, and adds to
//! counters. Only kinds and paths that are served have series, so that nobody makes more of them than there are.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::family;
use crate::flowcontrol;
use crate::query::Query;
use crate::registry::Registry;
use crate::request::RequestInfo;

/// Upper ends in milliseconds (upstream's).
const BUCKETS: [u64; 23] = [
    5, 25, 50, 100, 200, 400, 600, 800, 1000, 1250, 1500, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 15_000, 20_000,
    30_000, 45_000, 60_000,
];
/// Codes that are counted each; all others together are 0.
const CODES: [u16; 22] =
    [200, 101, 201, 202, 204, 301, 400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 422, 429, 500, 503, 504];
/// Paths that are no kind and have series.
const PATHS: [&str; 8] = ["/healthz", "/livez", "/readyz", "/version", "/metrics", "/api", "/apis", "/openapi/v2"];

#[derive(Default)]
pub(crate) struct Requests {
    series: RwLock<BTreeMap<u64, Vec<Arc<Series>>>>,
    /// By whether they change something.
    in_flight: [AtomicI64; 2],
}

/// What requests have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    verb: &'static str,
    dry_run: bool,
    group: Box<str>,
    version: Box<str>,
    resource: Box<str>,
    subresource: Box<str>,
    scope: &'static str,
}

struct Series {
    labels: Labels,
    lasting: AtomicI64,
    /// By [`CODES`], the last one for all others.
    codes: [AtomicU64; CODES.len() + 1],
    /// By [`BUCKETS`], the last one for what is longer.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

/// A request that is under way. It is counted when this is told how it ended, or dropped.
pub(crate) struct Measured {
    requests: Arc<Requests>,
    series: Arc<Series>,
    began: Instant,
    mutating: bool,
    /// `None`: nobody waited for the answer.
    code: Option<StatusCode>,
    /// It is one of those that last.
    lasts: bool,
}

impl Requests {
    pub fn begin(self: &Arc<Self>, registry: &Registry, info: &RequestInfo, patch: bool, query: &Query) -> Measured {
        let lasts = info.verb == "watch" || flowcontrol::lasts(info);
        let verb = verb(info, patch);
        let mutating = !matches!(info.verb.as_str(), "get" | "list" | "watch");
        self.in_flight[usize::from(mutating)].fetch_add(1, Ordering::Relaxed);
        let series = self.find(registry, info, verb, mutating && query.get("dryRun").is_some());
        if lasts {
            series.lasting.fetch_add(1, Ordering::Relaxed);
        }
        Measured { requests: self.clone(), series, began: Instant::now(), mutating, code: None, lasts }
    }

    fn find(&self, registry: &Registry, info: &RequestInfo, verb: &'static str, dry_run: bool) -> Arc<Series> {
        let path = if info.is_resource { "" } else { served_path(&info.path) };
        let subresource = if info.is_resource { &*info.subresource } else { path };
        let scope = scope(info);
        let key = (verb, dry_run, &*info.group, &*info.version, &*info.resource, subresource, scope);
        // Always the same: what is served is all that there can be, so nobody can choose keys that meet.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        let same = |series: &&Arc<Series>| {
            let Labels { verb, dry_run, group, version, resource, subresource, scope } = &series.labels;
            (*verb, *dry_run, &**group, &**version, &**resource, &**subresource, *scope) == key
        };
        {
            let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = all.get(&hash).and_then(|found| found.iter().find(same)) {
                return found.clone();
            }
        }
        let row = registry.lookup(&info.group, &info.version, &info.resource);
        let served = row.is_some_and(|row| subresource.is_empty() || row.info.subresource(subresource).is_some());
        if info.is_resource && !served {
            // Whatever it is that they ask for.
            let nothing = RequestInfo { verb: info.verb.clone(), ..RequestInfo::default() };
            return self.find(registry, &nothing, verb, dry_run);
        }
        let labels = Labels {
            verb,
            dry_run,
            group: info.group.as_str().into(),
            version: info.version.as_str().into(),
            resource: info.resource.as_str().into(),
            subresource: subresource.into(),
            scope,
        };
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let found = all.entry(hash).or_default();
        if let Some(found) = found.iter().find(same) {
            return found.clone();
        }
        let series = Arc::new(Series::new(labels));
        found.push(series.clone());
        series
    }

    pub fn render(&self, text: &mut String) {
        let mut all: Vec<Arc<Series>> = {
            let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
            all.values().flatten().cloned().collect()
        };
        all.sort_by(|one, other| one.labels.cmp(&other.labels));
        let total = all.iter().flat_map(|series| {
            let labels = series.labels.text(true);
            let codes = CODES.iter().copied().chain([0]).zip(&series.codes);
            codes.filter_map(move |(code, count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then(|| (format!("code=\"{code}\",{labels}"), count as f64))
            })
        });
        family(text, "apiserver_request_total", "counter", total);
        let lasting = all.iter().filter_map(|series| {
            let lasting = series.lasting.load(Ordering::Relaxed);
            (lasting > 0).then(|| (series.labels.text(false), lasting as f64))
        });
        family(text, "apiserver_longrunning_requests", "gauge", lasting);
        let kinds = ["readOnly", "mutating"].iter().zip(&self.in_flight);
        let in_flight =
            kinds.map(|(kind, count)| (format!("request_kind=\"{kind}\""), count.load(Ordering::Relaxed) as f64));
        family(text, "apiserver_current_inflight_requests", "gauge", in_flight);
        if !all.is_empty() {
            text.push_str("# TYPE apiserver_request_duration_seconds histogram\n");
            all.iter().for_each(|series| series.histogram(text));
        }
    }
}

impl Labels {
    fn text(&self, dry_run: bool) -> String {
        let Labels { verb, group, version, resource, subresource, scope, .. } = self;
        let dry = match (dry_run, self.dry_run) {
            (false, _) => "",
            (true, false) => "dry_run=\"\",",
            (true, true) => "dry_run=\"All\",",
        };
        let component = if self.scope.is_empty() { "" } else { "apiserver" };
        format!(
            "component=\"{component}\",{dry}group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
             subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
        )
    }
}

impl Series {
    fn new(labels: Labels) -> Self {
        let counter = |_| AtomicU64::new(0);
        Self {
            labels,
            lasting: AtomicI64::new(0),
            codes: std::array::from_fn(counter),
            buckets: std::array::from_fn(counter),
            micros: AtomicU64::new(0),
        }
    }

    fn count(&self, code: u16, took: Duration) {
        let code = CODES.iter().position(|own| *own == code).unwrap_or(CODES.len());
        self.codes[code].fetch_add(1, Ordering::Relaxed);
        let bucket = BUCKETS.iter().position(|millis| took <= Duration::from_millis(*millis)).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn histogram(&self, text: &mut String) {
        const NAME: &str = "apiserver_request_duration_seconds";
        let labels = self.labels.text(true);
        let mut sum = 0;
        let ends = BUCKETS.iter().map(|millis| (*millis as f64 / 1000.0).to_string()).chain(["+Inf".to_owned()]);
        for (end, count) in ends.zip(&self.buckets) {
            sum += count.load(Ordering::Relaxed);
            // A string takes everything.
            let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{end}\"}} {sum}");
        }
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "{NAME}_sum{{{labels}}} {seconds}");
        let _ = writeln!(text, "{NAME}_count{{{labels}}} {sum}");
    }
}

impl Measured {
    pub fn lasts(&self) -> bool {
        self.lasts
    }

    pub fn answered(&mut self, code: StatusCode) {
        self.code = Some(code);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.requests.in_flight[usize::from(self.mutating)].fetch_sub(1, Ordering::Relaxed);
        if self.lasts {
            self.series.lasting.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(code) = self.code {
            self.series.count(code.as_u16(), self.began.elapsed());
        }
    }
}

/// As upstream reports it.
fn verb(info: &RequestInfo, applies: bool) -> &'static str {
    if info.is_resource && flowcontrol::lasts(info) {
        return "CONNECT";
    }
    match info.verb.as_str() {
        "get" | "head" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if applies => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    }
}

fn scope(info: &RequestInfo) -> &'static str {
    match info {
        _ if !info.is_resource => "",
        _ if !info.name.is_empty() || info.verb == "create" => "resource",
        _ if !info.namespace.is_empty() => "namespace",
        _ => "cluster",
    }
}

fn served_path(path: &str) -> &'static str {
    let path = path.trim_end_matches('/');
    PATHS.iter().find(|own| **own == path).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_has_series_and_all_else_one() {
        let registry = Registry::built_in();
        let requests = Arc::new(Requests::default());
        let send = |method: &str, path: &str, query: &str, applies: bool, code: u16| {
            let query = Query::parse(query);
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &query);
            let mut measured = requests.begin(&registry, &info, applies, &query);
            measured.answered(StatusCode::from_u16(code).unwrap());
            measured
        };
        send("GET", "/api/v1/namespaces/a/pods/p", "", false, 200);
        send("GET", "/api/v1/namespaces/a/pods/q", "", false, 404);
        send("GET", "/api/v1/namespaces/a/pods", "", false, 200);
        send("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "dryRun=All", true, 200);
        send("GET", "/api/v1/rubbish", "", false, 404);
        send("GET", "/apis/rubbish/v1/rubbish/x/y", "", false, 404);
        send("GET", "/rubbish", "", false, 404);
        send("GET", "/version", "", false, 299);
        let watch = send("GET", "/api/v1/pods", "watch=1", false, 200);
        let mut text = String::new();
        requests.render(&mut text);
        let labels = |group: &str, resource: &str, scope: &str, sub: &str, verb: &str, version: &str| {
            let component = if scope.is_empty() { "" } else { "apiserver" };
            format!(
                "component=\"{component}\",dry_run=\"{}\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
                 subresource=\"{sub}\",verb=\"{verb}\",version=\"{version}\"",
                if verb == "APPLY" { "All" } else { "" }
            )
        };
        let table = [
            (200, labels("", "pods", "resource", "", "GET", "v1"), 1),
            (404, labels("", "pods", "resource", "", "GET", "v1"), 1),
            (200, labels("", "pods", "namespace", "", "LIST", "v1"), 1),
            (200, labels("apps", "deployments", "resource", "scale", "APPLY", "v1"), 1),
            (404, labels("", "", "", "", "LIST", ""), 1),
            (404, labels("", "", "", "", "GET", ""), 2),
            (0, labels("", "", "", "/version", "GET", ""), 1),
        ];
        let total: Vec<&str> = text.lines().filter(|line| line.starts_with("apiserver_request_total{")).collect();
        assert_eq!(total.len(), table.len(), "{text}");
        for (code, labels, count) in table {
            let line = format!("apiserver_request_total{{code=\"{code}\",{labels}}} {count}");
            assert!(total.contains(&&*line), "{line}\n{text}");
        }
        let bucket = labels("", "pods", "resource", "", "GET", "v1");
        assert!(text.contains(&format!("_bucket{{{bucket},le=\"60\"}} 2\n")), "{text}");
        assert!(text.contains(&format!("apiserver_request_duration_seconds_count{{{bucket}}} 2\n")), "{text}");
        let lasting = "apiserver_longrunning_requests{component=\"apiserver\",group=\"\",resource=\"pods\",\
            scope=\"cluster\",subresource=\"\",verb=\"WATCH\",version=\"v1\"} 1";
        assert!(text.lines().any(|line| line == lasting), "{text}");
        assert!(text.contains("apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n"), "{text}");
        drop(watch);
        let mut after = String::new();
        requests.render(&mut after);
        assert!(!after.contains("longrunning"), "{after}");
    }
}
