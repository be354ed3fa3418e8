use super::*;

fn volume(spec: Value) -> Value {
    let mut volume = json!({"metadata": {"name": "v"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"},
    }});
    for (name, value) in spec.as_object().cloned().unwrap_or_default() {
        volume["spec"][name] = value;
    }
    PersistentVolume.defaults(&mut volume, None);
    volume
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(|error| error.to_string().lines().next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_volume_is_filled_in() {
    let volume = volume(json!({"iscsi": {"targetPortal": "p", "iqn": "iqn.2026-01.com.example:a"}}));
    let spec = &volume["spec"];
    assert_eq!(spec["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(spec["volumeMode"], "Filesystem");
    assert_eq!((&spec["hostPath"]["type"], &spec["iscsi"]["iscsiInterface"]), (&json!(""), &json!("default")));
}

#[test]
fn volumes_are_checked() {
    let no_host = |source: Value| {
        let mut spec = json!({"hostPath": null});
        for (name, value) in source.as_object().cloned().unwrap_or_default() {
            spec[name] = value;
        }
        spec
    };
    let table = [
        ("plain", json!({}), vec![]),
        ("nowhere", json!({"hostPath": null}), vec!["spec: Required value: must specify a volume type"]),
        (
            "twice",
            json!({"cephfs": {"monitors": ["m"]}}),
            vec!["spec.cephFS: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "more than storage",
            json!({"capacity": {"cpu": "1"}}),
            vec!["spec.capacity: Unsupported value: {\"cpu\":\"1\"}: supported values: \"storage\""],
        ),
        (
            "nothing",
            json!({"capacity": {"storage": "0"}}),
            vec!["spec.capacity[storage]: Invalid value: \"0\": must be greater than zero"],
        ),
        (
            "the whole host",
            json!({"hostPath": {"path": "/x/.."}, "persistentVolumeReclaimPolicy": "Recycle"}),
            vec![
                "spec.hostPath.path: Invalid value: \"/x/..\": must not contain '..'",
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ],
        ),
        (
            "local, but where",
            no_host(json!({"local": {"path": "/x"}})),
            vec!["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        (
            "a driver's",
            no_host(json!({"csi": {"driver": "d", "nodeExpandSecretRef": {"name": "s"}}})),
            vec!["spec.csi.volumeHandle: Required value", "spec.csi.nodeExpandSecretRef.namespace: Required value"],
        ),
        (
            "a disk elsewhere",
            no_host(json!({"gcePersistentDisk": {"partition": 256}})),
            vec![
                "spec.persistentDisk.pdName: Required value",
                "spec.persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive",
            ],
        ),
        (
            "attributes",
            json!({"volumeAttributesClassName": ""}),
            vec![
                "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ],
        ),
    ];
    for (name, spec, expected) in table {
        assert_eq!(texts(&PersistentVolume.validate(&volume(spec))), expected, "{name}");
    }
}

#[test]
fn a_volume_stays_where_it_is() {
    let on = |key: &str| {
        let terms = json!([{"matchExpressions": [{"key": key, "operator": "Exists"}]}]);
        json!({"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}})
    };
    let (old_zone, new_zone) = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    let fixed = "nodeAffinity: Invalid value: ";
    let moved = "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation";
    let table = [
        ("another path", json!({}), json!({"hostPath": {"path": "/other"}}), moved),
        ("a place", json!({}), on("zone"), ""),
        ("another place", on("zone"), on("rack"), fixed),
        ("a newer name of it", on(old_zone), on(new_zone), ""),
        ("an older name of it", on(new_zone), on(old_zone), fixed),
        ("another claim", json!({}), json!({"claimRef": {"name": "c"}}), ""),
    ];
    for (name, before, after, expected) in table {
        let errors = texts(&PersistentVolume.validate_update(&volume(after), &volume(before)));
        let right = if expected.is_empty() { errors.is_empty() } else { errors[0].starts_with(expected) };
        assert!(right && errors.len() < 2, "{name}: {errors:?}");
    }
}

#[test]
fn the_time_of_the_last_phase_is_kept() {
    let status = |phase: &str, time: Value| json!({"status": {"phase": phase, CHANGED_AT: time}});
    let none = Value::Null;
    let table = [
        ("the same phase", status("Bound", json!("t1")), status("Bound", none.clone()), json!("t1")),
        ("another one", status("Bound", json!("t1")), status("Released", json!("t1")), json!("now")),
        ("without a time", status("Bound", json!("t1")), status("Released", none), json!("now")),
        ("with a time", status("Bound", json!("t1")), status("Released", json!("t2")), json!("t2")),
        ("a time alone", status("Bound", json!("t1")), status("Bound", json!("t2")), json!("t2")),
    ];
    for (name, old, mut new, expected) in table {
        PersistentVolume.stamp(&mut new, Some(&old), "now");
        assert_eq!(new["status"][CHANGED_AT], expected, "{name}");
    }
}
