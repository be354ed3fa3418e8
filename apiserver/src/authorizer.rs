//! The question "may this user do that", asked once per request and by the access reviews.

use futures::future::BoxFuture;

use crate::rbac::Rule;
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

/// What a user may do in a namespace, as far as it can be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRules {
    pub rules: Vec<Rule>,
    /// The user may be able to do more.
    pub incomplete: bool,
    /// What could not be found out; may be empty.
    pub error: String,
}

pub trait Authorizer: Send + Sync {
    fn authorize<'a>(&'a self, user: &'a UserInfo, request: &'a RequestInfo) -> BoxFuture<'a, Decision>;

    /// The same decision and its reason, which may be empty, also when it is to allow. For reviews.
    fn explain<'a>(&'a self, user: &'a UserInfo, request: &'a RequestInfo) -> BoxFuture<'a, (Decision, String)> {
        Box::pin(async move {
            let decision = self.authorize(user, request).await;
            let reason = match &decision {
                Decision::Allow => String::new(),
                Decision::Deny(reason) | Decision::NoOpinion(reason) => reason.clone(),
            };
            (decision, reason)
        })
    }

    fn rules<'a>(&'a self, _user: &'a UserInfo, _namespace: &'a str) -> BoxFuture<'a, UserRules> {
        let error = "this authorizer cannot list rules".to_owned();
        Box::pin(std::future::ready(UserRules { incomplete: true, error, ..UserRules::default() }))
    }
}

/// For tests.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysAllow;

impl Authorizer for AlwaysAllow {
    fn authorize<'a>(&'a self, _user: &'a UserInfo, _request: &'a RequestInfo) -> BoxFuture<'a, Decision> {
        Box::pin(std::future::ready(Decision::Allow))
    }

    fn rules<'a>(&'a self, _user: &'a UserInfo, _namespace: &'a str) -> BoxFuture<'a, UserRules> {
        Box::pin(std::future::ready(UserRules { rules: Rule::everything().into(), ..UserRules::default() }))
    }
}
