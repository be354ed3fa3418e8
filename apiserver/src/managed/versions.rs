//! The forms of a resource in which managers may name its fields: all versions that are served of what is stored together.

use std::borrow::Cow;

use api::apply::{Place, Versions};
use api::schema::SchemaSet;
use serde_json::Value;
use std::cell::OnceCell;
use std::sync::Arc;

use crate::conversion::Forms;
use crate::registry::{Descriptor, Registry};

pub(crate) struct Served<'a> {
    registry: &'a Registry,
    row: &'a Descriptor,
    /// All of them, once another than the row's is asked for.
    others: OnceCell<Vec<Arc<Descriptor>>>,
    /// Conversions by a webhook.
    forms: &'a Forms,
    /// Of the row: almost every manager speaks the version of the request.
    place: Place<'a>,
}

impl<'a> Served<'a> {
    pub fn new(registry: &'a Registry, row: &'a Descriptor, forms: &'a Forms) -> Self {
        Self { registry, row, others: OnceCell::new(), forms, place: place(row) }
    }

    fn others(&self) -> &[Arc<Descriptor>] {
        self.others.get_or_init(|| self.registry.versions(self.row))
    }

    fn row(&self, api_version: &str) -> Option<&Descriptor> {
        let is = |row: &Descriptor| is_version(row, api_version);
        if is(self.row) {
            return Some(self.row);
        }
        self.others().iter().map(AsRef::as_ref).find(|row| is(row))
    }
}

fn place(row: &Descriptor) -> Place<'_> {
    row.types().map_or_else(|| Place::without_schema(SchemaSet::builtin()), |(set, ty)| Place::root(set, ty))
}

/// Compared without making the text: it is done for each manager of each write.
fn is_version(row: &Descriptor, api_version: &str) -> bool {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    row.info.group == group && row.info.version == version
}

impl Versions for Served<'_> {
    fn place(&self, api_version: &str) -> Option<Place<'_>> {
        if is_version(self.row, api_version) {
            return Some(self.place);
        }
        self.row(api_version).map(place)
    }

    fn refuses(&self, api_version: &str) -> Option<String> {
        let custom = self.row.custom.as_ref()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let own = custom.gvk();
        if version.contains('/') {
            Some(format!("unexpected GroupVersion string: {api_version}"))
        } else if group != own.group {
            Some(format!("{own} is unstructured and is not suitable for converting to {api_version:?}"))
        } else {
            (!custom.has_version(version))
                .then(|| format!("request to convert CR to an invalid group/version: {api_version}"))
        }
    }

    fn convert<'o>(&self, object: &'o Value, from: &str, to: &str) -> Option<Cow<'o, Value>> {
        if from == to {
            return Some(Cow::Borrowed(object));
        }
        if self.row.converted().is_some() {
            // Its own row is among all versions.
            let to = self.others().iter().find(|row| is_version(row, to))?;
            return self.forms.get(to, object).map(Cow::Owned);
        }
        let (from, to) = (self.row(from)?, self.row(to)?);
        let mut object = object.clone();
        if let Some(shape) = from.shape {
            shape.store(&mut object);
        }
        match to.shape {
            Some(shape) => shape.serve(&mut object),
            None => object["apiVersion"] = to.gvk().api_version().into(),
        }
        Some(Cow::Owned(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_an_event_are_versions_of_it() {
        let registry = Registry::built_in();
        let forms = Forms::default();
        let versions = Served::new(&registry, registry.get("", "v1", "events").unwrap(), &forms);
        let event = json!({"apiVersion": "v1", "kind": "Event", "message": "m"});
        let new = versions.convert(&event, "v1", "events.k8s.io/v1").unwrap();
        assert_eq!((&new["apiVersion"], &new["note"]), (&json!("events.k8s.io/v1"), &json!("m")));
        assert_eq!(*versions.convert(&new, "events.k8s.io/v1", "v1").unwrap(), event);
        assert!(versions.place("events.k8s.io/v1").is_some());
        assert!(versions.place("v2").is_none() && versions.place("apps/v1").is_none());
    }
}
