use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use sha2::Digest as _;

use super::*;

/// One tar entry: path, type, content or link target, mode.
type Entry<'a> = (&'a str, tar::EntryType, &'a str, u32);

const FILE: tar::EntryType = tar::EntryType::Regular;
const DIR: tar::EntryType = tar::EntryType::Directory;
const SYMLINK: tar::EntryType = tar::EntryType::Symlink;

fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content, mode) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(0);
        // Not set_path: hostile paths must get through.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if *kind == FILE {
            header.set_size(content.len() as u64);
        } else if !content.is_empty() {
            header.set_link_name(content).unwrap();
        }
        header.set_cksum();
        let data = if *kind == FILE { content.as_bytes() } else { &[] };
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A `docker save` archive of one image.
fn docker_archive(tag: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["/bin/sh"], "Cmd": null, "Env": ["A=1"]},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let names: Vec<String> = (0..layers.len()).map(|at| format!("{at}/layer.tar")).collect();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [tag], "Layers": names}]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    for (name, layer) in names.iter().zip(layers) {
        add(name, layer);
    }
    add("config.json", config.to_string().as_bytes());
    add("manifest.json", manifest.to_string().as_bytes());
    builder.into_inner().unwrap()
}

/// Unpacking sets owners and makes device nodes.
fn needs_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        tracing::warn!("skipped: unpacking layers needs root");
    }
    !root
}

#[test]
fn an_archive_becomes_an_image_that_survives_reopening() {
    if needs_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let base = tar_of(&[
        ("usr/", DIR, "", 0o711),
        ("usr/old", FILE, "old", 0o644),
        ("usr/keep", FILE, "keep", 0o4755),
        ("etc/", DIR, "", 0o755),
        ("etc/gone", FILE, "", 0o644),
    ]);
    let top = tar_of(&[
        ("usr/new", FILE, "new", 0o600),
        ("usr/.wh.old", FILE, "", 0o644),
        ("etc/.wh..wh..opq", FILE, "", 0o644),
        ("lib", SYMLINK, "usr", 0o777),
        ("lib/through", FILE, "link", 0o644),
    ]);
    let archive = docker_archive("demo:v1", &[base, top]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&archive).unwrap();
    let compressed = encoder.finish().unwrap();

    let store = ImageStore::open(dir.path()).unwrap();
    let mut changes = store.subscribe();
    let loaded = store.load(compressed.as_slice()).unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_eq!(loaded[0].references, ["docker.io/library/demo:v1"]);
    assert_eq!(loaded[0].config.entrypoint, ["/bin/sh"]);
    drop(store);

    let store = ImageStore::open(dir.path()).unwrap();
    let image = store.resolve("demo:v1").unwrap();
    assert_eq!(image, loaded[0]);
    assert_eq!(store.resolve(&image.id).unwrap(), image);
    let layers = store.layers(&image.id).unwrap();
    let [top, base] = layers.as_slice() else { panic!("two layers, got {layers:?}") };
    assert_eq!(std::fs::metadata(base.join("usr/keep")).unwrap().mode() & 0o7777, 0o4755);
    assert!(std::fs::symlink_metadata(top.join("usr/old")).unwrap().file_type().is_char_device());
    assert_eq!(std::fs::metadata(top.join("usr")).unwrap().mode() & 0o7777, 0o711, "implied directories look as below");
    assert_eq!(
        std::fs::read_to_string(top.join("usr/through")).unwrap(),
        "link",
        "a symlinked parent is followed inside"
    );
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(top.join("etc"), "trusted.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..length], b"y");

    // Removing what a container uses is refused; then everything goes.
    let in_use = BTreeSet::from([image.id.clone()]);
    assert!(matches!(store.remove("demo:v1", &in_use), Err(ImageError::InUse(_))));
    store.remove("demo:v1", &BTreeSet::new()).unwrap();
    assert!(store.list().is_empty());
    for folder in ["blobs/sha256", "snapshots", "tmp"] {
        assert_eq!(std::fs::read_dir(dir.path().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn hostile_and_broken_archives_change_nothing() {
    if needs_root() {
        return;
    }
    let good = tar_of(&[("a", FILE, "a", 0o644)]);
    let escape = |entries: &[Entry<'_>]| docker_archive("x:1", &[tar_of(entries)]);
    let mut wrong_layer = docker_archive("x:1", std::slice::from_ref(&good));
    let at = wrong_layer.windows(512).position(|window| window.starts_with(b"a\0")).unwrap() + 512;
    wrong_layer[at] = b'b';
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no tar", b"hello".to_vec(), "read the archive"),
        ("empty tar", tar_of(&[]), "neither index.json"),
        ("parent path", escape(&[("../evil", FILE, "x", 0o644)]), ".."),
        ("changed layer", wrong_layer, "digest is"),
        ("truncated", docker_archive("x:1", std::slice::from_ref(&good))[..700].to_vec(), "read the archive"),
        ("bad tag", docker_archive("X Y", &[good]), "image reference"),
    ];
    for (name, archive, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        let error = store.load(archive.as_slice()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(store.list().is_empty(), "{name}");
    }
}

#[test]
fn symlinks_of_a_layer_cannot_lead_out_of_it() {
    if needs_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let link = outside.path().to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let layer = tar_of(&[("out", SYMLINK, link, 0o777), ("out/evil", FILE, "x", 0o644)]);
    // Inside the root the link's target does not exist, so the entry fails; it must not appear outside.
    assert!(store.load(docker_archive("x:1", &[layer]).as_slice()).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn an_executable_becomes_an_image_once() {
    if needs_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let executable = dir.path().join("program");
    std::fs::write(&executable, vec![7; 1000]).unwrap();
    let store = ImageStore::open(&dir.path().join("images")).unwrap();
    let config = ImageConfig { entrypoint: vec!["/demo".into()], ..ImageConfig::default() };
    let image = store.provide("setpoint/demo:v1", &executable, "demo", config.clone()).unwrap();
    let layer = &store.layers(&image.id).unwrap()[0];
    assert_eq!(std::fs::read(layer.join("demo")).unwrap(), vec![7; 1000]);
    assert_eq!(store.provide("setpoint/demo:v1", &executable, "demo", config.clone()).unwrap(), image);

    std::fs::write(&executable, vec![8; 1001]).unwrap();
    let newer = store.provide("setpoint/demo:v1", &executable, "demo", config).unwrap();
    assert_ne!(newer.id, image.id);
    assert_eq!(store.resolve("setpoint/demo:v1").unwrap().id, newer.id);
    assert!(store.resolve(&image.id).unwrap().references.is_empty());
}
