//! etcd as the store: state that several API servers share, kept by a cluster that replicates it.
//!
//! The guarantees of [`Store`] are etcd's own, so there is little here: `proto` and `client` speak its protocol, `value` keeps
//! the place of the revision, `members` asks whichever member answers, `follow` is a watch that goes on over broken
//! connections, `newest` reads the newest revision once for all who wait for it. Every write is durable on a majority of the
//! members, heartbeats included.
//!
//! A revision is etcd's revision. They have no gaps as long as nobody else writes to this etcd several keys at once.

mod client;
mod follow;
mod members;
mod newest;
mod proto;
mod value;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, stream};

use self::client::{Member, Refusal};
use self::follow::Follow;
use self::members::{Answer, Members, Repeat};
use self::newest::Newest;
use self::proto::{
    Compare, DeleteRangeRequest, Header, PutRequest, RangeRequest, RangeResponse, Request, TxnRequest,
    WatchCreateRequest,
};
use self::value::{encode, key_value, number, revision};
use crate::{Durability, Error, Event, Expect, KeyValue, Page, Range, Result, Revision, Store, WatchStream, Write};

/// Keys read at once: a list of everything comes in parts, so that no member has to hold all of it in one answer.
const PART: usize = 5_000;
/// A zero byte: a key that nobody has.
const NO_KEY: Bytes = Bytes::from_static(&[0]);

/// Which etcd, and how it is spoken to.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// `http://HOST:PORT` or `https://HOST:PORT`, one for each member.
    pub endpoints: Vec<String>,
    /// For `https` endpoints.
    pub tls: Option<EtcdTls>,
}

/// PEM.
#[derive(Clone, Debug)]
pub struct EtcdTls {
    /// Whose servers are trusted.
    pub authority: String,
    /// Certificate and key of this client.
    pub identity: Option<(String, String)>,
}

/// See the module doc.
pub struct Etcd {
    members: Arc<Members>,
    newest: Newest,
}

impl Etcd {
    /// # Errors
    /// No member answers within some seconds, or the options make no sense: [`Error::Open`].
    pub async fn connect(options: &EtcdOptions) -> Result<Etcd> {
        let etcd = Etcd { members: Arc::new(Members::new(options)?), newest: Newest::default() };
        match etcd.revision().await {
            Ok(newest) => tracing::info!(revision = newest.0, "etcd answers"),
            Err(error) => {
                let asked = options.endpoints.join(", ");
                return Err(Error::Open(format!("no etcd answers at {asked}; is it running? ({error})")));
            }
        }
        Ok(etcd)
    }

    async fn read(&self, request: RangeRequest) -> Result<Answer<RangeResponse>> {
        let request = |member: Member| {
            let request = request.clone();
            async move { member.range(request).await }
        };
        self.members.ask(Repeat::Always, request).await
    }

    /// A read of nothing, as of a revision: refused where any read is.
    async fn check(&self, at: Revision) -> Result<Revision> {
        let revision = number(at).max(1);
        let request = RangeRequest { key: NO_KEY, revision, count_only: true, ..RangeRequest::default() };
        match self.read(request).await? {
            Ok(response) => Ok(newest(response.header)),
            Err(refusal) => Err(self.refused(refusal, at).await),
        }
    }

    async fn refused(&self, refusal: Refusal, at: Revision) -> Error {
        let wanted = match refusal {
            Refusal::Future => self.revision().await.map(|newest| Error::Future { newest }),
            Refusal::Compacted => oldest(&self.members, at).await.map(|oldest| Error::Compacted { oldest }),
        };
        wanted.unwrap_or_else(|error| error)
    }

    /// One part of a range.
    async fn part(&self, range: &Range, at: Option<Revision>, limit: usize) -> Result<Page> {
        let request = RangeRequest {
            key: start(range),
            range_end: end(range),
            limit: i64::try_from(limit).unwrap_or_default(),
            revision: at.map_or(0, |at| number(at).max(1)),
            count_only: false,
        };
        match self.read(request).await? {
            Ok(response) => Ok(Page {
                revision: at.unwrap_or_else(|| newest(response.header)),
                items: response.kvs.into_iter().map(key_value).collect(),
                count: usize::try_from(response.count).unwrap_or_default(),
            }),
            Err(refusal) => Err(self.refused(refusal, at.unwrap_or_default()).await),
        }
    }

    async fn parts(&self, mut range: Range, at: Option<Revision>, limit: usize) -> Result<Page> {
        if range.is_empty() {
            let revision = match at {
                Some(at) => self.check(at).await.map(|_| at)?,
                None => self.revision().await?,
            };
            return Ok(Page { revision, items: Vec::new(), count: 0 });
        }
        let wanted = if limit == 0 { usize::MAX } else { limit };
        let mut page = self.part(&range, at, wanted.min(PART)).await?;
        while page.items.len() < wanted.min(page.count) {
            let Some(last) = page.items.last() else { break };
            range.start = [&last.key[..], &[0]].concat().into();
            let left = wanted - page.items.len();
            let more = self.part(&range, Some(page.revision), left.min(PART)).await?;
            if more.items.is_empty() {
                break;
            }
            page.items.extend(more.items);
        }
        Ok(page)
    }

    async fn transact(&self, key: Bytes, write: Write, expect: Expect) -> Result<Revision> {
        let mut compare = match expect {
            Expect::Any => Vec::new(),
            Expect::Absent => vec![Compare::absent(key.clone())],
            Expect::At(at) => vec![Compare::exists(key.clone()), Compare::modified_at(key.clone(), number(at))],
        };
        let action = match &write {
            Write::Put(value) => Request::Put(PutRequest { key: key.clone(), value: encode(value) }),
            Write::Delete => {
                compare.push(Compare::exists(key.clone()));
                Request::Delete(DeleteRangeRequest { key: key.clone() })
            }
        };
        let look = Request::Range(RangeRequest { key, ..RangeRequest::default() });
        let txn = TxnRequest { compare, success: vec![action.into()], failure: vec![look.into()] };
        let request = |member: Member| {
            let txn = txn.clone();
            async move { member.txn(txn).await }
        };
        match self.members.ask(Repeat::Unsent, request).await? {
            Ok(response) if response.succeeded => Ok(newest(response.header)),
            Ok(response) => {
                let found = response.responses.into_iter().filter_map(|response| response.range);
                let actual = found.flat_map(|found| found.kvs).next().map(key_value);
                Err(Error::Conflict { actual })
            }
            Err(refusal) => Err(self.refused(refusal, Revision(0)).await),
        }
    }
}

/// The revision that etcd was compacted at, which lies after `gone`. Only a refused watch tells.
async fn oldest(members: &Members, gone: Revision) -> Result<Revision> {
    let start_revision = number(gone).max(1);
    let request = |member: Member| async move {
        let request = WatchCreateRequest { key: NO_KEY, start_revision, ..WatchCreateRequest::default() };
        let mut responses = member.watch(request).await?;
        while let Some(response) = responses.next().await? {
            if response.compact_revision > 0 {
                return Ok(response.compact_revision);
            }
        }
        Ok(0)
    };
    match members.ask(Repeat::Always, request).await? {
        Ok(oldest) => Ok(revision(oldest)),
        Err(_) => Ok(gone),
    }
}

fn newest(header: Option<Header>) -> Revision {
    header.map(|header| revision(header.revision)).unwrap_or_default()
}

/// etcd has no empty key; the smallest is a zero byte.
fn start(range: &Range) -> Bytes {
    if range.start.is_empty() { NO_KEY } else { range.start.clone() }
}

/// A zero byte means that there is no end.
fn end(range: &Range) -> Bytes {
    range.end.clone().unwrap_or(NO_KEY)
}

impl Store for Etcd {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        let read = || async {
            let request = RangeRequest { key: NO_KEY, count_only: true, ..RangeRequest::default() };
            match self.read(request).await? {
                Ok(response) => Ok(newest(response.header)),
                Err(refusal) => Err(Error::Unavailable(format!("etcd refuses to tell its revision ({refusal:?})"))),
            }
        };
        self.newest.get(read).boxed()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        async move {
            match self.read(RangeRequest { key, ..RangeRequest::default() }).await? {
                Ok(response) => Ok(response.kvs.into_iter().next().map(key_value)),
                Err(refusal) => Err(self.refused(refusal, Revision(0)).await),
            }
        }
        .boxed()
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        self.parts(range, at, limit).boxed()
    }

    fn write(&self, key: Bytes, write: Write, expect: Expect, _: Durability) -> BoxFuture<'_, Result<Revision>> {
        self.transact(key, write, expect).boxed()
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        async move {
            self.check(after).await?;
            let mut follow = Follow::new(self.members.clone(), range, after);
            follow.connect().await;
            let next = |mut follow: Follow| async move {
                let item: Result<Event> = follow.next().await?;
                Some((item, follow))
            };
            Ok(Box::pin(stream::unfold(follow, next)) as WatchStream)
        }
        .boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        async move {
            if before.0 == 0 {
                return Ok(());
            }
            let request = |member: Member| async move { member.compact(number(before)).await };
            match self.members.ask(Repeat::Always, request).await? {
                Ok(_) | Err(Refusal::Compacted) => Ok(()),
                Err(Refusal::Future) => Err(self.refused(Refusal::Future, before).await),
            }
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
