//! What types and fields are for, in upstream's words.
//!
//! These are other people's sentences and not in this repository: `build.rs` takes them from the doc comments of the k8s-openapi
//! crate. Without that crate's source there are none, and `kubectl explain` shows names and types only.

use std::collections::HashMap;
use std::io::Read;

/// Lines `type NAME<tab>JSON string` and, below, ` FIELD<tab>JSON string`; deflated.
static EMBEDDED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.deflate"));

/// All descriptions, a megabyte: to be loaded while documents are made and then dropped.
#[derive(Debug, Default)]
pub(super) struct Descriptions {
    /// By type name, and by type and field name joined by a slash.
    texts: HashMap<String, String>,
}

impl Descriptions {
    pub(super) fn load() -> Self {
        let mut text = String::new();
        if flate2::read::DeflateDecoder::new(EMBEDDED).read_to_string(&mut text).is_err() {
            return Self::default();
        }
        let mut texts = HashMap::new();
        let mut ty = "";
        for line in text.lines() {
            let Some((name, json)) = line.split_once('\t') else { continue };
            let Ok(description) = serde_json::from_str::<String>(json) else { continue };
            match name.strip_prefix(' ') {
                Some(field) => texts.insert(format!("{ty}/{field}"), description),
                None => {
                    ty = name;
                    texts.insert(name.to_owned(), description)
                }
            };
        }
        Self { texts }
    }

    pub(super) fn of_type(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn of_field(&self, ty: &str, field: &str) -> Option<&str> {
        self.texts.get(&format!("{ty}/{field}")).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_descriptions_are_read() {
        let descriptions = Descriptions::load();
        let pod = descriptions.of_type("io.k8s.api.core.v1.Pod").expect("the k8s-openapi crate is in the build");
        assert!(pod.contains("containers"), "{pod}");
        assert!(descriptions.of_field("io.k8s.api.core.v1.ContainerPort", "hostIP").is_some());
        assert_eq!(descriptions.of_field("io.k8s.api.core.v1.ContainerPort", "none"), None);
    }
}
