//! Why a request does not become a WebSocket connection, and the response that says so (SPEC U3).

use std::borrow::Cow;
use std::fmt;

use super::head::HttpVersion;

/// Why an upgrade is refused. It is a whole response: [`status`](Self::status), [`headers`](Self::headers) and
/// [`body`](Self::body).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The request came over HTTP/2 or later, where there is no upgrade: 501.
    HttpVersion(HttpVersion),
    /// The method is not GET: 405.
    Method(String),
    /// HTTP/1.0 knows no upgrade: 426.
    Http10,
    /// `Connection` has no token `upgrade`: 426. What plain requests to the route get.
    NoConnectionUpgrade,
    /// `Upgrade` has no token `websocket`: 426.
    NoUpgradeWebSocket,
    /// The request has a body: 400.
    Body,
    /// `Sec-WebSocket-Version` is not 13, or missing, or repeated: 426.
    Version(Option<String>),
    /// `Sec-WebSocket-Key` is not 16 bytes of base64: 400.
    Key(KeyDefect),
    /// The origin may not connect: 403.
    Origin {
        /// The request's `Origin`; where there are several, all of them.
        origin: String,
        /// The host that the request is for, where it names one.
        host: Option<String>,
    },
    /// The server goes down: 503.
    Draining {
        /// After how many seconds the client may come back.
        retry_after: u64,
    },
    /// The request carries no transport that could be upgraded: 500.
    NoTransport,
}

/// What is wrong with a `Sec-WebSocket-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyDefect {
    /// It is not there.
    Missing,
    /// It is there more than once.
    Repeated,
    /// It does not decode to 16 bytes.
    Malformed,
}

impl UpgradeError {
    /// The status of the response.
    pub fn status(&self) -> u16 {
        match self {
            UpgradeError::HttpVersion(_) => 501,
            UpgradeError::Method(_) => 405,
            UpgradeError::Http10
            | UpgradeError::NoConnectionUpgrade
            | UpgradeError::NoUpgradeWebSocket
            | UpgradeError::Version(_) => 426,
            UpgradeError::Body | UpgradeError::Key(_) => 400,
            UpgradeError::Origin { .. } => 403,
            UpgradeError::Draining { .. } => 503,
            UpgradeError::NoTransport => 500,
        }
    }

    /// The header fields of the response, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> + use<> {
        let mut headers = Vec::with_capacity(4);
        if self.status() == 426 {
            headers.extend([("upgrade", "websocket".into()), ("connection", "upgrade".into())]);
        }
        match self {
            UpgradeError::Method(_) => headers.push(("allow", "GET".into())),
            UpgradeError::Version(_) => headers.push(("sec-websocket-version", "13".into())),
            UpgradeError::Draining { retry_after } => {
                headers.push(("retry-after", retry_after.to_string().into()))
            }
            _ => {}
        }
        headers.push(("content-type", "text/plain; charset=utf-8".into()));
        headers.into_iter()
    }

    /// The body of the response: one line of plain text that says what is wrong and, where the server's
    /// configuration can mend it, how.
    pub fn body(&self) -> String {
        format!("{self}\n")
    }
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradeError::HttpVersion(_) => f.write_str(
                "WebSocket over HTTP/2 or later is not supported here: connect with HTTP/1.1 \
                 (a server offers only that by leaving h2 out of its ALPN protocols)",
            ),
            UpgradeError::Method(method) => {
                write!(f, "a WebSocket connection begins with GET, not with {}", Shown(method))
            }
            UpgradeError::Http10 => f.write_str(
                "this is a WebSocket endpoint and needs HTTP/1.1, not HTTP/1.0 \
                 (nginx in front needs `proxy_http_version 1.1`)",
            ),
            UpgradeError::NoConnectionUpgrade => f.write_str(
                "this is a WebSocket endpoint: the request has no `Connection: Upgrade` \
                 (a proxy in front has to pass it on)",
            ),
            UpgradeError::NoUpgradeWebSocket => f.write_str(
                "this is a WebSocket endpoint: the request has no `Upgrade: websocket` \
                 (a proxy in front has to pass it on)",
            ),
            UpgradeError::Body => f.write_str("a WebSocket request has no body"),
            UpgradeError::Version(None) => {
                f.write_str("the request names no Sec-WebSocket-Version; this server speaks version 13")
            }
            UpgradeError::Version(Some(version)) => {
                write!(f, "Sec-WebSocket-Version {} is not spoken here; this server speaks version 13", Shown(version))
            }
            UpgradeError::Key(KeyDefect::Missing) => f.write_str("the request has no Sec-WebSocket-Key"),
            UpgradeError::Key(KeyDefect::Repeated) => f.write_str("the request has more than one Sec-WebSocket-Key"),
            UpgradeError::Key(KeyDefect::Malformed) => {
                f.write_str("the Sec-WebSocket-Key is not 16 bytes in base64")
            }
            UpgradeError::Origin { origin, host } => {
                write!(f, "pages of the origin {} may not connect to ", Shown(origin))?;
                match host {
                    Some(host) => write!(f, "the host {}", Shown(host))?,
                    None => f.write_str("a request without a single valid host")?,
                }
                f.write_str("; the server's option `origins` can allow them")
            }
            UpgradeError::Draining { .. } => f.write_str("the server is shutting down and takes no new connections"),
            UpgradeError::NoTransport => f.write_str(
                "this request's connection cannot be upgraded: it was taken by an earlier upgrade or extractor, \
                 or the server does not offer upgrades",
            ),
        }
    }
}

impl std::error::Error for UpgradeError {}

/// A request's own words, quoted on one line and not at any length.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ENOUGH: usize = 200;
        let end = self.0.floor_char_boundary(ENOUGH);
        let more = if end < self.0.len() { "..." } else { "" };
        write!(f, "{:?}{more}", &self.0[..end])
    }
}
