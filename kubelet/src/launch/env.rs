//! The environment that a pod asks for its container (the image's own comes below it, see `container.rs`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};

use super::expand::expand;
use super::fields::{FieldFacts, field, resource};
use super::objects::Objects;

fn optional(flag: Option<bool>) -> bool {
    flag == Some(true)
}

/// Keys of a whole ConfigMap or Secret; `None` when it is missing and optional.
fn whole(
    source: &k8s_openapi::api::core::v1::EnvFromSource,
    objects: &Objects,
) -> Result<Vec<(String, String)>, String> {
    if let Some(reference) = &source.config_map_ref {
        return match objects.config_map(&reference.name) {
            Ok(found) => Ok(found.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()),
            Err(_) if optional(reference.optional) => Ok(Vec::new()),
            Err(missing) => Err(missing),
        };
    }
    if let Some(reference) = &source.secret_ref {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        return match objects.secret(&reference.name) {
            Ok(found) => Ok(found.data.iter().flatten().map(|(key, value)| (key.clone(), text(&value.0))).collect()),
            Err(_) if optional(reference.optional) => Ok(Vec::new()),
            Err(missing) => Err(missing),
        };
    }
    Ok(Vec::new())
}

/// What a container's variables are made from.
pub struct EnvInputs<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub objects: &'a Objects,
    pub services: &'a BTreeMap<String, String>,
    pub facts: &'a FieldFacts,
}

impl EnvInputs<'_> {
    /// `None`: an optional reference to something missing.
    fn resolve(&self, source: &EnvVarSource) -> Result<Option<String>, String> {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        if let Some(selector) = &source.field_ref {
            return field(selector, self.pod, self.facts).map(Some);
        }
        if let Some(selector) = &source.resource_field_ref {
            return resource(selector, self.pod, Some(self.container), self.facts).map(Some);
        }
        if let Some(selector) = &source.config_map_key_ref {
            let found = self.objects.config_map(&selector.name).map(|map| {
                let value = map.data.as_ref().and_then(|data| data.get(&selector.key)).cloned();
                let missing =
                    || format!("couldn't find key {} in ConfigMap {namespace}/{}", selector.key, selector.name);
                value.ok_or_else(missing)
            });
            return or_optional(found.and_then(|value| value), selector.optional);
        }
        if let Some(selector) = &source.secret_key_ref {
            let found = self.objects.secret(&selector.name).map(|secret| {
                let value = secret.data.as_ref().and_then(|data| data.get(&selector.key));
                let missing = || format!("couldn't find key {} in Secret {namespace}/{}", selector.key, selector.name);
                value.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).ok_or_else(missing)
            });
            return or_optional(found.and_then(|value| value), selector.optional);
        }
        if source.file_key_ref.is_some() {
            return Err("environment variables from files (fileKeyRef) are not supported by this node".to_owned());
        }
        Ok(Some(String::new()))
    }
}

fn or_optional(found: Result<String, String>, flag: Option<bool>) -> Result<Option<String>, String> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(_) if optional(flag) => Ok(None),
        Err(missing) => Err(missing),
    }
}

/// Variables by name: Services lowest, then `envFrom`, then `env` in order, where a value may refer to what came before.
pub fn environment(inputs: &EnvInputs<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut own: BTreeMap<String, String> = BTreeMap::new();
    for source in inputs.container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        own.extend(whole(source, inputs.objects)?.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
    }
    for variable in inputs.container.env.iter().flatten() {
        let literal = variable.value.as_deref().unwrap_or_default();
        let value = match (literal, &variable.value_from) {
            ("", Some(source)) => match inputs.resolve(source)? {
                Some(value) => value,
                None => continue,
            },
            (literal, _) => expand(literal, |name| own.get(name).or_else(|| inputs.services.get(name)).cloned()),
        };
        own.insert(variable.name.clone(), value);
    }
    let mut all = inputs.services.clone();
    all.extend(own);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn check(name: &str, container: Value, expected: Result<Value, &str>) {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": []}}))
                .expect("a pod");
        let mut container = container;
        container["name"] = json!("c");
        let container: Container = serde_json::from_value(container).expect(name);
        let map = serde_json::from_value(json!({"data": {"k": "v", "other-key": "w"}})).expect("a map");
        let secret = serde_json::from_value(json!({"data": {"pass": "c2VjcmV0"}})).expect("a secret");
        let objects = Objects {
            config_maps: [("cm".to_owned(), Some(Arc::new(map))), ("gone".to_owned(), None)].into(),
            secrets: [("s".to_owned(), Some(Arc::new(secret)))].into(),
        };
        let services = [("DB_HOST".to_owned(), "10.0.0.9".to_owned())].into();
        let facts = FieldFacts::default();
        let inputs =
            EnvInputs { pod: &pod, container: &container, objects: &objects, services: &services, facts: &facts };
        let actual = environment(&inputs);
        match expected {
            Ok(expected) => {
                let mut actual = actual.expect(name);
                if expected.get("DB_HOST").is_none() {
                    actual.remove("DB_HOST");
                }
                assert_eq!(json!(actual), expected, "{name}");
            }
            Err(expected) => assert_eq!(actual, Err(expected.to_owned()), "{name}"),
        }
    }

    #[test]
    fn environments() {
        let missing = |flag: bool| json!({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "gone", "key": "k", "optional": flag}}}]});
        check("services are there", json!({}), Ok(json!({"DB_HOST": "10.0.0.9"})));
        check(
            "references see what came before and services",
            json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(DB_HOST)-$(C)"}, {"name": "C", "value": "3"}]}),
            Ok(json!({"A": "1", "B": "1-10.0.0.9-$(C)", "C": "3"})),
        );
        check(
            "env wins over services",
            json!({"env": [{"name": "DB_HOST", "value": "mine"}]}),
            Ok(json!({"DB_HOST": "mine"})),
        );
        check(
            "envFrom with prefix, below env",
            json!({"envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}], "env": [{"name": "P_k", "value": "x"}]}),
            Ok(json!({"P_k": "x", "P_other-key": "w", "pass": "secret"})),
        );
        check("missing map", missing(false), Err("configmap \"gone\" not found"));
        check("missing optional map", missing(true), Ok(json!({})));
        check(
            "missing key",
            json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no"}}}]}),
            Err("couldn't find key no in Secret ns/s"),
        );
        check(
            "field",
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            Ok(json!({"A": "p"})),
        );
        check("missing envFrom", json!({"envFrom": [{"secretRef": {"name": "no"}}]}), Err("secret \"no\" not found"));
    }
}
