//! `/images`: the node's image store, for `setpoint image`.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use api::status::{Qualified, Status};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use runtime::images::{Image, ImageError};
use runtime::spec::ContainerState;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::route::Query;
use super::{Answer, failure, json as answer_json};
use crate::driver::Shared;

/// Chunks of an upload that wait for the disk; the client then waits with it.
const CHUNKS: usize = 16;

fn shown(image: &Image) -> Value {
    json!({"id": image.id, "digest": image.digest, "references": image.references, "size": image.size})
}

fn list(images: &[Image]) -> Answer {
    answer_json(&images.iter().map(shown).collect())
}

fn failed(error: &ImageError, reference: &str) -> Answer {
    failure(&match error {
        ImageError::NotFound(_) => Status::not_found(Qualified::new("", "images"), reference),
        ImageError::InUse(_) => Status::conflict(Qualified::new("", "images"), reference, &error.to_string()),
        ImageError::Archive(_) | ImageError::Digest { .. } | ImageError::Reference { .. } => {
            Status::bad_request(format!("failed to {error}"))
        }
        ImageError::Io { .. } => Status::internal(format!("failed to {error}")),
    })
}

pub async fn answer(shared: Arc<Shared>, query: &Query, request: Request<Incoming>) -> Answer {
    match *request.method() {
        Method::GET => list(&shared.runtime.list_images()),
        Method::POST => load(shared, request.into_body()).await,
        Method::DELETE => match query.get("reference").filter(|reference| !reference.is_empty()) {
            Some(reference) => remove(shared, reference.to_owned()).await,
            None => failure(&Status::bad_request("name the image in the query: ?reference=NAME")),
        },
        _ => failure(&Status::method_not_allowed()),
    }
}

/// An upload as something that can be read; ends with an error when the client went away before its end.
struct Upload {
    chunks: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    over: bool,
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.over {
            match self.chunks.blocking_recv() {
                Some(Some(chunk)) => self.current = chunk,
                Some(None) => self.over = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the upload was cut off")),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

async fn load(shared: Arc<Shared>, mut body: Incoming) -> Answer {
    let (to, chunks) = mpsc::channel(CHUNKS);
    let upload = Upload { chunks, current: Bytes::new(), over: false };
    let work = tokio::task::spawn_blocking(move || shared.runtime.load_images(Box::new(upload)));
    let mut complete = true;
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            // A store that has failed reads no more; the client still gets to the end of its upload and reads why.
            Ok(Ok(chunk)) => drop(to.send(Some(chunk)).await),
            Ok(Err(_)) => {}
            Err(_) => {
                complete = false;
                break;
            }
        }
    }
    if complete {
        // Dropping the channel without this is an upload that was cut off.
        let _ = to.send(None).await;
    }
    drop(to);
    match work.await {
        Ok(Ok(images)) => list(&images),
        Ok(Err(error)) => failed(&error, ""),
        Err(error) => failure(&Status::internal(error)),
    }
}

async fn remove(shared: Arc<Shared>, reference: String) -> Answer {
    let listing = match shared.runtime.list().await {
        Ok(listing) => listing,
        Err(error) => return failure(&Status::internal(format!("failed to list containers: {error}"))),
    };
    // A container that has ended can be removed with its image's files; a running one needs them.
    let running =
        listing.containers.into_iter().filter(|container| !matches!(container.state, ContainerState::Exited(_)));
    let in_use: BTreeSet<String> = running.map(|container| container.image).collect();
    let name = reference.clone();
    let removed = tokio::task::spawn_blocking(move || shared.runtime.remove_image(&reference, &in_use)).await;
    match removed {
        Ok(Ok(image)) => answer_json(&shown(&image)),
        Ok(Err(error)) => failed(&error, &name),
        Err(error) => failure(&Status::internal(error)),
    }
}
