//! What a peer can do wrong, one variant per rule, and the close code that answers it.

use crate::close::CloseCode;

/// The peer broke RFC 6455 or RFC 7692. Each variant is answered with the close code 1002, or 1007 where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame without a mask (RFC 6455 §5.1, SPEC F1).
    #[error("client frame without a mask")]
    Unmasked,
    /// Reserved bits that no negotiated extension gives a meaning; RSV1 is the highest of the three bits
    /// (RFC 6455 §5.2, SPEC F1).
    #[error("reserved bits {0:03b} without a meaning")]
    ReservedBits(u8),
    /// An opcode that is not defined (RFC 6455 §5.2, SPEC F1).
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// A control frame in fragments (RFC 6455 §5.4, SPEC F2).
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame with more than 125 bytes (RFC 6455 §5.5, SPEC F2).
    #[error("control frame over 125 bytes")]
    ControlTooLong,
    /// A continuation where no message has begun (RFC 6455 §5.4, SPEC F3).
    #[error("continuation without a start")]
    UnexpectedContinuation,
    /// A new data frame where a fragment of the last message is due (RFC 6455 §5.4, SPEC F3).
    #[error("new message inside a fragmented one")]
    UnfinishedMessage,
    /// A length that fits in a shorter form (RFC 6455 §5.2, SPEC F8).
    #[error("length not in its shortest form")]
    NonMinimalLength,
    /// A 64-bit length with the top bit set (RFC 6455 §5.2, SPEC F8).
    #[error("length with its top bit set")]
    LengthTopBit,
    /// A Close frame with a code that must not be sent (RFC 6455 §7.4, SPEC X3).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// A Close frame with a payload of one byte (RFC 6455 §5.5.1, SPEC X3).
    #[error("close frame with half a code")]
    TruncatedCloseCode,
    /// A Close frame whose reason is not UTF-8; answered with 1007 (RFC 6455 §5.5.1, SPEC X3).
    #[error("close reason is not valid UTF-8")]
    CloseReasonNotUtf8,
    /// A text message that is not UTF-8; answered with 1007 (RFC 6455 §8.1, SPEC F4).
    #[error("text message is not valid UTF-8")]
    TextNotUtf8,
    /// A compressed message that cannot be inflated; answered with 1007 (RFC 7692 §7.2.2, SPEC C4).
    #[error("broken deflate data")]
    InvalidDeflate,
}

/// The peer sent more than a limit allows; answered with the close code 1009 (SPEC F5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TooBig {
    /// A frame over [`max_frame_size`](crate::Options::max_frame_size).
    #[error("frame over the limit of {limit} bytes")]
    Frame {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message over [`max_message_size`](crate::Options::max_message_size).
    #[error("message over the limit of {limit} bytes")]
    Message {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message of more fragments than [`max_fragments`](crate::Options::max_fragments).
    #[error("message of more than {limit} fragments")]
    Fragments {
        /// The limit, a number of frames.
        limit: usize,
    },
}

/// Anything that ends a connection because of what the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// The peer broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The peer sent more than a limit allows.
    #[error(transparent)]
    TooBig(#[from] TooBig),
}

impl Violation {
    /// Whether it is the peer's Close frame that breaks a rule.
    pub(super) fn is_of_close(self) -> bool {
        use ProtocolError::{CloseCode, CloseReasonNotUtf8, TruncatedCloseCode};
        matches!(self, Violation::Protocol(CloseCode(_) | TruncatedCloseCode | CloseReasonNotUtf8))
    }

    /// The close code that answers it.
    pub fn close_code(&self) -> CloseCode {
        use ProtocolError::*;
        match self {
            Violation::Protocol(
                Unmasked
                | ReservedBits(_)
                | UnknownOpcode(_)
                | FragmentedControl
                | ControlTooLong
                | UnexpectedContinuation
                | UnfinishedMessage
                | NonMinimalLength
                | LengthTopBit
                | CloseCode(_)
                | TruncatedCloseCode,
            ) => self::CloseCode::PROTOCOL_ERROR,
            Violation::Protocol(CloseReasonNotUtf8 | TextNotUtf8 | InvalidDeflate) => {
                self::CloseCode::INVALID_DATA
            }
            Violation::TooBig(_) => self::CloseCode::TOO_BIG,
        }
    }
}
