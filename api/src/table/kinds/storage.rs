//! Volumes and their classes.

use serde_json::Value;

use super::cluster::is_default_class;
use super::{at, count, each, joined, list, scalar, text, text_or};
use crate::Object;
use crate::meta::Meta;
use crate::quantity::Quantity;
use crate::table::Column;

const VOLUME_MODE: Column =
    Column::text("VolumeMode", |volume, _| text_or(volume, "/spec/volumeMode", "<unset>")).wide();
const STORAGE_CLASS_NAME: Column = Column::text("StorageClass", |volume, _| {
    let annotated = volume.annotation("volume.beta.kubernetes.io/storage-class");
    annotated.unwrap_or(text(volume, "/spec/storageClassName")).into()
});
const ATTRIBUTES_CLASS: Column =
    Column::text("VolumeAttributesClass", |volume, _| text_or(volume, "/spec/volumeAttributesClassName", "<unset>"));
const PHASE: Column = Column::text("Status", |volume, _| match volume.deletion_timestamp() {
    Some(_) => "Terminating".into(),
    None => text(volume, "/status/phase").into(),
});

pub(super) static PERSISTENT_VOLUME: &[Column] = &[
    Column::NAME,
    Column::text("Capacity", |volume, _| quantity(at(volume, "/spec/capacity/storage"))),
    Column::text("Access Modes", |volume, _| access_modes(list(volume, "/spec/accessModes"))),
    Column::text("Reclaim Policy", |volume, _| text(volume, "/spec/persistentVolumeReclaimPolicy").into()),
    PHASE,
    Column::text("Claim", |volume, _| match at(volume, "/spec/claimRef") {
        Value::Null => "".into(),
        claim => format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")).into(),
    }),
    STORAGE_CLASS_NAME,
    ATTRIBUTES_CLASS,
    Column::text("Reason", |volume, _| text(volume, "/status/reason").into()),
    Column::AGE,
    VOLUME_MODE,
];

pub(super) static PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    Column::NAME,
    PHASE,
    Column::text("Volume", |claim, _| text(claim, "/spec/volumeName").into()),
    Column::text("Capacity", |claim, _| match text(claim, "/spec/volumeName") {
        "" => "".into(),
        _ => quantity(at(claim, "/status/capacity/storage")),
    }),
    Column::text("Access Modes", |claim, _| match text(claim, "/spec/volumeName") {
        "" => "".into(),
        _ => access_modes(list(claim, "/status/accessModes")),
    }),
    STORAGE_CLASS_NAME,
    ATTRIBUTES_CLASS,
    Column::AGE,
    VOLUME_MODE,
];

fn quantity(value: &Value) -> Value {
    Quantity::from_json(value).map_or_else(|_| scalar(value), |quantity| quantity.to_string()).into()
}

/// Each mode once, in upstream's order.
fn access_modes(modes: &[Value]) -> Value {
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let shown = known.iter().filter(|(mode, _)| modes.iter().any(|given| given == mode)).map(|(_, short)| *short);
    joined(shown, ",").into()
}

pub(super) static STORAGE_CLASS: &[Column] = &[
    Column {
        cell: |class, _| {
            let mark = if is_default_class(class) { " (default)" } else { "" };
            format!("{}{mark}", class.name()).into()
        },
        ..Column::NAME
    },
    Column::text("Provisioner", |class, _| text(class, "/provisioner").into()),
    Column::text("ReclaimPolicy", |class, _| text_or(class, "/reclaimPolicy", "Delete")),
    Column::text("VolumeBindingMode", |class, _| text_or(class, "/volumeBindingMode", "Immediate")),
    Column::text("AllowVolumeExpansion", |class, _| flag(class, "/allowVolumeExpansion", false)),
    Column::AGE,
];

fn flag(object: &Object, pointer: &str, absent: bool) -> Value {
    at(object, pointer).as_bool().unwrap_or(absent).into()
}

pub(super) static VOLUME_ATTRIBUTES_CLASS: &[Column] =
    &[Column::NAME, Column::text("DriverName", |class, _| text(class, "/driverName").into()), Column::AGE];

pub(super) static VOLUME_ATTACHMENT: &[Column] = &[
    Column::NAME,
    Column { format: "name", ..Column::text("Attacher", |attachment, _| text(attachment, "/spec/attacher").into()) },
    Column::text("PV", |attachment, _| text(attachment, "/spec/source/persistentVolumeName").into()),
    Column::text("Node", |attachment, _| text(attachment, "/spec/nodeName").into()),
    Column::boolean("Attached", |attachment, _| flag(attachment, "/status/attached", false)),
    Column::AGE,
];

pub(super) static CSI_NODE: &[Column] =
    &[Column::NAME, Column::integer("Drivers", |node, _| count(node, "/spec/drivers").into()), Column::AGE];

pub(super) static CSI_DRIVER: &[Column] = &[
    Column::NAME,
    Column::boolean("AttachRequired", |driver, _| flag(driver, "/spec/attachRequired", true)),
    Column::boolean("PodInfoOnMount", |driver, _| flag(driver, "/spec/podInfoOnMount", false)),
    Column::boolean("StorageCapacity", |driver, _| flag(driver, "/spec/storageCapacity", false)),
    Column::text("TokenRequests", |driver, _| match at(driver, "/spec/tokenRequests") {
        Value::Null => "<unset>".into(),
        _ => joined(each(list(driver, "/spec/tokenRequests"), "audience"), ",").into(),
    }),
    Column::boolean("RequiresRepublish", |driver, _| flag(driver, "/spec/requiresRepublish", false)),
    Column::text("Modes", |driver, _| {
        let modes = joined(list(driver, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str), ",");
        if modes.is_empty() { "<none>".into() } else { modes.into() }
    }),
    Column::AGE,
];
