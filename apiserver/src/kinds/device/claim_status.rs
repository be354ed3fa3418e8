//! The status of a ResourceClaim: which devices it was given, who uses them, and what their drivers say of them.

use std::collections::BTreeSet;

use api::Object;
use api::field::{FieldError, Path};
use serde_json::{Value, json};

use super::super::conditions;
use super::super::csi::driver_name;
use super::super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, flag, list, text};
use super::super::edit::{get_mut, remove};
use super::super::equality::{same, same_complete};
use super::super::pod_template::affinity::node_selector;
use super::claim::{Requests, admin_access};
use super::{MAX_ITEMS, configuration, duplicates, label, pool_name, raw, within};
use crate::strategy::Demand;

const MAX_USERS: usize = 256;
const MAX_CONDITIONS: usize = 8;
const MAX_ADDRESSES: usize = 16;
const MAX_INTERFACE_NAME: usize = 256;
const MAX_HARDWARE_ADDRESS: usize = 128;

fn results(claim: &Object) -> &[Value] {
    claim.pointer("/status/allocation/devices").map_or(&[], |devices| list(devices, "results"))
}

/// The first device that is given with more rights than others, where none was so before.
pub(super) fn admin_result(new: &Object, old: &Object) -> Option<Demand> {
    let first = |claim| results(claim).iter().position(|result| flag(result, "adminAccess") == Some(true));
    if first(old).is_some() {
        return None;
    }
    let at = Path::new("status").child("allocation").child("devices").child("results").index(first(new)?);
    Some(admin_access(at.child("adminAccess")))
}

type DeviceId<'v> = [&'v str; 3];

/// Shares of a device are not known in v1.35 without a gate: its name is all.
fn id(device: &Value) -> DeviceId<'_> {
    ["driver", "pool", "device"].map(|part| text(device, part))
}

/// What a driver said of a device that the claim does not have any more.
pub(super) fn forget_deallocated(new: &mut Object, old: &Object) {
    let kept: BTreeSet<_> = results(new).iter().map(|result| id(result).map(str::to_owned)).collect();
    let gone = |device: &Value| {
        let own = id(device);
        results(old).iter().any(|result| id(result) == own) && !kept.contains(&own.map(str::to_owned))
    };
    let Some(status) = get_mut(new, "status") else { return };
    let Some(devices) = get_mut(status, "devices").and_then(Value::as_array_mut) else { return };
    devices.retain(|device| !gone(device));
    if devices.is_empty() {
        remove(status, "devices");
    }
}

pub(super) fn check(new: &Object, old: &Object, names: &Requests) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let status = Cursor::root(new, "status");
    let (users, devices, allocation) =
        (status.child("reservedFor"), status.child("devices"), status.child("allocation"));
    if within(&users, MAX_USERS, &mut errors) {
        for user in users.items() {
            for name in ["resource", "name", "uid"] {
                if user.text(name).is_empty() {
                    errors.required(&user.child(name));
                }
            }
        }
        duplicates(&users, |user| user.text("uid").to_owned(), &mut errors);
    }
    let given: Vec<DeviceId> = results(new).iter().map(id).collect();
    for device in devices.items() {
        self::device(&device, &given, &mut errors);
    }
    same_device_twice(&devices, &mut errors);
    let before = field(old, "status");
    reservations(&users, allocation.is_set(), new, list(before, "reservedFor"), &mut errors);
    let before = field(before, "allocation");
    if !before.is_null() && allocation.is_set() {
        if !same_complete(allocation.value, before) {
            errors.invalid(&allocation, IS_IMMUTABLE);
        }
    } else if allocation.is_set() {
        self::allocation(&allocation, names, &mut errors);
    }
    errors.into_vec()
}

fn reservations(users: &Cursor, allocated: bool, claim: &Object, before: &[Value], errors: &mut Errors) {
    if users.is_empty() {
        return;
    }
    if !allocated {
        errors.forbidden(users, "may not be specified when `allocated` is not set");
    } else if !claim["metadata"]["deletionTimestamp"].is_null()
        && users.items().any(|user| !before.iter().any(|old| same(old, user.value)))
    {
        let detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.forbidden(users, detail);
    }
}

/// How upstream's messages show a device: its parts are none of their business.
fn shown() -> Value {
    json!({"Driver": {}, "Pool": {}, "Device": {}, "ShareID": {}})
}

fn same_device_twice(devices: &Cursor, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for device in devices.items() {
        if !seen.insert(id(device.value)) {
            errors.duplicate_as(&device, shown());
        }
    }
}

fn device(at: &Cursor, given: &[DeviceId], errors: &mut Errors) {
    driver_name(&at.child("driver"), errors);
    pool_name(&at.child("pool"), errors);
    label(&at.child("device"), errors);
    if !given.contains(&id(at.value)) {
        errors.invalid_as(at, shown(), "must be an allocated device in the claim");
    }
    let conditions = at.child("conditions");
    let _ = within(&conditions, MAX_CONDITIONS, errors);
    conditions::validate(&conditions, errors);
    let data = at.child("data");
    if data.is_set() {
        raw(&data, false, errors);
    }
    let network = at.child("networkData");
    for (name, max) in [("interfaceName", MAX_INTERFACE_NAME), ("hardwareAddress", MAX_HARDWARE_ADDRESS)] {
        if network.child(name).len() > max {
            errors.too_long(&network.child(name), max);
        }
    }
    let addresses = network.child("ips");
    if within(&addresses, MAX_ADDRESSES, errors) {
        addresses.items().for_each(|address| interface_address(&address, errors));
        duplicates(&addresses, |address| address.str().to_owned(), errors);
    }
}

/// An address with the length of its network's prefix, as text the way it is always written.
fn interface_address(at: &Cursor, errors: &mut Errors) {
    match super::super::addresses::interface(at.str()) {
        None => {
            errors.invalid_text(at, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
        }
        Some(canonical) if canonical != at.str() => {
            errors.invalid_text(at, format!("must be in canonical form ({canonical:?})"));
        }
        Some(_) => {}
    }
}

fn allocation(at: &Cursor, names: &Requests, errors: &mut Errors) {
    let devices = at.child("devices");
    let (results, configurations) = (devices.child("results"), devices.child("config"));
    if within(&results, MAX_ITEMS, errors) {
        for result in results.items() {
            names.check(&result.child("request"), errors);
            driver_name(&result.child("driver"), errors);
            pool_name(&result.child("pool"), errors);
            label(&result.child("device"), errors);
        }
    }
    // Those of the classes and those of the claim.
    if within(&configurations, 2 * MAX_ITEMS, errors) {
        for one in configurations.items() {
            errors.one_of(&one.child("source"), &["FromClaim", "FromClass"]);
            names.check_all(&one.child("requests"), errors);
            configuration(&one, false, errors);
        }
    }
    let selector = at.child("nodeSelector");
    if selector.is_set() {
        node_selector(&selector, errors);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::edit::set;
    use super::super::claim::Claim;
    use super::*;
    use crate::strategy::Strategy;

    fn claim(status: Value) -> Object {
        json!({"spec": {"devices": {"requests": [{"name": "r"}]}}, "status": status})
    }

    fn given(request: &str) -> Value {
        json!({"devices": {"results": [{"request": request, "driver": "d", "pool": "p", "device": "a"}]}})
    }

    fn said(new: &Object, old: &Object) -> Vec<String> {
        let errors = Claim.validate_subresource("status", new, old);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_status_says_what_was_given_and_to_whom() {
        let user = json!({"resource": "pods", "name": "a", "uid": "1"});
        let device = json!({"driver": "d", "pool": "p", "device": "a"});
        let other = json!({"driver": "d", "pool": "p", "device": "b"});
        let table = [
            (json!({"allocation": given("r"), "reservedFor": [user], "devices": [device]}), vec![]),
            (
                json!({"allocation": given("x")}),
                vec![
                    "status.allocation.devices.results[0].request: Invalid value: \"x\": must be the name of a request in the \
                     claim or the name of a request and a subrequest separated by '/'",
                ],
            ),
            (
                json!({"reservedFor": [user, user, {}]}),
                vec![
                    "status.reservedFor[2].resource: Required value",
                    "status.reservedFor[2].name: Required value",
                    "status.reservedFor[2].uid: Required value",
                    "status.reservedFor[1]: Duplicate value: \"1\"",
                    "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
                ],
            ),
            (
                json!({"allocation": given("r"), "devices": [other]}),
                vec![
                    "status.devices[0]: Invalid value: {\"Device\":{},\"Driver\":{},\"Pool\":{},\"ShareID\":{}}: must be an \
                     allocated device in the claim",
                ],
            ),
            (
                json!({"allocation": {"devices": {"config": [{"source": "Else", "opaque": {"driver": "d", "parameters": {}}}]}}}),
                vec![
                    "status.allocation.devices.config[0].source: Unsupported value: \"Else\": supported values: \"FromClaim\", \
                     \"FromClass\"",
                ],
            ),
        ];
        for (status, expected) in table {
            assert_eq!(said(&claim(status), &claim(json!({}))), expected);
        }
    }

    #[test]
    fn what_was_given_stays_until_it_is_given_back() {
        let (one, two) = (claim(json!({"allocation": given("r")})), claim(json!({"allocation": given("x")})));
        assert!(said(&two, &one)[0].ends_with("field is immutable"));
        let user = json!({"resource": "pods", "name": "a", "uid": "1"});
        let mut ending = claim(json!({"allocation": given("r"), "reservedFor": [user]}));
        set(&mut ending, "metadata", json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
        assert!(said(&ending, &one)[0].contains("new entries may not be added"));
        assert_eq!(said(&ending, &ending), [""; 0]);
        let mut back = claim(json!({"devices": [{"driver": "d", "pool": "p", "device": "a"}]}));
        Claim.prepare_for_subresource("status", &mut back, &one);
        assert_eq!(back["status"], json!({}));
    }

    #[test]
    fn the_namespace_is_asked_for_the_first_admin_access() {
        let mut allocation = given("r");
        allocation["devices"]["results"][0]["adminAccess"] = true.into();
        let (admin, plain) = (claim(json!({"allocation": allocation})), claim(json!({})));
        let place = |demand: Option<Demand>| demand.map(|demand| demand.at.to_string());
        let expected = "status.allocation.devices.results[0].adminAccess";
        assert_eq!(place(Claim.demand("status", &admin, Some(&plain))).as_deref(), Some(expected));
        assert_eq!(place(Claim.demand("status", &admin, Some(&admin))), None);
    }
}
