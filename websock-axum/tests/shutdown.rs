//! What the docs show under "Shutting down", and what axum does without it.

use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use websock_axum::{Drain, Options, Shutdown, Upgrade};
use websock_conformance::stopping::{Echo, ToldToStop, expect_closed, expect_forgotten};

#[tokio::test]
async fn a_drain_closes_the_connections_before_axum_stops() {
    expect_closed(with_a_drain).await;
}

#[tokio::test]
async fn axum_alone_ends_without_closing_them() {
    expect_forgotten(alone).await;
}

#[tokio::main(flavor = "current_thread")]
async fn with_a_drain(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let drain = Drain::new();
    let app = app(echo, Options::default().drain(drain.clone()));
    axum::serve(tokio(listener), app)
        .with_graceful_shutdown(async move {
            told_to_stop.await;
            drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
        })
        .await
        .expect("axum failed");
}

#[tokio::main(flavor = "current_thread")]
async fn alone(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let app = app(echo, Options::default());
    axum::serve(tokio(listener), app).with_graceful_shutdown(told_to_stop).await.expect("axum failed");
}

fn app(echo: Echo, options: Options) -> Router {
    Router::new().route("/ws", any(async move |upgrade: Upgrade| upgrade.accept(echo, &options)))
}

fn tokio(listener: TcpListener) -> tokio::net::TcpListener {
    tokio::net::TcpListener::from_std(listener).expect("a listener")
}
