//! What the rules promise, over real sockets, on axum.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::upgrade::OnUpgrade;
use websock_axum::{Rejection, Upgrade};
use websock_conformance::{Host, Running, Site, TokioServer, async_trait};

struct Axum;

#[async_trait]
impl Host for Axum {
    fn name(&self) -> &'static str {
        "axum"
    }

    async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
        TokioServer::start(site, async move |listener, site| {
            axum::serve(listener, router(site)).await.unwrap();
        })
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        const REPLACED: &str = "hyper 1.12 hands over although the response was no 101";
        &[
            ("lifecycle::a_101_that_was_replaced_drops_the_handler_when_the_connection_ends", REPLACED),
            ("lifecycle::a_101_that_was_replaced_never_becomes_a_connection", REPLACED),
        ]
    }
}

fn main() -> ExitCode {
    websock_conformance::main(&[&Axum])
}

/// The routes that [`Host`] lists, what surrounds them as middleware.
fn router(site: Arc<Site>) -> Router {
    let taken =
        Router::new().route("/taken", any(accept)).route("/taken/look", any(look)).layer(from_fn(take));
    Router::new()
        .route("/ws", any(accept))
        .route("/look", any(look))
        .route("/cookie", any(accept).layer(map_response(add_cookie)))
        .route("/members", any(accept).layer(from_fn_with_state(site.clone(), members_only)))
        .route("/replaced", any(accept).layer(map_response(async |_: Response| "replaced")))
        .merge(taken)
        .fallback(not_found)
        .with_state(site)
}

async fn accept(State(site): State<Arc<Site>>, upgrade: Upgrade) -> Result<Response, Rejection> {
    upgrade.accept(site.probe(), site.options())
}

async fn look(State(site): State<Arc<Site>>, upgrade: Upgrade) -> Result<&'static str, Rejection> {
    drop(site.probe());
    upgrade.validate(site.options()).map(|()| "acceptable")
}

async fn add_cookie(mut response: Response) -> Response {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_static("seen=1"));
        response.headers_mut().insert("x-route", HeaderValue::from_static("cookie"));
    }
    response
}

async fn members_only(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    match request.headers().get(header::AUTHORIZATION) {
        Some(authorization) if authorization == "secret" => next.run(request).await,
        _ => {
            drop(site.probe());
            (StatusCode::UNAUTHORIZED, "members only").into_response()
        }
    }
}

async fn not_found(State(site): State<Arc<Site>>) -> (StatusCode, &'static str) {
    drop(site.probe());
    (StatusCode::NOT_FOUND, "not found")
}

async fn take(mut request: Request, next: Next) -> Response {
    request.extensions_mut().remove::<OnUpgrade>();
    next.run(request).await
}
