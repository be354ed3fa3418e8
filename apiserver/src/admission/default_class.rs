//! DefaultStorageClass and DefaultIngressClass: who names no class gets the one that is marked as the default. Of several, the
//! newest one.

use std::cmp::Reverse;

use api::Object;
use api::meta::Meta;
use serde_json::Value;

use super::{Admission, Attributes, Operation, Verdict};

/// A kind whose objects have a class.
#[derive(Debug)]
pub struct DefaultClass {
    name: &'static str,
    /// Group and plural of the objects, and of the classes.
    objects: (&'static str, &'static str),
    classes: (&'static str, &'static str),
    /// In the spec of the objects.
    field: &'static str,
    /// Of the objects, from before there was the field.
    annotation: &'static str,
    /// Annotations of classes that are `true` on the default one.
    marks: &'static [&'static str],
}

pub const STORAGE: DefaultClass = DefaultClass {
    name: "DefaultStorageClass",
    objects: ("", "persistentvolumeclaims"),
    classes: ("storage.k8s.io", "storageclasses"),
    field: "storageClassName",
    annotation: "volume.beta.kubernetes.io/storage-class",
    marks: &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"],
};

pub const INGRESS: DefaultClass = DefaultClass {
    name: "DefaultIngressClass",
    objects: ("networking.k8s.io", "ingresses"),
    classes: ("networking.k8s.io", "ingressclasses"),
    field: "ingressClassName",
    annotation: "kubernetes.io/ingress.class",
    marks: &["ingressclass.kubernetes.io/is-default-class"],
};

impl Admission for DefaultClass {
    fn name(&self) -> &'static str {
        self.name
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, object: &'a mut Object) -> Verdict<'a> {
        Box::pin(async move {
            let concerns = cx.operation == Operation::Create && cx.is(self.objects.0, self.objects.1, "");
            if !concerns || self.is_classed(object) {
                return Ok(());
            }
            let classes = cx.reader.list(self.classes.0, self.classes.1, "").await?;
            if let Some(class) = self.default(&classes)
                && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
            {
                spec.insert(self.field.to_owned(), class.into());
            }
            Ok(())
        })
    }
}

impl DefaultClass {
    /// An empty name is the wish for no class.
    fn is_classed(&self, object: &Object) -> bool {
        object.annotation(self.annotation).is_some() || !object["spec"][self.field].is_null()
    }

    fn default<'c>(&self, classes: &'c [Object]) -> Option<&'c str> {
        let marked = |class: &&Object| self.marks.iter().any(|mark| class.annotation(mark) == Some("true"));
        // Times of one form sort as texts.
        let age = |class: &&Object| Reverse(class["metadata"]["creationTimestamp"].as_str().map(str::to_owned));
        classes.iter().filter(marked).min_by_key(|class| (age(class), class.name().to_owned())).map(Meta::name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_default_is_taken() {
        let class = |name: &str, mark: &str, time: &str| json!({"metadata": {"name": name, "creationTimestamp": time, "annotations": {mark: "true"}}});
        let (mark, old_mark) = (STORAGE.marks[0], STORAGE.marks[1]);
        let table = [
            (vec![], None),
            (vec![class("a", "other", "2026-01-01T00:00:00Z")], None),
            (vec![class("a", mark, "2026-01-01T00:00:00Z"), class("b", old_mark, "2026-01-02T00:00:00Z")], Some("b")),
            (vec![class("b", mark, "2026-01-01T00:00:00Z"), class("a", mark, "2026-01-01T00:00:00Z")], Some("a")),
        ];
        for (classes, expected) in table {
            assert_eq!(STORAGE.default(&classes), expected, "{classes:?}");
        }
    }

    #[test]
    fn who_names_a_class_has_one() {
        let table = [
            (json!({"spec": {}}), false),
            (json!({"spec": {"storageClassName": ""}}), true),
            (json!({"metadata": {"annotations": {STORAGE.annotation: "a"}}, "spec": {}}), true),
        ];
        for (claim, expected) in table {
            assert_eq!(STORAGE.is_classed(&claim), expected, "{claim}");
        }
    }
}
