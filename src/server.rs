//! The small HTTP server beside the pipeline: `/livez`, `/readyz`, `/metrics`, and where the monitor
//! runs its dashboard: pages and `/api/v1/`.
//!
//! It only reads state that others keep; it never touches Kafka or the model, and changes nothing.

mod answers;
mod dashboard;
mod process;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use monitor::dashboard::Dashboard;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::telemetry;

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    registry: Registry,
}

/// Serves until `stop`; in-flight answers are finished.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    registry: Registry,
    dashboard: Option<Arc<Dashboard>>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let mut routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Shared { health: health.clone(), registry: registry.clone() });
    if let Some(dashboard) = dashboard {
        routes = routes.merge(dashboard::routes(dashboard, health, registry));
    }
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.health.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        missing => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join("; ")))
        }
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    match telemetry::render(&shared.registry) {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (StatusCode::OK, kind, text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
