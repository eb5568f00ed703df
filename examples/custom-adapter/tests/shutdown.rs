//! How a drain joins poem's own graceful shutdown, and what poem does without it.

use std::net::TcpListener;
use std::time::Duration;

use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{Endpoint, EndpointExt, Response, Route, Server, handler};
use websock_conformance::stopping::{Echo, ToldToStop, expect_closed, expect_forgotten};
use websock_core::{Drain, Options, Shutdown};
use websock_custom_adapter::{NoDelay, Rejection, Upgrade};

#[tokio::test]
async fn a_drain_closes_the_connections_before_poem_stops() {
    expect_closed(with_a_drain).await;
}

#[tokio::test]
async fn poem_alone_ends_without_closing_them() {
    expect_forgotten(alone).await;
}

#[tokio::main(flavor = "current_thread")]
async fn with_a_drain(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let drain = Drain::new();
    let routes = routes(echo, Options::default().drain(drain.clone()));
    let stop = async move {
        told_to_stop.await;
        drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
    };
    server(listener).run_with_graceful_shutdown(routes, stop, None).await.expect("poem failed");
}

#[tokio::main(flavor = "current_thread")]
async fn alone(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let routes = routes(echo, Options::default());
    server(listener).run_with_graceful_shutdown(routes, told_to_stop, None).await.expect("poem failed");
}

fn server(listener: TcpListener) -> Server<std::convert::Infallible, NoDelay> {
    Server::new_with_acceptor(NoDelay(TcpAcceptor::from_std(listener).expect("a listener")))
}

fn routes(echo: Echo, options: Options) -> impl Endpoint {
    Route::new().at("/ws", accept).data(echo).data(options)
}

#[handler]
fn accept(
    Data(echo): Data<&Echo>,
    Data(options): Data<&Options>,
    upgrade: Upgrade,
) -> Result<Response, Rejection> {
    upgrade.accept(echo.clone(), options)
}
