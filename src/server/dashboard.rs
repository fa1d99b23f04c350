//! The monitor's pages and its JSON below `/api/v1/`, over HTTP: read only, bounded, off the
//! asynchronous threads. What the answers hold is [`monitor::dashboard`]'s to say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use monitor::dashboard::{CONTENT_SECURITY_POLICY, Dashboard, Problem, page};
use prometheus::Registry;
use tokio::sync::Semaphore;

use super::answers::Answers;
use super::process::Process;
use crate::health::Health;

/// Questions that are worked on at once: they share the cores with the hops.
const AT_ONCE: usize = 2;
/// How long a question waits for its turn.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of a query: some names, each escaped.
const MOST_QUERY_BYTES: usize = 8 << 10;

#[derive(Clone)]
struct Shared {
    dashboard: Arc<Dashboard>,
    process: Arc<Process>,
    answers: Arc<Answers>,
    turns: Arc<Semaphore>,
}

/// The routes of pages and API.
pub(super) fn routes(dashboard: Arc<Dashboard>, health: Arc<Health>, registry: Registry) -> Router {
    let shared = Shared {
        dashboard,
        process: Arc::new(Process::new(health, registry, Instant::now())),
        answers: Arc::default(),
        turns: Arc::new(Semaphore::new(AT_ONCE)),
    };
    Router::new()
        .route("/", get(file))
        .route("/column", get(file))
        .route("/alerts", get(file))
        .route("/alerts/{id}", get(file))
        .route("/assets/{name}", get(file))
        .route("/api/v1/{resource}", get(answer))
        .with_state(shared)
}

async fn file(uri: Uri) -> Response {
    match page(uri.path()) {
        Some(page) => sent(StatusCode::OK, page.kind, Body::from(page.text)),
        None => sent(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", Body::from("not found\n")),
    }
}

async fn answer(
    State(shared): State<Shared>,
    Path(resource): Path<String>,
    RawQuery(raw): RawQuery,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let raw = raw.unwrap_or_default();
    if raw.len() > MOST_QUERY_BYTES {
        return refused(&Problem {
            status: 414,
            limit: Some(format!("{MOST_QUERY_BYTES} bytes").into()),
            ..Problem::nothing("the query is too long", "", "ask for less")
        });
    }
    let Ok(Query(query)) = query else {
        let fix = "write name=value pairs, percent-encoded UTF-8";
        return refused(&Problem {
            status: 400,
            ..Problem::nothing("the query cannot be read", &raw, fix)
        });
    };
    let question = format!("{resource}?{raw}");
    if let Some(known) = shared.answers.get(&question, Instant::now()) {
        return json(StatusCode::OK, known);
    }
    let turn = tokio::time::timeout(WAIT, shared.turns.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let mut response = refused(&Problem {
            status: 503,
            limit: Some(format!("{AT_ONCE} questions at once").into()),
            ..Problem::nothing("too many questions at once", "", "ask again in some seconds")
        });
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    };
    // Whoever asked the same a moment ago has been answered meanwhile.
    if let Some(known) = shared.answers.get(&question, Instant::now()) {
        return json(StatusCode::OK, known);
    }
    let worked = tokio::task::spawn_blocking(move || {
        let made = worked_out(&shared, &resource, &query);
        if let Ok(answer) = &made {
            shared.answers.put(question, answer.clone(), Instant::now());
        }
        // Kept while it works, even when nobody waits any more.
        drop(turn);
        made
    });
    match worked.await {
        Ok(Ok(answer)) => json(StatusCode::OK, answer),
        Ok(Err(problem)) => {
            if problem.status >= 500 {
                tracing::warn!(error = problem.message, "a question could not be answered");
            }
            refused(&problem)
        }
        Err(_) => refused(&Problem {
            status: 500,
            ..Problem::nothing("the answer failed", "", "see the log of the process")
        }),
    }
}

fn worked_out(
    shared: &Shared,
    resource: &str,
    query: &[(String, String)],
) -> Result<Bytes, Problem> {
    let now = jiff::Timestamp::now();
    if resource == "process" && query.is_empty() {
        return Ok(Bytes::from(shared.process.answer(now, Instant::now()).to_string()));
    }
    Ok(Bytes::from(shared.dashboard.answer(resource, query, now)?))
}

fn refused(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, Bytes::from(problem.body().to_string()))
}

fn json(status: StatusCode, body: Bytes) -> Response {
    sent(status, "application/json", Body::from(body))
}

/// With the headers that keep a browser from doing more than showing it.
fn sent(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (status, headers, body).into_response();
    let own = header::HeaderName::from_static("cross-origin-resource-policy");
    response.headers_mut().insert(own, HeaderValue::from_static("same-origin"));
    response
}
