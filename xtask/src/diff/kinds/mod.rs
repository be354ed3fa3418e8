//! The kinds that requests are about, each with an object that is valid: [`acted_on`], [`stored`],
//! [`sets_and_volumes`], [`reviews`], and [`custom`] ones.

mod acted_on;
pub mod custom;
mod reviews;
mod sets_and_volumes;
mod stored;

use api::gvk::GroupVersionKind;
use api::schema::{SchemaSet, TypeId};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// `v1`, `apps/v1`.
    pub api_version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    pub status: bool,
    pub scale: bool,
    /// Definitions bring it; there is no schema of it here.
    pub custom: bool,
    /// Nothing is written that is kept: servers would act on it.
    pub dry: bool,
    /// Only created, and never kept.
    pub review: bool,
    /// JSON of what is in an object besides apiVersion, kind and metadata. `NAME` is its short name, `TEMPLATE` one of pods.
    rest: &'static str,
    /// What objects must be called, where that follows from what is in them.
    pattern: Option<&'static str>,
    /// How often, relative to others.
    pub weight: usize,
    pub selectable: &'static [&'static str],
}

const TEMPLATE: &str = r#"{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}"#;

const fn kind(api_version: &'static str, kind: &'static str, plural: &'static str, rest: &'static str) -> Kind {
    Kind {
        api_version,
        kind,
        plural,
        namespaced: true,
        status: false,
        scale: false,
        custom: false,
        dry: false,
        review: false,
        rest,
        pattern: None,
        weight: 3,
        selectable: &[],
    }
}

impl Kind {
    const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }
    const fn status(mut self) -> Self {
        self.status = true;
        self
    }
    const fn scale(mut self) -> Self {
        self.scale = true;
        self
    }
    const fn custom(mut self) -> Self {
        self.custom = true;
        self
    }
    const fn dry(mut self) -> Self {
        self.dry = true;
        self
    }
    const fn review(mut self) -> Self {
        self.review = true;
        self.weight(1)
    }
    const fn named(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }
    const fn weight(mut self, weight: usize) -> Self {
        self.weight = weight;
        self
    }
    const fn selectable(mut self, fields: &'static [&'static str]) -> Self {
        self.selectable = fields;
        self
    }

    /// Path of all objects of a scenario, or of all there are.
    pub fn collection(&self) -> String {
        let prefix = self.prefix();
        if self.namespaced {
            format!("{prefix}/namespaces/${{ns}}/{}", self.plural)
        } else {
            format!("{prefix}/{}", self.plural)
        }
    }

    pub fn everywhere(&self) -> String {
        format!("{}/{}", self.prefix(), self.plural)
    }

    fn prefix(&self) -> String {
        if self.api_version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{}", self.api_version) }
    }

    /// `a` as it is called here: unique in the cluster if that must be.
    pub fn name(&self, name: &str) -> String {
        match self.pattern {
            Some(pattern) => pattern.replace("NAME", name),
            None if self.namespaced => name.to_owned(),
            None => format!("${{ns}}-{name}"),
        }
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}/{}", self.collection(), self.name(name))
    }

    pub fn object(&self, name: &str) -> Value {
        let rest = self.rest.replace("TEMPLATE", TEMPLATE).replace("NAME", name);
        let mut object: Value = serde_json::from_str(&rest).expect("a test reads all of them");
        object["apiVersion"] = self.api_version.into();
        object["kind"] = self.kind.into();
        object["metadata"] = json!({"name": self.name(name), "labels": {"scenario": "${ns}", "item": name}});
        object
    }

    pub fn schema(&self) -> Option<TypeId> {
        let gvk = GroupVersionKind::from_api_version(self.api_version, self.kind);
        SchemaSet::builtin().of_kind(&gvk)
    }
}

pub fn all() -> impl Iterator<Item = &'static Kind> {
    [acted_on::KINDS, stored::KINDS, sets_and_volumes::KINDS, custom::KINDS, reviews::KINDS].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_object_and_a_schema() {
        for kind in all() {
            assert_eq!(kind.object("a")["kind"], kind.kind);
            let has_fields = |ty| !SchemaSet::builtin().get(ty).fields.is_empty();
            assert_eq!(kind.schema().is_some_and(has_fields), !kind.custom, "{}", kind.kind);
        }
    }
}
