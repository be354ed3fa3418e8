//! Subresources that are not just another view of their parent. The others (`status`, `ephemeralcontainers`, `resize`,
//! `finalize`) are ordinary updates.

mod access;
mod asked;
mod binding;
pub(crate) mod component_status;
mod connect;
mod eviction;
mod node;
mod proxy;
mod review;
mod scale;
mod token;

use api::status::Status;
use http::Request;

use crate::body::Body;
use crate::call::Call;
use crate::registry::Descriptor;
use crate::reply::Reply;

pub(crate) use review::review;
pub(crate) use scale::{check_scale, put_scale, scale_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Scale,
    Binding,
    Eviction,
    Token,
    /// Answered by the node's kubelet.
    Log,
    Exec,
    Attach,
    PortForward,
    NodeProxy,
    PodProxy,
    ServiceProxy,
}

pub(crate) fn special(row: &Descriptor, subresource: &str) -> Option<Special> {
    Some(match (row.info.plural.as_str(), subresource) {
        (_, "scale") => Special::Scale,
        ("pods", "binding") => Special::Binding,
        ("pods", "eviction") => Special::Eviction,
        ("serviceaccounts", "token") => Special::Token,
        ("pods", "log") => Special::Log,
        ("pods", "exec") => Special::Exec,
        ("pods", "attach") => Special::Attach,
        ("pods", "portforward") => Special::PortForward,
        ("nodes", "proxy") => Special::NodeProxy,
        ("pods", "proxy") if row.info.group.is_empty() => Special::PodProxy,
        ("services", "proxy") if row.info.group.is_empty() => Special::ServiceProxy,
        _ => return None,
    })
}

impl Special {
    /// The answer is not an object, so nothing is negotiated.
    pub fn streams(self) -> bool {
        use Special::{Attach, Exec, Log, NodeProxy, PodProxy, PortForward, ServiceProxy};
        matches!(self, Log | Exec | Attach | PortForward | NodeProxy | PodProxy | ServiceProxy)
    }

    pub async fn answer(self, call: &Call, request: Request<Body>) -> Result<Reply, Status> {
        match self {
            Self::Scale => scale::scale(call, request.into_body()).await,
            Self::Binding => binding::bind(call, request.into_body()).await,
            Self::Eviction => eviction::evict(call, request.into_body()).await,
            Self::Token => token::issue(call, request.into_body()).await,
            Self::Log => node::log(call, request).await,
            Self::Exec => node::stream(call, request, "exec").await,
            Self::Attach => node::stream(call, request, "attach").await,
            Self::PortForward => node::port_forward(call, request).await,
            Self::NodeProxy => node::proxy(call, request).await,
            Self::PodProxy => proxy::pod(call, request).await,
            Self::ServiceProxy => proxy::service(call, request).await,
        }
    }
}
