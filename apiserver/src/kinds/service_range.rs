//! IPAddress and ServiceCIDR: which addresses Services may have, and which are taken.

use api::Object;
use api::field::FieldError;
use api::names;

use super::addresses;
use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, list};
use super::edit::keep_metadata;
use super::equality::same_field;
use crate::strategy::Strategy;

const TWO_FAMILIES: &str = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";

#[derive(Debug)]
pub struct Address;

#[derive(Debug)]
pub struct Range;

impl Strategy for Address {
    fn generates_names(&self) -> bool {
        false
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let parent = spec.child("parentRef");
        if !parent.is_set() {
            errors.required(&parent);
            return errors.into_vec();
        }
        let group = parent.child("group");
        if !group.str().is_empty() {
            errors.messages(&group, names::dns1123_subdomain(group.str()));
        }
        for name in ["resource", "name"] {
            let part = parent.child(name);
            if part.str().is_empty() {
                errors.required(&part);
            } else {
                errors.messages(&part, names::path_segment(part.str()));
            }
        }
        let namespace = parent.child("namespace");
        errors.messages(&namespace, names::path_segment(namespace.str()));
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        if !same_field(spec.value, field(old, "spec"), "parentRef") {
            errors.invalid(&spec.child("parentRef"), IS_IMMUTABLE);
        }
        errors.into_vec()
    }
}

impl Strategy for Range {
    fn prepare_for_subresource(&self, _subresource: &str, new: &mut Object, old: &Object) {
        keep_metadata(new, old);
    }

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        ranges(new, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (at, before) = (spec.child("cidrs"), list(field(old, "spec"), "cidrs"));
        let second = before.len() == 1 && at.len() == 2;
        if before.len() != at.len() && !second {
            errors.invalid(&at, IS_IMMUTABLE);
            return errors.into_vec();
        }
        for (range, before) in at.items().zip(before) {
            if range.value != before {
                errors.invalid(&range, IS_IMMUTABLE);
            }
        }
        if second {
            ranges(new, &mut errors);
        }
        errors.into_vec()
    }
}

fn ranges(new: &Object, errors: &mut Errors) {
    let spec = Cursor::root(new, "spec");
    let at = spec.child("cidrs");
    match at.len() {
        0 => errors.required_because(&at, "at least one CIDR required"),
        1 | 2 => {
            for range in at.items() {
                addresses::canonical_range(&range, errors);
            }
            // What is no range is of no family.
            let family = |range: Cursor| addresses::is_range(range.str()).then(|| range.str().contains(':'));
            let families: Vec<Option<bool>> = at.items().map(family).collect();
            if matches!(families[..], [Some(first), Some(second)] if first == second) {
                errors.invalid(&at, TWO_FAMILIES);
            }
        }
        _ => errors.invalid(&at, "may only hold up to 2 values"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_are_of_different_families_and_stay() {
        let range = |cidrs: &[&str]| json!({"spec": {"cidrs": cidrs}});
        let words = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let table = [
            (range(&["10.0.0.0/24"]), ""),
            (
                range(&["10.0.0.1/24"]),
                "spec.cidrs[0]: Invalid value: \"10.0.0.1/24\": must not have bits set beyond the prefix length",
            ),
            (
                range(&["10.0.0.0/024"]),
                "spec.cidrs[0]: Invalid value: \"10.0.0.0/024\": must not have leading 0s in IP or prefix length",
            ),
            (
                range(&["2001:DB8::/64"]),
                "spec.cidrs[0]: Invalid value: \"2001:DB8::/64\": must be in canonical form (\"2001:db8::/64\")",
            ),
            (range(&["0.0.0.0/0", "::/0"]), ""),
            (range(&["10.0.0.0/24", "2001:db8::/64"]), ""),
            (range(&[]), "spec.cidrs: Required value: at least one CIDR required"),
        ];
        for (object, expected) in table {
            assert_eq!(words(Range.validate_create(&object)), expected, "{object}");
        }
        assert!(words(Range.validate_create(&range(&["10.0.0.0/24", "10.1.0.0/24"]))).ends_with(TWO_FAMILIES));
        let (one, two) = (range(&["10.0.0.0/24"]), range(&["10.0.0.0/24", "2001:db8::/64"]));
        assert_eq!(words(Range.validate_update(&two, &one)), "");
        assert!(words(Range.validate_update(&one, &two)).ends_with("field is immutable"));
    }

    #[test]
    fn a_status_changes_no_metadata() {
        let old = json!({"metadata": {"labels": {"a": "1"}, "uid": "u"}});
        let mut new = json!({"metadata": {"annotations": {"a": "1"}, "uid": "u"}, "status": {}});
        Range.prepare_for_subresource("status", &mut new, &old);
        assert_eq!(new, json!({"metadata": {"labels": {"a": "1"}, "uid": "u"}, "status": {}}));
    }

    #[test]
    fn an_address_belongs_to_somebody() {
        let errors = Address.validate(&json!({"spec": {"parentRef": {"resource": "services"}}}));
        assert_eq!(errors[0].to_string(), "spec.parentRef.name: Required value");
        assert_eq!(Address.validate(&json!({"spec": {}}))[0].to_string(), "spec.parentRef: Required value");
    }
}
