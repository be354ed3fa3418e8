//! A client of the API server in this process: a function call in the shape of a connection.

use std::sync::Arc;

use apiserver::{ApiServer, UserInfo};
use http::HeaderValue;
use http::header::USER_AGENT;

/// As a user. `component` is the name that it has in managedFields.
pub fn in_process(server: &Arc<ApiServer>, user: UserInfo, component: &'static str) -> kube::Client {
    let server = server.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (server, user) = (server.clone(), user.clone());
        async move {
            let mut request = request.map(apiserver::body::wrap);
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(component));
            Ok::<_, std::convert::Infallible>(server.handle(user, request).await)
        }
    });
    kube::Client::new(service, "default")
}
