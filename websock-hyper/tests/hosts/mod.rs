//! The start-up: a site on hyper, in three ways, and in one that does not work.
#![allow(dead_code, reason = "each of the programs that share it uses its part")]

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use websock_conformance::{Host, Running, Site, TokioServer, async_trait};
use websock_hyper::{Options, Upgrade};

/// A site on hyper.
pub(crate) struct Hyper {
    name: &'static str,
    cannot: &'static [(&'static str, &'static str)],
    serve: fn(TcpListener, Arc<Site>) -> BoxFuture<()>,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

const REPLACED: [(&str, &str); 2] = {
    const REASON: &str = "hyper 1.12 hands over although the response was no 101";
    [
        ("lifecycle::a_101_that_was_replaced_drops_the_handler_when_the_connection_ends", REASON),
        ("lifecycle::a_101_that_was_replaced_never_becomes_a_connection", REASON),
    ]
};

#[async_trait]
impl Host for Hyper {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        self.cannot
    }

    async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
        TokioServer::start(site, self.serve)
    }
}

/// hyper's own builder.
pub(crate) static HTTP1: Hyper = Hyper {
    name: "http1",
    cannot: &REPLACED,
    serve: |listener, site| {
        Box::pin(accept(listener, move |stream| {
            let site = site.clone();
            async move {
                let service = service_fn(move |request| ready(answer(request, &site)));
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            }
        }))
    },
};

/// hyper-util's builder, which speaks HTTP/2 too.
pub(crate) static AUTO: Hyper = Hyper {
    name: "auto",
    cannot: &REPLACED,
    serve: |listener, site| {
        Box::pin(accept(listener, move |stream| {
            let site = site.clone();
            async move {
                let service = service_fn(move |request| ready(answer(request, &site)));
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().enable_connect_protocol();
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            }
        }))
    },
};

/// hyper's own builder on a stream that is not TCP's, as it is with TLS.
pub(crate) static DUPLEX: Hyper = Hyper {
    name: "duplex",
    cannot: &[
        REPLACED[0],
        REPLACED[1],
        ("backpressure::small_messages_do_not_wait_for_acknowledgements", "not on a TCP stream"),
        (
            "lifecycle::a_server_that_is_stopped_drops_its_handlers_without_terminate",
            "the stream is a task of its own, which may be gone first",
        ),
    ],
    serve: |listener, site| {
        Box::pin(accept(listener, move |mut stream| {
            let site = site.clone();
            async move {
                let (mut outside, inside) = tokio::io::duplex(16 * 1024);
                let service = service_fn(move |request| ready(answer(request, &site)));
                let serve =
                    http1::Builder::new().serve_connection(TokioIo::new(inside), service).with_upgrades();
                let _ = tokio::join!(serve, tokio::io::copy_bidirectional(&mut stream, &mut outside));
            }
        }))
    },
};

/// hyper's own builder, and somebody has forgotten `with_upgrades`.
pub(crate) static WITHOUT_UPGRADES: Hyper = Hyper {
    name: "without_upgrades",
    cannot: &REPLACED,
    serve: |listener, site| {
        Box::pin(accept(listener, move |stream| {
            let site = site.clone();
            async move {
                let service = service_fn(move |request| ready(answer(request, &site)));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        }))
    },
};

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(stream));
    }
}

/// The routes that [`Host`] lists.
pub(crate) fn answer(
    mut request: Request<Incoming>,
    site: &Arc<Site>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (handler, options) = (site.probe(), site.options());
    Ok(match request.uri().path() {
        "/ws" => websock_hyper::upgrade(&mut request, handler, options),
        "/cookie" => {
            let mut response = websock_hyper::upgrade(&mut request, handler, options);
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("seen=1"));
                response.headers_mut().insert("x-route", HeaderValue::from_static("cookie"));
            }
            response
        }
        "/members" => match request.headers().get(AUTHORIZATION) {
            Some(authorization) if authorization == "secret" => {
                websock_hyper::upgrade(&mut request, handler, options)
            }
            _ => plain(StatusCode::UNAUTHORIZED, "members only"),
        },
        "/look" => look(&mut request, options),
        "/taken" => {
            drop(Upgrade::new(&mut request));
            websock_hyper::upgrade(&mut request, handler, options)
        }
        "/taken/look" => {
            drop(Upgrade::new(&mut request));
            look(&mut request, options)
        }
        "/replaced" => {
            let _ = websock_hyper::upgrade(&mut request, handler, options);
            plain(StatusCode::OK, "replaced")
        }
        _ => plain(StatusCode::NOT_FOUND, "not found"),
    })
}

fn look(request: &mut Request<Incoming>, options: &Options) -> Response<Full<Bytes>> {
    match Upgrade::new(request).validate(options) {
        Ok(()) => plain(StatusCode::OK, "acceptable"),
        Err(rejection) => rejection.into(),
    }
}

fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
