//! GET of one object.

use api::status::Status;

use crate::call::Call;
use crate::core::qualified;
use crate::reply::Reply;
use crate::verbs::list::parse_version;

/// Without a resourceVersion the newest state, read from the store; with one, anything at least as new, from the cache.
pub(crate) async fn get(call: &Call) -> Result<Reply, Status> {
    let (row, name) = (&call.row, call.info.name.as_str());
    let version = call.query.get("resourceVersion").unwrap_or_default();
    let found = if version.is_empty() {
        call.core.read_bytes(row, call.namespace(), name).await?
    } else {
        let wanted = parse_version(version).map_err(|error| match row.collects_dependents {
            true => error,
            // Events are in no watch cache upstream, and its store has other words.
            false => Status::bad_request(format!("invalid resource version: {}", error.message)),
        })?;
        call.core.at_least(wanted).await?;
        let cached = call.core.caches.get(&row.storage);
        cached
            .and_then(|cache| cache.get(&row.object_key(call.namespace(), name)))
            .map(|stored| (stored.json.clone(), stored.revision))
    };
    let (json, revision) = found.ok_or_else(|| Status::not_found(qualified(row), name))?;
    if row.converted().is_some() {
        return Ok(Reply::ok(json));
    }
    Ok(Reply::ok(row.served(&json, revision)?))
}
