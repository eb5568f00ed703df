//! From a request to a response, and a task for the connection.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{Accept, Options, RequestHead, UpgradeError, WebSock};

use crate::transport;

/// Upgrades a request to a WebSocket connection that `handler` serves, and gives the response to send: the 101, or
/// one that says why not (SPEC U3).
///
/// hyper ends a connection whose service returns an error, so a refusal is a response like any other. Where a route
/// wants to look first, or to tell the two apart, [`Upgrade`] has the parts.
///
/// # Panics
/// Outside of a tokio runtime, in which the connection's task is spawned.
pub fn upgrade<B, H: WebSock>(
    request: &mut Request<B>,
    handler: H,
    options: &Options,
) -> Response<Full<Bytes>> {
    Upgrade::new(request).accept(handler, options).unwrap_or_else(Response::from)
}

/// An upgrade that a request offers.
#[derive(Debug)]
pub struct Upgrade {
    head: RequestHead,
    transport: Option<OnUpgrade>,
}

impl Upgrade {
    /// Looks at a request, and takes its promise of a transport out of its extensions.
    pub fn new<B>(request: &mut Request<B>) -> Self {
        let transport = request.extensions_mut().remove::<OnUpgrade>();
        Upgrade::from_parts(request.method(), request.uri(), request.version(), request.headers(), transport)
    }

    /// The same from a request's parts, for adapters of frameworks that are built on hyper.
    pub fn from_parts(
        method: &Method,
        uri: &Uri,
        version: Version,
        headers: &HeaderMap<HeaderValue>,
        transport: Option<OnUpgrade>,
    ) -> Self {
        let version = match version {
            Version::HTTP_11 => HttpVersion::Http11,
            Version::HTTP_2 => HttpVersion::Http2,
            Version::HTTP_3 => HttpVersion::Http3,
            _ => HttpVersion::Http10,
        };
        let head = RequestHead::new(version, method.as_str()).authority(uri.authority().map(|a| a.as_str()));
        let head =
            headers.iter().fold(head, |head, (name, value)| head.header(name.as_str(), value.as_bytes()));
        Upgrade { head, transport }
    }

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

    /// Makes the request a WebSocket connection that `handler` serves, and gives the 101 to send. The route may add
    /// headers to it.
    ///
    /// # Errors
    /// The response that says what is wrong with the request (SPEC U3). The handler was not touched then.
    ///
    /// # Panics
    /// Outside of a tokio runtime, in which the connection's task is spawned.
    pub fn accept<H: WebSock>(
        self,
        handler: H,
        options: &Options,
    ) -> Result<Response<Full<Bytes>>, Rejection> {
        self.accept_with_body(handler, options)
    }

    /// [`accept`](Self::accept) with an empty body of any type, for adapters of frameworks that are built on hyper.
    ///
    /// # Errors
    /// The response that says what is wrong with the request (SPEC U3).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn accept_with_body<H, B>(self, handler: H, options: &Options) -> Result<Response<B>, Rejection>
    where
        H: WebSock,
        B: Default,
    {
        let accepted = negotiate(&self.head, options)?;
        let transport = self.transport.ok_or(UpgradeError::NoTransport)?;
        let response = response(accepted.status(), accepted.headers(), B::default());
        tokio::spawn(transport::serve(transport, accepted.connection(handler)));
        Ok(response)
    }
}

impl Accept for Upgrade {
    type Response = Response<Full<Bytes>>;
    type Error = Rejection;

    fn head(&self) -> &RequestHead {
        self.head()
    }

    fn validate(&self, options: &Options) -> Result<(), Rejection> {
        self.validate(options)
    }

    fn accept<H: WebSock>(self, handler: H, options: &Options) -> Result<Self::Response, Rejection> {
        self.accept(handler, options)
    }
}

/// A refused upgrade: an [`UpgradeError`] that becomes a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection(pub UpgradeError);

impl From<UpgradeError> for Rejection {
    fn from(error: UpgradeError) -> Self {
        Rejection(error)
    }
}

impl<B: From<String>> From<Rejection> for Response<B> {
    fn from(Rejection(error): Rejection) -> Self {
        response(error.status(), error.headers(), B::from(error.body()))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Rejection {}

/// A response as core gives it. Core's statuses and fields are valid, so none is left out.
fn response<B>(
    status: u16,
    headers: impl Iterator<Item = (&'static str, impl AsRef<str>)>,
    body: B,
) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
