//! [`Inflater`]: reads what a server has compressed, with a library that no adapter uses.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// What ends each message's data and is not sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// An empty last block.
const LAST_BLOCK: [u8; 2] = [0x03, 0];

/// Inflates messages, and is strict about it: no reference goes further back than the window.
pub(crate) struct Inflater {
    state: Box<DecompressorOxide>,
    /// As long as the window, and written round and round.
    window: Vec<u8>,
    at: usize,
}

impl Inflater {
    /// For a window of so many bits.
    pub(crate) fn new(bits: u8) -> Self {
        Inflater { state: Box::default(), window: vec![0; 1 << bits], at: 0 }
    }

    /// The message that was sent as these bytes. It may refer to those before it.
    pub(crate) fn message(&mut self, deflated: &[u8]) -> Vec<u8> {
        let (bytes, mut taken, mut message) = ([deflated, &TAIL].concat(), 0, Vec::new());
        loop {
            let (status, read, written) = self.inflate(&bytes[taken..]);
            message.extend_from_slice(&self.window[self.at..][..written]);
            self.at = (self.at + written) % self.window.len();
            taken += read;
            match status {
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => break,
                other => panic!("{other:?} after {taken} of {deflated:x?}"),
            }
        }
        assert_eq!(taken, bytes.len(), "bytes are left over");
        let mut copy = Inflater { state: self.state.clone(), window: self.window.clone(), at: self.at };
        assert_eq!(copy.inflate(&LAST_BLOCK), (TINFLStatus::Done, 2, 0), "the message ends within a block");
        message
    }

    fn inflate(&mut self, bytes: &[u8]) -> (TINFLStatus, usize, usize) {
        decompress(&mut self.state, bytes, &mut self.window, self.at, TINFL_FLAG_HAS_MORE_INPUT)
    }
}
