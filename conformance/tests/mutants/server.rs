//! The good server, and what is wrong at its routes and with its options.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use websock_conformance::{Running, Site, TokioServer};
use websock_hyper::{CloseReason, Drain, Options, Upgrade, WebSock};

use crate::handler::{Callbacks, MutatedProbe};

/// What a route does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    True,
    /// `/look` finds everything acceptable.
    LooksAtNothing,
    /// `/members` lets everybody in.
    LetsGuestsIn,
    /// A refusal gets what the route adds to a 101.
    AddsToRefusals,
    /// Middleware takes the 101's own fields for those of the route.
    AddsNothing,
    /// The handler of a refused upgrade is told of an end.
    TerminatesTheRefused,
    /// While it drains it goes on accepting.
    AcceptsWhileDraining,
    /// Targets are compared without case.
    ForgetsCase,
}

/// What is wrong on the server's side of the wire.
#[derive(Clone, Copy)]
pub(crate) struct Inside {
    /// The options that a handler of this number is upgraded with.
    pub(crate) options: Option<fn(Options, usize) -> Options>,
    pub(crate) route: Route,
    pub(crate) callbacks: Callbacks,
}

impl Inside {
    pub(crate) const TRUE: Inside = Inside { options: None, route: Route::True, callbacks: Callbacks::True };

    pub(crate) fn start(self, site: Arc<Site>) -> Box<dyn Running> {
        TokioServer::start(site, async move |listener: TcpListener, site| {
            let served = Arc::new(Served { inside: self, site, requests: AtomicUsize::new(0) });
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let served = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| ready(served.answer(request)));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ = connection.with_upgrades().await;
                });
            }
        })
    }
}

struct Served {
    inside: Inside,
    site: Arc<Site>,
    requests: AtomicUsize,
}

impl Served {
    /// The routes that `Host` lists.
    fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let handler = MutatedProbe::new(self.inside.callbacks, self.site.clone());
        let options = self.site.options().clone();
        let options = self.inside.options.map_or(options.clone(), |spoil| spoil(options, number));
        let route = self.inside.route;
        let path = match route {
            Route::ForgetsCase => request.uri().path().to_ascii_lowercase(),
            _ => request.uri().path().to_owned(),
        };
        Ok(match &*path {
            "/ws" => self.upgrade(request, handler, options),
            "/cookie" => {
                let mut response = self.upgrade(request, handler, options);
                let adds = match route {
                    Route::AddsToRefusals => true,
                    Route::AddsNothing => false,
                    _ => response.status() == StatusCode::SWITCHING_PROTOCOLS,
                };
                if adds {
                    response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("seen=1"));
                    response.headers_mut().insert("x-route", HeaderValue::from_static("cookie"));
                }
                response
            }
            "/members" => match request.headers().get(AUTHORIZATION) {
                Some(authorization) if authorization == "secret" => self.upgrade(request, handler, options),
                _ if route == Route::LetsGuestsIn => self.upgrade(request, handler, options),
                _ => plain(StatusCode::UNAUTHORIZED, "members only"),
            },
            "/look" => self.look(&mut request, &options),
            "/taken" => {
                drop(Upgrade::new(&mut request));
                self.upgrade(request, handler, options)
            }
            "/taken/look" => {
                drop(Upgrade::new(&mut request));
                self.look(&mut request, &options)
            }
            "/replaced" => {
                let _ = self.upgrade(request, handler, options);
                plain(StatusCode::OK, "replaced")
            }
            _ => plain(StatusCode::NOT_FOUND, "not found"),
        })
    }

    fn upgrade(
        &self,
        mut request: Request<Incoming>,
        handler: MutatedProbe,
        mut options: Options,
    ) -> Response<Full<Bytes>> {
        let upgrade = Upgrade::new(&mut request);
        match self.inside.route {
            Route::AcceptsWhileDraining
                if upgrade.validate(&options).is_err_and(|rejection| rejection.0.status() == 503) =>
            {
                options = options.drain(Drain::new());
            }
            Route::TerminatesTheRefused => {
                if let Err(rejection) = upgrade.validate(&options) {
                    tokio::spawn(handler.terminate(CloseReason::Normal));
                    return rejection.into();
                }
            }
            _ => {}
        }
        upgrade.accept(handler, &options).unwrap_or_else(Response::from)
    }

    fn look(&self, request: &mut Request<Incoming>, options: &Options) -> Response<Full<Bytes>> {
        match Upgrade::new(request).validate(options) {
            Err(rejection) if self.inside.route != Route::LooksAtNothing => rejection.into(),
            _ => plain(StatusCode::OK, "acceptable"),
        }
    }
}

fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}
