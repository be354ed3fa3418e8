//! One member of the etcd cluster: its requests, and what its errors mean.

use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::EtcdTls;
use super::proto::{
    CompactionRequest, CompactionResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse, WatchAction,
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};

const CONNECT: Duration = Duration::from_secs(3);
/// As Kubernetes' client has it; etcd allows no more than one ping in five seconds, and none without a request.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Bytes under way on one connection.
const WINDOW: u32 = 8 << 20;

#[derive(Clone)]
pub(super) struct Member {
    endpoint: Endpoint,
    channel: Channel,
}

/// What etcd said about a request, rather than about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Compacted,
    Future,
}

impl Member {
    /// Connects with the first request.
    pub fn new(endpoint: &str, tls: Option<&EtcdTls>) -> Result<Member, String> {
        let wrong =
            |error: tonic::transport::Error| format!("the etcd endpoint {endpoint} cannot be used: {}", chain(&error));
        let mut builder = Endpoint::from_shared(endpoint.to_owned())
            .map_err(wrong)?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .tcp_nodelay(true);
        match (endpoint.split_once("://").map(|(scheme, _)| scheme), tls) {
            (Some("http"), _) => {}
            (Some("https"), Some(tls)) => builder = builder.tls_config(tls_config(tls)).map_err(wrong)?,
            (Some("https"), None) => {
                return Err(format!("the etcd endpoint {endpoint} needs the CA of its certificate"));
            }
            _ => return Err(format!("the etcd endpoint {endpoint} does not begin with http:// or https://")),
        }
        Ok(Member { channel: builder.connect_lazy(), endpoint: builder })
    }

    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Status> {
        self.unary("/etcdserverpb.KV/Range", request).await
    }

    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        self.unary("/etcdserverpb.KV/Txn", request).await
    }

    pub async fn compact(&self, revision: i64) -> Result<CompactionResponse, Status> {
        self.unary("/etcdserverpb.KV/Compact", CompactionRequest { revision }).await
    }

    /// Returns when etcd has made the watch, or refused.
    pub async fn watch(&self, request: WatchCreateRequest) -> Result<Responses, Status> {
        let (requests, receiver) = mpsc::channel(4);
        let create = WatchRequest { action: Some(WatchAction::Create(request)) };
        // There is room.
        let _ = requests.try_send(create);
        // On a connection of its own: events that nobody takes would fill the window of a common one, and stop everything.
        let channel = self.endpoint.connect_lazy();
        let mut grpc = ready(&channel).await?;
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let answer = grpc.streaming(with_leader(ReceiverStream::new(receiver)), path, codec).await?;
        Ok(Responses { requests, stream: answer.into_inner(), _channel: channel })
    }

    async fn unary<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = ready(&self.channel).await?;
        let codec = ProstCodec::<Q, A>::default();
        let answer = grpc.unary(with_leader(request), PathAndQuery::from_static(path), codec).await?;
        Ok(answer.into_inner())
    }
}

async fn ready(channel: &Channel) -> Result<Grpc<Channel>, Status> {
    // A list of everything is as large as the state.
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    Ok(grpc)
}

/// A member that has lost its leader says so instead of waiting for one.
fn with_leader<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
    request
}

fn tls_config(tls: &EtcdTls) -> ClientTlsConfig {
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.authority));
    match &tls.identity {
        Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        None => config,
    }
}

/// A watch as one member serves it.
pub(super) struct Responses {
    requests: mpsc::Sender<WatchRequest>,
    stream: Streaming<WatchResponse>,
    _channel: Channel,
}

impl Responses {
    /// `None`: the member ended it.
    pub async fn next(&mut self) -> Result<Option<WatchResponse>, Status> {
        self.stream.message().await
    }

    /// Asks to be told how far the watch is. False when etcd does not take requests.
    pub fn ask_progress(&self) -> bool {
        let request = WatchRequest { action: Some(WatchAction::Progress(WatchProgressRequest {})) };
        self.requests.try_send(request).is_ok()
    }
}

pub(super) fn refusal(status: &Status) -> Option<Refusal> {
    if status.code() != Code::OutOfRange {
        return None;
    }
    if status.message().contains("compacted") {
        return Some(Refusal::Compacted);
    }
    status.message().contains("future revision").then_some(Refusal::Future)
}

/// Another member may do better: this one cannot be reached, or has no leader.
pub(super) fn is_of_member(status: &Status) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, Internal, Unavailable, Unknown};
    matches!(status.code(), Unavailable | Unknown | Internal | Cancelled | DeadlineExceeded | Aborted)
}

/// There was no connection to send it on.
pub(super) fn is_unsent(status: &Status) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What went wrong, with its causes, in one line.
pub(super) fn words(status: &Status) -> String {
    let text = status.message().trim_start_matches("etcdserver: ").to_owned();
    let cause = std::error::Error::source(status).map(chain).filter(|cause| *cause != text);
    let text = cause.map_or(text.clone(), |cause| format!("{text}: {cause}"));
    format!("etcd: {text}")
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_whether_to_ask_another() {
        let cases = [
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                Some(Refusal::Compacted),
                false,
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                Some(Refusal::Future),
                false,
            ),
            (Code::Unavailable, "etcdserver: no leader", None, true),
            (Code::Unavailable, "etcdserver: request timed out", None, true),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", None, false),
            (Code::InvalidArgument, "etcdserver: request is too large", None, false),
        ];
        for (code, text, refused, elsewhere) in cases {
            let status = Status::new(code, text);
            assert_eq!((refusal(&status), is_of_member(&status)), (refused, elsewhere), "{text}");
            assert!(!is_unsent(&status), "{text}");
        }
        assert_eq!(words(&Status::new(Code::Unavailable, "etcdserver: no leader")), "etcd: no leader");
    }

    #[tokio::test]
    async fn what_could_not_be_sent_is_known() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let member = Member::new(&format!("http://{closed}"), None).unwrap();
        let status = member.range(RangeRequest::default()).await.unwrap_err();
        assert!(is_unsent(&status) && is_of_member(&status), "{status:?}");
        assert!(words(&status).contains("refused"), "{}", words(&status));
    }

    #[test]
    fn endpoints_name_their_scheme() {
        for endpoint in ["127.0.0.1:2379", "ftp://127.0.0.1:2379", "https://127.0.0.1:2379", "http://a b"] {
            assert!(Member::new(endpoint, None).is_err(), "{endpoint}");
        }
    }
}
