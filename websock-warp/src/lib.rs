//! [WebSock](websock_core) on [warp]: a filter whose requests become WebSocket connections.
//!
//! ```no_run
//! use warp::Filter;
//! use websock_warp::{HandleResult, Keepalive, Message, Options, Outcome, Upgrade, WebSock};
//!
//! struct Echo;
//!
//! impl WebSock for Echo {
//!     type Info = ();
//!
//!     async fn handle_in(&mut self, message: Message) -> HandleResult {
//!         Ok(Outcome::push(message))
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     let options = Options::default().keepalive(Keepalive::default()); // browsers never ping
//!     let echo = warp::path!("ws")
//!         .and(websock_warp::upgrade())
//!         .map(move |upgrade: Upgrade| upgrade.accept(Echo, &options));
//!     warp::serve(echo).run(([127, 0, 0, 1], 8080)).await;
//! }
//! ```
//!
//! warp's own feature `websocket` is not used. [`upgrade()`] never rejects: what is wrong with a request is a reply,
//! with the status and the body that every server gives. (A rejection of warp's would become a 500 unless it is
//! recovered from, and would lose to a 404 in an `or`.) For chains in which other filters serve what is no WebSocket
//! request, [`upgrade_or_reject`] does reject.
//!
//! # What the route can do
//!
//! Other filters stand beside it: path, query, headers, cookies, the peer's address, shared state. The route builds its
//! handler from what they yield, or refuses with a reply of its own before it accepts (SPEC U6). What
//! [`accept`](Upgrade::accept) gives is a reply like any other, to which headers can be added:
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use warp::{Filter, Reply};
//! use warp::http::StatusCode;
//! use websock_warp::{Options, Upgrade};
//! # use websock_warp::{HandleResult, Message, Outcome, WebSock};
//! # struct Room { name: String, token: String, peer: Option<SocketAddr> }
//! # impl WebSock for Room {
//! #     type Info = ();
//! #     async fn handle_in(&mut self, _: Message) -> HandleResult { Ok(Outcome::none()) }
//! # }
//!
//! let options = Options::default();
//! let room = warp::path!("room" / String)
//!     .and(warp::cookie::optional("token"))
//!     .and(warp::filters::addr::remote())
//!     .and(websock_warp::upgrade())
//!     .map(move |name, token: Option<String>, peer, upgrade: Upgrade| {
//!         let Some(token) = token else { return StatusCode::UNAUTHORIZED.into_response() };
//!         let reply = upgrade.accept(Room { name, token, peer }, &options);
//!         warp::reply::with_header(reply, "set-cookie", "seen=1").into_response()
//!     });
//! # let _ = room;
//! ```
//!
//! **Refuse before you accept.** hyper does not tell whether the 101 was sent: where a middleware replaces it by another
//! response, the transport still comes to the handler when the HTTP connection ends, and the client decides when that
//! is: with `Connection: close, Upgrade` it is served behind a 401. Whatever may refuse a request has to do so before
//! `accept` is called.
//!
//! # Shutting down
//!
//! warp's graceful shutdown knows nothing of upgraded connections. A [`Drain`] closes them; let it do so before warp
//! stops:
//!
//! ```
//! # async fn told_to_stop() {}
//! # async fn run(listener: tokio::net::TcpListener, drain: websock_warp::Drain) {
//! # use warp::Filter;
//! # let routes = warp::any().map(warp::reply);
//! use std::time::Duration;
//! use websock_warp::Shutdown;
//!
//! // with `Options::default().drain(drain.clone())` at the upgrades
//! warp::serve(routes)
//!     .incoming(listener)
//!     .graceful(async move {
//!         told_to_stop().await;
//!         drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
//!     })
//!     .run()
//!     .await;
//! # }
//! ```
//!
//! # What warp cannot do
//!
//! warp shows a request's version of HTTP only to its own tracing, so [`upgrade()`] asks there, and warp logs two events
//! of the target `warp::filters::trace` for each request to it. And it hides a request's target where that contradicts
//! the field `Host`: then the origin is compared with `Host`.
//!
//! # What warp has to do
//!
//! `warp::serve` does it all, and `TCP_NODELAY` is set here (SPEC B10).

use std::cell::Cell;
use std::convert::Infallible;

use http::header::HOST;
use http::{HeaderMap, Method, Uri, Version};
use hyper::upgrade::OnUpgrade;
use warp::host::Authority;
use warp::reply::{Reply, Response};
use warp::{Filter, reject};

pub use websock_core::*;

/// A filter that yields the upgrade that a request offers. It never rejects.
pub fn upgrade() -> impl Filter<Extract = (Upgrade,), Error = Infallible> + Clone {
    warp::method()
        .and(version())
        .and(warp::header::headers_cloned())
        .and(target())
        .and(warp::ext::optional::<OnUpgrade>())
        .map(|method: Method, version, headers: HeaderMap, target, transport| {
            let target = if headers.contains_key(HOST) { Uri::default() } else { target };
            Upgrade(websock_hyper::Upgrade::from_parts(&method, &target, version, &headers, transport))
        })
}

/// A filter that yields the upgrade of a request that [`accept`](Upgrade::accept) will accept under these options, and
/// rejects every other one with a [`Rejection`], so that in a chain another filter can serve it. What none serves becomes
/// a 500, unless the rejection is recovered from:
///
/// ```
/// use warp::{Filter, Reply};
/// use websock_warp::{Options, Rejection, Upgrade, upgrade_or_reject};
/// # use websock_warp::{HandleResult, Message, Outcome, WebSock};
/// # struct Echo;
/// # impl WebSock for Echo {
/// #     type Info = ();
/// #     async fn handle_in(&mut self, message: Message) -> HandleResult { Ok(Outcome::push(message)) }
/// # }
///
/// let options = Options::default();
/// let echo = upgrade_or_reject(options.clone()).map(move |upgrade: Upgrade| upgrade.accept(Echo, &options));
/// let page = warp::path::end().map(|| "This is an echo.");
/// let routes = echo.or(page).recover(async |rejection: warp::Rejection| match rejection.find::<Rejection>() {
///     Some(refused) => Ok(refused.clone().into_response()),
///     None => Err(rejection),
/// });
/// # let _ = warp::serve(routes);
/// ```
pub fn upgrade_or_reject(
    options: Options,
) -> impl Filter<Extract = (Upgrade,), Error = warp::Rejection> + Clone {
    upgrade().and_then(move |upgrade: Upgrade| {
        let valid = upgrade.validate(&options);
        async { valid.map(|()| upgrade).map_err(reject::custom) }
    })
}

thread_local! {
    static VERSION: Cell<Version> = const { Cell::new(Version::HTTP_11) };
}

/// Yields the request's version of HTTP. warp shows it to its tracing and logging only; the filter that traces looks
/// at the request and is done in one go, so nothing comes between its note and the reading of it.
fn version() -> impl Filter<Extract = (Version,), Error = Infallible> + Clone {
    let look = warp::trace(|request| {
        VERSION.set(request.version());
        tracing::Span::none()
    });
    warp::any().map(warp::reply).with(look).map(|_| VERSION.get())
}

/// Yields the target of a request that names its host there and in no `Host`, as far as warp shows it.
fn target() -> impl Filter<Extract = (Uri,), Error = Infallible> + Clone {
    let host = warp::host::optional().or(warp::any().map(|| None)).unify();
    host.map(|host: Option<Authority>| host.and_then(|host| host.as_str().parse().ok()).unwrap_or_default())
}

/// An upgrade that a request offers.
#[derive(Debug)]
pub struct Upgrade(websock_hyper::Upgrade);

impl Upgrade {
    /// The request, as far as the upgrade looks at it.
    pub fn head(&self) -> &RequestHead {
        self.0.head()
    }

    /// Whether [`accept`](Self::accept) would accept the request, without accepting it (SPEC U6).
    ///
    /// # Errors
    /// The reply that says what is wrong with it (SPEC U3).
    pub fn validate(&self, options: &Options) -> Result<(), Rejection> {
        Ok(self.0.validate(options)?)
    }

    /// Makes the request a WebSocket connection that `handler` serves, and gives the 101 to reply.
    ///
    /// # Errors
    /// The reply that says what is wrong with the request (SPEC U3). The handler was not touched then.
    ///
    /// # Panics
    /// Outside of a tokio runtime, in which the connection's task is spawned.
    pub fn accept<H: WebSock>(self, handler: H, options: &Options) -> Result<Response, Rejection> {
        Ok(self.0.accept_with_body(handler, options)?)
    }
}

impl Accept for Upgrade {
    type Response = Response;
    type Error = Rejection;

    fn head(&self) -> &RequestHead {
        self.head()
    }

    fn validate(&self, options: &Options) -> Result<(), Rejection> {
        self.validate(options)
    }

    fn accept<H: WebSock>(self, handler: H, options: &Options) -> Result<Response, Rejection> {
        self.accept(handler, options)
    }
}

/// A refused upgrade: an [`UpgradeError`] that is a reply, and may be a rejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(pub UpgradeError);

impl reject::Reject for Rejection {}

impl From<UpgradeError> for Rejection {
    fn from(error: UpgradeError) -> Self {
        Rejection(error)
    }
}

impl From<websock_hyper::Rejection> for Rejection {
    fn from(rejection: websock_hyper::Rejection) -> Self {
        Rejection(rejection.0)
    }
}

impl Reply for Rejection {
    fn into_response(self) -> Response {
        websock_hyper::Rejection(self.0).into()
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Rejection {}
