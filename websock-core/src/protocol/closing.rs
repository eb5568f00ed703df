//! The closing handshake (RFC 6455 §7), and nothing else knows it.
//!
//! Each side ends once, and the two are independent: what we may still send, and what we still listen to.

use bytes::Bytes;

use super::error::ProtocolError;
use crate::close::{CloseCode, CloseFrame};
use crate::text::Text;

/// Where the connection stands in the closing handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Closing {
    /// Whether our Close is sent.
    sent: bool,
    peer: Peer,
}

/// What the peer has said last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Peer {
    /// Nothing final.
    #[default]
    Open,
    /// Its Close, after which it sends nothing.
    Closed,
    /// What breaks a rule. Only its Close is still of interest.
    Failed,
}

impl Closing {
    /// Whether anything may be sent (SPEC O6).
    #[inline]
    pub(super) fn can_send(self) -> bool {
        !self.sent
    }

    /// Whether what arrives still counts (SPEC X7, O10).
    #[inline]
    pub(super) fn can_receive(self) -> bool {
        self.peer == Peer::Open && !self.sent
    }

    /// Whether the peer's Close was received.
    pub(super) fn has_received_close(self) -> bool {
        self.peer == Peer::Closed
    }

    /// The peer's Close was received.
    pub(super) fn receive_close(&mut self) {
        self.peer = Peer::Closed;
    }

    /// The peer broke a rule.
    pub(super) fn fail(&mut self) {
        self.peer = Peer::Failed;
    }

    /// Our Close is due now; false if it was sent before (SPEC X2).
    pub(super) fn send_close(&mut self) -> bool {
        !std::mem::replace(&mut self.sent, true)
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
    let reason =
        Text::try_from(Bytes::copy_from_slice(reason)).map_err(|_| ProtocolError::CloseReasonNotUtf8)?;
    Ok(Some(CloseFrame::new(code, reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(code: u16, reason: &[u8]) -> Result<Option<CloseFrame>, ProtocolError> {
        parse_close(&[&code.to_be_bytes(), reason].concat())
    }

    #[test]
    fn only_one_close_is_sent_and_nothing_counts_after_it() {
        let mut closing = Closing::default();
        assert!(closing.can_send() && closing.can_receive());
        assert!(closing.send_close());
        assert!(!closing.send_close());
        assert!(!closing.can_send() && !closing.can_receive() && !closing.has_received_close());
        closing.receive_close();
        assert!(closing.has_received_close());
    }

    #[test]
    fn after_the_peers_last_word_our_close_is_still_owed() {
        for last in [Closing::receive_close, Closing::fail] {
            let mut closing = Closing::default();
            last(&mut closing);
            assert!(closing.can_send() && !closing.can_receive());
            assert!(closing.send_close());
            assert!(!closing.can_send() && !closing.can_receive());
        }
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
