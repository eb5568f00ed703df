//! [WebSock](websock_core) on [actix-web](actix_web): routes that become WebSocket connections.
//!
//! ```no_run
//! use actix_web::{App, HttpResponse, HttpServer, web};
//! use websock_actix::{HandleResult, Keepalive, Message, Options, Outcome, Rejection, Upgrade, WebSock};
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
//! async fn echo(options: web::Data<Options>, upgrade: Upgrade) -> Result<HttpResponse, Rejection> {
//!     upgrade.accept(Echo, &options)
//! }
//!
//! #[actix_web::main]
//! async fn main() -> std::io::Result<()> {
//!     let options = Options::default().keepalive(Keepalive::default()); // browsers never ping
//!     let data = web::Data::new(options.clone());
//!     HttpServer::new(move || App::new().app_data(data.clone()).route("/ws", web::route().to(echo)))
//!         .on_connect(websock_actix::on_connect(&options))
//!         .bind("127.0.0.1:8080")?
//!         .run()
//!         .await
//! }
//! ```
//!
//! `web::route()` lets requests of every method through, so that core answers those that are not `GET`; `web::get()`
//! works too, and then actix answers them. The handler runs on the worker that accepted the connection.
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
//! use actix_web::http::header::{self, HeaderValue};
//! use actix_web::{Either, HttpRequest, HttpResponse, web};
//! use websock_actix::{Options, Rejection, Upgrade};
//! # use websock_actix::{HandleResult, Message, Outcome, WebSock};
//! # struct Room { name: String, token: String, nick: Option<String>, peer: Option<SocketAddr> }
//! # impl WebSock for Room {
//! #     type Info = ();
//! #     async fn handle_in(&mut self, _: Message) -> HandleResult { Ok(Outcome::none()) }
//! # }
//!
//! async fn room(
//!     options: web::Data<Options>,
//!     name: web::Path<String>,
//!     mut query: web::Query<HashMap<String, String>>,
//!     request: HttpRequest,
//!     upgrade: Upgrade,
//! ) -> Result<HttpResponse, Rejection> {
//!     let Some(token) = request.headers().get(header::COOKIE).and_then(|cookie| cookie.to_str().ok()) else {
//!         return Ok(HttpResponse::Unauthorized().finish());
//!     };
//!     let (token, nick) = (token.to_owned(), query.remove("nick"));
//!     let room = Room { name: name.into_inner(), token, nick, peer: request.peer_addr() };
//!     let mut response = upgrade.accept(room, &options)?;
//!     response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_static("seen=1"));
//!     Ok(response)
//! }
//! # let _ = actix_web::App::new()
//! #     .app_data(web::Data::new(Options::default()))
//! #     .route("/room/{name}", web::route().to(room));
//! ```
//!
//! Where a middleware replaces the 101 or its body, the upgrade comes to nothing: an `error` event says so, and the
//! handler is dropped (SPEC L12).
//!
//! # Shutting down
//!
//! actix's graceful shutdown waits for upgraded connections, but does not tell them, and cuts them when its
//! `shutdown_timeout` is over. A [`Drain`] closes them; let it do so before actix stops:
//!
//! ```
//! # async fn told_to_stop() {}
//! # async fn run(server: actix_web::dev::Server, drain: websock_actix::Drain) -> std::io::Result<()> {
//! use std::time::Duration;
//! use websock_actix::Shutdown;
//!
//! // with `Options::default().drain(drain.clone())` at the upgrades, and `disable_signals()` at the `HttpServer`
//! let handle = server.handle();
//! actix_web::rt::spawn(async move {
//!     told_to_stop().await;
//!     drain.shut_down(Shutdown::within(Duration::from_secs(10))).await;
//!     handle.stop(true).await;
//! });
//! server.await
//! # }
//! ```
//!
//! # What actix cannot do
//!
//! actix gives a route no transport but the request's payload and the response's body.
//!
//! - The connection's socket is set up with [`on_connect`]: without it there is no `TCP_NODELAY` (SPEC B10), and a peer
//!   that does not read is given up after the write timeout, but its socket stays open until the peer reads or goes.
//!   With it the system drops such a socket (on Linux; SPEC B3).
//! - What waits for the peer counts as written when the adapter has taken it, up to 132 KiB, beside actix's own write
//!   buffer: so much more than `write_high_water` says may a connection hold (SPEC B3).
//! - After a Close the write side cannot be shut alone, so the response's body stays open until the peer's Close or its
//!   end has come (SPEC X6). Then actix waits for the end of the peer's side, up to its `client_disconnect_timeout` of
//!   1 second, and closes the socket (SPEC X2). Its clock steps by half a second: a timeout shorter than that may never
//!   come. `Duration::ZERO` means at once; then a peer that goes on sending after its own Close may not see ours.
//! - `websocket` must be an `Upgrade` field of its own: of a list actix makes no payload (SPEC U1).
//! - When a peer ends its side without a Close, actix drops what it has read and not passed on. That happens only
//!   behind more than 128 KiB for which a slow handler has not come yet (SPEC X8).
//!   Nor may `h1_allow_half_closed(false)` be set: then nothing is written behind the peer's end.
//! - It answers a request without a single `Host` itself, with 400.

mod body;
mod connect;
mod gathered;
mod handshake;
mod task;
mod transport;

pub use connect::{on_connect, set_up};
pub use handshake::{Rejection, Upgrade};
pub use websock_core::*;
