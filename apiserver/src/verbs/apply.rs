//! Server-side apply (`application/apply-patch+yaml`): the client says what it wants, the server remembers who wants what.

use api::Object;
use api::apply::{Applied, Tracker};
use api::meta::Meta;
use api::schema::SchemaSet;
use api::schema::decode::StrictError;
use api::status::Status;
use serde_json::Value;

use crate::body::Body;
use crate::call::Call;
use crate::conversion::Forms;
use crate::core::Existing;
use crate::decode;
use crate::managed;
use crate::options::{APPLY_OPTIONS, FieldValidation, WriteOptions};
use crate::pipeline::{Change, Decoded, Target, Tracking};
use crate::reply::Reply;
use crate::warnings::Warnings;
use crate::yaml;

pub(crate) const APPLY: &str = "application/apply-patch+yaml";

pub(crate) async fn apply(call: &Call, body: Body) -> Result<Reply, Status> {
    let (config, options) = Configuration::read(call, body).await?;
    let target = call.target(options.dry_run);
    let change = ApplyToStored { config, target, forms: Forms::default() };
    let committed = target.update(&call.info.name, &change).await?;
    Ok(super::write::reply(committed))
}

/// What the client wants, to be applied as often as needed.
pub(crate) struct Configuration<'a> {
    object: Object,
    force: bool,
    /// Keys that stand in it twice.
    duplicates: Option<String>,
    validation: FieldValidation,
    warnings: &'a Warnings,
}

impl<'a> Configuration<'a> {
    pub async fn read(call: &'a Call, body: Body) -> Result<(Self, WriteOptions), Status> {
        let bytes = call.bytes(body).await?;
        let options = WriteOptions::parse(&call.query, APPLY_OPTIONS)?;
        let (object, duplicates) = parse(&bytes)?;
        let (force, validation) = (options.force, options.field_validation);
        Ok((Self { object, force, duplicates, validation, warnings: &call.warnings }, options))
    }

    /// Unknown fields are refused in any case, so that field validation is about duplicates alone.
    pub fn apply(&self, tracker: Tracker<'_>, live: Option<&Existing>) -> Result<Applied, Status> {
        let managed = live.map(|live| live.managers.decode()).unwrap_or_default();
        let applied = tracker.apply(live.map(|live| &live.object), managed, &self.object, self.force);
        applied.map_err(|error| managed::refused(&error))
    }

    /// What is said of keys that stand twice, once the configuration has made an object.
    pub fn tell_duplicates(&self) -> Result<(), Status> {
        if let Some(duplicates) = &self.duplicates {
            let message =
                format!("error strict decoding YAML: {}yaml: unmarshal errors:\n  {duplicates}", yaml::CONVERTING);
            match self.validation {
                FieldValidation::Strict => return Err(Status::bad_request(message)),
                FieldValidation::Warn => self.warnings.extend([duplicates.clone()]),
                FieldValidation::Ignore => {}
            }
        }
        Ok(())
    }
}

/// The last one of duplicate keys counts.
fn parse(bytes: &[u8]) -> Result<(Object, Option<String>), Status> {
    let wrong = |why: &dyn std::fmt::Display| Status::bad_request(format!("error decoding YAML: {why}"));
    // Programs send JSON, which is YAML too but quicker to read as what it is.
    if bytes.trim_ascii_start().starts_with(b"{")
        && let Ok(decoded) = api::schema::decode::json(bytes, None)
    {
        let duplicates: Vec<String> = decoded.strict.iter().filter_map(yaml_duplicate).collect();
        let mut object = decoded.value;
        whole_numbers(&mut object);
        return Ok((object, (!duplicates.is_empty()).then(|| duplicates.join("\n  "))));
    }
    let mut object = yaml::lenient(bytes).map_err(|error| wrong(&error))?;
    whole_numbers(&mut object);
    if !object.is_object() {
        return Err(wrong(
            &"error unmarshaling JSON: json: cannot unmarshal into Go value of type map[string]interface {}",
        ));
    }
    Ok((object, yaml::strict(bytes).err().map(|error| error.trim_start_matches(yaml::CONVERTING).to_owned())))
}

/// Upstream reads YAML by way of JSON, in which a whole number has no fraction and is an integer where it fits.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) if !number.is_i64() => {
            const END: f64 = 9_223_372_036_854_775_808.0;
            let Some(float) = number.as_f64() else { return };
            *value = match float.fract() == 0.0 && (-END..END).contains(&float) {
                #[allow(clippy::cast_possible_truncation, reason = "it is whole and fits")]
                true => (float as i64).into(),
                false => float.into(),
            };
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// As upstream, for which JSON is YAML of one line.
fn yaml_duplicate(error: &StrictError) -> Option<String> {
    match error {
        StrictError::Duplicate(path) => {
            let key = path.rsplit('.').next().unwrap_or_default();
            Some(format!("line 1: key {key:?} already set in map"))
        }
        StrictError::Unknown(_) | StrictError::Yaml(_) => None,
    }
}

struct ApplyToStored<'a> {
    config: Configuration<'a>,
    target: Target<'a>,
    forms: Forms,
}

impl ApplyToStored<'_> {
    fn applied(&self, live: Option<&Existing>) -> Result<Decoded, Status> {
        let target = &self.target;
        let served = live.map(|live| Existing { object: target.served(&live.object).into_owned(), ..live.clone() });
        let applied = managed::tracker(target, &self.forms, |tracker| self.config.apply(tracker, served.as_ref()))?;
        let Applied { mut object, managed } = applied;
        let kind = target.row.gvk();
        let ty = SchemaSet::builtin().of_kind(&kind);
        let error = match &target.row.custom {
            Some(custom) => custom.coerce_applied(&mut object).err(),
            None => decode::conform_converted(ty, &mut object).and_then(|found| found.conversion.or(found.error)),
        };
        if let Some(error) = error {
            let (namespace, name) = (self.config.object.namespace(), self.config.object.name());
            let slash = if kind.group.is_empty() { "/" } else { "" };
            let message = format!(
                "failed to convert new object ({namespace}/{name}; {slash}{kind}) to proper version: unable to convert \
                 unstructured object to {slash}{kind}: {error}"
            );
            return Err(Status::plain(message));
        }
        self.config.tell_duplicates()?;
        if let Some(shape) = target.row.shape {
            shape.store(&mut object);
        }
        Ok(Decoded { object, tracking: Tracking::Known(managed) })
    }
}

impl Change for ApplyToStored<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        self.applied(Some(old))
    }

    fn create(&self) -> Result<Option<Decoded>, Status> {
        self.applied(None).map(Some)
    }

    fn forms(&self) -> Option<&Forms> {
        Some(&self.forms)
    }

    /// Through a subresource nothing comes into being.
    fn always_creates(&self) -> bool {
        self.target.subresource.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn configurations_are_yaml_or_json() {
        let cases = [
            (r#"{"a":1}"#, json!({"a": 1}), None),
            (r#"{"a":[2.0,1.5,1e300,18446744073709551615]}"#, json!({"a": [2, 1.5, 1e300, u64::MAX as f64]}), None),
            (r#" {"a":1,"a":2}"#, json!({"a": 2}), Some("line 1: key \"a\" already set in map")),
            ("a: 1\nb:\n- x\n", json!({"a": 1, "b": ["x"]}), None),
            ("{a: 1}", json!({"a": 1}), None),
            ("mode: 0644", json!({"mode": 420}), None),
            ("a: 1\na: 2\n", json!({"a": 2}), Some("yaml: ")),
        ];
        for (text, expected, duplicates) in cases {
            let (object, found) = parse(text.as_bytes()).unwrap();
            assert_eq!(object, expected, "{text}");
            let starts = |found: &String| duplicates.is_some_and(|start| found.starts_with(start));
            assert_eq!(found.is_some(), duplicates.is_some(), "{text}");
            assert!(found.as_ref().is_none_or(starts), "{found:?}");
        }
        for text in ["a: [", "- a", "x"] {
            assert!(parse(text.as_bytes()).unwrap_err().message.starts_with("error decoding YAML: "), "{text}");
        }
    }
}
