//! How a connection ends: the code and text that go on the wire, and the reason that `terminate` gets.

use std::fmt;
use std::num::NonZeroU16;

use crate::protocol::{ProtocolError, TooBig};
use crate::text::Text;

/// Any error of an application, as a callback returns it. The `?` operator makes one of every error type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A close code that may stand in a Close frame (RFC 6455 §7.4, SPEC O9).
///
/// The codes 0-999, 1004, 1005, 1006, 1015, 1016-2999 and 5000 and up must not be sent, and cannot be built:
///
/// ```
/// use websock_core::CloseCode;
///
/// const SESSION_EXPIRED: CloseCode = CloseCode::new(4001).unwrap();
/// assert_eq!(SESSION_EXPIRED.get(), 4001);
/// assert_eq!(CloseCode::new(1005), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(NonZeroU16);

/// The number is not a close code that may be sent (SPEC O9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a close code that may be sent")]
pub struct InvalidCloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL: CloseCode = CloseCode::new(1000).unwrap();
    /// 1001: the server goes down, or the peer has been silent for too long.
    pub const GOING_AWAY: CloseCode = CloseCode::new(1001).unwrap();
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode::new(1002).unwrap();
    /// 1003: a kind of data that this endpoint does not take, such as binary where text is expected.
    pub const UNSUPPORTED: CloseCode = CloseCode::new(1003).unwrap();
    /// 1007: data that does not fit its type, such as text that is not UTF-8.
    pub const INVALID_DATA: CloseCode = CloseCode::new(1007).unwrap();
    /// 1008: a message that violates the endpoint's policy.
    pub const POLICY: CloseCode = CloseCode::new(1008).unwrap();
    /// 1009: a message too big to process.
    pub const TOO_BIG: CloseCode = CloseCode::new(1009).unwrap();
    /// 1010: a client misses an extension that it needs.
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode::new(1010).unwrap();
    /// 1011: the server met a condition that it did not expect.
    pub const INTERNAL_ERROR: CloseCode = CloseCode::new(1011).unwrap();
    /// 1012: the service restarts; clients may reconnect after a random delay.
    pub const RESTART: CloseCode = CloseCode::new(1012).unwrap();
    /// 1013: the service is overloaded; clients should come back later.
    pub const TRY_AGAIN: CloseCode = CloseCode::new(1013).unwrap();
    /// 1014: a gateway got an invalid answer from the server behind it.
    pub const BAD_GATEWAY: CloseCode = CloseCode::new(1014).unwrap();

    /// The code with this number, or `None` if it must not be sent.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => match NonZeroU16::new(code) {
                Some(code) => Some(CloseCode(code)),
                None => None,
            },
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = InvalidCloseCode;

    /// # Errors
    /// When the code may not be sent.
    fn try_from(code: u16) -> Result<Self, InvalidCloseCode> {
        CloseCode::new(code).ok_or(InvalidCloseCode(code))
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.get()
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a Close frame says: a code, and a text of at most 123 bytes for whoever debugs the connection
/// (RFC 6455 §5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    reason: Text,
}

impl CloseFrame {
    /// The room that a control frame leaves beside the code.
    const MAX_REASON: usize = 123;

    /// A Close frame's content. A longer reason than 123 bytes is cut at a character boundary (SPEC O9).
    pub fn new(code: CloseCode, reason: impl Into<Text>) -> Self {
        let reason = reason.into();
        CloseFrame { code, reason: reason.truncate(Self::MAX_REASON) }
    }

    /// The code.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The text, often empty.
    pub fn reason(&self) -> &Text {
        &self.reason
    }
}

impl From<CloseCode> for CloseFrame {
    fn from(code: CloseCode) -> Self {
        CloseFrame { code, reason: Text::EMPTY }
    }
}

/// Why a connection ended: what [`terminate`](crate::WebSock::terminate) gets.
///
/// Which end gives which reason, and what goes on the wire for it, is the table in SPEC X.
#[derive(Debug)]
pub enum CloseReason {
    /// The handler stopped the connection, or somebody did so by the mailbox.
    Normal,
    /// The peer sent a Close frame.
    Remote {
        /// Its code; `None` where the frame was empty.
        code: Option<CloseCode>,
        /// Its text, often empty.
        reason: Text,
    },
    /// The server goes down.
    Shutdown,
    /// Something took too long.
    Timeout(Timeout),
    /// Something went wrong.
    Error(Error),
}

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// No byte came from the peer for [`timeout`](crate::Options::timeout) (SPEC T1).
    Idle,
    /// Nothing came in answer to a ping (SPEC T2).
    Keepalive,
    /// A message took longer than [`message_timeout`](crate::Options::message_timeout) to arrive (SPEC T6).
    Message,
    /// A callback ran for longer than [`callback_timeout`](crate::Options::callback_timeout) (SPEC L11).
    Callback,
    /// The peer did not read for [`write_timeout`](crate::Options::write_timeout) (SPEC T3).
    Write,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A callback returned this error, or the outcome [`fail`](crate::Outcome::fail) with it.
    #[error("the handler failed")]
    Handler(#[source] BoxError),
    /// A callback panicked.
    #[error("the handler panicked")]
    Panic,
    /// The peer broke the protocol.
    #[error(transparent)]
    Protocol(ProtocolError),
    /// The peer sent more than a limit allows.
    #[error(transparent)]
    TooBig(TooBig),
    /// The transport ended or failed without a Close frame.
    #[error("the peer went away without a Close frame")]
    Disconnected,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Normal => f.write_str("normal"),
            CloseReason::Remote { code: None, .. } => f.write_str("closed by the peer"),
            CloseReason::Remote { code: Some(code), .. } => write!(f, "closed by the peer with {code}"),
            CloseReason::Shutdown => f.write_str("server shutdown"),
            CloseReason::Timeout(timeout) => timeout.fmt(f),
            CloseReason::Error(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timeout::Idle => "idle timeout",
            Timeout::Keepalive => "ping timeout",
            Timeout::Message => "message timeout",
            Timeout::Callback => "callback timeout",
            Timeout::Write => "write timeout",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC O9.
    #[test]
    fn only_codes_that_may_be_sent_can_be_built() {
        let allowed = |code: u16| {
            matches!(code, 1000 | 1001 | 1002 | 1003 | 1007..=1014) || (3000..5000).contains(&code)
        };
        for code in 0..=u16::MAX {
            assert_eq!(CloseCode::new(code).is_some(), allowed(code), "{code}");
            assert_eq!(
                CloseCode::try_from(code).map(u16::from),
                CloseCode::new(code).map(u16::from).ok_or(InvalidCloseCode(code))
            );
        }
    }

    #[test]
    fn an_overlong_reason_is_cut_at_a_character_boundary() {
        let frame = CloseFrame::new(CloseCode::NORMAL, "ß".repeat(100));
        assert_eq!(frame.reason().len(), 122);
        let frame = CloseFrame::new(CloseCode::NORMAL, "a".repeat(124));
        assert_eq!(frame.reason().len(), 123);
        let frame = CloseFrame::new(CloseCode::NORMAL, "a".repeat(123));
        assert_eq!(frame.reason().len(), 123);
    }

    #[test]
    fn a_handlers_error_is_the_source_and_not_told_twice() {
        let error = Error::Handler("boom".into());
        assert_eq!(error.to_string(), "the handler failed");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "boom");
    }
}
