//! The start-up: a site on hyper, in three ways.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::TcpListener;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use websock_hyper::{Options, Upgrade};

use crate::site::{Host, Site};

/// hyper's own builder.
pub(crate) const HTTP1: Host = Host(|listener, site| {
    Box::pin(accept(listener, move |stream| {
        let site = site.clone();
        async move {
            let service = service_fn(move |request| ready(answer(request, &site)));
            let _ =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        }
    }))
});

/// hyper-util's builder, which speaks HTTP/2 too.
pub(crate) const AUTO: Host = Host(|listener, site| {
    Box::pin(accept(listener, move |stream| {
        let site = site.clone();
        async move {
            let service = service_fn(move |request| ready(answer(request, &site)));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http2().enable_connect_protocol();
            let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        }
    }))
});

/// hyper's own builder on a stream that is not TCP's, as it is with TLS.
pub(crate) const DUPLEX: Host = Host(|listener, site| {
    Box::pin(accept(listener, move |mut stream| {
        let site = site.clone();
        async move {
            let (mut outside, inside) = tokio::io::duplex(16 * 1024);
            let service = service_fn(move |request| ready(answer(request, &site)));
            let serve = http1::Builder::new().serve_connection(TokioIo::new(inside), service).with_upgrades();
            let _ = tokio::join!(serve, tokio::io::copy_bidirectional(&mut stream, &mut outside));
        }
    }))
});

/// hyper's own builder, and somebody has forgotten `with_upgrades`.
pub(crate) const WITHOUT_UPGRADES: Host = Host(|listener, site| {
    Box::pin(accept(listener, move |stream| {
        let site = site.clone();
        async move {
            let service = service_fn(move |request| ready(answer(request, &site)));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    }))
});

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
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
    let (handler, options) = (site.probe(), &site.options);
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
