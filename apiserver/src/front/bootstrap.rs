//! Bootstrap tokens: short-lived secrets by which a machine may ask for a node's certificate
//! (`kubernetes/plugin/pkg/auth/authenticator/token/bootstrap`). They are Secrets in kube-system.

use api::Object;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::authn::AUTHENTICATED;
use crate::token::Lookup;
use crate::user::UserInfo;

const NAMESPACE: &str = "kube-system";
const PREFIX: &str = "bootstrap-token-";
const KIND: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

/// `id.secret`, six and sixteen letters and digits. `None`: a token of another kind.
pub fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

/// `None`: the token is not good, for whatever reason. Whoever holds it need not be told.
pub async fn authenticate(id: &str, secret: &str, lookup: &dyn Lookup, now: Timestamp) -> Option<UserInfo> {
    let object = lookup.object("secrets", NAMESPACE, &format!("{PREFIX}{id}")).await?;
    match check(&object, id, secret, now) {
        Ok(user) => Some(user),
        Err(why) => {
            tracing::info!(token = %id, why, "refused a bootstrap token");
            None
        }
    }
}

fn check(object: &Object, id: &str, secret: &str, now: Timestamp) -> Result<UserInfo, &'static str> {
    let data = |key: &str| {
        let bytes = STANDARD.decode(object["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Err("it is being deleted");
    }
    if object["type"] != KIND {
        return Err("its Secret is of another type");
    }
    if !equal(data("token-secret").unwrap_or_default().as_bytes(), secret.as_bytes()) {
        return Err("its secret is another one");
    }
    if data("token-id").as_deref() != Some(id) {
        return Err("its id is another one");
    }
    if let Some(expiration) = data("expiration") {
        let end: Timestamp = expiration.parse().map_err(|_| "its expiration is no time")?;
        if now >= end {
            return Err("it has expired");
        }
    }
    if data("usage-bootstrap-authentication").as_deref() != Some("true") {
        return Err("it is not meant for authentication");
    }
    let extra = data("auth-extra-groups").unwrap_or_default();
    let extra: Vec<&str> = extra.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
    if extra.iter().any(|group| !group.starts_with("system:bootstrappers:")) {
        return Err("its groups are not bootstrappers'");
    }
    let groups: Vec<&str> = [GROUP].into_iter().chain(extra).chain([AUTHENTICATED]).collect();
    Ok(UserInfo::new(&format!("system:bootstrap:{id}"), &groups))
}

/// In a time that does not tell where they differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn secret() -> Value {
        let encoded = |text: &str| STANDARD.encode(text);
        json!({"type": KIND, "metadata": {}, "data": {
            "token-id": encoded("abcdef"), "token-secret": encoded("0123456789abcdef"),
            "expiration": encoded(&at(60).to_string()), "usage-bootstrap-authentication": encoded("true"),
            "auth-extra-groups": encoded("system:bootstrappers:workers"),
        }})
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let user = check(&secret(), "abcdef", "0123456789abcdef", at(59)).unwrap();
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert_eq!(user.groups, [GROUP, "system:bootstrappers:workers", AUTHENTICATED]);
        assert_eq!(check(&secret(), "abcdef", "0123456789abcdef", at(60)), Err("it has expired"));
        assert_eq!(check(&secret(), "abcdef", "0123456789abcdee", at(0)), Err("its secret is another one"));
        let table = [
            ("/type", json!("Opaque")),
            ("/metadata", json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})),
            ("/data/token-id", json!(STANDARD.encode("abcdeg"))),
            ("/data/expiration", json!(STANDARD.encode("soon"))),
            ("/data/usage-bootstrap-authentication", json!(STANDARD.encode("false"))),
            ("/data/auth-extra-groups", json!(STANDARD.encode("system:masters"))),
        ];
        for (path, value) in table {
            let mut bad = secret();
            *bad.pointer_mut(path).unwrap() = value;
            assert!(check(&bad, "abcdef", "0123456789abcdef", at(0)).is_err(), "{path}");
        }
    }

    #[test]
    fn other_tokens_are_left_to_others() {
        assert_eq!(parse("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for text in ["abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "e30.e30.x", ""] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
