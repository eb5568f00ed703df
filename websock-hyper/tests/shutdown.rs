//! What the docs show under "Shutting down", and what hyper does without it.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::TcpListener;
use std::pin::pin;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use websock_conformance::stopping::{Echo, ToldToStop, expect_closed, expect_forgotten};
use websock_hyper::{Drain, Options, Shutdown};

#[tokio::test]
async fn a_drain_closes_the_connections_before_hyper_stops() {
    expect_closed(with_a_drain).await;
}

#[tokio::test]
async fn hyper_alone_ends_without_closing_them() {
    expect_forgotten(alone).await;
}

#[tokio::main(flavor = "current_thread")]
async fn with_a_drain(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    let drain = Drain::new();
    let options = Options::default().drain(drain.clone());
    let stop = async {
        told_to_stop.await;
        drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
    };
    serve(listener, echo, options, stop).await;
}

#[tokio::main(flavor = "current_thread")]
async fn alone(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
    serve(listener, echo, Options::default(), told_to_stop).await;
}

async fn serve(listener: TcpListener, echo: Echo, options: Options, stop: impl Future<Output = ()>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let http = auto::Builder::new(TokioExecutor::new()).http1_only();
    let (mut stop, graceful) = (pin!(stop), GracefulShutdown::new());
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a connection");
                let (echo, options) = (echo.clone(), options.clone());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    ready(Ok::<_, Infallible>(websock_hyper::upgrade(&mut request, echo.clone(), &options)))
                });
                let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
                tokio::spawn(graceful.watch(connection.into_owned()));
            }
            () = &mut stop => break,
        }
    }
    drop(listener);
    graceful.shutdown().await;
}
