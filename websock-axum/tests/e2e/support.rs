//! The start-up: a site on axum.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::upgrade::OnUpgrade;
use websock_axum::{Rejection, Upgrade};

use crate::site::{Host, Site};

pub(crate) const HOST: Host = Host(|listener, site| {
    Box::pin(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, router(site)).await.unwrap();
    })
});

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
    upgrade.accept(site.probe(), &site.options)
}

async fn look(State(site): State<Arc<Site>>, upgrade: Upgrade) -> Result<&'static str, Rejection> {
    drop(site.probe());
    upgrade.validate(&site.options).map(|()| "acceptable")
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
