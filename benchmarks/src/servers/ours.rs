//! One handler on hyper, axum and warp.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;

use axum::Router;
use axum::routing::any;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use warp::{Filter, Reply};
use websock_core::{Deflate, DeflateLevel, HandleResult, Message, Options, Outcome, WebSock};

use super::{LEVEL, MAX_MESSAGE, THRESHOLD, runtime};

#[derive(Clone, Copy)]
pub(super) struct Echo;

impl WebSock for Echo {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

/// The defaults, timeouts and all, but for the largest message and what the docs advise to servers of large ones.
pub(super) fn options() -> Options {
    const LARGEST: NonZeroUsize = NonZeroUsize::new(MAX_MESSAGE).unwrap();
    const WRITE_HIGH_WATER: NonZeroUsize = NonZeroUsize::new(256 * 1024).unwrap();
    Options::default().max_message_size(LARGEST).write_high_water(WRITE_HIGH_WATER)
}

pub(super) fn hyper_echo(listener: TcpListener, workers: usize) -> io::Result<()> {
    hyper(listener, workers, options(), || Echo)
}

/// The client decides about context takeover.
pub(super) fn hyper_deflate(listener: TcpListener, workers: usize) -> io::Result<()> {
    const SAME: DeflateLevel = DeflateLevel::new(LEVEL).unwrap();
    let deflate = Deflate::default().level(SAME).threshold(THRESHOLD);
    let deflate = deflate.server_context_takeover(true).client_context_takeover(true);
    hyper(listener, workers, options().deflate(deflate), || Echo)
}

pub(super) fn axum_echo(listener: TcpListener, workers: usize) -> io::Result<()> {
    axum(listener, workers, || Echo)
}

pub(super) fn warp_echo(listener: TcpListener, workers: usize) -> io::Result<()> {
    warp(listener, workers, || Echo)
}

pub(super) fn hyper<H: WebSock, F>(
    listener: TcpListener,
    workers: usize,
    options: Options,
    handler: F,
) -> io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    super::accept(listener, workers, move |stream| {
        let (handler, options) = (handler.clone(), options.clone());
        let service = service_fn(move |mut request| {
            let response = websock_hyper::upgrade(&mut request, handler(), &options);
            async { Ok::<_, Infallible>(response) }
        });
        async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new());
            http.serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok();
        }
    })
}

pub(super) fn axum<H: WebSock, F>(listener: TcpListener, workers: usize, handler: F) -> io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let options = options();
    let route = any(move |upgrade: websock_axum::Upgrade| async move { upgrade.accept(handler(), &options) });
    let router = Router::new().route("/", route);
    runtime(workers)?
        .block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await })
}

pub(super) fn warp<H: WebSock, F>(listener: TcpListener, workers: usize, handler: F) -> io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let options = options();
    let route = websock_warp::upgrade()
        .map(move |upgrade: websock_warp::Upgrade| upgrade.accept(handler(), &options).into_response());
    runtime(workers)?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        warp::serve(route).incoming(listener).run().await;
        Ok(())
    })
}
