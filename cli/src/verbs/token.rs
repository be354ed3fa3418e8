//! `token`: short-lived tokens by which machines join as nodes.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::front::pki::fingerprint;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::control::{CLUSTER_INFO_NAME, CLUSTER_INFO_NAMESPACE, ClusterInfo, election};
use crate::join_token::JoinToken;
use crate::output::line;
use crate::session::{Connection, Session};
use crate::watch;

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const KIND: &str = "bootstrap.kubernetes.io/token";
const PREFIX: &str = "bootstrap-token-";

#[derive(Debug, clap::Args)]
pub struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token, and print the command that joins a machine by it
    Create {
        /// How long it is good, such as 30m or 24h
        #[arg(long, default_value = "1h")]
        ttl: String,
        /// Print the token and nothing else
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show the tokens without their secrets
    List,
    /// Take a token back
    Delete {
        /// The first six characters of the token are enough
        token: String,
    },
}

impl Token {
    pub async fn run(self, connection: &Connection) -> Result<ExitCode> {
        let session = Session::open(connection).await?;
        match self.action {
            Action::Create { ttl, quiet } => {
                let Some(ttl) = super::duration(&ttl)? else { bail!("a token must expire: --ttl must not be 0") };
                create(&session, ttl, quiet).await?;
            }
            Action::List => list(&session).await?,
            Action::Delete { token } => {
                let id = token.split(['.', '@']).next().unwrap_or_default();
                session.call("DELETE", &format!("{SECRETS}/{PREFIX}{id}"), None).await?;
                line(format_args!("bootstrap token {id:?} deleted"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn create(session: &Session, ttl: Duration, quiet: bool) -> Result<()> {
    let root = published(session, "kube-system", "kube-root-ca.crt").await?;
    let authority = root["data"]["ca.crt"].as_str().unwrap_or_default();
    let token = JoinToken::new(fingerprint(authority).context("the cluster does not tell its authority")?)?;
    let end = Timestamp::now() + ttl;
    let_bootstrappers_ask(session).await?;
    let encode = |text: &str| STANDARD.encode(text);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": KIND,
        "metadata": {"name": format!("{PREFIX}{}", token.id), "namespace": "kube-system"},
        "data": {
            "token-id": encode(&token.id),
            "token-secret": encode(&token.secret),
            "expiration": encode(&end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            "usage-bootstrap-authentication": encode("true"),
            "description": encode("made by setpoint token create"),
        },
    });
    session.call("POST", SECRETS, Some(("application/json", secret.to_string().into_bytes()))).await?;
    if quiet {
        line(format_args!("{token}"));
        return Ok(());
    }
    let address = server(session).await?;
    line(format_args!("To join a machine to this cluster, run there:\n"));
    line(format_args!("    setpoint node join {address} --token {token}\n"));
    line(format_args!("The token is good until {}.", end.strftime("%Y-%m-%d %H:%M:%S UTC")));
    Ok(())
}

/// A ConfigMap that the controllers of a new cluster make in their first moments: on etcd, those of the leader.
async fn published(session: &Session, namespace: &str, name: &str) -> Result<Value> {
    let maps = session.resource("configmaps").await?;
    let made = watch::until(session, &maps, namespace, name, |map| map.cloned());
    match tokio::time::timeout(election::PATIENCE, made).await {
        Ok(made) => made,
        Err(_) => bail!(
            "the cluster has no ConfigMap {namespace}/{name}, also after {} seconds: do its controllers run?",
            election::PATIENCE.as_secs()
        ),
    }
}

/// Where machines reach the API, as the cluster tells.
async fn server(session: &Session) -> Result<String> {
    let map = published(session, CLUSTER_INFO_NAMESPACE, CLUSTER_INFO_NAME).await?;
    let info = ClusterInfo::read(&serde_json::from_value(map["data"].clone()).unwrap_or_default())?;
    Ok(info.server.trim_start_matches("https://").to_owned())
}

/// Upstream's kubeadm binds its own group; this is everybody with a bootstrap token.
async fn let_bootstrappers_ask(session: &Session) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "setpoint:node-bootstrappers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers"}],
    });
    let body = Some(("application/json", binding.to_string().into_bytes()));
    match session.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body).await {
        Err(error) if !error.is("AlreadyExists") => Err(error.into()),
        _ => Ok(()),
    }
}

async fn tokens(session: &Session) -> Result<Vec<Value>> {
    let list = session.get(&format!("{SECRETS}?fieldSelector=type%3D{}", KIND.replace('/', "%2F"))).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

async fn list(session: &Session) -> Result<()> {
    line(format_args!("{:<10}{:<24}DESCRIPTION", "TOKEN", "EXPIRES"));
    for secret in tokens(session).await? {
        let expiration = text(&secret, "expiration");
        let end = expiration.parse::<Timestamp>();
        let expired = if end.is_ok_and(|end| end <= Timestamp::now()) { "expired" } else { &expiration };
        line(format_args!("{:<10}{expired:<24}{}", text(&secret, "token-id"), text(&secret, "description")));
    }
    Ok(())
}

fn text(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
