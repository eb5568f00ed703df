//! [`Accept`]: what every adapter offers.

use crate::handler::WebSock;
use crate::options::Options;
use crate::upgrade::{RequestHead, UpgradeError};

/// An upgrade that an adapter offers to a route: it can be looked at, and accepted.
///
/// Each adapter has a type `Upgrade` with these methods of its own, so an application imports one name. The trait is
/// for code that is generic over servers, and for the authors of adapters.
///
/// # For authors of adapters
///
/// An implementation
///
/// 1. makes a [`RequestHead`] of the request;
/// 2. asks [`negotiate`](crate::upgrade::negotiate), in `validate` and in `accept`, and gives its error back through
///    `Self::Error`, whose response has the error's status, headers and body and nothing else that the server does not
///    add by itself;
/// 3. looks for the request's transport only then, in both, and answers [`UpgradeError::NoTransport`] if there is none;
/// 4. makes an [`Accepted`](crate::upgrade::Accepted) into a [`Connection`](crate::Connection) and, in a task of its
///    own, either runs it on the transport, once the server has handed it over together with the bytes that came
///    with the request, or tells it why that failed;
/// 5. answers the 101 with the accepted headers, and no body.
///
/// The crate `websock-conformance` has a guide with such an implementation in full, and the cases that it has to pass.
pub trait Accept: Sized {
    /// The framework's response.
    type Response;

    /// The framework's own kind of error response: a newtype around [`UpgradeError`].
    type Error: From<UpgradeError>;

    /// The request, as far as the upgrade looks at it.
    fn head(&self) -> &RequestHead;

    /// Whether [`accept`](Self::accept) would accept the request, without accepting it (SPEC U6).
    ///
    /// # Errors
    /// The first of the defects in SPEC U3 that the request has.
    fn validate(&self, options: &Options) -> Result<(), Self::Error>;

    /// Makes the request a WebSocket connection that `handler` serves (SPEC L1, U1, U2).
    ///
    /// The handler is not touched before the request is accepted, and dropped unused if it is refused (SPEC L9).
    ///
    /// # Errors
    /// The first of the defects in SPEC U3 that the request has; it is a response to send.
    fn accept<H: WebSock>(self, handler: H, options: &Options) -> Result<Self::Response, Self::Error>;
}
