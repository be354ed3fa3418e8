//! ServiceAccount.

use api::Object;
use api::meta::Meta;
use serde_json::json;

use super::edit::list_mut;
use crate::strategy::Strategy;

const ENFORCES: &str = "kubernetes.io/enforce-mountable-secrets";

#[derive(Debug)]
pub struct ServiceAccount;

impl Strategy for ServiceAccount {
    /// Of its secrets only the names count.
    fn prepare_for_create(&self, new: &mut Object) {
        for secret in list_mut(new, "secrets") {
            let name = secret["name"].take();
            *secret = if name.is_null() { json!({}) } else { json!({"name": name}) };
        }
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let found = new.annotations().is_some_and(|annotations| annotations.contains_key(ENFORCES));
        let text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
        if found { vec![format!("metadata.annotations[{ENFORCES}]: {text}")] } else { Vec::new() }
    }

    fn warnings_of_update(&self, new: &Object, old: &Object) -> Vec<String> {
        if self.warnings(old).is_empty() { self.warnings(new) } else { Vec::new() }
    }

    fn prepare_for_update(&self, new: &mut Object, _old: &Object) {
        self.prepare_for_create(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_names() {
        let mut account = json!({"secrets": [{"name": "a", "kind": "Secret"}, {"uid": "u"}]});
        ServiceAccount.prepare_for_create(&mut account);
        assert_eq!(account, json!({"secrets": [{"name": "a"}, {}]}));
    }
}
