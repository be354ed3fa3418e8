//! What a client is told when a webhook refuses.

use api::status::{Cause, Details, Reason, Status};
use serde_json::Value;

/// By the Status of the webhook's answer; null when it gave none.
pub fn rejection(webhook: &str, result: &Value) -> Status {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (message, reason) = (text(result, "message"), text(result, "reason"));
    let denied = format!("admission webhook {webhook:?} denied the request");
    let why = if message.is_empty() { &reason } else { &message };
    let code = result["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let mut status = Status::plain(if why.is_empty() {
        format!("{denied} without explanation")
    } else {
        format!("{denied}: {why}")
    });
    status.code = code.filter(|code| (400..=599).contains(code)).unwrap_or(400);
    status.reason = REASONS.into_iter().find(|known| known.as_str() == reason).unwrap_or(Reason::Unknown);
    status.details = Some(&result["details"]).filter(|details| details.is_object()).map(|details| Details {
        name: text(details, "name"),
        group: text(details, "group"),
        kind: text(details, "kind"),
        uid: text(details, "uid"),
        causes: details["causes"].as_array().into_iter().flatten().map(cause).collect(),
        retry_after_seconds: details["retryAfterSeconds"]
            .as_u64()
            .and_then(|s| u32::try_from(s).ok())
            .unwrap_or_default(),
    });
    status
}

fn cause(cause: &Value) -> Cause {
    let text = |key: &str| cause[key].as_str().unwrap_or_default().to_owned();
    Cause { reason: text("reason"), message: text("message"), field: text("field") }
}

const REASONS: [Reason; 18] = [
    Reason::NotFound,
    Reason::AlreadyExists,
    Reason::Conflict,
    Reason::Invalid,
    Reason::BadRequest,
    Reason::Unauthorized,
    Reason::Forbidden,
    Reason::MethodNotAllowed,
    Reason::NotAcceptable,
    Reason::UnsupportedMediaType,
    Reason::RequestEntityTooLarge,
    Reason::Gone,
    Reason::Expired,
    Reason::Timeout,
    Reason::ServerTimeout,
    Reason::TooManyRequests,
    Reason::InternalError,
    Reason::ServiceUnavailable,
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rejection_is_at_least_an_error() {
        let table = [
            (Value::Null, 400, "", "admission webhook \"w\" denied the request without explanation"),
            (json!({"message": "no"}), 400, "", "admission webhook \"w\" denied the request: no"),
            (
                json!({"reason": "Forbidden", "code": 403}),
                403,
                "Forbidden",
                "admission webhook \"w\" denied the request: Forbidden",
            ),
            (
                json!({"message": "no", "code": 200, "status": "Success"}),
                400,
                "",
                "admission webhook \"w\" denied the request: no",
            ),
        ];
        for (result, code, reason, message) in table {
            let status = rejection("w", &result);
            assert_eq!((status.code, status.reason.as_str(), status.message.as_str()), (code, reason, message));
        }
    }
}
