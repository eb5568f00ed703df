//! From a request to a response.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use actix_web::http::{ConnectionType, StatusCode, Version};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{Accept, Options, RequestHead, UpgradeError, WebSock};

use crate::body::Body;

/// An upgrade that a request offers: an extractor that never rejects, and takes the request's payload.
pub struct Upgrade {
    head: RequestHead,
    payload: Payload,
}

impl FromRequest for Upgrade {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Ok(Upgrade { head: head(request), payload: payload.take() }))
    }
}

/// The request as core looks at it.
fn head(request: &HttpRequest) -> RequestHead {
    let version = match request.version() {
        Version::HTTP_11 => HttpVersion::Http11,
        Version::HTTP_2 => HttpVersion::Http2,
        Version::HTTP_3 => HttpVersion::Http3,
        _ => HttpVersion::Http10,
    };
    let head = RequestHead::new(version, request.method().as_str())
        .authority(request.uri().authority().map(|authority| authority.as_str()));
    // actix takes no list for an upgrade and gives such a request no payload to upgrade (SPEC U1).
    let is_list = |value: &HeaderValue| value.as_bytes().contains(&b',');
    let fields = request.headers().iter().filter(|(name, value)| *name != UPGRADE || !is_list(value));
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
        Ok(self.check_payload()?)
    }

    /// Makes the request a WebSocket connection that `handler` serves, and gives the 101 to send. The route may add
    /// headers to it.
    ///
    /// # Errors
    /// The response that says what is wrong with the request (SPEC U3). The handler was not touched then.
    pub fn accept<H: WebSock>(self, handler: H, options: &Options) -> Result<HttpResponse, Rejection> {
        let accepted = negotiate(&self.head, options)?;
        self.check_payload()?;
        let mut response = response(accepted.status(), accepted.headers());
        response.head_mut().set_connection_type(ConnectionType::Upgrade);
        Ok(response.set_body(BoxBody::new(Body::new(accepted.connection(handler), self.payload))))
    }

    /// There is no payload where another extractor has taken it.
    fn check_payload(&self) -> Result<(), UpgradeError> {
        if matches!(self.payload, Payload::None) { Err(UpgradeError::NoTransport) } else { Ok(()) }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("head", &self.head).finish_non_exhaustive()
    }
}

impl Accept for Upgrade {
    type Response = HttpResponse;
    type Error = Rejection;

    fn head(&self) -> &RequestHead {
        self.head()
    }

    fn validate(&self, options: &Options) -> Result<(), Rejection> {
        self.validate(options)
    }

    fn accept<H: WebSock>(self, handler: H, options: &Options) -> Result<HttpResponse, Rejection> {
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

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        status(self.0.status())
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = response(self.0.status(), self.0.headers());
        if !response.headers().contains_key(CONNECTION) {
            // Else actix repeats what the request says: `upgrade`.
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        response.set_body(BoxBody::new(self.0.body()))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Rejection {}

/// A response as core gives it, still without a body. Core's statuses and fields are valid, so none is left out.
fn response(code: u16, headers: impl Iterator<Item = (&'static str, impl AsRef<str>)>) -> HttpResponse<()> {
    let mut response = HttpResponse::with_body(status(code), ());
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
