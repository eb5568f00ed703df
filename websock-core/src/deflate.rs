//! [`Deflate`]: how messages are compressed, and [`DeflateParameters`]: what two sides have agreed on about it.

use std::fmt;

/// How messages are compressed where the client offers it too: [`Options::deflate`](crate::Options::deflate)
/// (permessage-deflate, RFC 7692, SPEC C).
///
/// ```
/// use websock_core::{Deflate, DeflateLevel, Options, WindowBits};
///
/// const SMALL: WindowBits = WindowBits::new(12).unwrap();
///
/// let options = Options::default().deflate(
///     Deflate::default()
///         .level(DeflateLevel::FASTEST)
///         .threshold(1024)
///         .server_context_takeover(true)
///         .server_max_window_bits(SMALL),
/// );
/// ```
///
/// # Context takeover
///
/// With it, messages of one direction refer to those before them, so that many small ones that resemble each other
/// become much smaller. Its price is memory for as long as the connection lives, from its first compressed message on:
/// over 400 KiB with windows of 15 bits, nine tenths of it to deflate with (the server's side). Without it, the
/// connections of a thread share as much, and an idle one has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    level: DeflateLevel,
    threshold: usize,
    server: Side,
    client: Side,
}

/// What a server allows for one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) context_takeover: bool,
    pub(crate) max_window_bits: WindowBits,
}

impl Default for Deflate {
    /// Level 6, threshold 512 bytes, windows of 15 bits, no context takeover on either side.
    ///
    /// The level is zlib's own compromise. Shorter messages fit in one packet anyhow, and little is saved on them.
    /// A large window costs nothing where the connections of a thread share it, and that is what they do without
    /// context takeover.
    fn default() -> Self {
        let side = Side { context_takeover: false, max_window_bits: WindowBits::MAX };
        Deflate { level: DeflateLevel::default(), threshold: 512, server: side, client: side }
    }
}

impl Deflate {
    /// How much work is put into making messages small.
    #[must_use]
    pub fn level(mut self, level: DeflateLevel) -> Self {
        self.level = level;
        self
    }

    /// From how many bytes on a message is compressed; shorter ones go out as they are (SPEC C5).
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Whether the server's messages may refer to those before them. A client can refuse it.
    #[must_use]
    pub fn server_context_takeover(mut self, on: bool) -> Self {
        self.server.context_takeover = on;
        self
    }

    /// Whether the client's messages may refer to those before them.
    #[must_use]
    pub fn client_context_takeover(mut self, on: bool) -> Self {
        self.client.context_takeover = on;
        self
    }

    /// The largest window that the server deflates with. A client can ask for a smaller one.
    #[must_use]
    pub fn server_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.server.max_window_bits = bits;
        self
    }

    /// The largest window that the client may deflate with. Under 15 bits, offers of clients that cannot be told so
    /// are passed over (RFC 7692 §7.1.2.2).
    #[must_use]
    pub fn client_max_window_bits(mut self, bits: WindowBits) -> Self {
        self.client.max_window_bits = bits;
        self
    }

    pub(crate) fn get_level(self) -> DeflateLevel {
        self.level
    }

    pub(crate) fn get_threshold(self) -> usize {
        self.threshold
    }

    pub(crate) fn server(self) -> Side {
        self.server
    }

    pub(crate) fn client(self) -> Side {
        self.client
    }
}

/// How much work deflating is: from 1, the fastest, to 9, the smallest result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeflateLevel(u8);

impl DeflateLevel {
    /// Level 1.
    pub const FASTEST: DeflateLevel = DeflateLevel(1);
    /// Level 9.
    pub const SMALLEST: DeflateLevel = DeflateLevel(9);

    /// The level of this number, or `None` if it is not within 1 and 9.
    pub const fn new(level: u8) -> Option<Self> {
        if matches!(level, 1..=9) { Some(DeflateLevel(level)) } else { None }
    }

    /// The level's number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for DeflateLevel {
    /// Level 6.
    fn default() -> Self {
        DeflateLevel(6)
    }
}

/// The size of a deflate window, as its base-2 logarithm: from 9 (512 bytes) to 15 (32 KiB).
///
/// RFC 7692 knows 8 too, but no deflate library makes such a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowBits(u8);

impl WindowBits {
    /// 9 bits, 512 bytes.
    pub const MIN: WindowBits = WindowBits(9);
    /// 15 bits, 32 KiB.
    pub const MAX: WindowBits = WindowBits(15);

    /// A window of so many bits, or `None` if they are not within 9 and 15.
    pub const fn new(bits: u8) -> Option<Self> {
        if matches!(bits, 9..=15) { Some(WindowBits(bits)) } else { None }
    }

    /// The number of bits.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The size in bytes.
    pub const fn size(self) -> usize {
        1 << self.0
    }
}

/// What client and server have agreed on (RFC 7692 §7.1). Shown, it is the extension of the 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateParameters {
    pub(crate) server_context_takeover: bool,
    pub(crate) client_context_takeover: bool,
    /// What the server deflates with, and whether it says so.
    pub(crate) server_window: Window,
    /// What the client deflates with at most, and whether it is told so.
    pub(crate) client_window: Window,
}

/// A window, and whether the 101 names its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) bits: WindowBits,
    pub(crate) named: bool,
}

impl DeflateParameters {
    /// Whether the server's messages may refer to those before them.
    pub fn server_context_takeover(&self) -> bool {
        self.server_context_takeover
    }

    /// Whether the client's messages may refer to those before them.
    pub fn client_context_takeover(&self) -> bool {
        self.client_context_takeover
    }

    /// The window that the server deflates with.
    pub fn server_max_window_bits(&self) -> WindowBits {
        self.server_window.bits
    }

    /// The window that the client deflates with at most.
    pub fn client_max_window_bits(&self) -> WindowBits {
        self.client_window.bits
    }
}

impl fmt::Display for DeflateParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate")?;
        if !self.server_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if !self.client_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if self.server_window.named {
            write!(f, "; server_max_window_bits={}", self.server_window.bits.get())?;
        }
        if self.client_window.named {
            write!(f, "; client_max_window_bits={}", self.client_window.bits.get())?;
        }
        Ok(())
    }
}
