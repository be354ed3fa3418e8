//! The v2 document as protobuf: `gnostic.openapi.v2.Document`, the only form in which client-go reads it.
//!
//! Each piece is made as JSON first and then written with the field numbers of gnostic's `OpenAPIv2.proto`.

use serde_json::Value;

use super::definition::Dialect;
use super::v3::write_definitions;
use super::{OpenApi, v2};

pub(super) fn document(api: &OpenApi<'_>) -> Vec<u8> {
    let items = v2::items(api);
    let paths = |paths: &mut Message| {
        for item in &items {
            let value = v2::path_item(item);
            paths.named(2, &item.path, |message| path_item(message, &value));
        }
    };
    let definitions = |definitions: &mut Message| {
        write_definitions(Dialect::V2, api, &items, |name, definition| {
            definitions.named(1, name, |message| schema(message, &definition));
        });
    };
    with(api.version, paths, definitions)
}

/// Of a document as JSON.
pub(super) fn of_value(document: &Value) -> Vec<u8> {
    let members = |key: &str| document[key].as_object().into_iter().flatten();
    let paths = |paths: &mut Message| {
        for (path, item) in members("paths") {
            paths.named(2, path, |message| path_item(message, item));
        }
    };
    let definitions = |definitions: &mut Message| {
        for (name, definition) in members("definitions") {
            definitions.named(1, name, |message| schema(message, definition));
        }
    };
    with(document["info"]["version"].as_str().unwrap_or_default(), paths, definitions)
}

fn with(version: &str, paths: impl FnOnce(&mut Message), definitions: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut document = Message::default();
    document.text(1, "2.0");
    document.message(2, |info| {
        info.text(1, "Kubernetes");
        info.text(2, version);
    });
    document.message(8, paths);
    document.message(9, definitions);
    document.message(12, |security| security.named(1, "BearerToken", |_| {}));
    document.message(13, |definitions| {
        for (name, definition) in v2::security_definitions().as_object().into_iter().flatten() {
            definitions.named(1, name, |item| {
                item.message(2, |key| {
                    for (number, member) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
                        key.text_of(number, definition, member);
                    }
                });
            });
        }
    });
    document.0
}

fn path_item(message: &mut Message, item: &Value) {
    for (number, method) in
        [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (6, "options"), (7, "head"), (8, "patch")]
    {
        if let Some(operation) = item.get(method) {
            message.message(number, |message| operation_message(message, operation));
        }
    }
    parameters(message, 9, item);
}

fn operation_message(message: &mut Message, operation: &Value) {
    message.texts_of(1, operation, "tags");
    message.text_of(5, operation, "operationId");
    message.texts_of(6, operation, "produces");
    message.texts_of(7, operation, "consumes");
    parameters(message, 8, operation);
    message.message(9, |responses| {
        for (code, response) in operation["responses"].as_object().into_iter().flatten() {
            responses.named(1, code, |value| {
                value.message(1, |message| {
                    message.text_of(1, response, "description");
                    if let Some(of_response) = response.get("schema") {
                        message.message(2, |item| item.message(1, |message| schema(message, of_response)));
                    }
                });
            });
        }
    });
    message.texts_of(10, operation, "schemes");
    extensions(message, 13, operation);
}

fn parameters(message: &mut Message, number: u32, owner: &Value) {
    for parameter in owner["parameters"].as_array().into_iter().flatten() {
        message.message(number, |item| item.message(1, |one_of| parameter_message(one_of, parameter)));
    }
}

fn parameter_message(one_of: &mut Message, parameter: &Value) {
    if parameter["in"] == "body" {
        one_of.message(1, |body| {
            body.text_of(1, parameter, "description");
            body.text_of(2, parameter, "name");
            body.text_of(3, parameter, "in");
            body.flag_of(4, parameter, "required");
            body.message(5, |message| schema(message, &parameter["schema"]));
        });
        return;
    }
    // Query parameters have one member more, `allow_empty_value`, which shifts what follows.
    let (number, shift) = if parameter["in"] == "path" { (4, 0) } else { (3, 1) };
    one_of.message(2, |non_body| {
        non_body.message(number, |message| {
            message.flag_of(1, parameter, "required");
            message.text_of(2, parameter, "in");
            message.text_of(3, parameter, "description");
            message.text_of(4, parameter, "name");
            message.text_of(5 + shift, parameter, "type");
            message.flag_of(19 + shift, parameter, "uniqueItems");
        });
    });
}

fn schema(message: &mut Message, value: &Value) {
    for (number, member) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        message.text_of(number, value, member);
    }
    for (number, member) in [(7, "maximum"), (9, "minimum")] {
        if let Some(limit) = value.get(member).and_then(Value::as_f64) {
            message.double(number, limit);
        }
    }
    for (number, member) in [(11, "maxLength"), (12, "minLength"), (14, "maxItems"), (15, "minItems")] {
        if let Some(limit) = value.get(member).and_then(Value::as_u64) {
            message.varint(number, limit);
        }
    }
    message.texts_of(19, value, "required");
    for item in value["enum"].as_array().into_iter().flatten() {
        message.message(20, |any| any.text(2, &item.to_string()));
    }
    match value.get("additionalProperties") {
        None => {}
        Some(Value::Bool(allowed)) => message.message(21, |item| item.varint(2, u64::from(*allowed))),
        Some(inner) => message.message(21, |item| item.message(1, |message| schema(message, inner))),
    }
    if let Some(kind) = value.get("type").and_then(Value::as_str) {
        message.message(22, |item| item.text(1, kind));
    }
    if let Some(items) = value.get("items") {
        message.message(23, |item| item.message(1, |message| schema(message, items)));
    }
    if let Some(properties) = value.get("properties").and_then(Value::as_object) {
        message.message(25, |message| {
            for (name, property) in properties {
                message.named(1, name, |message| schema(message, property));
            }
        });
    }
    extensions(message, 31, value);
}

/// Members that begin with `x-`, as YAML text; JSON is YAML.
fn extensions(message: &mut Message, number: u32, value: &Value) {
    for (key, extension) in value.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with("x-")) {
        message.named(number, key, |any| any.text(2, &extension.to_string()));
    }
}

/// Protobuf as it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint_bytes(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, number: u32, wire: u32) {
        self.varint_bytes(u64::from(number << 3 | wire));
    }

    fn varint(&mut self, number: u32, value: u64) {
        self.key(number, 0);
        self.varint_bytes(value);
    }

    fn double(&mut self, number: u32, value: f64) {
        self.key(number, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.key(number, 2);
        self.varint_bytes(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, number: u32, text: &str) {
        self.bytes(number, text.as_bytes());
    }

    fn message(&mut self, number: u32, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(number, &inner.0);
    }

    /// A `Named...`: name 1, value 2.
    fn named(&mut self, number: u32, name: &str, fill: impl FnOnce(&mut Message)) {
        self.message(number, |named| {
            named.text(1, name);
            named.message(2, fill);
        });
    }

    fn text_of(&mut self, number: u32, value: &Value, member: &str) {
        if let Some(text) = value.get(member).and_then(Value::as_str) {
            self.text(number, text);
        }
    }

    fn texts_of(&mut self, number: u32, value: &Value, member: &str) {
        for text in value[member].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.text(number, text);
        }
    }

    fn flag_of(&mut self, number: u32, value: &Value, member: &str) {
        if value[member] == true {
            self.varint(number, 1);
        }
    }
}
