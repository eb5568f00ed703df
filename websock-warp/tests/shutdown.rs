//! What the docs show under "Shutting down", and what warp does without it.

use std::net::TcpListener;
use std::time::Duration;

use warp::{Filter, Reply};
use websock_conformance::stopping::{Echo, ToldToStop, expect_closed, expect_forgotten};
use websock_warp::{Drain, Options, Shutdown, Upgrade, upgrade};

#[tokio::test]
async fn a_drain_closes_the_connections_before_warp_stops() {
    expect_closed(with_a_drain).await;
}

#[tokio::test]
async fn warp_alone_ends_without_closing_them() {
    expect_forgotten(alone).await;
}

#[tokio::main(flavor = "current_thread")]
async fn with_a_drain(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let drain = Drain::new();
    let routes = routes(echo, Options::default().drain(drain.clone()));
    warp::serve(routes)
        .incoming(tokio(listener))
        .graceful(async move {
            told_to_stop.await;
            drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
        })
        .run()
        .await;
}

#[tokio::main(flavor = "current_thread")]
async fn alone(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let routes = routes(echo, Options::default());
    warp::serve(routes).incoming(tokio(listener)).graceful(told_to_stop).run().await;
}

fn routes(
    echo: Echo,
    options: Options,
) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone {
    warp::path!("ws")
        .and(upgrade())
        .map(move |upgrade: Upgrade| upgrade.accept(echo.clone(), &options).into_response())
}

fn tokio(listener: TcpListener) -> tokio::net::TcpListener {
    tokio::net::TcpListener::from_std(listener).expect("a listener")
}
