//! How much went over a connection, by opcode (SPEC E3).

use super::header::Opcode;
use crate::message::{Frame, Message};

/// Messages and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many messages.
    pub messages: u64,
    /// The sum of their payloads in bytes.
    pub bytes: u64,
}

/// What went one way, by opcode. Data is counted in whole messages, not in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Text messages.
    pub text: Count,
    /// Binary messages.
    pub binary: Count,
    /// Pings.
    pub ping: Count,
    /// Pongs.
    pub pong: Count,
    /// Close frames.
    pub close: Count,
}

impl Count {
    #[inline]
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

impl Traffic {
    #[cold]
    fn count_control(&mut self, opcode: Opcode, length: usize) {
        if opcode == Opcode::Ping { self.ping.add(length) } else { self.pong.add(length) }
    }

    #[inline]
    pub(super) fn count_message(&mut self, message: &Message) {
        match message {
            Message::Text(text) => self.text.add(text.len()),
            Message::UncheckedText(bytes) => self.text.add(bytes.len()),
            Message::Binary(bytes) => self.binary.add(bytes.len()),
        }
    }

    #[inline]
    pub(super) fn count_frame(&mut self, frame: &Frame) {
        let length = frame.payload().len();
        if frame.opcode.is_control() {
            self.count_control(frame.opcode, length);
        } else if frame.opcode == Opcode::Text {
            self.text.add(length);
        } else {
            self.binary.add(length);
        }
    }
}
