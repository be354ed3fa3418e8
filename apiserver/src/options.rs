//! The options of requests (`metav1.ListOptions`, `CreateOptions`, ...), read from the query and, for deletions, from the
//! body, and refused in upstream's words.

use api::field::{FieldError, Path};
use api::status::{Qualified, Status};
use http::HeaderMap;
use http::header::USER_AGENT;
use serde_json::Value;

use crate::query::Query;
use crate::request::RequestInfo;
use crate::selection::Selectors;

const META_GROUP: &str = "meta.k8s.io";

/// What happens to fields that the schema does not know and to duplicate keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    pub field_manager: String,
    /// An applied configuration takes what others manage.
    pub force: bool,
}

/// Longer ones are refused, or cut where they come from a User-Agent (upstream's `FieldManagerMaxLength`).
pub(crate) const MAX_FIELD_MANAGER: usize = 128;
/// The PatchOptions of an apply.
pub(crate) const APPLY_OPTIONS: &str = "PatchOptions of an apply";

impl WriteOptions {
    /// `kind` is the options' own kind, for error messages: `CreateOptions`.
    pub fn parse(query: &Query, kind: &str) -> Result<Self, Status> {
        let mut errors = Vec::new();
        let field_manager = query.get("fieldManager").unwrap_or_default().to_owned();
        let path = Path::new("fieldManager");
        let applies = kind == APPLY_OPTIONS;
        if applies && field_manager.is_empty() {
            errors.push(FieldError::required(&path, "is required for apply patch"));
        }
        errors.extend(field_manager_errors(&path, &field_manager));
        let dry_run: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        errors.extend(dry_run_errors(&dry_run));
        let directive = query.get("fieldValidation").unwrap_or_default();
        let field_validation = match directive {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let path = Path::new("fieldValidation");
                errors.push(FieldError::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if kind == "PatchOptions" && query.get("force").is_some() {
            errors.push(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
        refuse(if applies { "PatchOptions" } else { kind }, &errors)?;
        let force = applies && query.flag("force");
        Ok(Self { dry_run: !dry_run.is_empty(), field_validation, field_manager, force })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Orphan,
    Background,
    Foreground,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub dry_run: bool,
    pub grace_period_seconds: Option<i64>,
    /// `None` leaves the choice to finalizers that are there already.
    pub propagation: Option<Propagation>,
    /// The old form of `propagation`. `Some(false)` also asks for 202 when something keeps the object.
    pub orphan_dependents: Option<bool>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// From the body, or from the query when there is no body.
    pub fn parse(query: &Query, body: Option<&Value>) -> Result<Self, Status> {
        let owned;
        let body = match body {
            Some(body) => body,
            None => {
                owned = Self::body_of(query)?;
                &owned
            }
        };
        let dry_run: Vec<&str> = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut errors = Vec::new();
        let path = Path::new("propagationPolicy");
        let orphan_dependents = body["orphanDependents"].as_bool();
        let propagation = match body["propagationPolicy"].as_str() {
            None | Some("") => None,
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                errors.push(FieldError::not_supported(&path, other, &["Foreground", "Background", "Orphan", "nil"]));
                None
            }
        };
        if let (Some(_), Some(policy)) = (orphan_dependents, body["propagationPolicy"].as_str()) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            errors.insert(0, FieldError::invalid(&path, policy, detail));
        }
        errors.extend(dry_run_errors(&dry_run));
        refuse("DeleteOptions", &errors)?;
        let precondition = |key: &str| body["preconditions"][key].as_str().map(str::to_owned);
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            grace_period_seconds: body["gracePeriodSeconds"].as_i64(),
            propagation,
            orphan_dependents,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
        })
    }

    fn body_of(query: &Query) -> Result<Value, Status> {
        let mut body = serde_json::Map::new();
        let dry_run: Vec<&str> = query.all("dryRun").filter(|value| !value.is_empty()).collect();
        body.insert("dryRun".into(), dry_run.into());
        if let Some(seconds) = query.number("gracePeriodSeconds").map_err(Status::bad_request)? {
            body.insert("gracePeriodSeconds".into(), seconds.into());
        }
        if query.get("orphanDependents").is_some() {
            body.insert("orphanDependents".into(), query.flag("orphanDependents").into());
        }
        if let Some(policy) = query.get("propagationPolicy") {
            body.insert("propagationPolicy".into(), policy.into());
        }
        Ok(body.into())
    }
}

/// Numbers in the query of a list, which are read before its selectors are.
pub(crate) const LIST_NUMBERS: [&str; 2] = ["limit", "timeoutSeconds"];

/// What is wrong with the options of a list or watch, selectors included.
pub(crate) fn list_error(info: &RequestInfo, query: &Query) -> Option<Status> {
    let numbers = LIST_NUMBERS.iter().try_for_each(|name| query.number(name).map(drop).map_err(Status::bad_request));
    let parsed =
        numbers.and_then(|()| Selectors::parse(info)).and_then(|_| ListOptions::parse(query, info.verb == "watch"));
    parsed.err()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// Options of list, watch and deletecollection, except the selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// As sent: unset and `0` differ.
    pub resource_version: String,
    pub version_match: Option<VersionMatch>,
    /// 0 means no limit.
    pub limit: usize,
    pub continue_token: String,
    pub send_initial_events: Option<bool>,
    pub allow_bookmarks: bool,
    /// `None` when absent or 0.
    pub timeout_seconds: Option<u64>,
}

impl ListOptions {
    pub fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let text = |key: &str| query.get(key).unwrap_or_default().to_owned();
        let limit = query.number("limit").map_err(Status::bad_request)?.unwrap_or_default();
        let timeout = query.number("timeoutSeconds").map_err(Status::bad_request)?;
        let mut version_match = text("resourceVersionMatch");
        let resource_version = text("resourceVersion");
        let mut send_initial_events =
            query.get("sendInitialEvents").filter(|value| !value.is_empty()).map(|_| query.flag("sendInitialEvents"));
        // A watch from nowhere has always begun with the current state.
        let from_nowhere = matches!(resource_version.as_str(), "" | "0");
        if watch && from_nowhere && send_initial_events.is_none() && version_match.is_empty() {
            send_initial_events = Some(true);
            version_match = "NotOlderThan".to_owned();
        }
        let options = Self {
            resource_version,
            version_match: match version_match.as_str() {
                "Exact" => Some(VersionMatch::Exact),
                "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                _ => None,
            },
            limit: usize::try_from(limit).unwrap_or_default(),
            continue_token: text("continue"),
            send_initial_events,
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            timeout_seconds: timeout.and_then(|seconds| u64::try_from(seconds).ok()).filter(|&seconds| seconds > 0),
        };
        let errors = if watch { options.watch_errors(&version_match) } else { options.list_errors(&version_match) };
        refuse("ListOptions", &errors)?;
        Ok(options)
    }

    fn list_errors(&self, version_match: &str) -> Vec<FieldError> {
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        if !version_match.is_empty() {
            if self.resource_version.is_empty() {
                let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(FieldError::forbidden(&path, detail));
            }
            if !self.continue_token.is_empty() {
                let detail = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(FieldError::forbidden(&path, detail));
            }
            if self.version_match.is_none() {
                errors.push(FieldError::not_supported(&path, version_match, &["Exact", "NotOlderThan", ""]));
            }
            if self.version_match == Some(VersionMatch::Exact) && self.resource_version == "0" {
                let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(&path, detail));
            }
        }
        if self.send_initial_events.is_some() {
            let path = Path::new("sendInitialEvents");
            errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn watch_errors(&self, version_match: &str) -> Vec<FieldError> {
        let path = Path::new("resourceVersionMatch");
        let mut errors = Vec::new();
        let not_older = self.version_match == Some(VersionMatch::NotOlderThan);
        if self.send_initial_events.is_some() && !not_older {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(&path, detail));
        }
        if !version_match.is_empty() {
            if self.send_initial_events.is_none() {
                let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                errors.push(FieldError::forbidden(&path, detail));
            }
            if !not_older {
                errors.push(FieldError::not_supported(&path, version_match, &["NotOlderThan"]));
            }
            if !self.continue_token.is_empty() {
                let detail = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(FieldError::forbidden(&path, detail));
            }
        }
        errors
    }
}

fn refuse(kind: &str, errors: &[FieldError]) -> Result<(), Status> {
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(Qualified::new(META_GROUP, kind), "", errors)) }
}

fn dry_run_errors(values: &[&str]) -> Vec<FieldError> {
    if values.iter().all(|&value| value == "All") {
        return Vec::new();
    }
    vec![FieldError::not_supported(&Path::new("dryRun"), Value::from(values.to_vec()), &["All"])]
}

/// Who sends a request: the option, or what the User-Agent has before its first slash.
pub(crate) fn manager(query: &Query, headers: &HeaderMap) -> String {
    if let Some(manager) = query.get("fieldManager").filter(|manager| !manager.is_empty()) {
        return manager.to_owned();
    }
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let mut manager = String::new();
    for c in agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if manager.len() + c.len_utf8() > MAX_FIELD_MANAGER {
            break;
        }
        manager.push(c);
    }
    manager
}

/// Printable and not too long.
pub(crate) fn field_manager_errors(path: &Path, manager: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if manager.len() > MAX_FIELD_MANAGER {
        errors.push(FieldError::too_long(path, MAX_FIELD_MANAGER));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
        errors.push(FieldError::invalid(path, manager, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wrong_options_are_refused_in_upstreams_words() {
        let write = |query: &str| WriteOptions::parse(&Query::parse(query), "CreateOptions").map(drop);
        let list = |query: &str| ListOptions::parse(&Query::parse(query), false).map(drop);
        let watch = |query: &str| ListOptions::parse(&Query::parse(query), true).map(drop);
        let delete = |body: Value| DeleteOptions::parse(&Query::default(), Some(&body)).map(drop);
        let table = [
            (
                write("dryRun=some"),
                r#"CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["some"]: supported values: "All""#,
            ),
            (
                write("fieldValidation=x"),
                "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"x\": supported values: \
                 \"\", \"Ignore\", \"Strict\", \"Warn\"",
            ),
            (
                list("resourceVersionMatch=Exact"),
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
                 forbidden unless resourceVersion is provided",
            ),
            (
                list("sendInitialEvents=true"),
                "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
                 for list",
            ),
            (
                watch("sendInitialEvents=true&resourceVersion=0"),
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
                 setting resourceVersionMatch to NotOlderThan",
            ),
            (
                delete(json!({"propagationPolicy": "Orphan", "orphanDependents": true})),
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": \
                 orphanDependents and deletionPropagation cannot be both set",
            ),
            (list("limit=x"), "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ];
        for (result, message) in table {
            assert_eq!(result.unwrap_err().message, message);
        }
    }

    #[test]
    fn a_watch_from_nowhere_starts_with_the_state() {
        let options = ListOptions::parse(&Query::parse("resourceVersion=0"), true).unwrap();
        assert_eq!(options.send_initial_events, Some(true));
        let options = ListOptions::parse(&Query::parse("resourceVersion=5"), true).unwrap();
        assert_eq!(options.send_initial_events, None);
    }

    #[test]
    fn delete_options_come_from_body_or_query() {
        let body = json!({"gracePeriodSeconds": 5, "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"});
        let options = DeleteOptions::parse(&Query::default(), Some(&body)).unwrap();
        assert_eq!((options.grace_period_seconds, options.uid.as_deref()), (Some(5), Some("u")));
        assert_eq!(options.propagation, Some(Propagation::Foreground));
        let query = Query::parse("gracePeriodSeconds=0&propagationPolicy=Orphan&dryRun=All");
        let options = DeleteOptions::parse(&query, None).unwrap();
        assert_eq!((options.grace_period_seconds, options.dry_run), (Some(0), true));
        assert_eq!(options.propagation, Some(Propagation::Orphan));
    }
}
