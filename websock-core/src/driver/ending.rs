//! How a connection ends: the closing table of SPEC X, as one total function.

use crate::close::{BoxError, CloseCode, CloseFrame, CloseReason, Error, Timeout};
use crate::protocol::Violation;
use crate::text::Text;

/// What ended a connection. The first end that the driver decides on is the one that counts (SPEC X2).
#[derive(Debug)]
pub(super) enum End {
    /// A callback stopped, or somebody did so by the mailbox.
    Stop(Option<CloseFrame>),
    /// A callback failed.
    Fail(BoxError, Option<CloseFrame>),
    /// A callback panicked.
    Panic,
    /// The peer sent a Close frame.
    Remote(Option<CloseFrame>),
    /// The peer broke a rule.
    Violation(Violation),
    /// The transport ended or failed.
    Disconnected,
    /// Something took too long.
    Timeout(Timeout),
    /// The server goes down.
    Shutdown(CloseFrame),
    /// The server's shutdown has no time left, and a callback is still running.
    Cut,
}

/// What goes on the wire for an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// A Close frame; `None` is an empty one.
    Close(Option<CloseFrame>),
    /// Nothing: there is nobody left to read it.
    Nothing,
}

impl End {
    /// What goes on the wire, and what `terminate` gets.
    pub(super) fn settle(self) -> (Wire, CloseReason) {
        let close =
            |code, text: &'static str| Wire::Close(Some(CloseFrame::new(code, Text::from_static(text))));
        let detail =
            |detail: Option<CloseFrame>, code: CloseCode| Wire::Close(Some(detail.unwrap_or(code.into())));
        match self {
            End::Stop(frame) => (detail(frame, CloseCode::NORMAL), CloseReason::Normal),
            End::Fail(error, frame) => {
                (detail(frame, CloseCode::INTERNAL_ERROR), CloseReason::Error(Error::Handler(error)))
            }
            End::Panic => (close(CloseCode::INTERNAL_ERROR, ""), CloseReason::Error(Error::Panic)),
            End::Remote(None) => (Wire::Close(None), CloseReason::Remote { code: None, reason: Text::EMPTY }),
            End::Remote(Some(frame)) => (
                close(frame.code(), ""),
                CloseReason::Remote { code: Some(frame.code()), reason: frame.reason().clone() },
            ),
            End::Violation(violation) => (
                close(violation.close_code(), ""),
                CloseReason::Error(match violation {
                    Violation::Protocol(error) => Error::Protocol(error),
                    Violation::TooBig(error) => Error::TooBig(error),
                }),
            ),
            End::Disconnected => (Wire::Nothing, CloseReason::Error(Error::Disconnected)),
            End::Timeout(timeout) => {
                let wire = match timeout {
                    Timeout::Idle => close(CloseCode::GOING_AWAY, "idle timeout"),
                    Timeout::Keepalive => close(CloseCode::GOING_AWAY, "ping timeout"),
                    Timeout::Message => close(CloseCode::POLICY, "message timeout"),
                    Timeout::Callback => close(CloseCode::INTERNAL_ERROR, "callback timeout"),
                    Timeout::Write => Wire::Nothing,
                };
                (wire, CloseReason::Timeout(timeout))
            }
            End::Shutdown(frame) => (Wire::Close(Some(frame)), CloseReason::Shutdown),
            End::Cut => (Wire::Nothing, CloseReason::Shutdown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ProtocolError, TooBig};

    /// The code and text on the wire; 0 is an empty Close, `None` nothing at all.
    fn settled(end: End) -> (Option<(u16, String)>, String) {
        let (wire, reason) = end.settle();
        let wire = match wire {
            Wire::Nothing => None,
            Wire::Close(None) => Some((0, String::new())),
            Wire::Close(Some(frame)) => Some((frame.code().get(), frame.reason().to_string())),
        };
        (wire, format!("{reason:?}"))
    }

    #[test]
    fn the_closing_table() {
        let frame = |code, text: &str| Some(CloseFrame::new(CloseCode::new(code).unwrap(), text));
        let on_wire = |code, text: &str| Some((code, text.to_string()));
        let protocol = |error| End::Violation(Violation::Protocol(error));
        let rows = [
            (End::Stop(None), on_wire(1000, ""), "Normal"),
            (End::Stop(frame(4000, "bye")), on_wire(4000, "bye"), "Normal"),
            (End::Stop(frame(1012, "")), on_wire(1012, ""), "Normal"),
            (End::Fail("e".into(), None), on_wire(1011, ""), "Error(Handler(\"e\"))"),
            (End::Fail("e".into(), frame(1013, "x")), on_wire(1013, "x"), "Error(Handler(\"e\"))"),
            (End::Panic, on_wire(1011, ""), "Error(Panic)"),
            (End::Remote(None), on_wire(0, ""), "Remote { code: None, reason: \"\" }"),
            (
                End::Remote(frame(4001, "y")),
                on_wire(4001, ""),
                "Remote { code: Some(CloseCode(4001)), reason: \"y\" }",
            ),
            (protocol(ProtocolError::CloseCode(5000)), on_wire(1002, ""), "Error(Protocol(CloseCode(5000)))"),
            (
                protocol(ProtocolError::TruncatedCloseCode),
                on_wire(1002, ""),
                "Error(Protocol(TruncatedCloseCode))",
            ),
            (
                protocol(ProtocolError::CloseReasonNotUtf8),
                on_wire(1007, ""),
                "Error(Protocol(CloseReasonNotUtf8))",
            ),
            (protocol(ProtocolError::Unmasked), on_wire(1002, ""), "Error(Protocol(Unmasked))"),
            (protocol(ProtocolError::TextNotUtf8), on_wire(1007, ""), "Error(Protocol(TextNotUtf8))"),
            (
                End::Violation(TooBig::Frame { limit: 1 }.into()),
                on_wire(1009, ""),
                "Error(TooBig(Frame { limit: 1 }))",
            ),
            (End::Disconnected, None, "Error(Disconnected)"),
            (End::Timeout(Timeout::Idle), on_wire(1001, "idle timeout"), "Timeout(Idle)"),
            (End::Timeout(Timeout::Keepalive), on_wire(1001, "ping timeout"), "Timeout(Keepalive)"),
            (End::Timeout(Timeout::Message), on_wire(1008, "message timeout"), "Timeout(Message)"),
            (End::Timeout(Timeout::Callback), on_wire(1011, "callback timeout"), "Timeout(Callback)"),
            (End::Timeout(Timeout::Write), None, "Timeout(Write)"),
            (End::Shutdown(CloseCode::GOING_AWAY.into()), on_wire(1001, ""), "Shutdown"),
            (End::Shutdown(CloseCode::RESTART.into()), on_wire(1012, ""), "Shutdown"),
            (End::Cut, None, "Shutdown"),
        ];
        for (end, wire, reason) in rows {
            let name = format!("{end:?}");
            assert_eq!(settled(end), (wire, reason.to_string()), "{name}");
        }
    }
}
