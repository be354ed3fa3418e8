//! What the built-in demo image runs: an HTTP server that says which pod answers.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Port to listen on
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

impl Demo {
    pub async fn run(self) -> Result<()> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let greeting = format!("Hello from {}!\n", name.trim());
        let app = Router::new()
            .route("/", get(move || std::future::ready(greeting.clone())))
            .route("/healthz", get(|| std::future::ready("ok\n")));
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port));
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on port {}", self.port))?;
        crate::output::line(format_args!("listening on port {}", self.port));
        // The first process of a container has no default action for signals.
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        };
        axum::serve(listener, app).with_graceful_shutdown(stop).await.context("serve HTTP")
    }
}
