//! [`RequestHead`]: a request as every server can show it.

/// The version of HTTP in which a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpVersion {
    /// HTTP/1.0 or older.
    Http10,
    /// HTTP/1.1, the one that can be upgraded.
    Http11,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

/// What the upgrade has to know of a request, in no server's own types.
///
/// ```
/// use websock_core::upgrade::{HttpVersion, RequestHead, negotiate};
/// use websock_core::Options;
///
/// let head = RequestHead::new(HttpVersion::Http11, "GET")
///     .header("Host", b"example.com")
///     .header("Connection", b"Upgrade")
///     .header("Upgrade", b"websocket")
///     .header("Sec-WebSocket-Version", b"13")
///     .header("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==");
/// assert!(negotiate(&head, &Options::default()).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct RequestHead {
    version: HttpVersion,
    method: Box<str>,
    authority: Option<Box<str>>,
    fields: Vec<(Field, Box<[u8]>)>,
}

/// The header fields that take part in an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Connection,
    Upgrade,
    Host,
    Origin,
    ContentLength,
    TransferEncoding,
    Key,
    Version,
    Protocol,
    Extensions,
}

const FIELDS: [(&str, Field); 10] = [
    ("connection", Field::Connection),
    ("upgrade", Field::Upgrade),
    ("host", Field::Host),
    ("origin", Field::Origin),
    ("content-length", Field::ContentLength),
    ("transfer-encoding", Field::TransferEncoding),
    ("sec-websocket-key", Field::Key),
    ("sec-websocket-version", Field::Version),
    ("sec-websocket-protocol", Field::Protocol),
    ("sec-websocket-extensions", Field::Extensions),
];

impl RequestHead {
    /// A request without header fields.
    pub fn new(version: HttpVersion, method: &str) -> Self {
        RequestHead { version, method: method.into(), authority: None, fields: Vec::new() }
    }

    /// Adds the authority (host and port) that the request's target names, where it names one: it then counts
    /// instead of the `Host` field (RFC 9112 §3.2.2).
    #[must_use]
    pub fn authority(mut self, authority: Option<&str>) -> Self {
        self.authority = authority.map(Into::into);
        self
    }

    /// Adds a header field. Give all of the request's fields in their order, repeated ones as often as they came;
    /// what has no part in an upgrade is not kept. The name is case-insensitive.
    #[must_use]
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        if let Some((_, field)) = FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            self.fields.push((*field, value.trim_ascii().into()));
        }
        self
    }

    /// The request's version of HTTP.
    pub fn version(&self) -> HttpVersion {
        self.version
    }

    /// The request's method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The host and port that the request is for: the target's authority, or the only `Host` field.
    pub fn host(&self) -> Option<&str> {
        match &self.authority {
            Some(authority) => Some(authority),
            None => std::str::from_utf8(self.only(Field::Host).ok()??).ok(),
        }
    }

    /// The subprotocols that the client offers, the one it prefers first.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.list(Field::Protocol).filter_map(|token| std::str::from_utf8(token).ok())
    }

    /// The values of a field, one for each time that it was given.
    pub(super) fn all(&self, field: Field) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(name, _)| *name == field).map(|(_, value)| &**value)
    }

    /// The value of a field that may be given once, or an error if it was given more often.
    pub(super) fn only(&self, field: Field) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.all(field);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Repeated),
        }
    }

    /// The elements of a field that is a list, over all the times that it was given (RFC 9110 §5.6.1).
    pub(super) fn list(&self, field: Field) -> impl Iterator<Item = &[u8]> {
        self.all(field)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }
}

/// A field that may be given once was given more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeated;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_joined_over_repeated_fields() {
        let head = RequestHead::new(HttpVersion::Http11, "GET")
            .header("SEC-WebSocket-Protocol", b" a ,, b")
            .header("X-Other", b"x")
            .header("sec-websocket-protocol", b"c\t");
        assert_eq!(head.subprotocols().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(head.only(Field::Protocol), Err(Repeated));
    }

    #[test]
    fn the_targets_authority_counts_before_the_host_field() {
        let head = RequestHead::new(HttpVersion::Http11, "GET").header("host", b"a");
        assert_eq!(head.host(), Some("a"));
        assert_eq!(head.clone().authority(Some("b:1")).host(), Some("b:1"));
        assert_eq!(head.header("Host", b"a").host(), None);
    }
}
