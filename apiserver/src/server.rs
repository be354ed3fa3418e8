//! The server: takes an authenticated request, answers with a response.

use http::{Request, Response};

use crate::body::{self, Body};
use crate::config::Config;
use crate::user::UserInfo;

pub struct ApiServer {
    config: Config,
}

impl ApiServer {
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Answers one request of an authenticated user, from authorization on. Never fails: an error is a response.
    pub async fn handle(&self, _user: UserInfo, _request: Request<Body>) -> Response<Body> {
        let mut response = Response::new(body::empty());
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        response
    }
}
