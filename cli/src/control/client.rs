//! Clients of the API server in this process: a function call in the shape of a connection. Each says whose it is, so that
//! roles, the audit log and managedFields know.

use std::sync::Arc;

use apiserver::{ApiServer, UserInfo};
use http::HeaderValue;
use http::header::USER_AGENT;

/// The component that controllers are parts of: their name in managedFields.
const MANAGER: &str = "kube-controller-manager";
/// Of the API server itself, as which upstream's runs the controllers of definitions.
const SERVER: &str = "system:apiserver";

/// As a user. `agent` begins with the name that it has in managedFields.
pub fn in_process(server: &Arc<ApiServer>, user: UserInfo, agent: HeaderValue) -> kube::Client {
    let server = server.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (server, user, agent) = (server.clone(), user.clone(), agent.clone());
        async move {
            let mut request = request.map(apiserver::body::wrap);
            request.headers_mut().insert(USER_AGENT, agent);
            Ok::<_, std::convert::Infallible>(server.handle(user, request).await)
        }
    });
    kube::Client::new(service, "default")
}

/// As a component of the control plane, with the rights of its bootstrap role.
pub fn component(server: &Arc<ApiServer>, name: &'static str) -> kube::Client {
    let user = UserInfo::new(&format!("system:{name}"), &["system:authenticated"]);
    in_process(server, user, HeaderValue::from_static(name))
}

/// As an account of a controller (`reconcile::Controller::ACCOUNT`).
pub fn account(server: &Arc<ApiServer>, account: &str) -> kube::Client {
    let (user, component) = user(account);
    let agent = format!("{component}/v1.35.4 (linux) setpoint/{}", user.name);
    let agent = HeaderValue::try_from(agent).unwrap_or(HeaderValue::from_static(MANAGER));
    in_process(server, user, agent)
}

/// No tokens are made for these accounts, nor need they exist: who calls from this process is who it says.
fn user(account: &str) -> (UserInfo, &'static str) {
    match account {
        SERVER => (UserInfo::new(SERVER, &["system:masters", "system:authenticated"]), "kube-apiserver"),
        _ => {
            let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
            (UserInfo::new(&format!("system:serviceaccount:kube-system:{account}"), &groups), MANAGER)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_users() {
        let (own, component) = user("deployment-controller");
        assert_eq!(own.name, "system:serviceaccount:kube-system:deployment-controller");
        assert!(own.in_group("system:serviceaccounts:kube-system") && !own.in_group("system:masters"));
        assert_eq!(component, "kube-controller-manager");
        let (server, component) = user("system:apiserver");
        assert!(server.name == "system:apiserver" && server.in_group("system:masters"));
        assert_eq!(component, "kube-apiserver");
    }
}
