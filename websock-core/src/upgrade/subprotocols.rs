//! Subprotocols (RFC 6455 §1.9, SPEC U4).

use std::borrow::Cow;
use std::fmt;

use super::head::RequestHead;

/// The name of a subprotocol: a token that can stand in a header field (RFC 6455 §4.1).
///
/// ```
/// use websock_core::{Options, Subprotocol};
///
/// const V2: Subprotocol = Subprotocol::new("chat.v2").unwrap();
/// const V1: Subprotocol = Subprotocol::new("chat.v1").unwrap();
/// let options = Options::default().subprotocols([V2, V1]);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subprotocol(Cow<'static, str>);

/// The text is not a token, so it cannot name a subprotocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a token, so it cannot name a subprotocol")]
pub struct InvalidSubprotocol(pub String);

impl Subprotocol {
    /// The subprotocol of this name, or `None` if the name is not a token (RFC 9110 §5.6.2).
    pub const fn new(name: &'static str) -> Option<Self> {
        if is_token(name.as_bytes()) { Some(Subprotocol(Cow::Borrowed(name))) } else { None }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Subprotocol {
    type Error = InvalidSubprotocol;

    /// # Errors
    /// When the name is not a token.
    fn try_from(name: String) -> Result<Self, InvalidSubprotocol> {
        if is_token(name.as_bytes()) { Ok(Subprotocol(name.into())) } else { Err(InvalidSubprotocol(name)) }
    }
}

impl fmt::Debug for Subprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Subprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn is_token(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        let allowed = match name[at] {
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~' => true,
            other => other.is_ascii_alphanumeric(),
        };
        if !allowed {
            return false;
        }
        at += 1;
    }
    !name.is_empty()
}

/// The first of the server's subprotocols that the client offers.
pub(super) fn choose(head: &RequestHead, spoken: &[Subprotocol]) -> Option<Subprotocol> {
    spoken.iter().find(|own| head.subprotocols().any(|offered| offered == own.as_str())).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::HttpVersion;

    #[test]
    fn only_a_token_names_a_subprotocol() {
        for name in ["chat", "v1.chat", "a!#$%&'*+-.^_`|~9"] {
            assert!(Subprotocol::new(name).is_some(), "{name}");
        }
        for name in ["", "a b", "a,b", "a\"", "ü", "a/b", "a\r\n", "(a)"] {
            assert_eq!(Subprotocol::new(name), None, "{name}");
            assert_eq!(Subprotocol::try_from(name.to_string()), Err(InvalidSubprotocol(name.into())));
        }
    }

    #[test]
    fn the_servers_preference_decides() {
        let spoken = ["b", "a"].map(|name| Subprotocol::new(name).unwrap());
        let offer = |value: &[u8]| {
            RequestHead::new(HttpVersion::Http11, "GET").header("Sec-WebSocket-Protocol", value)
        };
        assert_eq!(choose(&offer(b"a, b"), &spoken), Subprotocol::new("b"));
        assert_eq!(choose(&offer(b"x, a"), &spoken), Subprotocol::new("a"));
        assert_eq!(choose(&offer(b"A"), &spoken), None);
        assert_eq!(choose(&offer(b"a"), &[]), None);
    }
}
