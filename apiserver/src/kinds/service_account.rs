//! ServiceAccount.

use api::Object;
use serde_json::json;

use super::edit::list_mut;
use crate::strategy::Strategy;

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
