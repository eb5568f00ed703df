//! [WebSock](websock_core) on [hyper]: HTTP/1.1 requests become WebSocket connections.
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use http_body_util::Full;
//! use hyper::body::{Bytes, Incoming};
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//! use hyper_util::rt::TokioIo;
//! use websock_hyper::{HandleResult, Keepalive, Message, Options, Outcome, WebSock};
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
//! async fn route(mut request: Request<Incoming>, options: Options) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(match request.uri().path() {
//!         "/ws" => websock_hyper::upgrade(&mut request, Echo, &options),
//!         _ => Response::new(Full::from("hello")),
//!     })
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> std::io::Result<()> {
//!     let options = Options::default().keepalive(Keepalive::default()); // browsers never ping
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         let options = options.clone();
//!         let service = service_fn(move |request| route(request, options.clone()));
//!         let connection = hyper::server::conn::http1::Builder::new()
//!             .serve_connection(TokioIo::new(stream), service)
//!             .with_upgrades(); // without it every upgrade fails
//!         tokio::spawn(connection);
//!     }
//! }
//! ```
//!
//! # What the route can do
//!
//! The request is an ordinary one: a route reads its headers, its path and its query, and what the application has
//! put into its extensions (the peer's address, shared state), builds its handler from them, or answers with a
//! response of its own and never calls [`upgrade()`] (SPEC U6). The response that `upgrade` returns is an ordinary one
//! too: a route may add headers to a 101, a cookie for example.
//!
//! **Refuse before you accept.** hyper does not tell whether the 101 was sent: where a middleware replaces it by another
//! response, the transport still comes to the handler when the HTTP connection ends, and the client decides when that
//! is: with `Connection: close, Upgrade` it is served behind a 401. Whatever may refuse a request has to do so before
//! `upgrade` is called.
//!
//! # Shutting down
//!
//! hyper's graceful shutdown ends with the upgrade: what comes after it is not its own any more. A [`Drain`] closes
//! upgraded connections; then hyper-util's `GracefulShutdown` ends the others. It watches connections of hyper-util's
//! builder, and none of hyper's own that is served `with_upgrades()`.
//!
//! ```
//! # use std::convert::Infallible;
//! # use http_body_util::Full;
//! # use hyper::body::{Bytes, Incoming};
//! # use hyper::service::service_fn;
//! # use hyper::{Request, Response};
//! # use hyper_util::rt::{TokioExecutor, TokioIo};
//! # use websock_hyper::Options;
//! # async fn told_to_stop() {}
//! # async fn route(_: Request<Incoming>, _: Options) -> Result<Response<Full<Bytes>>, Infallible> {
//! #     Ok(Response::default())
//! # }
//! # async fn run(listener: tokio::net::TcpListener) -> std::io::Result<()> {
//! use std::pin::pin;
//! use std::time::Duration;
//!
//! use hyper_util::server::conn::auto;
//! use hyper_util::server::graceful::GracefulShutdown;
//! use websock_hyper::{Drain, Shutdown};
//!
//! let drain = Drain::new();
//! let options = Options::default().drain(drain.clone()); // at the upgrades
//! let http = auto::Builder::new(TokioExecutor::new()).http1_only();
//! let graceful = GracefulShutdown::new();
//! let mut stop = pin!(async {
//!     told_to_stop().await;
//!     drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
//! });
//! loop {
//!     tokio::select! {
//!         accepted = listener.accept() => {
//!             let (stream, _) = accepted?;
//!             let options = options.clone();
//!             let service = service_fn(move |request| route(request, options.clone()));
//!             let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
//!             tokio::spawn(graceful.watch(connection.into_owned()));
//!         }
//!         _ = &mut stop => break,
//!     }
//! }
//! drop(listener);
//! graceful.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! While it drains, new connections are still accepted, and new upgrades refused with 503 (SPEC S2).
//!
//! # What hyper has to do
//!
//! - Serve the connection `with_upgrades()` ([hyper's own builder][h1]) or with `serve_connection_with_upgrades`
//!   ([hyper-util's][auto]). Otherwise every accepted upgrade comes to nothing, and the log says so (SPEC L12).
//! - Offer `http/1.1` where TLS is in front: over HTTP/2 an upgrade is refused with 501.
//!
//! Where the transport is tokio's `TcpStream` it is used as it is, and `TCP_NODELAY` is set on it (SPEC B10). For any
//! other, such as TLS, set it before the TLS handshake: `stream.set_nodelay(true)`.
//!
//! [h1]: hyper::server::conn::http1::Connection::with_upgrades
//! [auto]: hyper_util::server::conn::auto::Builder::serve_connection_with_upgrades

mod handshake;
mod transport;

pub use handshake::{Rejection, Upgrade, upgrade};
pub use websock_core::*;
