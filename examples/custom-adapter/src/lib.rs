//! WebSock on [poem]: an adapter as an outsider would write it, with nothing but `websock-core`.
//!
//! ```no_run
//! use poem::listener::{Listener, TcpListener};
//! use poem::web::Data;
//! use poem::{EndpointExt, Response, Route, Server, handler};
//! use websock_custom_adapter::{NoDelay, Rejection, Upgrade};
//! use websock_core::{HandleResult, Keepalive, Message, Options, Outcome, WebSock};
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
//! #[handler]
//! fn echo(options: Data<&Options>, upgrade: Upgrade) -> Result<Response, Rejection> {
//!     upgrade.accept(Echo, &options)
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! let options = Options::default().keepalive(Keepalive::default()); // browsers never ping
//! let routes = Route::new().at("/ws", echo).data(options);
//! let listener = TcpListener::bind("127.0.0.1:8080").into_acceptor().await?;
//! Server::new_with_acceptor(NoDelay(listener)).run(routes).await
//! # }
//! ```
//!
//! The guide in the docs of `websock-conformance` goes through this file step by step.

use std::fmt;
use std::io;

use poem::error::ResponseError;
use poem::http::uri::Scheme;
use poem::http::{StatusCode, Version};
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, FromRequest, OnUpgrade, Request, RequestBody, Response};
use tokio::net::TcpStream;
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{Accept, Bytes, Connection, Options, RequestHead, UpgradeError, WebSock};

/// An upgrade that a request offers: an extractor that never fails.
pub struct Upgrade {
    head: RequestHead,
    /// poem's promise of a transport, unless somebody has taken it before.
    transport: Option<OnUpgrade>,
}

impl<'a> FromRequest<'a> for Upgrade {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Upgrade { head: head(request), transport: request.take_upgrade().ok() })
    }
}

/// The request in core's terms: version, method, authority, and every header field in its order.
fn head(request: &Request) -> RequestHead {
    let version = match request.version() {
        Version::HTTP_11 => HttpVersion::Http11,
        Version::HTTP_2 => HttpVersion::Http2,
        Version::HTTP_3 => HttpVersion::Http3,
        _ => HttpVersion::Http10,
    };
    // What came on the wire: poem's routes cut `uri`, but not `original_uri`.
    let authority = request.original_uri().authority().map(|authority| authority.as_str());
    let head = RequestHead::new(version, request.method().as_str()).authority(authority);
    let fields = request.headers().iter();
    fields.fold(head, |head, (name, value)| head.header(name.as_str(), value.as_bytes()))
}

impl Upgrade {
    /// The request, as far as the upgrade looks at it.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// Whether [`accept`](Self::accept) would accept the request, without accepting it (SPEC U6).
    ///
    /// # Errors
    /// The response that says what is wrong with it (SPEC U3).
    pub fn validate(&self, options: &Options) -> Result<(), Rejection> {
        negotiate(&self.head, options)?;
        self.transport.as_ref().map(|_| ()).ok_or(Rejection(UpgradeError::NoTransport))
    }

    /// Makes the request a WebSocket connection that `handler` serves, and gives the 101 to send.
    ///
    /// # Errors
    /// The response that says what is wrong with the request (SPEC U3). The handler was not touched then.
    pub fn accept<H: WebSock>(self, handler: H, options: &Options) -> Result<Response, Rejection> {
        // First whether the request is good, and only then whether there is a transport: the order of SPEC U3.
        let accepted = negotiate(&self.head, options)?;
        let transport = self.transport.ok_or(UpgradeError::NoTransport)?;
        let response = response(accepted.status(), accepted.headers(), Body::empty());
        // The connection outlives the request, and needs a task that is its alone.
        tokio::spawn(serve(transport, accepted.connection(handler)));
        Ok(response)
    }
}

/// Waits until the 101 is written and poem hands over the transport, then serves the connection to its end.
async fn serve<H: WebSock>(transport: OnUpgrade, connection: Connection<H>) {
    match transport.await {
        // poem's stream brings the bytes that came with the request by itself.
        Ok(transport) => connection.run(transport, Bytes::new()).await,
        Err(error) => connection.fail(error, "let nothing replace the 101"),
    }
}

/// The contract, for what is generic over servers. Routes call the methods of the type itself.
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

/// A refused upgrade, as poem's own kind of error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(pub UpgradeError);

impl From<UpgradeError> for Rejection {
    fn from(error: UpgradeError) -> Self {
        Rejection(error)
    }
}

impl ResponseError for Rejection {
    fn status(&self) -> StatusCode {
        status(self.0.status())
    }

    fn as_response(&self) -> Response {
        response(self.0.status(), self.0.headers(), Body::from(self.0.body()))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A response as core gives it: status, header fields and body, and nothing besides.
fn response(
    code: u16,
    headers: impl Iterator<Item = (&'static str, impl AsRef<str>)>,
    body: Body,
) -> Response {
    headers
        .fold(Response::builder().status(status(code)), |response, (name, value)| {
            response.header(name, value.as_ref())
        })
        .body(body)
}

/// Core's statuses are valid.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// poem's listener, which sets `TCP_NODELAY` on what it accepts: an upgrade does not reach the TCP stream any more,
/// and without it small messages wait for acknowledgements (SPEC B10).
pub struct NoDelay(pub TcpAcceptor);

impl Acceptor for NoDelay {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, LocalAddr, RemoteAddr, Scheme)> {
        let accepted = self.0.accept().await?;
        // It fails only where the connection has failed already, which reading will tell.
        let _ = accepted.0.set_nodelay(true);
        Ok(accepted)
    }
}
