//! How many seats a request takes (`k8s.io/apiserver/pkg/util/flowcontrol/request`): lists, and watches while they begin, by the
//! size of what they read; all others one.

use crate::query::Query;
use crate::request::RequestInfo;

const BYTES_PER_SEAT: u64 = 100_000;
/// Lists from the cache are sent in pieces: they never hold more (upstream's number).
const AT_ONCE: u64 = 1_000_000;
/// Whatever the level allows.
const MOST: u64 = 100;

/// What is stored of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub objects: u64,
    pub bytes: u64,
}

/// The most seats of one request at a level with so many seats, of which each flow has so many queues. `None`: nobody queues there.
pub fn most(nominal: u32, hand: Option<usize>) -> u32 {
    const PERCENT: u64 = 15;
    let Some(hand) = hand else { return MOST as u32 };
    let share = (u64::from(nominal) * PERCENT).div_ceil(100);
    let by_hand = u64::from(nominal) / hand.max(1) as u64;
    share.min(by_hand).clamp(1, MOST) as u32
}

/// Whether the size of what is stored matters.
pub fn reads_many(info: &RequestInfo, query: &Query) -> bool {
    match info.verb.as_str() {
        "list" => true,
        // A watch from a revision on reads nothing first.
        "watch" => query.flag("sendInitialEvents") || matches!(query.get("resourceVersion"), None | Some("" | "0")),
        _ => false,
    }
}

pub fn seats(info: &RequestInfo, query: &Query, size: Size, most: u32) -> u32 {
    if !reads_many(info, query) {
        return 1;
    }
    let number = |key: &str| query.number(key).ok().flatten().and_then(|number| u64::try_from(number).ok());
    let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(u64::MAX);
    let selects = !info.field_selector.is_empty() || !info.label_selector.is_empty();
    let cached = info.verb == "watch" || is_cached(query);
    let objects = match size.objects.min(limit) {
        _ if !info.name.is_empty() => 1,
        limited if cached || !selects => limited,
        limited => limited.max(size.objects / 2),
    };
    let bytes = size.bytes.saturating_mul(objects) / size.objects.max(1);
    let bytes = if cached { bytes.min(AT_ONCE) } else { bytes };
    u32::try_from(bytes.div_ceil(BYTES_PER_SEAT)).unwrap_or(u32::MAX).clamp(1, most.max(1))
}

/// Not the state of some revision of the past.
fn is_cached(query: &Query) -> bool {
    let text = |key: &str| query.get(key).unwrap_or_default();
    let newest = matches!(text("resourceVersion"), "" | "0");
    text("continue").is_empty() && text("resourceVersionMatch") != "Exact" && (newest || text("limit").is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_decides() {
        let size = Size { objects: 1000, bytes: 5_000_000 };
        let table = [
            ("GET", "/api/v1/pods", "", 10),
            ("GET", "/api/v1/pods", "limit=10", 1),
            ("GET", "/api/v1/pods", "limit=100", 5),
            ("GET", "/api/v1/pods", "resourceVersion=7&limit=500", 25),
            ("GET", "/api/v1/pods", "resourceVersion=7&resourceVersionMatch=Exact", 50),
            ("GET", "/api/v1/pods", "continue=x&limit=20&labelSelector=a", 25),
            ("GET", "/api/v1/pods", "fieldSelector=metadata.name%3Da", 1),
            ("GET", "/api/v1/pods", "watch=1", 10),
            ("GET", "/api/v1/pods", "watch=1&resourceVersion=5", 1),
            ("GET", "/api/v1/pods", "watch=1&resourceVersion=5&sendInitialEvents=true", 10),
            ("GET", "/api/v1/namespaces/a/pods/p", "", 1),
            ("POST", "/api/v1/namespaces/a/pods", "", 1),
        ];
        for (method, path, query, expected) in table {
            let query = Query::parse(query);
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &query);
            assert_eq!(seats(&info, &query, size, 100), expected, "{method} {path} {query:?}");
            assert_eq!(seats(&info, &query, size, 8), expected.min(8), "{method} {path} {query:?}");
            assert_eq!(seats(&info, &query, Size::default(), 8), 1);
        }
        assert_eq!([most(49, Some(6)), most(245, Some(6)), most(5, Some(6)), most(13, None)], [8, 37, 1, 100]);
    }
}
