//! Files of configMap, secret, downwardAPI and projected volumes. Pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, ProjectedVolumeSource, Secret, Volume, VolumeProjection,
};

use crate::launch::fields::{FieldFacts, field, resource};
use crate::launch::objects::Objects;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the volume, without `..`.
    pub path: String,
    pub mode: u32,
    pub data: Vec<u8>,
    /// Owner, when it is not root.
    pub uid: Option<u32>,
}

/// A service account token of a projected volume: which volume and which of its sources.
pub type TokenKey = (String, usize);

pub struct Inputs<'a> {
    pub pod: &'a Pod,
    pub objects: &'a Objects,
    pub facts: &'a FieldFacts,
    pub tokens: &'a BTreeMap<TokenKey, String>,
}

const DEFAULT_MODE: i32 = 0o644;

fn mode(value: i32) -> u32 {
    u32::try_from(value).unwrap_or(0o644) & 0o777
}

fn file(path: &str, mode_bits: i32, data: Vec<u8>) -> Result<File, String> {
    let parts: Vec<&str> = path.split('/').collect();
    let bad = path.is_empty() || path.starts_with('/') || parts.contains(&"..") || parts[0].starts_with("..");
    match bad {
        true => Err(format!("invalid path {path:?}: must be relative and not begin with '..'")),
        false => Ok(File { path: path.to_owned(), mode: mode(mode_bits), data, uid: None }),
    }
}

/// All keys, or those that `items` picks.
fn pick(
    data: &BTreeMap<String, Vec<u8>>,
    items: &[KeyToPath],
    optional: bool,
    default_mode: i32,
) -> Result<Vec<File>, String> {
    if items.is_empty() {
        return data.iter().map(|(key, value)| file(key, default_mode, value.clone())).collect();
    }
    let mut out = Vec::new();
    for item in items {
        match data.get(&item.key) {
            Some(value) => out.push(file(&item.path, item.mode.unwrap_or(default_mode), value.clone())?),
            None if optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(out)
}

fn config_map_data(map: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, ByteString(value))| (key.clone(), value.clone()));
    text.chain(binary).collect()
}

fn secret_data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.iter().flatten().map(|(key, ByteString(value))| (key.clone(), value.clone())).collect()
}

/// How a configMap or secret source says which keys it wants.
struct Wanted<'a> {
    name: &'a str,
    items: &'a Option<Vec<KeyToPath>>,
    optional: Option<bool>,
    mode: i32,
}

impl Inputs<'_> {
    fn config_map(&self, wanted: &Wanted<'_>) -> Result<Vec<File>, String> {
        let optional = wanted.optional == Some(true);
        match self.objects.config_map(wanted.name) {
            Ok(map) => pick(&config_map_data(map), wanted.items.as_deref().unwrap_or_default(), optional, wanted.mode),
            Err(_) if optional => Ok(Vec::new()),
            Err(missing) => Err(missing),
        }
    }

    fn secret(&self, wanted: &Wanted<'_>) -> Result<Vec<File>, String> {
        let optional = wanted.optional == Some(true);
        match self.objects.secret(wanted.name) {
            Ok(secret) => {
                pick(&secret_data(secret), wanted.items.as_deref().unwrap_or_default(), optional, wanted.mode)
            }
            Err(_) if optional => Ok(Vec::new()),
            Err(missing) => Err(missing),
        }
    }

    fn downward(&self, items: Option<&Vec<DownwardAPIVolumeFile>>, default_mode: i32) -> Result<Vec<File>, String> {
        let content = |item: &DownwardAPIVolumeFile| match (&item.field_ref, &item.resource_field_ref) {
            (Some(selector), _) => field(selector, self.pod, self.facts),
            (None, Some(selector)) => resource(selector, self.pod, None, self.facts),
            (None, None) => Ok(String::new()),
        };
        let one = |item: &DownwardAPIVolumeFile| {
            file(&item.path, item.mode.unwrap_or(default_mode), content(item)?.into_bytes())
        };
        items.into_iter().flatten().map(one).collect()
    }

    /// A token is readable by its pod only: by the one user of all containers, or by the pod's group.
    fn token(&self, volume: &str, index: usize, path: &str, default_mode: i32) -> Result<Vec<File>, String> {
        let token = self.tokens.get(&(volume.to_owned(), index));
        let token = token.ok_or_else(|| "the service account token is not there yet".to_owned())?;
        let user = single_user(self.pod);
        let group = fs_group(self.pod);
        let mode = if user.is_some() || group.is_some() { 0o600 } else { default_mode };
        Ok(vec![File { uid: user, ..file(path, mode, token.clone().into_bytes())? }])
    }

    fn projected(&self, volume: &str, source: &ProjectedVolumeSource) -> Result<Vec<File>, String> {
        let default_mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let mut out = Vec::new();
        for (index, part) in source.sources.iter().flatten().enumerate() {
            out.extend(self.part(volume, index, part, default_mode)?);
        }
        Ok(out)
    }

    fn part(&self, volume: &str, index: usize, part: &VolumeProjection, mode: i32) -> Result<Vec<File>, String> {
        if let Some(map) = &part.config_map {
            return self.config_map(&Wanted { name: &map.name, items: &map.items, optional: map.optional, mode });
        }
        if let Some(secret) = &part.secret {
            return self.secret(&Wanted { name: &secret.name, items: &secret.items, optional: secret.optional, mode });
        }
        if let Some(downward) = &part.downward_api {
            return self.downward(downward.items.as_ref(), mode);
        }
        if let Some(token) = &part.service_account_token {
            return self.token(volume, index, &token.path, mode);
        }
        match &part.cluster_trust_bundle {
            Some(bundle) if bundle.optional == Some(true) => Ok(Vec::new()),
            Some(_) => Err("projected clusterTrustBundle is not supported by this node".to_owned()),
            None => Err("this kind of projected source is not supported by this node".to_owned()),
        }
    }

    /// `None`: not a volume of files.
    pub fn files(&self, volume: &Volume) -> Option<Result<Vec<File>, String>> {
        if let Some(source) = &volume.config_map {
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            let wanted = Wanted { name: &source.name, items: &source.items, optional: source.optional, mode };
            return Some(self.config_map(&wanted));
        }
        if let Some(source) = &volume.secret {
            let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
            let name = source.secret_name.as_deref().unwrap_or_default();
            return Some(self.secret(&Wanted { name, items: &source.items, optional: source.optional, mode }));
        }
        if let Some(source) = &volume.downward_api {
            return Some(self.downward(source.items.as_ref(), source.default_mode.unwrap_or(DEFAULT_MODE)));
        }
        volume.projected.as_ref().map(|source| self.projected(&volume.name, source))
    }
}

pub fn fs_group(pod: &Pod) -> Option<u32> {
    let context = pod.spec.as_ref()?.security_context.as_ref()?;
    context.fs_group.and_then(|group| u32::try_from(group).ok())
}

/// The user that all containers of the pod run as, if it is one and the spec says so.
fn single_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let of = |container: &k8s_openapi::api::core::v1::Container| {
        container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod)
    };
    let mut users = crate::launch::qos::containers(spec).map(of);
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first).and_then(|user| u32::try_from(user).ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    /// Path, mode, text and owner.
    type Shown = (String, u32, String, Option<u32>);

    fn check(context: Value, volume: Value) -> Result<Vec<Shown>, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "1"}},
            "spec": {"securityContext": context, "containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}
        }))
        .expect("a pod");
        let map = json!({"data": {"k": "v", "l": "w"}, "binaryData": {"b": "AAE="}});
        let objects = Objects {
            config_maps: [("cm".into(), Some(Arc::new(serde_json::from_value(map).expect("a map"))))].into(),
            secrets: [(
                "s".into(),
                Some(Arc::new(serde_json::from_value(json!({"data": {"p": "eA=="}})).expect("a secret"))),
            )]
            .into(),
        };
        let tokens = [(("v".to_owned(), 0), "token".to_owned())].into();
        let inputs = Inputs { pod: &pod, objects: &objects, facts: &FieldFacts::default(), tokens: &tokens };
        let mut volume = volume;
        volume["name"] = json!("v");
        let volume: Volume = serde_json::from_value(volume).expect("a volume");
        let files = inputs.files(&volume).expect("a volume of files")?;
        let text = |file: File| (file.path, file.mode, String::from_utf8_lossy(&file.data).into_owned(), file.uid);
        Ok(files.into_iter().map(text).collect())
    }

    #[test]
    fn file_volumes() {
        let file = |path: &str, mode: u32, data: &str| (path.to_owned(), mode, data.to_owned(), None);
        let token = json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}});
        let owned = |mode: u32, uid: Option<u32>| Ok(vec![("token".to_owned(), mode, "token".to_owned(), uid)]);
        let table = [
            (
                "all keys",
                json!({}),
                json!({"configMap": {"name": "cm", "defaultMode": 0o400}}),
                Ok(vec![file("b", 0o400, "\0\u{1}"), file("k", 0o400, "v"), file("l", 0o400, "w")]),
            ),
            (
                "items with path and mode",
                json!({}),
                json!({"configMap": {"name": "cm", "items": [{"key": "k", "path": "d/x", "mode": 0o600}]}}),
                Ok(vec![file("d/x", 0o600, "v")]),
            ),
            (
                "missing key",
                json!({}),
                json!({"secret": {"secretName": "s", "items": [{"key": "no", "path": "x"}]}}),
                Err("references non-existent config key: no".to_owned()),
            ),
            (
                "missing map",
                json!({}),
                json!({"configMap": {"name": "no"}}),
                Err("configmap \"no\" not found".to_owned()),
            ),
            ("missing optional map", json!({}), json!({"configMap": {"name": "no", "optional": true}}), Ok(vec![])),
            (
                "an escaping path",
                json!({}),
                json!({"secret": {"secretName": "s", "items": [{"key": "p", "path": "../x"}]}}),
                Err("invalid path \"../x\": must be relative and not begin with '..'".to_owned()),
            ),
            (
                "downward",
                json!({}),
                json!({"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}, {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}]}}),
                Ok(vec![file("l", 0o644, "a=\"1\""), file("cpu", 0o644, "2")]),
            ),
            ("token of root", json!({}), token.clone(), owned(0o644, None)),
            ("token of one user", json!({"runAsUser": 7}), token.clone(), owned(0o600, Some(7))),
            ("token of a group", json!({"fsGroup": 7}), token, owned(0o600, None)),
        ];
        for (name, context, volume, expected) in table {
            assert_eq!(check(context, volume), expected, "{name}");
        }
    }
}
