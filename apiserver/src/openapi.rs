//! OpenAPI documents: made when they are first asked for, kept compressed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use api::gvk::GroupVersionKind;
use api::openapi::{OpenApi, V2_PROTOBUF, V2_PROTOBUF_ACCEPTED, v2_protobuf_of, v3_path};
use api::resource::ResourceInfo;
use api::status::Status;
use bytes::Bytes;
use flate2::Compression;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, VARY};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::aggregation;
use crate::body::{self, Body};
use crate::core::Core;
use crate::media::{Accepted, accepts_gzip};
use crate::query::Query;
use crate::reply::refuse;

/// By path, and for v2 by format.
#[derive(Default)]
pub(crate) struct Documents(Mutex<BTreeMap<String, Arc<Document>>>);

struct Document {
    hash: String,
    content_type: &'static str,
    gzip: Bytes,
}

impl Documents {
    /// Answers `/openapi/...`; `None` for any other path.
    pub fn answer(
        &self,
        core: &Core,
        resources: &[ResourceInfo],
        custom: &BTreeMap<GroupVersionKind, Value>,
        version: &str,
        request: &Parts,
        query: &Query,
    ) -> Option<Response<Body>> {
        let path = request.uri.path().trim_end_matches('/').strip_prefix("/openapi/")?;
        let source = OpenApi { resources, custom, version };
        let accept = request.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let document = match path {
            "v2" => self.v2(core, &source, accepts_protobuf(accept)),
            "v3" => {
                let index = core.aggregation.openapi_index(source.v3_index()).to_string();
                return Some(text(index.into()));
            }
            path => {
                let Some(wanted) = path.strip_prefix("v3/") else {
                    return Some(refuse(&Status::no_such_path(), &Accepted::JSON));
                };
                let group_version = find(resources, wanted);
                let hash = match group_version {
                    Some((group, version)) => Some(source.v3_hash(group, version)),
                    None => source.v3_hash_of_other(wanted),
                };
                let Some(hash) = hash else { return Some(not_found()) };
                match query.get("hash") {
                    Some(asked) if !asked.eq_ignore_ascii_case(&hash) => return Some(redirect(path, &hash)),
                    _ => {}
                }
                let made = || match group_version {
                    Some((group, version)) => source.v3(group, version),
                    None => source.v3_other(wanted),
                };
                self.get(path, hash, || ("application/json", made().unwrap_or_default()))
            }
        };
        Some(document.respond(request, query.get("hash").is_some(), path == "v2"))
    }

    /// With what other servers say of themselves.
    fn v2(&self, core: &Core, source: &OpenApi<'_>, protobuf: bool) -> Arc<Document> {
        let others = core.aggregation.swaggers();
        let etags: Vec<&str> = others.iter().map(|other| other.etag.as_str()).collect();
        let hash = match etags.as_slice() {
            [] => source.v2_hash(),
            etags => hex(format!("{} {}", source.v2_hash(), etags.join(" ")).as_bytes()),
        };
        let merged = || aggregation::merged(&source.v2_json(), &others);
        match (protobuf, others.is_empty()) {
            (true, true) => self.get("v2+protobuf", hash, || (V2_PROTOBUF, source.v2_protobuf())),
            (true, false) => self.get("v2+protobuf", hash, || (V2_PROTOBUF, v2_protobuf_of(&merged()))),
            (false, true) => self.get("v2", hash, || ("application/json", source.v2_json())),
            (false, false) => self.get("v2", hash, || ("application/json", merged().to_string().into())),
        }
    }

    /// The document of that content; what was there under the key before is forgotten.
    fn get(&self, key: &str, hash: String, make: impl FnOnce() -> (&'static str, Vec<u8>)) -> Arc<Document> {
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = documents.get(key).filter(|document| document.hash == hash) {
            return document.clone();
        }
        let (content_type, bytes) = make();
        let document = Arc::new(Document { hash, content_type, gzip: compress(&bytes) });
        documents.insert(key.to_owned(), document.clone());
        document
    }
}

impl Document {
    /// `for_ever`: the URL names the content, so it never changes.
    /// The document of v2 is `of_everything`.
    fn respond(&self, request: &Parts, for_ever: bool, of_everything: bool) -> Response<Body> {
        let etag = format!("\"{}\"", self.hash);
        let known = request.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut response = Response::new(body::empty());
        let unchanged = known.flat_map(|value| value.split(',')).any(|known| known.trim() == etag);
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else if accepts_gzip(&request.headers) {
            *response.body_mut() = body::full(self.gzip.clone());
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        } else {
            *response.body_mut() = body::full(decompress(&self.gzip));
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if of_everything {
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        headers.extend(HeaderValue::try_from(etag).ok().map(|etag| (ETAG, etag)));
        if for_ever {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        }
        response
    }
}

pub(crate) fn hex(text: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

fn find<'r>(resources: &'r [ResourceInfo], path: &str) -> Option<(&'r str, &'r str)> {
    let names = resources.iter().map(|resource| (resource.group.as_str(), resource.version.as_str()));
    names.into_iter().find(|(group, version)| v3_path(group, version) == path)
}

fn accepts_protobuf(accept: &str) -> bool {
    let mut types = accept.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
    let first = types.find(|kind| V2_PROTOBUF_ACCEPTED.contains(kind) || matches!(*kind, "application/json" | "*/*"));
    first.is_some_and(|kind| V2_PROTOBUF_ACCEPTED.contains(&kind))
}

/// Upstream does not say that it is JSON.
fn text(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// There is no such document, and no Status either (upstream).
fn not_found() -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn redirect(path: &str, hash: &str) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let location = HeaderValue::try_from(format!("/openapi/{path}?hash={hash}"));
    response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
    response
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    // To memory: neither call can fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

fn decompress(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What `compress` made is whole.
    let _ = flate2::read::GzDecoder::new(gzip).read_to_end(&mut bytes);
    bytes
}
