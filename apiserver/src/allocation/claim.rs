//! Taking what one Service needs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use api::Object;
use api::field::{ErrorKind, FieldError, Path};
use serde_json::{Value, json};

use super::service::{needs_health_port, needs_node_ports};
use super::{Allocator, Item};
use crate::config::Cidr;

/// One object's allocation in progress.
pub(super) struct Claim<'a> {
    pub allocator: &'a Allocator,
    pub taken: &'a mut BTreeSet<Item>,
    /// The object's own from before: free to keep.
    pub before: &'a BTreeSet<Item>,
    pub added: Vec<Item>,
    pub errors: Vec<FieldError>,
}

impl Claim<'_> {
    /// Whether the item is the object's now.
    fn take(&mut self, item: Item) -> bool {
        if self.before.contains(&item) || self.added.contains(&item) {
            return true;
        }
        let free = self.taken.insert(item);
        if free {
            self.added.push(item);
        }
        free
    }

    pub fn address(&mut self, service: &mut Object, start: u64) {
        let spec = &mut service["spec"];
        if spec["type"] == "ExternalName" || spec["clusterIP"] == "None" {
            return;
        }
        let path = Path::new("spec").child("clusterIPs");
        let asked = spec["clusterIP"].as_str().or(spec["clusterIPs"][0].as_str()).unwrap_or_default().to_owned();
        let (first, last) = self.allocator.addresses();
        let address = if asked.is_empty() {
            let span = u64::from(last - first) + 1;
            let nth = |offset: u64| Ipv4Addr::from(first + u32::try_from((start + offset) % span).unwrap_or_default());
            let start_free = (0..span).map(nth).find(|address| !self.taken.contains(&Item::Address(*address)));
            let Some(address) = start_free else {
                let detail = "failed to allocate a serviceIP: range is full";
                self.errors.push(internal(&path, detail));
                return;
            };
            address
        } else {
            let value = json!([asked]);
            let Ok(address) = asked.parse::<Ipv4Addr>() else {
                // Validation says what is wrong with it.
                return;
            };
            let had = self.before.iter().any(|item| matches!(item, Item::Address(_)));
            if had && !self.before.contains(&Item::Address(address)) {
                // It may not change: validation says so.
                return;
            }
            if !(first..=last).contains(&u32::from(address)) {
                let Cidr { address: base, prefix } = self.allocator.cidr;
                let detail = format!(
                    "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of \
                     valid IPs is {base}/{prefix}"
                );
                self.errors.push(FieldError::invalid(&path, value, detail));
                return;
            }
            address
        };
        if !self.take(Item::Address(address)) {
            let detail = format!("failed to allocate IP {address}: provided IP is already allocated");
            self.errors.push(FieldError::invalid(&path, json!([asked]), detail));
            return;
        }
        let spec = &mut service["spec"];
        spec["clusterIP"] = address.to_string().into();
        spec["clusterIPs"] = json!([address.to_string()]);
        if spec["ipFamilies"].is_null() {
            spec["ipFamilies"] = json!(["IPv4"]);
        }
        if spec["ipFamilyPolicy"].is_null() {
            spec["ipFamilyPolicy"] = "SingleStack".into();
        }
    }

    pub fn ports(&mut self, service: &mut Object, start: u64) {
        if needs_node_ports(service) {
            let count = service["spec"]["ports"].as_array().map_or(0, Vec::len);
            for index in 0..count {
                let port = &service["spec"]["ports"][index];
                let path = Path::new("spec").child("ports").index(index).child("nodePort");
                let asked = port["nodePort"].as_u64().unwrap_or_default();
                if let Some(port) = self.port(&path, asked, start + index as u64) {
                    service["spec"]["ports"][index]["nodePort"] = port.into();
                }
            }
        }
        if needs_health_port(service) {
            let path = Path::new("spec").child("healthCheckNodePort");
            let asked = service["spec"]["healthCheckNodePort"].as_u64().unwrap_or_default();
            if let Some(port) = self.port(&path, asked, start) {
                service["spec"]["healthCheckNodePort"] = port.into();
            }
        }
    }

    fn port(&mut self, path: &Path, asked: u64, start: u64) -> Option<u16> {
        let range = self.allocator.ports.clone();
        if asked == 0 {
            let span = u64::from(*range.end() - *range.start()) + 1;
            let nth = |offset: u64| *range.start() + u16::try_from((start + offset) % span).unwrap_or_default();
            let free = (0..span).map(nth).find(|port| !self.taken.contains(&Item::Port(*port)));
            if free.is_none() {
                self.errors.push(internal(path, "failed to allocate a nodePort: range is full"));
            }
            return free.filter(|port| self.take(Item::Port(*port)));
        }
        match u16::try_from(asked).ok().filter(|port| range.contains(port)) {
            None => {
                let (low, high) = (range.start(), range.end());
                let detail =
                    format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
                self.errors.push(FieldError::invalid(path, asked, detail));
                None
            }
            Some(port) if self.take(Item::Port(port)) => Some(port),
            Some(port) => {
                self.errors.push(FieldError::invalid(path, port, "provided port is already allocated"));
                None
            }
        }
    }
}

fn internal(path: &Path, detail: &str) -> FieldError {
    FieldError { kind: ErrorKind::Internal, path: path.clone(), value: Value::Null, detail: detail.to_owned() }
}
