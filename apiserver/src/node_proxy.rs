//! The way from the API server to a node's kubelet, for logs, exec, attach, port-forward and the node proxy.

use api::Object;
use api::status::Status;
use futures::future::BoxFuture;
use http::{Request, Response};

use crate::body::Body;

pub trait NodeProxy: Send + Sync {
    /// Sends `request` to the kubelet of `node` (a Node object). The URI is the kubelet's path and query; method, headers
    /// and body are the client's. An upgrade passes through: the client's `hyper::upgrade::OnUpgrade` is still among the
    /// request's extensions, and an answer of 101 means that the transport joins the two streams.
    fn call<'a>(&'a self, node: &'a Object, request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, Status>>;
}

/// A server without nodes to reach.
#[derive(Clone, Copy, Debug)]
pub struct NoNodes;

impl NodeProxy for NoNodes {
    fn call<'a>(&'a self, _node: &'a Object, _request: Request<Body>) -> BoxFuture<'a, Result<Response<Body>, Status>> {
        let status = Status::service_unavailable("this API server has no way to reach nodes");
        Box::pin(std::future::ready(Err(status)))
    }
}
