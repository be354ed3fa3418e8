//! Taking what one Service needs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use api::Object;
use api::field::{ErrorKind, FieldError, Path};
use api::meta::Meta;
use api::names;
use api::status::{Qualified, Status};
use serde_json::{Value, json};
use store::Store;

use super::claims::{self, Owner, Taken};
use super::service::{needs_health_port, needs_node_ports};
use super::{Allocator, Item, Return};
use crate::config::Cidr;

/// Neighbours that are tried one by one before all claims are looked at.
const TRIES: u64 = 8;

/// Of ports that dry runs make up, the one before the first.
const LAST_DUMMY: u16 = 32768;

/// One object's allocation in progress.
pub(super) struct Claim<'a> {
    pub allocator: &'a Allocator,
    pub store: &'a dyn Store,
    pub owner: &'a Owner,
    /// The object's own from before: free to keep.
    pub before: &'a BTreeSet<Item>,
    /// Looks only.
    pub dry_run: bool,
    pub added: &'a mut Vec<Return>,
    pub errors: Vec<FieldError>,
}

#[derive(Debug)]
pub(super) enum Refused {
    Invalid(Vec<FieldError>),
    /// Another write to the same object has it at this moment.
    Busy,
    Store(store::Error),
}

impl From<store::Error> for Refused {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Claim<'_> {
    fn has(&self, item: Item) -> bool {
        self.before.contains(&item) || self.added.iter().any(|added| added.item == item)
    }

    /// Whether the item is the object's now.
    async fn take(&mut self, item: Item) -> Result<Taken, Refused> {
        if self.has(item) {
            return Ok(Taken::Ours);
        }
        let (taken, revision) = claims::take(self.store, item, self.owner, self.dry_run).await?;
        if taken == Taken::Ours {
            self.added.push(Return { item, uid: self.owner.uid.clone(), revision });
        }
        Ok(taken)
    }

    /// The first free one of `span` items from `start` on, in a circle. `None` when there is none.
    async fn take_any(&mut self, start: u64, span: u64, nth: impl Fn(u64) -> Item) -> Result<Option<Item>, Refused> {
        let nth = |offset: u64| nth((start % span + offset) % span);
        let mut offset = 0;
        while offset < span {
            let item = nth(offset);
            if !self.has(item) && self.take(item).await? == Taken::Ours {
                return Ok(Some(item));
            }
            offset += 1;
            if offset.is_multiple_of(TRIES) {
                let (_, claims) = claims::all(self.store).await?;
                let free = (offset..span).find(|offset| !claims.contains_key(&nth(*offset)) && !self.has(nth(*offset)));
                let Some(free) = free else { return Ok(None) };
                offset = free;
            }
        }
        Ok(None)
    }

    pub async fn address(&mut self, service: &mut Object, start: u64) -> Result<(), Refused> {
        let spec = &service["spec"];
        if spec["type"] == "ExternalName" || spec["clusterIP"] == "None" {
            return Ok(());
        }
        let asked = spec["clusterIP"].as_str().or(spec["clusterIPs"][0].as_str()).unwrap_or_default().to_owned();
        if let Some(error) = self.no_owner(service, &asked, start) {
            self.errors.push(error);
            return Ok(());
        }
        let address =
            if asked.is_empty() { self.any_address(start).await? } else { self.asked_address(&asked).await? };
        let Some(address) = address else { return Ok(()) };
        let spec = &mut service["spec"];
        spec["clusterIP"] = address.to_string().into();
        // Other ones than the address are for validation to refuse.
        if spec["clusterIPs"].as_array().is_none_or(Vec::is_empty) {
            spec["clusterIPs"] = json!([address.to_string()]);
        }
        if spec["ipFamilies"].is_null() {
            spec["ipFamilies"] = json!(["IPv4"]);
        }
        if spec["ipFamilyPolicy"].is_null() {
            spec["ipFamilyPolicy"] = "SingleStack".into();
        }
        Ok(())
    }

    /// Upstream's claim is an IPAddress that names the Service. A name that no path can hold is found out there.
    fn no_owner(&self, service: &Object, asked: &str, start: u64) -> Option<FieldError> {
        let at = Path::new("spec").child("parentRef").child("name");
        let errors: Vec<FieldError> = match service.name() {
            "" => vec![FieldError::required(&at, "")],
            name => {
                let messages = names::path_segment(name).into_iter();
                messages.map(|message| FieldError::invalid(&at, name, message)).collect()
            }
        };
        if self.dry_run || errors.is_empty() || self.has_address() {
            return None;
        }
        let (first, last) = self.allocator.addresses();
        let any = Ipv4Addr::from(first + u32::try_from(start % u64::from(last - first + 1)).unwrap_or_default());
        let (address, which) = match asked {
            "" => (any.to_string(), String::new()),
            asked => (asked.to_owned(), format!(" {asked}")),
        };
        let why = Status::invalid(Qualified::new("networking.k8s.io", "IPAddress"), &address, &errors).message;
        let path = Path::new("spec").child("clusterIPs");
        Some(FieldError::invalid(&path, json!([asked]), format!("failed to allocate IP{which}: {why}")))
    }

    fn has_address(&self) -> bool {
        self.before.iter().any(|item| matches!(item, Item::Address(_)))
    }

    async fn any_address(&mut self, start: u64) -> Result<Option<Ipv4Addr>, Refused> {
        if self.dry_run {
            // What the range begins with, which is for nobody: upstream does not look for a free one.
            return Ok(Some(self.allocator.cidr.address));
        }
        let (first, last) = self.allocator.addresses();
        let nth = |offset: u64| Item::Address((first + u32::try_from(offset).unwrap_or_default()).into());
        match self.take_any(start, u64::from(last - first) + 1, nth).await? {
            Some(Item::Address(address)) => Ok(Some(address)),
            _ => {
                let path = Path::new("spec").child("clusterIPs");
                self.errors.push(internal(&path, "failed to allocate a serviceIP: range is full"));
                Ok(None)
            }
        }
    }

    async fn asked_address(&mut self, asked: &str) -> Result<Option<Ipv4Addr>, Refused> {
        let path = Path::new("spec").child("clusterIPs");
        // Validation says what is wrong with it.
        let Ok(address) = asked.parse::<Ipv4Addr>() else { return Ok(None) };
        if self.has_address() && !self.before.contains(&Item::Address(address)) {
            // It may not change: validation says so.
            return Ok(None);
        }
        let (first, last) = self.allocator.addresses();
        if !(first..=last).contains(&u32::from(address)) {
            let Cidr { address: base, prefix } = self.allocator.cidr;
            // A dry run asks a range, everything else first which range the address is in: neither end of one is.
            let why = if self.dry_run {
                format!(
                    "the provided IP ({address}) is not in the valid range. The range of valid IPs is {base}/{prefix}"
                )
            } else {
                "the provided network does not match the current range".to_owned()
            };
            let detail = format!("failed to allocate IP {address}: {why}");
            self.errors.push(FieldError::invalid(&path, json!([asked]), detail));
            return Ok(None);
        }
        if self.dry_run {
            // Whether somebody has it is not looked at (upstream).
            return Ok(Some(address));
        }
        match self.take(Item::Address(address)).await? {
            Taken::Ours => Ok(Some(address)),
            Taken::Busy => Err(Refused::Busy),
            Taken::Others => {
                let detail = format!("failed to allocate IP {address}: provided IP is already allocated");
                self.errors.push(FieldError::invalid(&path, json!([asked]), detail));
                Ok(None)
            }
        }
    }

    pub async fn ports(&mut self, service: &mut Object, start: u64) -> Result<(), Refused> {
        if needs_node_ports(service) {
            let count = service["spec"]["ports"].as_array().map_or(0, Vec::len);
            for index in 0..count {
                let port = &service["spec"]["ports"][index];
                let path = Path::new("spec").child("ports").index(index).child("nodePort");
                let asked = port["nodePort"].as_u64().unwrap_or_default();
                let Some(port) = self.port(&path, asked, start.wrapping_add(index as u64)).await? else {
                    return Ok(());
                };
                service["spec"]["ports"][index]["nodePort"] = port.into();
            }
        }
        if needs_health_port(service) {
            let path = Path::new("spec").child("healthCheckNodePort");
            let asked = service["spec"]["healthCheckNodePort"].as_u64().unwrap_or_default();
            if let Some(port) = self.port(&path, asked, start).await? {
                service["spec"]["healthCheckNodePort"] = port.into();
            }
        }
        Ok(())
    }

    async fn port(&mut self, path: &Path, asked: u64, start: u64) -> Result<Option<u16>, Refused> {
        let (low, high) = (*self.allocator.ports.start(), *self.allocator.ports.end());
        if asked == 0 && self.dry_run {
            return Ok(Some(self.pretended_port()));
        }
        if asked == 0 {
            let nth = |offset: u64| Item::Port(low + u16::try_from(offset).unwrap_or_default());
            return match self.take_any(start, u64::from(high - low) + 1, nth).await? {
                Some(Item::Port(port)) => Ok(Some(port)),
                _ => {
                    self.errors.push(internal(path, "failed to allocate a nodePort: range is full"));
                    Ok(None)
                }
            };
        }
        let Some(port) = u16::try_from(asked).ok().filter(|port| (low..=high).contains(port)) else {
            if self.dry_run {
                // Upstream's dry runs know no range.
                return Ok(None);
            }
            let detail = format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
            self.errors.push(FieldError::invalid(path, asked, detail));
            return Ok(None);
        };
        match self.take(Item::Port(port)).await? {
            Taken::Ours => Ok(Some(port)),
            Taken::Busy => Err(Refused::Busy),
            Taken::Others => {
                self.errors.push(FieldError::invalid(path, port, "provided port is already allocated"));
                Ok(None)
            }
        }
    }

    /// What upstream's dry runs answer: the one after those that the Service takes by the same request, or after all that there are.
    fn pretended_port(&mut self) -> u16 {
        let taken =
            self.added.iter().filter_map(|added| if let Item::Port(port) = added.item { Some(port) } else { None });
        let port = taken.max().unwrap_or(LAST_DUMMY).saturating_add(1);
        self.added.push(Return { item: Item::Port(port), uid: self.owner.uid.clone(), revision: None });
        port
    }
}

fn internal(path: &Path, detail: &str) -> FieldError {
    FieldError { kind: ErrorKind::Internal, path: path.clone(), value: Value::Null, detail: detail.to_owned() }
}
