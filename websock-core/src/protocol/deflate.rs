//! permessage-deflate (RFC 7692 §7.2, SPEC C4-C7): from payloads to deflated ones, and back.
//!
//! State is large, so nobody has any before there is something to do with it. Where each message stands for itself the
//! connections of a thread use the same few states in turn; only context takeover gives a connection one of its own.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::encode::Outgoing;
use super::error::{ProtocolError, Violation};
use super::header::encode_compressed_header;
use crate::deflate::{Deflate, DeflateLevel, DeflateParameters, WindowBits};
use crate::message::{Frame, Prepared};

/// What ends each message's deflate data and is not sent (RFC 7692 §7.2.1): an empty stored block, but for the bits
/// that its first byte begins with.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// An empty last block: behind the tail it is one, and nothing else, only where the data before it are complete.
const LAST_BLOCK: [u8; 2] = [0x03, 0];

/// How much is inflated at once. A message within it is copied once, as any other that came whole.
const CHUNK: usize = 64 * 1024;

/// How many states of each kind a thread keeps.
const KEPT: usize = 4;

/// The largest buffer for deflated bytes that a thread keeps.
const KEPT_OUTPUT: usize = 256 * 1024;

/// Compressors by what they are made for, the one used last at the end.
type Compressors = Vec<(DeflateLevel, WindowBits, Compress)>;

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = const { RefCell::new(Vec::new()) };
    static DECOMPRESSORS: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
    static INFLATED: RefCell<Box<[u8]>> = RefCell::new(vec![0; CHUNK].into_boxed_slice());
    static DEFLATED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How a connection's messages are deflated.
#[derive(Debug)]
pub(super) struct Deflater {
    level: DeflateLevel,
    threshold: usize,
    bits: WindowBits,
    context_takeover: bool,
    /// What refers to the messages before, from the first on.
    own: Option<Compress>,
}

impl Deflater {
    pub(super) fn new(deflate: Deflate, parameters: &DeflateParameters) -> Self {
        Deflater {
            level: deflate.get_level(),
            threshold: deflate.get_threshold(),
            bits: parameters.server_max_window_bits(),
            context_takeover: parameters.server_context_takeover(),
            own: None,
        }
    }

    /// Queues a frame, compressed where that is allowed and of use (SPEC C5).
    pub(super) fn push(&mut self, frame: Frame, outgoing: &mut Outgoing) {
        let is_small = frame.payload().len() < self.threshold.max(1);
        if is_small || frame.opcode.is_control() || frame.uncompressed {
            return outgoing.push(frame);
        }
        if let Some(prepared) = &frame.prepared {
            return match self.share(prepared) {
                Some(encoded) => outgoing.push_encoded(&encoded),
                None => outgoing.push(frame),
            };
        }
        DEFLATED.with_borrow_mut(|deflated| {
            deflated.clear();
            if self.deflate(frame.payload(), deflated) {
                outgoing.push_deflated(frame.opcode, deflated);
            } else {
                outgoing.push(frame);
            }
            if deflated.capacity() > KEPT_OUTPUT {
                *deflated = Vec::new();
            }
        });
    }

    /// Deflates a payload, and tells whether the result is to be sent.
    fn deflate(&mut self, payload: &[u8], deflated: &mut Vec<u8>) -> bool {
        if self.context_takeover {
            let state = self.own.get_or_insert_with(|| compressor(self.level, self.bits));
            let done = deflate(state, payload, deflated);
            if !done {
                // Messages that refer to nothing are always understood.
                self.own = None;
            }
            done
        } else {
            deflate_alone(self.level, self.bits, payload, deflated)
        }
    }

    /// The compressed form of a message for many connections, if this one may send it: it refers to nothing before
    /// it, and nothing after it may refer to it.
    fn share(&self, prepared: &Prepared) -> Option<Bytes> {
        let payload = prepared.payload();
        if self.context_takeover || payload.len().min(WindowBits::MAX.size()) > self.bits.size() {
            return None;
        }
        prepared.compressed(|opcode| {
            let mut deflated = Vec::new();
            deflate_alone(self.level, WindowBits::MAX, payload, &mut deflated).then(|| {
                let (header, size) = encode_compressed_header(opcode, deflated.len());
                deflated.splice(..0, header[..size].iter().copied());
                deflated.shrink_to_fit();
                deflated.into()
            })
        })
    }
}

fn compressor(level: DeflateLevel, bits: WindowBits) -> Compress {
    Compress::new_with_window_bits(Compression::new(level.get().into()), false, bits.get())
}

/// Deflates a payload that stands for itself, and tells whether that made it smaller.
fn deflate_alone(level: DeflateLevel, bits: WindowBits, payload: &[u8], deflated: &mut Vec<u8>) -> bool {
    COMPRESSORS.with_borrow_mut(|kept| {
        let found = kept.iter().rposition(|(l, b, _)| (*l, *b) == (level, bits));
        let mut state = match found {
            Some(found) => {
                let mut state = kept.remove(found).2;
                state.reset();
                state
            }
            None => compressor(level, bits),
        };
        let done = deflate(&mut state, payload, deflated);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((level, bits, state));
        done && deflated.len() < payload.len()
    })
}

/// Deflates a payload up to the tail, which is left out. False if the library has failed.
fn deflate(state: &mut Compress, payload: &[u8], deflated: &mut Vec<u8>) -> bool {
    let begin = state.total_in();
    // Mostly enough at once; what cannot be made smaller grows by 5 bytes for each block.
    deflated.reserve(payload.len() / 2 + 64);
    loop {
        let consumed = usize::try_from(state.total_in() - begin).unwrap_or(usize::MAX);
        let Some(rest) = payload.get(consumed..) else { return false };
        let before = deflated.len();
        match state.compress_vec(rest, deflated, FlushCompress::Sync) {
            Ok(Status::Ok | Status::BufError) => {}
            Ok(Status::StreamEnd) | Err(_) => return false,
        }
        if deflated.len() < deflated.capacity() || deflated.len() == before {
            break;
        }
        deflated.reserve(rest.len() / 2 + 64);
    }
    let is_whole = state.total_in() - begin == payload.len() as u64 && deflated.ends_with(&TAIL);
    deflated.truncate(deflated.len().saturating_sub(TAIL.len()));
    is_whole
}

/// How a connection's messages are inflated.
#[derive(Debug)]
pub(super) struct Inflater {
    context_takeover: bool,
    /// What later messages may refer to, from the first on.
    own: Option<Decompress>,
}

impl Inflater {
    pub(super) fn new(parameters: &DeflateParameters) -> Self {
        Inflater { context_takeover: parameters.client_context_takeover(), own: None }
    }

    /// The state for a message that begins. Its window is the largest, whatever was agreed on: zlib-rs takes as much memory
    /// for a smaller one, and makes it anew after each last block, of which a message may have one in each two bytes.
    pub(super) fn begin(&mut self) -> Inflating {
        let state = match self.own.take() {
            Some(own) => own,
            None => DECOMPRESSORS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Decompress::new(false)),
        };
        Inflating { state, wire: 0, ended: false }
    }

    /// Ends a complete message, and keeps the state for the next: of this connection where it may refer to this one,
    /// else of any on this thread.
    pub(super) fn finish(&mut self, mut message: Inflating) -> Result<(), Violation> {
        if message.wire == 0 {
            // An empty one has a byte (RFC 7692 §7.2.3.6). Without it the next could not be inflated.
            return Err(ProtocolError::InvalidDeflate.into());
        }
        if !message.ended {
            message.expect_nothing_of(&TAIL)?;
        }
        if self.context_takeover {
            if message.ended {
                message.state.reset(false);
            }
            self.own = Some(message.state);
            return Ok(());
        }
        if !message.ended {
            message.expect_nothing_of(&LAST_BLOCK)?;
        }
        if !message.ended {
            return Err(ProtocolError::InvalidDeflate.into());
        }
        message.state.reset(false);
        DECOMPRESSORS.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(message.state);
            }
        });
        Ok(())
    }
}

/// A message that is being inflated.
#[derive(Debug)]
pub(super) struct Inflating {
    state: Decompress,
    /// How many bytes of it have been admitted, as they came.
    pub(super) wire: usize,
    /// Whether the last block was there (RFC 7692 §7.2.3.4), and nothing after it.
    ended: bool,
}

impl Inflating {
    /// Inflates what holds no bytes, unless the data before it are not complete.
    fn expect_nothing_of(&mut self, deflated: &[u8]) -> Result<(), Violation> {
        self.inflate(deflated, |bytes| match bytes {
            [] => Ok(()),
            _ => Err(ProtocolError::InvalidDeflate.into()),
        })
    }

    /// Inflates the next bytes into `sink`, piece by piece; its error ends the inflating.
    pub(super) fn inflate(
        &mut self,
        mut deflated: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        INFLATED.with_borrow_mut(|chunk| {
            loop {
                if deflated.is_empty() && self.ended {
                    return Ok(());
                }
                if std::mem::take(&mut self.ended) {
                    self.state.reset(false);
                }
                let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
                let status = self.state.decompress(deflated, chunk, FlushDecompress::None);
                // Neither is more than what was given.
                let taken = usize::try_from(self.state.total_in() - before_in).unwrap_or(usize::MAX);
                let made = usize::try_from(self.state.total_out() - before_out).unwrap_or(usize::MAX);
                deflated = deflated.get(taken..).unwrap_or_default();
                sink(chunk.get(..made).unwrap_or_default())?;
                match status {
                    Ok(Status::StreamEnd) => self.ended = true,
                    Ok(_) if made == CHUNK => {}
                    Ok(_) if deflated.is_empty() => return Ok(()),
                    Ok(_) if taken > 0 => {}
                    Ok(_) | Err(_) => return Err(ProtocolError::InvalidDeflate.into()),
                }
            }
        })
    }
}
