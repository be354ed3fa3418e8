//! What the audit log is told of webhooks beside their own words: which of them changed the object, how, and who was passed over.

use serde_json::Value;

use super::object::Webhook;
use crate::audit::Record;
use crate::audit::policy::Level;

const MUTATION: &str = "mutation.webhook.admission.k8s.io";
const PATCH: &str = "patch.webhook.admission.k8s.io";
const VALIDATION: &str = "validating.webhook.admission.k8s.io";

/// One webhook in one round, with its place among all of its kind.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub record: Option<&'p Record>,
    pub hook: &'p Webhook,
    pub second_round: bool,
    pub index: usize,
}

impl Place<'_> {
    fn key(&self, prefix: &str) -> String {
        format!("{prefix}/round_{}_index_{}", u8::from(self.second_round), self.index)
    }

    /// The text begins as upstream's structs do.
    fn value(&self, rest: &str) -> String {
        let [configuration, webhook] =
            [&self.hook.configuration, &self.hook.name].map(|name| Value::from(name.as_str()).to_string());
        format!("{{\"configuration\":{configuration},\"webhook\":{webhook},{rest}}}")
    }

    pub fn mutated(&self, mutated: bool) {
        if let Some(record) = self.record {
            record.annotate(self.key(MUTATION), self.value(&format!("\"mutated\":{mutated}")));
        }
    }

    /// Patches may have secrets in them: they are told where bodies are.
    pub fn patched(&self, operations: &Value) {
        if let Some(record) = self.record {
            let value = || self.value(&format!("\"patch\":{operations},\"patchType\":\"JSONPatch\""));
            record.annotate_from(Level::Request, self.key(PATCH), value);
        }
    }

    pub fn passed_over(&self, mutating: bool) {
        if let Some(record) = self.record {
            let prefix = if mutating { MUTATION } else { VALIDATION };
            record.annotate(self.key(&format!("failed-open.{prefix}")), self.hook.name.as_str());
        }
    }
}
