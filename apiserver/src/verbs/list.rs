//! LIST. Which state is shown depends on resourceVersion, resourceVersionMatch and continue, exactly as upstream documents
//! it: the newest, any, at least as new, or exactly that.

use std::sync::Arc;

use api::status::Status;
use bytes::Bytes;
use store::{Range, Revision};

use super::continuation::Continuation;
use crate::cache::{ROOT, Stored, prefix_range};
use crate::call::Call;
use crate::core::{EXPIRED, store_error};
use crate::options::{LIST_NUMBERS, ListOptions, VersionMatch};
use crate::query::parse_uint;
use crate::reply::{List, Reply};
use crate::selection::{Selection, Selectors};

/// How many keys are read at once when selectors skip some.
const CHUNK: usize = 500;

const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can \
    start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder \
    of the results. Continuing with the provided token results in an inconsistent list - objects that were created, \
    modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// The state that a list shows.
#[derive(Debug, PartialEq, Eq)]
enum At {
    Newest,
    /// The newest, which must have come so far.
    NewestSince(u64),
    NotOlderThan(u64),
    Exactly(u64),
}

pub(crate) async fn list(call: &Call) -> Result<Reply, Status> {
    select(call).await.map(Reply::List)
}

/// The objects that a request's scope, selectors and options choose.
pub(crate) async fn select(call: &Call) -> Result<List, Status> {
    let (options, selection) = wanted(call, false)?;
    let prefix = selection.key_prefix(&call.row);
    if !options.continue_token.is_empty() {
        let mut from = Continuation::decode(&options.continue_token)?;
        // What a token says is below what is listed.
        from.start = format!("{prefix}{}", from.start.trim_start_matches('/'));
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        // With this version the limit does not count (upstream).
        let limit = if options.resource_version == "0" && is_cached(call) { 0 } else { options.limit };
        let options = ListOptions { limit, ..options };
        return match from.revision {
            Some(revision) => read_store(call, &options, &selection, &prefix, revision, Some(&from)).await,
            None => {
                let complete = call.core.fresh().await?;
                read_cache(call, options.limit, &selection, &prefix, complete, &from.start).await
            }
        };
    }
    match at(&options, selection.is_single(&call.row))? {
        At::Exactly(revision) => read_store(call, &options, &selection, &prefix, revision, None).await,
        At::NewestSince(revision) => {
            call.core.at_least(revision).await?;
            let complete = call.core.fresh().await?;
            read_cache(call, options.limit, &selection, &prefix, complete, "").await
        }
        At::Newest => {
            let complete = call.core.fresh().await?;
            read_cache(call, options.limit, &selection, &prefix, complete, "").await
        }
        At::NotOlderThan(revision) => {
            let complete = call.core.at_least(revision).await?;
            // From any state there is nothing to continue at: the limit does not count (upstream).
            let limit = if revision == 0 && is_cached(call) { 0 } else { options.limit };
            read_cache(call, limit, &selection, &prefix, complete, "").await
        }
    }
}

/// Events are in no watch cache upstream.
fn is_cached(call: &Call) -> bool {
    call.row.collects_dependents
}

/// Options and selection, refused in upstream's order.
pub(crate) fn wanted(call: &Call, watch: bool) -> Result<(ListOptions, Selection), Status> {
    for name in LIST_NUMBERS {
        call.query.number(name).map_err(Status::bad_request)?;
    }
    let selectors = Selectors::parse(&call.info)?;
    let options = ListOptions::parse(&call.query, watch)?;
    let selection = Selection::of(&call.row, &call.info, selectors)?;
    // Upstream's later pages are of the whole collection, filtered (MatchesSingleNamespace, MatchesSingle): a token of a first
    // page that fields had narrowed is read from another place. Clients that page with such fields see the same here.
    let selection = if options.continue_token.is_empty() { selection.narrowed() } else { selection };
    Ok((options, selection))
}

/// `single`: there can be one object at most, of which upstream gets the newest state.
fn at(options: &ListOptions, single: bool) -> Result<At, Status> {
    if options.resource_version.is_empty() {
        return Ok(At::Newest);
    }
    let wrong = |error: Status| Status::bad_request(format!("invalid resource version: {}", error.message));
    let revision = parse_version(&options.resource_version).map_err(wrong)?;
    Ok(match options.version_match {
        Some(VersionMatch::Exact) => At::Exactly(revision),
        Some(VersionMatch::NotOlderThan) => At::NotOlderThan(revision),
        None if options.limit > 0 && revision > 0 && single => At::NewestSince(revision),
        None if options.limit > 0 && revision > 0 => At::Exactly(revision),
        None => At::NotOlderThan(revision),
    })
}

/// The number of a resourceVersion in the query. An error is upstream's of a get or watch: no Status there, so 500.
pub(crate) fn parse_version(text: &str) -> Result<u64, Status> {
    parse_uint(text).map_err(|why| Status::plain(format!("resourceVersion: Invalid value: {text:?}: {why}")))
}

/// `start` is the first key wanted, relative to the resource.
async fn read_cache(
    call: &Call,
    limit: usize,
    selection: &Selection,
    prefix: &str,
    complete: u64,
    start: &str,
) -> Result<List, Status> {
    let Some(cache) = call.core.caches.get(&call.row.storage) else {
        return Ok(List { revision: complete, continue_token: String::new(), remaining: None, items: Vec::new() });
    };
    let selects = selection.has_selectors();
    let matches = |object: &Stored| selection.matches(object);
    // Without selectors the prefix says it all, but for the one object that a name asks for.
    let wanted: Option<&(dyn Fn(&Stored) -> bool + Sync)> =
        if selects || !selection.name.is_empty() { Some(&matches) } else { None };
    let (revision, items, rest) = match wanted {
        Some(wanted) if call.row.converted().is_some() => {
            // What objects are selected by may come from their conversion.
            let (snapshot, _) = cache.page(prefix, start, 0, complete, None);
            let shown = call.core.shown_all(&call.row, snapshot.objects).await?;
            let mut shown = shown.into_iter();
            let matching = shown.by_ref().filter(|object| wanted(object));
            let items = matching.take(if limit == 0 { usize::MAX } else { limit }).collect();
            (snapshot.revision, items, usize::from(shown.next().is_some()))
        }
        wanted => {
            let (snapshot, rest) =
                cache.page(prefix, start, limit, complete, wanted.map(|wanted| wanted as &dyn Fn(&Stored) -> bool));
            (snapshot.revision, call.core.shown_all(&call.row, snapshot.objects).await?, rest)
        }
    };
    let next = |last: &Arc<Stored>| {
        let start = call.row.object_key(&last.namespace, &last.name) + "\0";
        Continuation { revision: Some(revision), start: below(prefix, &start) }.encode()
    };
    let continue_token = items.last().filter(|_| rest > 0).map(next).unwrap_or_default();
    // Only a count of everything is exact; with selectors upstream gives none.
    let remaining = (rest > 0 && !selects).then_some(rest);
    Ok(List { revision, continue_token, remaining, items })
}

/// The state exactly at a revision, from the store's history.
async fn read_store(
    call: &Call,
    options: &ListOptions,
    selection: &Selection,
    prefix: &str,
    revision: u64,
    from: Option<&Continuation>,
) -> Result<List, Status> {
    let root = format!("{ROOT}{}/", call.row.storage);
    let mut range = prefix_range(&format!("{root}{prefix}"));
    if let Some(from) = from {
        let start = Bytes::from(format!("{root}{}", from.start));
        range.start = range.start.max(start);
    }
    let mut items = Vec::new();
    loop {
        let wanted = if options.limit == 0 { 0 } else { options.limit - items.len() };
        // Without selectors every key counts; with them more are read at once.
        let chunk = if wanted == 0 || !selection.has_selectors() { wanted } else { wanted.max(CHUNK) };
        let page = read_page(call, &range, revision, chunk, from.map(|from| below(prefix, &from.start))).await?;
        let (read, left) = (page.items.len(), page.count - page.items.len().min(page.count));
        let mut last = None;
        let mut keys = Vec::with_capacity(read);
        let mut found = Vec::with_capacity(read);
        for item in page.items {
            let stored = Stored::decode(item.value, item.modified.0, &call.row.selectable).map_err(Status::internal)?;
            keys.push(item.key);
            found.push(Arc::new(stored));
        }
        let found = call.core.shown_all(&call.row, found).await?;
        for (index, (key, stored)) in keys.into_iter().zip(found).enumerate() {
            last = Some(key);
            if !selection.matches(&stored) {
                continue;
            }
            items.push(stored);
            let rest = left + read - index - 1;
            if options.limit > 0 && items.len() == options.limit {
                let remaining = (rest > 0 && !selection.has_selectors()).then_some(rest);
                let start = last.as_ref().map(|key| relative(key, &root)).unwrap_or_default() + "\0";
                let next = Continuation { revision: Some(revision), start: below(prefix, &start) };
                let continue_token = if rest > 0 { next.encode() } else { String::new() };
                return Ok(List { revision, continue_token, remaining, items });
            }
        }
        match last {
            Some(last) if left > 0 => range.start = [&last[..], &b"\0"[..]].concat().into(),
            _ => return Ok(List { revision, continue_token: String::new(), remaining: None, items }),
        }
    }
}

fn relative(key: &[u8], root: &str) -> String {
    String::from_utf8_lossy(key.get(root.len()..).unwrap_or_default()).into_owned()
}

/// A key relative to the resource as one relative to what is listed of it.
fn below(prefix: &str, key: &str) -> String {
    key.strip_prefix(prefix).unwrap_or(key).to_owned()
}

/// `start` is where a token that came with the request says to go on.
async fn read_page(
    call: &Call,
    range: &Range,
    revision: u64,
    limit: usize,
    start: Option<String>,
) -> Result<store::Page, Status> {
    let store = &call.core.config.store;
    match store.range(range.clone(), Some(Revision(revision)), limit).await {
        Ok(page) => Ok(page),
        Err(store::Error::Compacted { .. }) => {
            let Some(start) = start else { return Err(Status::expired(EXPIRED)) };
            let mut status = Status::expired(CONTINUE_EXPIRED);
            status.continue_token = Continuation { revision: None, start }.encode();
            Err(status)
        }
        Err(store::Error::Future { .. }) => {
            // Waits a little, for another server may be ahead, and says that the version is too large if it is not.
            call.core.at_least(revision).await?;
            store.range(range.clone(), Some(Revision(revision)), limit).await.map_err(store_error)
        }
        Err(error) => Err(store_error(error)),
    }
}
