//! Amounts by resource name (Go's ResourceList).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::quantity::{Format, Quantity};

pub type ResourceList = BTreeMap<String, Quantity>;

/// What does not parse counts as nothing: validation lets none through.
pub fn from_json(list: &Value) -> ResourceList {
    let entries = list.as_object().into_iter().flatten();
    entries.map(|(name, amount)| (name.clone(), Quantity::from_json(amount).unwrap_or_default())).collect()
}

pub fn to_json(list: &ResourceList) -> Value {
    list.iter()
        .map(|(name, amount)| (name.clone(), Value::String(amount.to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub fn add(to: &mut ResourceList, list: &ResourceList) {
    for (name, amount) in list {
        match to.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => drop(to.insert(name.clone(), amount.clone())),
        }
    }
}

/// Each amount is at least the other one.
pub fn raise(to: &mut ResourceList, list: &ResourceList) {
    for (name, amount) in list {
        if to.get(name).is_none_or(|known| amount > known) {
            to.insert(name.clone(), amount.clone());
        }
    }
}

/// What is more in `new` than in `old`.
pub fn grown(new: &ResourceList, old: &ResourceList) -> ResourceList {
    let mut more = new.clone();
    for (name, amount) in &mut more {
        if let Some(before) = old.get(name) {
            amount.sub(before);
        }
        if amount.is_negative() {
            *amount = Quantity::new(0, Format::DecimalSi);
        }
    }
    more
}

pub fn mask(list: &ResourceList, keep: impl Fn(&str) -> bool) -> ResourceList {
    list.iter().filter(|(name, _)| keep(name)).map(|(name, amount)| (name.clone(), amount.clone())).collect()
}

/// As messages show it.
pub fn show(list: &ResourceList) -> String {
    list.iter().map(|(name, amount)| format!("{name}={amount}")).collect::<Vec<_>>().join(",")
}

pub fn show_names(mut names: Vec<&str>) -> String {
    names.sort_unstable();
    names.join(",")
}
