//! Service account tokens of projected volumes: asked of the API, kept until four fifths of their life are over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::volumes::project::TokenKey;

#[derive(Clone, Debug)]
struct Token {
    text: String,
    refresh_at: Timestamp,
    expires: Timestamp,
}

#[derive(Clone)]
pub struct Tokens {
    client: Client,
    known: Arc<Mutex<BTreeMap<(String, TokenKey), Token>>>,
}

/// When to ask for a new token: at 80 % of its life, and after a day at the latest.
fn refresh_at(issued: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(issued);
    let wait = (life * 4 / 5).min(SignedDuration::from_hours(24));
    issued.saturating_add(wait).unwrap_or(expires)
}

impl Tokens {
    pub fn new(client: Client) -> Tokens {
        Tokens { client, known: Arc::default() }
    }

    pub fn forget(&self, uid: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(owner, _), _| owner != uid);
    }

    /// All tokens that the pod's volumes ask for, and when the first of them is to be renewed.
    pub async fn of_pod(
        &self,
        pod: &Pod,
        now: Timestamp,
    ) -> Result<(BTreeMap<TokenKey, String>, Option<Timestamp>), String> {
        let mut tokens = BTreeMap::new();
        let mut refresh: Option<Timestamp> = None;
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        for volume in volumes {
            let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
            for (index, source) in sources.enumerate() {
                let Some(wanted) = &source.service_account_token else { continue };
                let key = (volume.name.clone(), index);
                let token = self.get(pod, &key, wanted, now).await?;
                refresh = Some(refresh.map_or(token.refresh_at, |at| at.min(token.refresh_at)));
                tokens.insert(key, token.text);
            }
        }
        Ok((tokens, refresh))
    }

    async fn get(
        &self,
        pod: &Pod,
        key: &TokenKey,
        wanted: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<Token, String> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&(uid.clone(), key.clone())).cloned()
        };
        if let Some(token) = known.as_ref().filter(|token| now < token.refresh_at) {
            return Ok(token.clone());
        }
        match (self.request(pod, wanted, now).await, known) {
            (Ok(token), _) => {
                let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                all.insert((uid, key.clone()), token.clone());
                Ok(token)
            }
            // The old one is good for a while yet.
            (Err(error), Some(old)) if now < old.expires => {
                tracing::warn!(%error, "service account token not renewed, trying again");
                let soon = now.saturating_add(SignedDuration::from_secs(30)).unwrap_or(now);
                Ok(Token { refresh_at: soon, ..old })
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn request(
        &self,
        pod: &Pod,
        wanted: &ServiceAccountTokenProjection,
        now: Timestamp,
    ) -> Result<Token, String> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        let account = account.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: wanted.audience.clone().into_iter().filter(|audience| !audience.is_empty()).collect(),
                expiration_seconds: Some(wanted.expiration_seconds.unwrap_or(3600)),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: pod.metadata.name.clone(),
                    uid: pod.metadata.uid.clone(),
                }),
            },
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &namespace);
        let answer = api.create_token_request(&account, &PostParams::default(), &request).await;
        let status = answer.map_err(|error| format!("failed to fetch token: {}", reason(&error)))?.status;
        let status = status.ok_or_else(|| "failed to fetch token: the answer has no status".to_owned())?;
        let expires = status.expiration_timestamp.0;
        Ok(Token { text: status.token, refresh_at: refresh_at(now, expires), expires })
    }
}

/// What a person wants to read of an error of the API.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_before_they_expire() {
        let at = |seconds: i64| Timestamp::from_second(seconds).expect("a time");
        assert_eq!(refresh_at(at(0), at(3600)), at(2880));
        assert_eq!(refresh_at(at(0), at(3_000_000)), at(86_400), "after a day at the latest");
    }
}
