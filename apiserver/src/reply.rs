//! Answers: from stored bytes to what the client reads. The usual case, a whole object as JSON, copies nothing.

use std::sync::Arc;

use api::Object;
use api::field::FieldError;
use api::meta::Meta;
use api::protobuf::{self, EncodeError};
use api::schema::SchemaSet;
use api::status::Status;
use api::table::{self, IncludeObject, TableOptions};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WARNING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::cache::{Stored, frame};
use crate::call::Call;
use crate::gzip::Gzip;
use crate::media::{Accepted, Format, View, accepts_gzip};
use crate::pieces::pieces;
use crate::query::Query;
use crate::registry::Descriptor;

/// Answers of this size and more are compressed (upstream's number).
const COMPRESS_FROM: usize = 128 * 1024;

pub(crate) enum Reply {
    /// An object of the row's kind in the stored form.
    Object {
        code: StatusCode,
        json: Bytes,
    },
    /// Anything else, as it is.
    Value {
        code: StatusCode,
        value: Value,
    },
    List(List),
    /// A stream, an upgrade, a proxy's answer.
    Raw(Response<Body>),
}

/// Objects in the stored form, in the order of their keys.
pub(crate) struct List {
    pub revision: u64,
    /// Empty when nothing is left.
    pub continue_token: String,
    pub remaining: Option<usize>,
    pub items: Vec<Arc<Stored>>,
}

impl Reply {
    pub fn ok(json: Bytes) -> Self {
        Self::Object { code: StatusCode::OK, json }
    }
}

pub(crate) fn respond(call: &Call, reply: Reply) -> Response<Body> {
    let encoded = match reply {
        Reply::Raw(mut response) => {
            add_warnings(call, response.headers_mut());
            return response;
        }
        Reply::Object { code, json } => {
            object(call, json).map(|bytes| full(code, bytes, &call.accepted, &call.headers))
        }
        Reply::Value { code, value } => {
            write(&value, &call.accepted).map(|bytes| full(code, bytes, &call.accepted, &call.headers))
        }
        Reply::List(list) => self::list(call, list),
    };
    match encoded {
        Ok(mut response) => {
            add_warnings(call, response.headers_mut());
            response
        }
        Err(status) => refuse_call(call, &status),
    }
}

fn add_warnings(call: &Call, headers: &mut HeaderMap) {
    for warning in call.warnings.headers() {
        headers.append(WARNING, warning);
    }
}

/// The error of a call, with the warnings that came before it.
pub(crate) fn refuse_call(call: &Call, status: &Status) -> Response<Body> {
    let mut response = refuse(status, &call.accepted);
    // Upstream's router refuses a media type before anybody could warn.
    if status.code != 415 || status.details.is_none() {
        add_warnings(call, response.headers_mut());
    }
    response
}

/// An error as a response.
pub(crate) fn refuse(status: &Status, accepted: &Accepted) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let whole = Accepted { view: View::Whole, ..*accepted };
    let bytes = write(&status.to_json(), &whole).unwrap_or_default();
    let mut response = full(code, bytes, &whole, &HeaderMap::new());
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn full(code: StatusCode, bytes: Bytes, accepted: &Accepted, request: &HeaderMap) -> Response<Body> {
    let size = bytes.len();
    finish(code, accepted, request, size, body::full(bytes))
}

/// Headers, and compression of what is large. `size` is an estimate.
fn finish(code: StatusCode, accepted: &Accepted, request: &HeaderMap, size: usize, body: Body) -> Response<Body> {
    let compress = size >= COMPRESS_FROM && accepts_gzip(request);
    let mut response = Response::new(if compress { body::wrap(Gzip::new(body)) } else { body });
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(accepted.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if compress {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    response
}

fn object(call: &Call, json: Bytes) -> Result<Bytes, Status> {
    let viewer = Viewer::of(call);
    if viewer.is_plain() {
        return Ok(json);
    }
    if call.accepted.view == View::Metadata
        && let Some(cut) = viewer.cut(&json)
    {
        return Ok(cut);
    }
    let object = viewer.parse(&json)?;
    let metadata = table_metadata(&object);
    let value = match call.accepted.view {
        View::Whole => object,
        View::Metadata => viewer.partial(&object),
        View::MetadataList => return Err(viewer.no_list()),
        View::Table => viewer.table(&[object], metadata, &call.query, true, call.core.now())?,
    };
    write(&value, &call.accepted)
}

/// The metadata of a table with one object. What only a dry run made has no revision.
pub(crate) fn table_metadata(object: &Object) -> Value {
    match object.resource_version() {
        "" => json!({}),
        version => json!({"resourceVersion": version}),
    }
}

fn list(call: &Call, list: List) -> Result<Response<Body>, Status> {
    let viewer = Viewer::of(call);
    let mut metadata = list_metadata(&list);
    if call.accepted.format == Format::Protobuf && call.accepted.view == View::Whole {
        let bytes = viewer.protobuf_list(&metadata, &list.items)?;
        return Ok(full(StatusCode::OK, bytes, &call.accepted, &call.headers));
    }
    if call.row.custom.is_some() && call.accepted.view == View::Whole && list.continue_token.is_empty() {
        // Go's list of objects without a type has this member always.
        metadata["continue"] = "".into();
    }
    if viewer.is_plain() {
        let size = list.items.iter().map(|item| item.json.len() + 1).sum::<usize>() + 200;
        let kind = call.row.info.list_kind();
        let head = format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
            call.row.info.api_version()
        );
        let body = match call.row.custom {
            Some(_) => pieces(head, texts(&call.row, list.items)?, |text| text),
            None => pieces(head, list.items, |item| &item.json),
        };
        return Ok(finish(StatusCode::OK, &call.accepted, &call.headers, size, body));
    }
    if call.accepted.view == View::Metadata {
        return Err(viewer.a_list());
    }
    if let Some(items) = list.items.iter().map(|item| viewer.cut(&item.json)).collect::<Option<Vec<Bytes>>>()
        && !items.is_empty()
    {
        let size = items.iter().map(|item| item.len() + 1).sum::<usize>() + 200;
        let head = format!(
            r#"{{"kind":"PartialObjectMetadataList","apiVersion":"{}","metadata":{metadata},"items":["#,
            viewer.meta_version()
        );
        return Ok(finish(StatusCode::OK, &call.accepted, &call.headers, size, pieces(head, items, |text| text)));
    }
    let objects = list.items.iter().map(|item| viewer.parse(&item.json)).collect::<Result<Vec<Object>, Status>>()?;
    let mut value = match call.accepted.view {
        View::Table => viewer.table(&objects, metadata, &call.query, true, call.core.now())?,
        View::Whole => json!({
            "kind": call.row.info.list_kind(), "apiVersion": call.row.info.api_version(),
            "metadata": metadata, "items": objects,
        }),
        View::Metadata | View::MetadataList => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": viewer.meta_version(), "metadata": metadata,
            "items": objects.iter().map(|object| viewer.partial(object)).collect::<Vec<_>>(),
        }),
    };
    if objects.is_empty() {
        // Go's empty list.
        match call.accepted.view {
            // Of the kinds that have no columns of their own.
            View::Table if value["columnDefinitions"][1]["name"] == "Created At" => value["rows"] = Value::Null,
            View::Metadata | View::MetadataList => value["items"] = Value::Null,
            View::Table | View::Whole => {}
        }
    }
    let bytes = write(&value, &call.accepted)?;
    Ok(full(StatusCode::OK, bytes, &call.accepted, &call.headers))
}

fn list_metadata(list: &List) -> Value {
    let mut metadata = json!({});
    if list.revision > 0 {
        // What is never stored has none.
        metadata["resourceVersion"] = list.revision.to_string().into();
    }
    if !list.continue_token.is_empty() {
        metadata["continue"] = list.continue_token.as_str().into();
    }
    if let Some(remaining) = list.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}

/// Custom resources as their row shows them.
fn texts(row: &Descriptor, items: Vec<Arc<Stored>>) -> Result<Vec<Bytes>, Status> {
    items.into_iter().map(|item| row.served(&item.json, item.revision)).collect()
}

/// Indented or not, JSON, YAML, or protobuf.
pub(crate) fn write(value: &Value, accepted: &Accepted) -> Result<Bytes, Status> {
    match accepted.format {
        Format::Json if accepted.pretty => {
            let mut text = serde_json::to_string_pretty(value).map_err(Status::internal)?;
            text.push('\n');
            Ok(text.into())
        }
        Format::Json => Ok(value.to_string().into()),
        Format::Yaml => serde_saphyr::to_string(value).map(Bytes::from).map_err(Status::internal),
        Format::Protobuf => protobuf::encode_object(SchemaSet::builtin(), value).map(Bytes::from).map_err(no_message),
    }
}

/// What upstream says of an object that has no protobuf.
fn no_message(error: EncodeError) -> Status {
    match error {
        EncodeError::UnknownKind { .. } => Status::not_this(
            "object *unstructured.Unstructured does not implement the protobuf marshalling interface and cannot be \
             encoded to a protobuf message",
        ),
        error => Status::internal(error),
    }
}

/// What of each object goes with its row in a table.
///
/// # Errors
/// The option is none of those.
pub(crate) fn included(query: &Query) -> Result<IncludeObject, Status> {
    query.get("includeObject").unwrap_or_default().parse().map_err(|wrong: String| {
        let path = api::field::Path::new("includeObject");
        let error = FieldError::invalid(&path, wrong, "must be 'Metadata', 'Object', 'None', or empty");
        Status::bad_request(format!("Unable to convert to Table as requested: {error}"))
    })
}

/// Why a list could not be encoded.
struct Refused(Status);

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl From<EncodeError> for Refused {
    fn from(error: EncodeError) -> Self {
        Self(no_message(error))
    }
}

/// How objects of a row are shown to one client.
#[derive(Clone)]
pub(crate) struct Viewer {
    row: Arc<Descriptor>,
    accepted: Accepted,
}

impl Viewer {
    pub fn of(call: &Call) -> Self {
        Self { row: call.row.clone(), accepted: call.accepted }
    }

    /// The stored bytes are the answer.
    pub fn is_plain(&self) -> bool {
        let Accepted { format, view, pretty, .. } = self.accepted;
        self.row.serves_as_stored() && format == Format::Json && view == View::Whole && !pretty
    }

    pub fn view(&self) -> View {
        self.accepted.view
    }

    /// Metadata is asked for, and is in the stored bytes as it is to be shown.
    fn is_cut(&self) -> bool {
        let Accepted { format, view, pretty, .. } = self.accepted;
        let as_stored = self.row.shape.is_none() && self.row.custom.is_none() && self.row.info.kind != "DaemonSet";
        as_stored && format == Format::Json && matches!(view, View::Metadata | View::MetadataList) && !pretty
    }

    /// The metadata of a stored object, without reading the object; `None` where it takes more than that.
    pub fn cut(&self, json: &[u8]) -> Option<Bytes> {
        #[derive(Deserialize)]
        struct Whole<'a> {
            #[serde(borrow)]
            metadata: &'a RawValue,
        }
        if !self.is_cut() {
            return None;
        }
        let whole: Whole = serde_json::from_slice(json).ok()?;
        let (version, metadata) = (self.meta_version(), whole.metadata);
        Some(format!(r#"{{"kind":"PartialObjectMetadata","apiVersion":"{version}","metadata":{metadata}}}"#).into())
    }

    /// A stored object in the form of the row.
    pub fn parse(&self, json: &[u8]) -> Result<Object, Status> {
        let mut object = serde_json::from_slice(json).map_err(Status::internal)?;
        if let Some(shape) = self.row.shape {
            shape.serve(&mut object);
        }
        self.row.load(&mut object, 0)?;
        Ok(object)
    }

    /// One event of a watch.
    pub fn frame(&self, event: &str, object: &Value) -> Bytes {
        match self.accepted.format {
            Format::Json | Format::Yaml => frame(event, object.to_string().as_bytes()),
            Format::Protobuf => {
                let set = SchemaSet::builtin();
                let (event, message) = match protobuf::encode_object(set, object) {
                    Ok(message) => (event, message),
                    Err(error) => {
                        let status = no_message(error).to_json();
                        ("ERROR", protobuf::encode_object(set, &status).unwrap_or_default())
                    }
                };
                protobuf::watch_event(event, &message).into()
            }
        }
    }

    /// Frames of protobuf that all watchers of the kind may share.
    pub fn shares_protobuf(&self) -> bool {
        let Accepted { format, view, .. } = self.accepted;
        self.row.serves_as_stored() && format == Format::Protobuf && view == View::Whole
    }

    fn protobuf_list(&self, metadata: &Value, items: &[Arc<Stored>]) -> Result<Bytes, Status> {
        let (set, info) = (SchemaSet::builtin(), &self.row.info);
        let unknown = || EncodeError::UnknownKind { api_version: info.api_version(), kind: info.kind.clone() };
        let ty = set.of_kind(&self.row.gvk()).ok_or_else(|| no_message(unknown()))?;
        let messages = items.iter().map(|item| {
            let object = self.parse(&item.json)?;
            Ok::<_, Refused>(protobuf::encode(set, ty, &object)?)
        });
        let list = protobuf::encode_list(set, &info.api_version(), &info.list_kind(), metadata, messages);
        list.map(Bytes::from).map_err(|Refused(status)| status)
    }

    pub fn meta_version(&self) -> String {
        format!("meta.k8s.io/{}", self.accepted.view_version)
    }

    /// Where a list of metadata was asked for, and one object is the answer.
    fn no_list(&self) -> Status {
        if self.row.custom.is_some() {
            // Without a type it could be one, until it is looked into.
            return Status::plain("content is not a list");
        }
        let own = self.go_type();
        let why = format!("you requested PartialObjectMetadataList, but the requested object is not a list ({own})");
        Status::not_this(&why)
    }

    /// The reverse.
    fn a_list(&self) -> Status {
        let own = if self.row.custom.is_some() {
            "*unstructured.UnstructuredList".to_owned()
        } else {
            format!("{}List", self.go_type())
        };
        Status::not_this(&format!("you requested PartialObjectMetadata, but the requested object is a list ({own})"))
    }

    /// As upstream's Go calls the internal form of the kind.
    fn go_type(&self) -> String {
        let package = match self.row.info.group.split('.').next().unwrap_or_default() {
            "" | "events" => "core",
            package => package,
        };
        format!("*{package}.{}", self.row.info.kind)
    }

    pub fn partial(&self, object: &Object) -> Value {
        json!({
            "kind": "PartialObjectMetadata", "apiVersion": self.meta_version(), "metadata": table::metadata_alone(object),
        })
    }

    pub fn table(
        &self,
        objects: &[Object],
        metadata: Value,
        query: &Query,
        headers: bool,
        now: Timestamp,
    ) -> Result<Value, Status> {
        let include = included(query)?;
        let columns = self.row.columns();
        let options = TableOptions { version: self.accepted.view_version, include, headers };
        let mut table = table::build(&columns, objects, metadata, &options, now);
        if let Some(shape) = self.row.shape {
            // Upstream's printers see one form of a kind.
            let rows = table["rows"].as_array_mut().into_iter().flatten();
            for (row, object) in rows.zip(objects) {
                let mut stored = object.clone();
                shape.store(&mut stored);
                row["cells"] = columns.cells(&stored, now).into();
            }
        }
        Ok(table)
    }
}
