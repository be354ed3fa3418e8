//! Warnings about files of one volume that lie upon one another.

use serde_json::Value;

use super::super::cursor::{Cursor, field, list, size, text};

/// A file, and which source it is of where a volume has several.
#[derive(Clone, PartialEq, Eq)]
struct File {
    path: String,
    source: String,
}

impl File {
    fn shown(&self) -> String {
        match self.source.as_str() {
            "" => format!("{:?}", self.path),
            source => format!("{:?} ({source})", self.path),
        }
    }
}

pub fn overlaps(volumes: &Cursor, warnings: &mut Vec<String>) {
    for volume in volumes.items() {
        let name = volume.text("name");
        let mut warn = |what: &str, files: Vec<File>| {
            for overlap in overlapping(files) {
                warnings.push(format!("volume {name:?} ({what}): overlapping paths: {overlap}"));
            }
        };
        for (source, kind, of) in
            [("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"), ("downwardAPI", "DownwardAPI", "")]
        {
            let at = field(volume.value, source);
            let what = if of.is_empty() { kind.to_owned() } else { format!("{kind} {:?}", text(at, of)) };
            warn(&what, items(at, ""));
        }
        let sources = list(field(volume.value, "projected"), "sources");
        warn("Projected", sources.iter().flat_map(projected).collect());
        let empty = sources.iter().filter(|source| size(source) == 0);
        warnings.extend(empty.map(|_| format!("volume {name:?} (Projected) has no sources provided")));
    }
}

fn items(at: &Value, source: &str) -> Vec<File> {
    let file = |item: &Value| File { path: text(item, "path").to_owned(), source: source.to_owned() };
    list(at, "items").iter().map(file).collect()
}

fn projected(source: &Value) -> Vec<File> {
    let one = |path: &str, source: &str| vec![File { path: path.to_owned(), source: source.to_owned() }];
    for (name, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
        let at = field(source, name);
        if size(field(at, "items")) > 0 {
            return items(at, &format!("{kind} {:?}", text(at, "name")));
        }
    }
    let (token, bundle) = (field(source, "serviceAccountToken"), field(source, "clusterTrustBundle"));
    if size(field(field(source, "downwardAPI"), "items")) > 0 {
        items(field(source, "downwardAPI"), "DownwardAPI")
    } else if token.is_object() {
        one(text(token, "path"), "ServiceAccountToken")
    } else if bundle.is_object() {
        let name = if field(bundle, "name").is_null() { text(bundle, "signerName") } else { text(bundle, "name") };
        one(text(bundle, "path"), &format!("ClusterTrustBundle {name:?}"))
    } else {
        let certificate = field(source, "podCertificate");
        let paths = [
            ("certificateChainPath", "PodCertificate chain"),
            ("keyPath", "PodCertificate key"),
            ("credentialBundlePath", "PodCertificate credential bundle"),
        ];
        let given = paths.into_iter().filter(|(name, _)| !text(certificate, name).is_empty());
        given.flat_map(|(name, source)| one(text(certificate, name), source)).collect()
    }
}

/// Each file with those before it that are it, or a folder of it, or in it.
fn overlapping(files: Vec<File>) -> Vec<String> {
    let mut found = Vec::new();
    let mut before: Vec<File> = Vec::new();
    for mut file in files {
        file.path.truncate(file.path.trim_end_matches('/').len());
        let within = |outer: &File, inner: &File| format!("{}/", inner.path).starts_with(&format!("{}/", outer.path));
        for other in before.iter().filter(|other| !file.path.is_empty() && !other.path.is_empty()) {
            if within(other, &file) || within(&file, other) {
                found.push(format!("{} with {}", file.shown(), other.shown()));
            }
        }
        before.push(file);
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_upon_files_are_told() {
        let item = |path: &str| json!({"key": "k", "path": path});
        let table = [
            ("apart", json!({"configMap": {"name": "c", "items": [item("a"), item("b")]}}), vec![]),
            (
                "in a folder that is a file",
                json!({"secret": {"secretName": "s", "items": [item("a/"), item("a/b")]}}),
                vec!["volume \"v\" (Secret \"s\"): overlapping paths: \"a/b\" with \"a\""],
            ),
            (
                "of two sources",
                json!({"projected": {"sources": [
                    {"serviceAccountToken": {"path": "t"}}, {}, {"downwardAPI": {"items": [item("t")]}}]}}),
                vec![
                    "volume \"v\" (Projected): overlapping paths: \"t\" (DownwardAPI) with \"t\" (ServiceAccountToken)",
                    "volume \"v\" (Projected) has no sources provided",
                ],
            ),
        ];
        for (name, mut volume, expected) in table {
            volume["name"] = "v".into();
            let spec = json!({"volumes": [volume]});
            let mut warnings = Vec::new();
            overlaps(&Cursor::root(&spec, "volumes"), &mut warnings);
            assert_eq!(warnings, expected, "{name}");
        }
    }
}
