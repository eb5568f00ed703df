//! [WebSock](websock_core) on [axum](axum_core): routes that become WebSocket connections.
//!
//! ```no_run
//! use axum::extract::State;
//! use axum::response::Response;
//! use axum::routing::any;
//! use websock_axum::{HandleResult, Keepalive, Message, Options, Outcome, Rejection, Upgrade, WebSock};
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
//! async fn echo(State(options): State<Options>, upgrade: Upgrade) -> Result<Response, Rejection> {
//!     upgrade.accept(Echo, &options)
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::io::Result<()> {
//!     let options = Options::default().keepalive(Keepalive::default()); // browsers never ping
//!     let app = axum::Router::new().route("/ws", any(echo)).with_state(options);
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     axum::serve(listener, app).await
//! }
//! ```
//!
//! axum's own feature `ws` is not used. `any` lets requests of every method through, so that core answers those that
//! are not `GET`; `get` works too, and then axum answers them.
//!
//! # What the route can do
//!
//! [`Upgrade`] is an extractor like any other and stands beside others: state, path, query, headers, cookies, the peer's
//! address. A route builds its handler from them, or refuses with a response of its own before it accepts (SPEC U6).
//! The response of [`accept`](Upgrade::accept) is an ordinary one, to which the route or a middleware may add headers:
//!
//! ```
//! use std::collections::HashMap;
//! use std::net::SocketAddr;
//!
//! use axum::extract::{ConnectInfo, Path, Query, State};
//! use axum::http::{HeaderMap, StatusCode, header};
//! use axum::response::{IntoResponse, Response};
//! use websock_axum::{Options, Upgrade};
//! # use websock_axum::{HandleResult, Message, Outcome, WebSock};
//! # #[derive(Clone)]
//! # struct App { options: Options }
//! # struct Room { name: String, token: String, nick: Option<String>, peer: SocketAddr }
//! # impl WebSock for Room {
//! #     type Info = ();
//! #     async fn handle_in(&mut self, _: Message) -> HandleResult { Ok(Outcome::none()) }
//! # }
//!
//! async fn room(
//!     State(app): State<App>,
//!     Path(name): Path<String>,
//!     Query(mut query): Query<HashMap<String, String>>,
//!     ConnectInfo(peer): ConnectInfo<SocketAddr>, // needs `into_make_service_with_connect_info`
//!     headers: HeaderMap,
//!     upgrade: Upgrade,
//! ) -> Response {
//!     let Some(token) = headers.get(header::COOKIE).and_then(|cookie| cookie.to_str().ok()) else {
//!         return StatusCode::UNAUTHORIZED.into_response();
//!     };
//!     let room = Room { name, token: token.to_owned(), nick: query.remove("nick"), peer };
//!     let mut response = upgrade.accept(room, &app.options).into_response();
//!     response.headers_mut().insert(header::SET_COOKIE, header::HeaderValue::from_static("seen=1"));
//!     response
//! }
//! # let _: axum::Router = axum::Router::new()
//! #     .route("/room/{name}", axum::routing::any(room))
//! #     .with_state(App { options: Options::default() });
//! ```
//!
//! **Refuse before you accept.** hyper does not tell whether the 101 was sent: where a middleware replaces it by another
//! response, the transport still comes to the handler when the HTTP connection ends, and the client decides when that
//! is: with `Connection: close, Upgrade` it is served behind a 401. Whatever may refuse a request has to do so before
//! `accept` is called.
//!
//! # Shutting down
//!
//! axum's graceful shutdown knows nothing of upgraded connections. A [`Drain`] closes them; let it do so before axum
//! stops:
//!
//! ```
//! # async fn told_to_stop() {}
//! # async fn run(app: axum::Router, listener: tokio::net::TcpListener, drain: websock_axum::Drain) -> std::io::Result<()> {
//! use std::time::Duration;
//! use websock_axum::Shutdown;
//!
//! // with `Options::default().drain(drain.clone())` at the upgrades
//! axum::serve(listener, app)
//!     .with_graceful_shutdown(async move {
//!         told_to_stop().await;
//!         drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
//!     })
//!     .await
//! # }
//! ```
//!
//! # What axum has to do
//!
//! `axum::serve` does it all. Other servers under axum have to serve connections with upgrades, as `websock-hyper`
//! says, and to offer `http/1.1` where TLS is in front. For the TLS stream, `TCP_NODELAY` has to be set before the TLS
//! handshake; on plain TCP it is set here (SPEC B10).

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use hyper::upgrade::OnUpgrade;

pub use websock_core::*;

/// An upgrade that a request offers: an extractor that never rejects.
#[derive(Debug)]
pub struct Upgrade(websock_hyper::Upgrade);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let transport = parts.extensions.remove::<OnUpgrade>();
        let Parts { method, uri, version, headers, .. } = parts;
        Ok(Upgrade(websock_hyper::Upgrade::from_parts(method, uri, *version, headers, transport)))
    }
}

impl Upgrade {
    /// The request, as far as the upgrade looks at it.
    pub fn head(&self) -> &RequestHead {
        self.0.head()
    }

    /// Whether [`accept`](Self::accept) would accept the request, without accepting it (SPEC U6).
    ///
    /// # Errors
    /// The response that says what is wrong with it (SPEC U3).
    pub fn validate(&self, options: &Options) -> Result<(), Rejection> {
        Ok(self.0.validate(options)?)
    }

    /// Makes the request a WebSocket connection that `handler` serves, and gives the 101 to send.
    ///
    /// # Errors
    /// The response that says what is wrong with the request (SPEC U3). The handler was not touched then.
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

/// A refused upgrade: an [`UpgradeError`] that is a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(pub UpgradeError);

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

impl IntoResponse for Rejection {
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
