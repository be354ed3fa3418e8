//! `metav1.Status` as a value: what a failed request says, in upstream's reasons, codes and words
//! (`k8s.io/apimachinery/pkg/api/errors`). Only the API server turns one into a response.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::FieldError;

/// A resource or a kind with its group, printed as `pods` or `deployments.apps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qualified<'a> {
    pub group: &'a str,
    /// Plural resource name, or a kind where a constructor says so.
    pub name: &'a str,
}

impl<'a> Qualified<'a> {
    pub fn new(group: &'a str, name: &'a str) -> Self {
        Self { group, name }
    }
}

impl fmt::Display for Qualified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(self.name) } else { write!(f, "{}.{}", self.name, self.group) }
    }
}

/// The machine-readable reasons (`metav1.StatusReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    NotFound,
    AlreadyExists,
    Conflict,
    Invalid,
    BadRequest,
    Unauthorized,
    Forbidden,
    MethodNotAllowed,
    NotAcceptable,
    UnsupportedMediaType,
    RequestEntityTooLarge,
    Gone,
    Expired,
    Timeout,
    ServerTimeout,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
    /// No reason fits; the field is left out.
    Unknown,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Invalid => "Invalid",
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::Gone => "Gone",
            Self::Expired => "Expired",
            Self::Timeout => "Timeout",
            Self::ServerTimeout => "ServerTimeout",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Unknown => "",
        }
    }
}

/// One of `details.causes`. Empty strings are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

/// `details`. Empty and zero members are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    /// Resource name for most reasons, kind for `Invalid`.
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

/// A failure; the one success a server answers by itself is [`Status::success`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: u16,
    pub reason: Reason,
    pub message: String,
    pub details: Option<Details>,
    /// `metadata.continue`: where an expired list may go on, inconsistently. Empty is left out.
    pub continue_token: String,
}

impl Status {
    fn of(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: String::new() }
    }

    fn about(code: u16, reason: Reason, message: String, what: Qualified<'_>, name: &str) -> Self {
        let details =
            Details { name: name.into(), group: what.group.into(), kind: what.name.into(), ..Details::default() };
        Self { code, reason, message, details: Some(details), continue_token: String::new() }
    }

    pub fn not_found(resource: Qualified<'_>, name: &str) -> Self {
        let message = format!("{resource} {name:?} not found");
        Self::about(404, Reason::NotFound, message, resource, name)
    }

    /// The path leads nowhere: no such resource, version or route.
    pub fn no_such_path() -> Self {
        let mut status = Self::of(404, Reason::NotFound, "the server could not find the requested resource");
        status.details = Some(Details::default());
        status
    }

    pub fn already_exists(resource: Qualified<'_>, name: &str) -> Self {
        let message = format!("{resource} {name:?} already exists");
        Self::about(409, Reason::AlreadyExists, message, resource, name)
    }

    /// Every generated name was taken.
    pub fn generate_name_conflict(resource: Qualified<'_>, name: &str) -> Self {
        let message = format!(
            "{resource} {name:?} already exists, the server was not able to generate a unique name for the object"
        );
        let mut status = Self::about(409, Reason::AlreadyExists, message, resource, name);
        status.set_retry_after(1);
        status
    }

    pub fn conflict(resource: Qualified<'_>, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::about(409, Reason::Conflict, message, resource, name)
    }

    /// The resourceVersion sent is not the stored one.
    pub fn modified(resource: Qualified<'_>, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// `kind` names a kind here, not a resource.
    pub fn invalid(kind: Qualified<'_>, name: &str, errors: &[FieldError]) -> Self {
        let message = match aggregate(errors) {
            all if all.is_empty() => format!("{kind} {name:?} is invalid"),
            all => format!("{kind} {name:?} is invalid: {all}"),
        };
        let mut status = Self::about(422, Reason::Invalid, message, kind, name);
        let cause = |error: &FieldError| Cause {
            reason: error.kind.reason().into(),
            message: error.body(),
            field: error.path.to_string(),
        };
        status.details.get_or_insert_default().causes = errors.iter().map(cause).collect();
        status
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::of(400, Reason::BadRequest, message)
    }

    /// An empty message becomes upstream's "not authorized".
    pub fn unauthorized(message: &str) -> Self {
        Self::of(401, Reason::Unauthorized, if message.is_empty() { "not authorized" } else { message })
    }

    pub fn forbidden(resource: Qualified<'_>, name: &str, why: &str) -> Self {
        let message = if resource.name.is_empty() && resource.group.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {name:?} is forbidden: {why}")
        };
        Self::about(403, Reason::Forbidden, message, resource, name)
    }

    pub fn method_not_supported(resource: Qualified<'_>, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{resource}\"");
        Self::about(405, Reason::MethodNotAllowed, message, resource, "")
    }

    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut status = Self::of(405, Reason::MethodNotAllowed, message);
        status.details = Some(Details::default());
        status
    }

    /// 422 that is not about fields: a JSON patch that does not apply.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        let mut status = Self::of(422, Reason::Invalid, message);
        status.details = Some(Details::default());
        status
    }

    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::of(406, Reason::NotAcceptable, message)
    }

    /// 406 of a path none of whose formats the client reads.
    pub fn no_representation(formats: &[&str], watches: bool) -> Self {
        let mut all: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        if watches {
            all.extend(
                ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]
                    .map(str::to_owned),
            );
        }
        let message = format!("406: Not Acceptable\n\nAvailable representations: {}", all.join(", "));
        let mut status = Self::of(406, Reason::NotAcceptable, message);
        status.details = Some(Details::default());
        status
    }

    /// 406: the answer has no such form.
    pub fn not_this(why: &str) -> Self {
        Self::of(406, Reason::NotAcceptable, why)
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::of(415, Reason::UnsupportedMediaType, message)
    }

    /// 415 of a path that takes no such body.
    pub fn no_such_body() -> Self {
        let mut status = Self::of(415, Reason::UnsupportedMediaType, "415: Unsupported Media Type");
        status.details = Some(Details::default());
        status
    }

    pub fn too_large(why: &str) -> Self {
        Self::of(413, Reason::RequestEntityTooLarge, format!("Request entity too large: {why}"))
    }

    pub fn gone(message: &str) -> Self {
        Self::of(410, Reason::Gone, message)
    }

    /// 410: the resourceVersion or continue token is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::of(410, Reason::Expired, message)
    }

    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        let mut status = Self::of(504, Reason::Timeout, format!("Timeout: {message}"));
        status.set_retry_after(retry_after_seconds);
        status
    }

    pub fn server_timeout(resource: Qualified<'_>, operation: &str, retry_after_seconds: u32) -> Self {
        let message = format!(
            "The {operation} operation against {resource} could not be completed at this time, please try again."
        );
        let mut status = Self::about(500, Reason::ServerTimeout, message, resource, operation);
        status.set_retry_after(retry_after_seconds);
        status
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        let mut status = Self::of(429, Reason::TooManyRequests, message);
        status.set_retry_after(retry_after_seconds);
        status
    }

    pub fn internal(why: impl fmt::Display) -> Self {
        let mut status = Self::of(500, Reason::InternalError, format!("Internal error occurred: {why}"));
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        status.details = Some(Details { causes: vec![cause], ..Details::default() });
        status
    }

    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::of(503, Reason::ServiceUnavailable, message)
    }

    /// What a DELETE answers when it removed the object: names it by resource, as upstream does.
    pub fn success(resource: Qualified<'_>, name: &str, uid: &str) -> Value {
        let details = Details {
            name: name.into(),
            group: resource.group.into(),
            kind: resource.name.into(),
            uid: uid.into(),
            ..Details::default()
        };
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details.to_json(),
        })
    }

    /// 409: others manage what an applied configuration would change. One cause for each field.
    pub fn apply_conflict(message: &str) -> Self {
        let mut status = Self::of(409, Reason::Conflict, message);
        status.details = Some(Details::default());
        status
    }

    /// 500 without a reason: what upstream makes of errors that are no Status.
    pub fn plain(message: impl Into<String>) -> Self {
        Self::of(500, Reason::Unknown, message)
    }

    pub fn set_retry_after(&mut self, seconds: u32) {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
    }

    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    pub fn to_json(&self) -> Value {
        let mut object = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": self.code,
        });
        if !self.message.is_empty() {
            object["message"] = self.message.as_str().into();
        }
        if self.reason != Reason::Unknown {
            object["reason"] = self.reason.as_str().into();
        }
        if !self.continue_token.is_empty() {
            object["metadata"]["continue"] = self.continue_token.as_str().into();
        }
        if let Some(details) = &self.details {
            object["details"] = details.to_json();
        }
        object
    }
}

impl Details {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        for (key, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)] {
            if !text.is_empty() {
                object.insert(key.into(), text.as_str().into());
            }
        }
        if !self.causes.is_empty() {
            object.insert("causes".into(), self.causes.iter().map(Cause::to_json).collect());
        }
        if self.retry_after_seconds != 0 {
            object.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        Value::Object(object)
    }
}

impl Cause {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        for (key, text) in [("reason", &self.reason), ("message", &self.message), ("field", &self.field)] {
            if !text.is_empty() {
                object.insert(key.into(), text.as_str().into());
            }
        }
        Value::Object(object)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// Errors in one sentence, each once: in brackets if there are several.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut seen = BTreeSet::new();
    let texts: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
    let distinct: Vec<&str> = texts.iter().map(String::as_str).filter(|text| seen.insert(*text)).collect();
    match distinct.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;

    #[test]
    fn statuses_carry_upstreams_words() {
        let pods = Qualified::new("", "pods");
        let deployments = Qualified::new("apps", "deployments");
        let table = [
            (Status::not_found(pods, "a"), 404, "NotFound", r#"pods "a" not found"#),
            (Status::already_exists(deployments, "a"), 409, "AlreadyExists", r#"deployments.apps "a" already exists"#),
            (
                Status::modified(pods, "a"),
                409,
                "Conflict",
                "Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes \
                 to the latest version and try again",
            ),
            (Status::forbidden(pods, "", "no"), 403, "Forbidden", "pods is forbidden: no"),
            (
                Status::method_not_supported(deployments, "create"),
                405,
                "MethodNotAllowed",
                "create is not supported on resources of kind \"deployments.apps\"",
            ),
            (Status::timeout("late", 1), 504, "Timeout", "Timeout: late"),
        ];
        for (status, code, reason, message) in table {
            let json = status.to_json();
            assert_eq!((json["code"].as_u64(), json["reason"].as_str()), (Some(code), Some(reason)));
            assert_eq!(json["message"], message);
        }
    }

    #[test]
    fn invalid_lists_causes_and_joins_distinct_messages() {
        let kind = Qualified::new("apps", "Deployment");
        let one = FieldError::required(&Path::new("spec"), "");
        let status = Status::invalid(kind, "a", std::slice::from_ref(&one));
        assert_eq!(status.message, r#"Deployment.apps "a" is invalid: spec: Required value"#);
        let two = FieldError::invalid(&Path::new("x"), "y", "bad");
        let status = Status::invalid(kind, "a", &[one.clone(), two, one]);
        assert_eq!(
            status.message,
            r#"Deployment.apps "a" is invalid: [spec: Required value, x: Invalid value: "y": bad]"#
        );
        let json = status.to_json();
        assert_eq!(json["details"]["causes"].as_array().map(Vec::len), Some(3));
        assert_eq!(json["details"]["causes"][1]["reason"], "FieldValueInvalid");
        assert_eq!(json["details"]["kind"], "Deployment");
    }
}
