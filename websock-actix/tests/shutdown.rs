//! What the docs show under "Shutting down", and what actix-web does without it.

use std::future::ready;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, rt, web};
use websock_actix::{Drain, Options, Shutdown, Upgrade};
use websock_conformance::stopping::{Echo, ToldToStop, expect_closed, expect_forgotten};

#[actix_web::test]
async fn a_drain_closes_the_connections_before_actix_stops() {
    expect_closed(with_a_drain).await;
}

/// It waits for them, and then cuts them.
#[actix_web::test]
async fn actix_alone_ends_without_closing_them() {
    expect_forgotten(alone).await;
}

#[actix_web::main]
async fn with_a_drain(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let drain = Drain::new();
    let server = server(listener, echo, Options::default().drain(drain.clone()));
    let handle = server.handle();
    rt::spawn(async move {
        told_to_stop.await;
        drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
        handle.stop(true).await;
    });
    server.await.expect("actix failed");
}

#[actix_web::main]
async fn alone(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let server = server(listener, echo, Options::default());
    let handle = server.handle();
    rt::spawn(async move {
        told_to_stop.await;
        handle.stop(true).await;
    });
    server.await.expect("actix failed");
}

fn server(listener: TcpListener, echo: Echo, options: Options) -> Server {
    let app = move || {
        let (echo, options) = (echo.clone(), options.clone());
        let route = move |upgrade: Upgrade| ready(upgrade.accept(echo.clone(), &options));
        App::new().route("/ws", web::route().to(route))
    };
    HttpServer::new(app)
        .workers(1)
        // In seconds, instead of 30, so that the test ends.
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)
        .expect("a listener")
        .run()
}
