//! `metadata.managedFields`: which manager manages which fields, since when, and how it came to.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::set::Set;
use super::wire::write_text;

/// Managers of updates beyond this number are merged into one (upstream's `DefaultMaxUpdateManagers`).
const MAX_UPDATE_MANAGERS: usize = 10;
const ANCIENT: &str = "ancient-changes";
const FIELDS_V1: &str = "FieldsV1";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Said what it wants; what it no longer wants goes.
    Apply,
    /// Wrote the fields by any other request.
    Update,
}

/// Managers are told apart by all of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManagerId {
    pub manager: String,
    pub operation: Operation,
    /// Empty for appliers: one that applies in another version is still the same.
    pub api_version: String,
    /// Empty for the resource itself.
    pub subresource: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    pub fields: Set,
    /// The version in which the fields are named.
    pub api_version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedFields {
    managers: BTreeMap<ManagerId, Managed>,
    /// RFC 3339. While a request goes on, of managers that are gone too: one that comes back has its time.
    times: BTreeMap<ManagerId, String>,
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EntryError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("{0}")]
    Json(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    api_version: String,
    time: Option<String>,
    #[serde(default)]
    fields_type: String,
    fields_v1: Option<Set>,
    #[serde(default)]
    subresource: String,
}

impl Operation {
    fn text(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

impl ManagerId {
    /// `api_version` does not count for appliers. A manager without a name is `unknown`.
    pub fn new(manager: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        Self {
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            operation,
            api_version: if operation == Operation::Apply { String::new() } else { api_version.to_owned() },
            subresource: subresource.to_owned(),
        }
    }
}

impl ManagedFields {
    /// From the list in an object.
    pub fn decode(list: &Value) -> Result<Self, EntryError> {
        let entries: Vec<Entry> = Vec::deserialize(list).map_err(|error| EntryError::Json(error.to_string()))?;
        Self::of_entries(entries)
    }

    /// From the text of the list.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        Self::of_entries(serde_json::from_str(text).map_err(|error| EntryError::Json(error.to_string()))?)
    }

    fn of_entries(entries: Vec<Entry>) -> Result<Self, EntryError> {
        let mut all = Self::default();
        for (index, entry) in entries.into_iter().enumerate() {
            let operation = match entry.operation.as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err(EntryError::Operation),
            };
            if entry.api_version.is_empty() {
                return Err(EntryError::ApiVersion);
            }
            match entry.fields_type.as_str() {
                FIELDS_V1 => {}
                "" => return Err(EntryError::NoFieldsType(index)),
                _ => return Err(EntryError::FieldsType(index, entry.fields_type)),
            }
            let applies = operation == Operation::Apply;
            let api_version = if applies { String::new() } else { entry.api_version.clone() };
            let id = ManagerId { manager: entry.manager, operation, api_version, subresource: entry.subresource };
            all.times.extend(entry.time.map(|time| (id.clone(), time)));
            let fields = entry.fields_v1.unwrap_or_default();
            all.managers.insert(id, Managed { fields, api_version: entry.api_version });
        }
        Ok(all)
    }

    pub fn is_empty(&self) -> bool {
        self.managers.is_empty()
    }

    pub fn get(&self, id: &ManagerId) -> Option<&Managed> {
        self.managers.get(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ManagerId, &Managed)> {
        self.managers.iter()
    }

    /// In the order of the list.
    pub fn ids(&self) -> impl Iterator<Item = &ManagerId> {
        self.sorted().into_iter().map(|(id, _)| id)
    }

    pub fn time(&self, id: &ManagerId) -> Option<&str> {
        self.times.get(id).map(String::as_str)
    }

    /// Whether some manager names its fields in another version.
    pub(super) fn speaks_other_versions(&self, api_version: &str) -> bool {
        self.managers.values().any(|managed| managed.api_version != api_version)
    }

    /// A manager of nothing is none.
    pub fn insert(&mut self, id: ManagerId, managed: Managed) {
        if managed.fields.is_empty() {
            self.managers.remove(&id);
        } else {
            self.managers.insert(id, managed);
        }
    }

    pub fn remove(&mut self, id: &ManagerId) -> Option<Managed> {
        self.managers.remove(id)
    }

    pub fn set_time(&mut self, id: ManagerId, time: Option<String>) {
        match time {
            Some(time) => self.times.insert(id, time),
            None => self.times.remove(&id),
        };
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&ManagerId, &mut Managed) -> bool) {
        self.managers.retain(|id, managed| keep(id, managed) && !managed.fields.is_empty());
    }

    /// Forgets the times of managers that are gone.
    pub(super) fn settle(&mut self) {
        self.times.retain(|id, _| self.managers.contains_key(id));
    }

    /// In the order of the list: appliers first, then the oldest.
    fn sorted(&self) -> Vec<(&ManagerId, &Managed)> {
        let mut entries: Vec<_> = self.managers.iter().collect();
        entries.sort_by(|(a, a_managed), (b, b_managed)| {
            let time = |id| self.time(id).unwrap_or_default();
            let by_age = a.operation.cmp(&b.operation).then_with(|| time(a).cmp(time(b)));
            let by_name = || a.manager.cmp(&b.manager).then_with(|| a_managed.api_version.cmp(&b_managed.api_version));
            by_age.then_with(by_name).then_with(|| a.subresource.cmp(&b.subresource))
        });
        entries
    }

    /// Whether the lists of both differ in times only.
    pub fn same_but_times(&self, other: &Self) -> bool {
        self.managers.len() == other.managers.len() && self.sorted() == other.sorted()
    }

    /// Merges the oldest managers of updates, those of one version into one, until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<ManagerId> =
            self.managers.keys().filter(|id| id.operation == Operation::Update).cloned().collect();
        let mut count = updaters.len();
        if count <= MAX_UPDATE_MANAGERS {
            return;
        }
        updaters.sort_by(|a, b| self.time(a).unwrap_or_default().cmp(self.time(b).unwrap_or_default()).then(a.cmp(b)));
        let mut firsts: BTreeMap<String, ManagerId> = BTreeMap::new();
        for id in updaters {
            if count <= MAX_UPDATE_MANAGERS {
                return;
            }
            let Some(managed) = self.managers.get(&id) else { continue };
            let version = managed.api_version.clone();
            let Some(first) = firsts.get(&version) else {
                firsts.insert(version, id);
                continue;
            };
            let bucket = ManagerId::new(ANCIENT, Operation::Update, &version, "");
            if !self.managers.contains_key(&bucket)
                && let Some(oldest) = self.managers.remove(first)
            {
                self.managers.insert(bucket.clone(), oldest);
            }
            if let Some(Managed { mut fields, .. }) = self.managers.remove(&id) {
                fields.add(self.managers.remove(&bucket).map(|known| known.fields).unwrap_or_default());
                self.managers.insert(bucket.clone(), Managed { fields, api_version: version });
            }
            count -= 1;
            self.set_time(bucket, self.times.get(&id).cloned());
        }
    }
}

/// As the list in an object.
impl ManagedFields {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, (id, managed)) in self.sorted().into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let mut text = |key: &str, value: &str| {
                out.extend_from_slice(key.as_bytes());
                write_text(value, out);
            };
            text("{\"apiVersion\":", &managed.api_version);
            text(",\"fieldsType\":", FIELDS_V1);
            out.extend_from_slice(b",\"fieldsV1\":");
            managed.fields.write(out);
            let mut text = |key: &str, value: &str| {
                if !value.is_empty() {
                    out.extend_from_slice(key.as_bytes());
                    write_text(value, out);
                }
            };
            text(",\"manager\":", &id.manager);
            text(",\"operation\":", id.operation.text());
            text(",\"subresource\":", &id.subresource);
            text(",\"time\":", self.time(id).unwrap_or_default());
            out.push(b'}');
        }
        out.push(b']');
    }

    pub fn to_value(&self) -> Value {
        let mut text = Vec::new();
        self.write(&mut text);
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, version: &str, time: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": version, "time": time, "fieldsType": "FieldsV1",
            "fieldsV1": fields})
    }

    #[test]
    fn lists_are_sorted_by_operation_time_and_name() {
        let a = |name: &str, operation: &str, time: &str| entry(name, operation, "v1", time, json!({"f:data": {}}));
        let sorted = [
            a("z", "Apply", "2026-01-01T00:00:00Z"),
            a("a", "Apply", "2026-01-02T00:00:00Z"),
            a("y", "Update", "2025-01-01T00:00:00Z"),
            a("b", "Update", "2026-01-01T00:00:00Z"),
            a("c", "Update", "2026-01-01T00:00:00Z"),
        ];
        let mut shuffled = sorted.to_vec();
        shuffled.reverse();
        let decoded = ManagedFields::decode(&Value::Array(shuffled)).unwrap();
        assert_eq!(decoded.to_value(), Value::from(sorted.to_vec()));
        assert_eq!(ManagedFields::parse(&decoded.to_value().to_string()).unwrap(), decoded);
    }

    #[test]
    fn wrong_entries_are_refused() {
        let good = entry("a", "Update", "v1", "2026-01-01T00:00:00Z", json!({}));
        let with = |key: &str, value: Value| {
            let mut entry = good.clone();
            entry[key] = value;
            ManagedFields::decode(&json!([entry])).map(drop).map_err(|error| error.to_string())
        };
        let cases = [
            ("operation", json!("Delete"), "operation must be `Apply` or `Update`"),
            ("apiVersion", json!(""), "apiVersion must not be empty"),
            ("fieldsType", json!(""), "missing fieldsType in managed fields entry 0"),
            ("fieldsType", json!("V9"), "invalid fieldsType \"V9\" in managed fields entry 0"),
            ("fieldsV1", json!({"spec": {}}), "missing colon: spec"),
        ];
        for (key, value, message) in cases {
            assert_eq!(with(key, value), Err(message.to_owned()));
        }
        assert_eq!(with("time", Value::Null), Ok(()));
    }

    #[test]
    fn the_oldest_updates_are_merged_by_version() {
        let entries = (0..12).map(|n| {
            let version = if n == 1 { "v2" } else { "v1" };
            let fields = json!({format!("f:x{n:02}"): {}});
            entry(&format!("m{n:02}"), "Update", version, &format!("2026-01-01T00:00:{n:02}Z"), fields)
        });
        let mut managed = ManagedFields::decode(&entries.collect()).unwrap();
        managed.cap();
        let shown: Vec<(&str, usize)> =
            managed.sorted().iter().map(|(id, managed)| (id.manager.as_str(), managed.fields.len())).collect();
        assert_eq!(shown[..3], [("m01", 1), ("ancient-changes", 3), ("m04", 1)]);
        assert_eq!(shown.len(), 10);
        let ancient = ManagerId::new(ANCIENT, Operation::Update, "v1", "");
        assert_eq!(managed.time(&ancient), Some("2026-01-01T00:00:03Z"));
    }

    #[test]
    fn times_alone_make_no_difference() {
        let one = |time: &str, fields: Value| ManagedFields::decode(&json!([entry("a", "Apply", "v1", time, fields)]));
        let (a, b) = (one("2026-01-01T00:00:00Z", json!({"f:a": {}})), one("2026-01-02T00:00:00Z", json!({"f:a": {}})));
        assert!(a.as_ref().unwrap().same_but_times(&b.unwrap()));
        assert!(!a.unwrap().same_but_times(&one("2026-01-01T00:00:00Z", json!({"f:b": {}})).unwrap()));
    }
}
