//! What only the generated Go of the OpenAPI documents says: the values of enumerations, and unions.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// By the name of the function that makes a definition: `k8sio_api_core_v1_Pod`.
pub type Generated = BTreeMap<String, Definition>;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// By property.
    pub enums: BTreeMap<String, Vec<String>>,
    pub union: Option<Union>,
}

/// A struct of which one member is set, which another member names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Union {
    pub discriminator: Option<String>,
    /// Properties, and what the discriminator says for each.
    pub members: BTreeMap<String, String>,
}

pub fn read(path: &Path) -> Result<Generated> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Generated {
    let mut all = Generated::new();
    let mut function = String::new();
    let mut property = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("func schema_") {
            function = rest.split('(').next().unwrap_or_default().to_owned();
            property.clear();
            continue;
        }
        let indent = line.bytes().take_while(|byte| *byte == b'\t').count();
        let words = line.trim();
        if indent == 5 {
            match words.strip_suffix("\": {").and_then(|name| name.strip_prefix('"')) {
                Some(name) => name.clone_into(&mut property),
                None if words.starts_with("\"x-kubernetes-unions\"") => {
                    all.entry(function.clone()).or_default().union = Some(Union::default());
                }
                None => {}
            }
        } else if let Some(values) = words.strip_prefix("Enum:") {
            let values = strings(values).map(str::to_owned).collect();
            all.entry(function.clone()).or_default().enums.insert(property.clone(), values);
        } else if let Some(union) = all.get_mut(&function).and_then(|definition| definition.union.as_mut())
            && let Some((key, value)) = pair(words)
        {
            match key {
                "discriminator" => union.discriminator = Some(value.to_owned()),
                _ => drop(union.members.insert(key.to_owned(), value.to_owned())),
            }
        }
    }
    all
}

/// The texts between quotes. No value has one inside.
fn strings(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// `"key": "value",`
fn pair(text: &str) -> Option<(&str, &str)> {
    let mut texts = strings(text.strip_suffix("\",")?);
    Some((texts.next()?, texts.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enumerations_and_unions() {
        let text = "
func schema_api_v1_Profile(ref common.ReferenceCallback) common.OpenAPIDefinition {
\t\t\t\tProperties: map[string]spec.Schema{
\t\t\t\t\t\"type\": {
\t\t\t\t\t\tSchemaProps: spec.SchemaProps{
\t\t\t\t\t\t\tEnum:        []interface{}{\"cert sign\", \"B\"},
\t\t\t\tExtensions: spec.Extensions{
\t\t\t\t\t\"x-kubernetes-unions\": []interface{}{
\t\t\t\t\t\tmap[string]interface{}{
\t\t\t\t\t\t\t\"discriminator\": \"type\",
\t\t\t\t\t\t\t\"fields-to-discriminateBy\": map[string]interface{}{
\t\t\t\t\t\t\t\t\"localhost\":  \"Localhost\",
func schema_api_v1_Plain(ref common.ReferenceCallback) common.OpenAPIDefinition {
\t\t\t\t\t\"type\": {
";
        let profile = Definition {
            enums: [("type".to_owned(), vec!["cert sign".to_owned(), "B".to_owned()])].into(),
            union: Some(Union {
                discriminator: Some("type".into()),
                members: [("localhost".to_owned(), "Localhost".to_owned())].into(),
            }),
        };
        assert_eq!(parse(text), [("api_v1_Profile".to_owned(), profile)].into());
    }
}
