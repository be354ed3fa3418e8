//! What of two values may differ: orders that are chance, times, ages, names and addresses that servers make up.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::kinds::custom;
use super::text::TOKEN_VOLUME;

/// Where addresses of Services are from.
pub const RANGES: [&str; 3] = ["10.96.", "10.200.", "10.201."];

/// How far two clocks' times may be apart: the servers answer one after the other on a busy machine.
const SECONDS_APART: i64 = 5;

pub fn both(ours: &Map<String, Value>, theirs: &Map<String, Value>, is: fn(&Map<String, Value>) -> bool) -> bool {
    is(ours) && is(theirs)
}

/// Whether it is the metadata of one that is being deleted: upstream takes the finalizers that it then has from a map of Go's, whose
/// order differs from run to run. Every namespace has a label with its name.
pub fn is_ending_namespace(metadata: &Map<String, Value>) -> bool {
    let label = metadata.get("labels").and_then(|labels| labels.get("kubernetes.io/metadata.name"));
    metadata.contains_key("deletionTimestamp") && label.is_some() && label == metadata.get("name")
}

pub fn sorted(list: &Value) -> Value {
    let mut elements = list.as_array().cloned().unwrap_or_default();
    elements.sort_by_key(Value::to_string);
    elements.into()
}

/// Managers name elements of lists by what is in them: the volume of a pod's token has a name of its server's.
pub fn without_random_keys(members: &Map<String, Value>) -> Cow<'_, Map<String, Value>> {
    if !members.keys().any(|key| key.contains(TOKEN_VOLUME)) {
        return Cow::Borrowed(members);
    }
    let plain = |key: &String| key.split(TOKEN_VOLUME).next().unwrap_or_default().to_owned() + TOKEN_VOLUME;
    let rename = |(key, value): (&String, &Value)| {
        (if key.contains(TOKEN_VOLUME) { plain(key) } else { key.clone() }, value.clone())
    };
    Cow::Owned(members.iter().map(rename).collect())
}

pub const MANAGERS: &str = "metadata.managedFields";

pub fn by_manager(managers: &[Value]) -> Vec<Value> {
    let mut managers = managers.to_vec();
    let key = |entry: &Value| ["operation", "manager", "apiVersion", "subresource"].map(|key| entry[key].to_string());
    managers.sort_by_cached_key(key);
    managers
}

/// Of which [`without_order`] knows something.
pub const UNORDERED: [&str; 3] = ["SelfSubjectRulesReview", "APIResourceList", "APIGroupDiscoveryList"];

/// Upstream collects the rules of a user from roles, and what there is of a custom group from definitions, in the order of a map.
pub fn without_order(body: &Value) -> Value {
    let mut body = body.clone();
    let sort = |list: Option<&mut Value>| {
        if let Some(elements) = list.and_then(Value::as_array_mut) {
            elements.sort_by_cached_key(Value::to_string);
        }
    };
    let by_name = |list: Option<&mut Value>| {
        if let Some(elements) = list.and_then(Value::as_array_mut) {
            elements.sort_by_cached_key(|element| [&element["name"], &element["resource"]].map(Value::to_string));
        }
    };
    sort(body.pointer_mut("/status/resourceRules"));
    sort(body.pointer_mut("/status/nonResourceRules"));
    let is_custom = |version: &str| version.split('/').next() == Some(custom::GROUP);
    if body["groupVersion"].as_str().is_some_and(is_custom) {
        by_name(body.get_mut("resources"));
    }
    let groups = body.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten();
    for group in groups.filter(|group| group["metadata"]["name"] == custom::GROUP) {
        let versions = group.get_mut("versions").and_then(Value::as_array_mut).into_iter().flatten();
        versions.for_each(|version| by_name(version.get_mut("resources")));
    }
    body
}

pub fn same_time(ours: &str, theirs: &str) -> bool {
    let time = |text: &str| api::time::parse_micro_time(text).or_else(|_| api::time::parse_time(text)).ok();
    match (time(ours), time(theirs)) {
        (Some(a), Some(b)) => ours.len() == theirs.len() && (a.as_second() - b.as_second()).abs() <= SECONDS_APART,
        _ => false,
    }
}

/// Both are of the ranges from which servers take one at random; an address that was freed may come again. Upstream also takes from
/// the ServiceCIDRs of scenarios.
pub fn allocated(ours: &str, theirs: &str) -> bool {
    ours.starts_with("10.96.") && RANGES.iter().any(|range| theirs.starts_with(range))
}

pub fn same_age(ours: &str, theirs: &str) -> bool {
    let seconds = |text: &str| text.strip_suffix('s').is_some_and(|digits| digits.parse::<u64>().is_ok());
    seconds(ours) && seconds(theirs)
}

/// `80:30123/TCP,81:30124/TCP`: the same but for the nodes' ports, of which servers take any.
pub fn same_ports(ours: &str, theirs: &str) -> bool {
    let split = |text: &str| -> Option<Vec<(String, String)>> {
        let part = |part: &str| {
            let (port, rest) = part.split_once(':')?;
            let (taken, protocol) = rest.split_once('/')?;
            let is_taken = taken.parse::<u16>().is_ok_and(|taken| (30000..=32767).contains(&taken));
            is_taken.then(|| (port.to_owned(), protocol.to_owned()))
        };
        text.split(',').map(part).collect()
    };
    split(ours).is_some_and(|ours| split(theirs) == Some(ours))
}
