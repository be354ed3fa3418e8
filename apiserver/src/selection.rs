//! Which objects a list or watch wants: namespace, name, labels and fields.

use api::selector::{FieldSelector, LabelSelector};
use api::status::Status;

use crate::cache::Stored;
use crate::registry::Descriptor;
use crate::request::RequestInfo;

#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Empty means all.
    pub namespace: String,
    /// Empty means all.
    pub name: String,
    labels: LabelSelector,
    fields: Vec<(Field, String, Negated)>,
}

type Negated = bool;

#[derive(Clone, Copy, Debug)]
enum Field {
    Name,
    Namespace,
    /// Index in the descriptor's table.
    Own(usize),
}

/// The selectors of a request, as they are written: what fields a kind has is not known here.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selectors {
    pub fn parse(info: &RequestInfo) -> Result<Self, Status> {
        let labels =
            LabelSelector::parse(&info.label_selector).map_err(|error| Status::bad_request(error.to_string()))?;
        let fields =
            FieldSelector::parse(&info.field_selector).map_err(|error| Status::bad_request(error.to_string()))?;
        Ok(Self { labels, fields })
    }
}

impl Selection {
    pub fn of(row: &Descriptor, info: &RequestInfo, selectors: Selectors) -> Result<Self, Status> {
        let labels = selectors.labels;
        let mut fields = Vec::new();
        for term in selectors.fields.terms {
            let field = find(row, &term.field).map_err(Status::bad_request)?;
            fields.push((field, term.value, term.negated));
        }
        let namespace = if row.info.namespaced { info.namespace.clone() } else { String::new() };
        Ok(Self { namespace, name: info.name.clone(), labels, fields })
    }

    /// `metadata.name=x` and `metadata.namespace=x` narrow what is looked at, and so where a continue token begins.
    pub fn narrowed(mut self) -> Self {
        for (field, value, negated) in &self.fields {
            match field {
                Field::Name if !negated && self.name.is_empty() => self.name = value.clone(),
                Field::Namespace if !negated && self.namespace.is_empty() => self.namespace = value.clone(),
                _ => {}
            }
        }
        self
    }

    pub fn matches(&self, object: &Stored) -> bool {
        (self.namespace.is_empty() || *self.namespace == *object.namespace)
            && (self.name.is_empty() || *self.name == *object.name)
            && self.fields.iter().all(|(field, value, negated)| (self.value(*field, object) == value) != *negated)
            && self.labels.matches(object)
    }

    fn value<'o>(&self, field: Field, object: &'o Stored) -> &'o str {
        match field {
            Field::Name => &object.name,
            Field::Namespace => &object.namespace,
            Field::Own(index) => object.fields.get(index).map(|value| &**value).unwrap_or_default(),
        }
    }

    /// Whether selectors choose among the objects of the scope: only without them can the rest be counted.
    pub fn has_selectors(&self) -> bool {
        !self.labels.is_everything() || !self.fields.is_empty()
    }

    /// Whether it is about one object, whose key is known.
    pub fn is_single(&self, row: &Descriptor) -> bool {
        !self.name.is_empty() && (!row.info.namespaced || !self.namespace.is_empty())
    }

    /// All wanted keys start with this.
    pub fn key_prefix(&self, row: &Descriptor) -> String {
        match (row.info.namespaced, self.namespace.as_str(), self.name.as_str()) {
            (true, "", _) | (false, _, "") => String::new(),
            (true, namespace, name) => format!("{namespace}/{name}"),
            (false, _, name) => name.to_owned(),
        }
    }
}

fn find(row: &Descriptor, field: &str) -> Result<Field, String> {
    let unsupported = || {
        if row.selectable.is_empty() && row.custom.is_none() {
            format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        } else {
            match row.info.kind.as_str() {
                "Job" => format!("field label {field:?} not supported for Job"),
                "ResourceSlice" => {
                    let kind = row.gvk();
                    format!("field label not supported for {kind}: {field}")
                }
                _ => format!("field label not supported: {field}"),
            }
        }
    };
    let stored = match (row.shape, field) {
        // The name of old v1 clients.
        (None, "spec.host") if row.info.kind == "Pod" => "spec.nodeName",
        (None, field) => field,
        (Some(shape), field) => shape.stored_field(field).ok_or_else(unsupported)?,
    };
    match stored {
        "metadata.name" => Ok(Field::Name),
        "metadata.namespace" if row.info.namespaced || (row.selectable.is_empty() && row.custom.is_none()) => {
            Ok(Field::Namespace)
        }
        stored => {
            let index = row.selectable.iter().position(|selectable| selectable.name == stored);
            index.map(Field::Own).ok_or_else(unsupported)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use bytes::Bytes;

    fn parse(row: &Descriptor, namespace: &str, labels: &str, fields: &str) -> Result<Selection, Status> {
        let info = RequestInfo {
            namespace: namespace.into(),
            label_selector: labels.into(),
            field_selector: fields.into(),
            ..RequestInfo::default()
        };
        Selection::of(row, &info, Selectors::parse(&info)?).map(Selection::narrowed)
    }

    #[test]
    fn objects_are_chosen() {
        let registry = Registry::built_in();
        let pods = registry.get("", "v1", "pods").unwrap();
        let json = r#"{"metadata":{"name":"p","namespace":"n","resourceVersion":"1","labels":{"a":"b"}},
            "spec":{"nodeName":"w"},"status":{"phase":"Running"}}"#;
        let pod = Stored::decode(Bytes::from_static(json.as_bytes()), 1, &pods.selectable).unwrap();
        let table = [
            ("", "", "", true),
            ("n", "a=b", "spec.nodeName=w", true),
            ("x", "", "", false),
            ("", "a!=b", "", false),
            ("", "", "spec.host=w,status.phase!=Failed", true),
            ("", "", "status.phase=Failed", false),
            ("", "", "metadata.name=p,metadata.namespace=n", true),
            ("", "", "metadata.name=q", false),
            ("", "", "spec.hostNetwork=false", true),
        ];
        for (namespace, labels, fields, expected) in table {
            let selection = parse(pods, namespace, labels, fields).unwrap();
            assert_eq!(selection.matches(&pod), expected, "{namespace} {labels} {fields}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        let registry = Registry::built_in();
        let table = [
            ("", "pods", "spec.x=y", "field label not supported: spec.x"),
            (
                "",
                "configmaps",
                "data=y",
                "\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
            ),
            ("events.k8s.io", "events", "involvedObject.name=y", "field label not supported: involvedObject.name"),
        ];
        for (group, plural, fields, message) in table {
            let row = registry.find(group, plural).unwrap();
            assert_eq!(parse(row, "", "", fields).unwrap_err().message, message);
        }
    }
}
