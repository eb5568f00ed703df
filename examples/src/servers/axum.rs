//! The application on axum.

use std::net::TcpListener;

use axum::Router;
use axum::response::Html;
use axum::routing::{any, get};
use websock_axum::{Upgrade, WebSock};

use super::App;

pub(super) async fn serve<H: WebSock, F>(listener: TcpListener, app: App<F>) -> std::io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let App { path, page, handler, options, .. } = app;
    let websocket = any(move |upgrade: Upgrade| async move { upgrade.accept(handler(), &options) });
    let router = Router::new().route(path, websocket);
    let router = match page {
        Some(page) => router.route("/", get(move || async move { Html(page) })),
        None => router,
    };
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
}
