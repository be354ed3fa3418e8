//! The question "may this user do that", asked once per request and by the access reviews.

use futures::future::BoxFuture;

use crate::request::RequestInfo;
use crate::user::UserInfo;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// Refused for good. The reason is shown to the user and may be empty.
    Deny(String),
    /// Nothing allows it; refused as well unless another authorizer allows it.
    NoOpinion(String),
}

pub trait Authorizer: Send + Sync {
    fn authorize<'a>(&'a self, user: &'a UserInfo, request: &'a RequestInfo) -> BoxFuture<'a, Decision>;
}

/// For tests.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysAllow;

impl Authorizer for AlwaysAllow {
    fn authorize<'a>(&'a self, _user: &'a UserInfo, _request: &'a RequestInfo) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(Decision::Allow))
    }
}
