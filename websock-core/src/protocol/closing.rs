//! The closing handshake (RFC 6455 §7), and nothing else knows it.
//!
//! ```text
//!            send_close
//!     Open ─────────────► Closed      nothing is sent any more; what still comes in is for nobody
//!       │                    ▲
//!       │ stop_receiving     │ send_close
//!       ▼                    │
//!     HalfClosed ────────────┘        the peer's Close or a violation was seen: nothing more is received,
//!                                     our Close is still owed
//! ```

use super::error::ProtocolError;
use crate::close::{CloseCode, CloseFrame};
use crate::text::Text;

/// Where the connection stands in the closing handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Closing(State);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    HalfClosed,
    Closed,
}

impl Closing {
    /// Whether anything may be sent (SPEC O6).
    #[inline]
    pub(super) fn can_send(self) -> bool {
        self.0 != State::Closed
    }

    /// Whether what arrives still counts (SPEC X7, O10).
    #[inline]
    pub(super) fn can_receive(self) -> bool {
        self.0 == State::Open
    }

    /// The peer's last word was received.
    pub(super) fn stop_receiving(&mut self) {
        if self.0 == State::Open {
            self.0 = State::HalfClosed;
        }
    }

    /// Our Close is due now; false if it was sent before (SPEC X2).
    pub(super) fn send_close(&mut self) -> bool {
        std::mem::replace(&mut self.0, State::Closed) != State::Closed
    }
}

/// Reads the payload of the peer's Close frame (RFC 6455 §5.5.1, SPEC X3).
pub(super) fn parse_close(payload: &[u8]) -> Result<Option<CloseFrame>, ProtocolError> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(ProtocolError::TruncatedCloseCode),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    let code = CloseCode::new(code).ok_or(ProtocolError::CloseCode(code))?;
    let reason = Text::copy_from_utf8(reason).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
    Ok(Some(CloseFrame::new(code, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(code: u16, reason: &[u8]) -> Result<Option<CloseFrame>, ProtocolError> {
        parse_close(&[&code.to_be_bytes(), reason].concat())
    }

    #[test]
    fn only_one_close_is_sent() {
        let mut closing = Closing::default();
        assert!(closing.can_send() && closing.can_receive());
        assert!(closing.send_close());
        assert!(!closing.send_close());
        assert!(!closing.can_send() && !closing.can_receive());
    }

    #[test]
    fn after_the_peers_close_ours_is_still_owed() {
        let mut closing = Closing::default();
        closing.stop_receiving();
        assert!(closing.can_send() && !closing.can_receive());
        assert!(closing.send_close());
        closing.stop_receiving();
        assert!(!closing.can_send());
    }

    #[test]
    fn a_close_frame_is_empty_or_has_a_valid_code_and_text() {
        assert_eq!(parse_close(&[]), Ok(None));
        assert_eq!(parse_close(&[3]), Err(ProtocolError::TruncatedCloseCode));
        let frame = parse(4000, "bye".as_bytes()).unwrap().unwrap();
        assert_eq!((frame.code().get(), frame.reason().as_str()), (4000, "bye"));
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            assert_eq!(parse(code, b""), Err(ProtocolError::CloseCode(code)));
        }
        assert_eq!(parse(1000, b"\xff"), Err(ProtocolError::CloseReasonNotUtf8));
    }
}
