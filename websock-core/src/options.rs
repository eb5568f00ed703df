//! [`Options`]: how connections are to behave; the same on every server.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::deflate::Deflate;
#[cfg(feature = "driver")]
use crate::driver::Drain;
use crate::upgrade::{Origins, Subprotocol};

/// How connections are to behave: limits, times, and what an upgrade request must look like.
///
/// Cheap to clone: an application makes its options once and gives them to every upgrade. The setters take and
/// return the options by value:
///
/// ```
/// use std::time::Duration;
/// use websock_core::{Keepalive, Options};
///
/// const MIB: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1 << 20).unwrap();
///
/// let options = Options::default()
///     .timeout(Duration::from_secs(90))
///     .keepalive(Keepalive::default())
///     .max_message_size(MIB)
///     .callback_timeout(Duration::from_secs(10));
/// ```
///
/// A setter that takes `impl Into<Option<Duration>>` is turned off by `None`. Where two options meet, the stricter
/// holds. A duration of zero runs out as soon as the connection has to wait at all.
#[derive(Clone, Debug, Default)]
pub struct Options(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    timeout: Option<Duration>,
    keepalive: Option<Keepalive>,
    message_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    close_timeout: Duration,
    callback_timeout: Option<Duration>,
    max_frame_size: Option<NonZeroUsize>,
    max_message_size: NonZeroUsize,
    max_fragments: NonZeroUsize,
    validate_utf8: bool,
    mailbox_capacity: NonZeroUsize,
    write_high_water: NonZeroUsize,
    subprotocols: Vec<Subprotocol>,
    origins: Origins,
    deflate: Option<Deflate>,
    #[cfg(feature = "driver")]
    drain: Option<Drain>,
}

impl Default for Inner {
    fn default() -> Self {
        Inner {
            timeout: Some(Duration::from_secs(60)),
            keepalive: None,
            message_timeout: Some(Duration::from_secs(60)),
            write_timeout: Some(Duration::from_secs(30)),
            close_timeout: Duration::from_secs(5),
            callback_timeout: None,
            max_frame_size: None,
            max_message_size: const { NonZeroUsize::new(10_000_000).unwrap() },
            max_fragments: const { NonZeroUsize::new(131_072).unwrap() },
            validate_utf8: true,
            mailbox_capacity: const { NonZeroUsize::new(64).unwrap() },
            write_high_water: const { NonZeroUsize::new(64 * 1024).unwrap() },
            subprotocols: Vec::new(),
            origins: Origins::SameHost,
            deflate: None,
            #[cfg(feature = "driver")]
            drain: None,
        }
    }
}

impl Options {
    /// How long a peer may be silent: with no byte from it for this long the connection is closed with 1001 "idle
    /// timeout" (SPEC T1). What we send does not count, and neither does time in which we do not read.
    ///
    /// Default: 60 s, as in Elixir's WebSock. **A browser never sends a ping by itself**, so a page that only
    /// listens is disconnected after this time, unless [`keepalive`](Self::keepalive) is on.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.edit().timeout = timeout.into();
        self
    }

    /// Whether a silent peer is pinged, and how long its answer may take: without one the connection is closed with
    /// 1001 "ping timeout" (SPEC T2). Any byte counts as an answer; a peer that talks is not pinged.
    ///
    /// Default: off. **Turn it on for browsers**, which cannot ping: `keepalive(Keepalive::default())` pings
    /// after 25 s, in time for the 60 s after which proxies commonly cut a silent connection. An interval that is not
    /// shorter than [`timeout`](Self::timeout) never pings, as the silent peer is closed before.
    #[must_use]
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.edit().keepalive = keepalive.into();
        self
    }

    /// How long a message may take from its first byte to its last: over it the connection is closed with 1008
    /// "message timeout" (SPEC T6). Time in which we do not read does not count.
    ///
    /// Default: 60 s. It guards against a peer that sends a byte now and then to hold a connection and a half-filled
    /// buffer for ever; raise it where slow links carry large messages.
    #[must_use]
    pub fn message_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.edit().message_timeout = timeout.into();
        self
    }

    /// How long a write may make no progress because the peer does not read: then the socket is dropped
    /// (SPEC T3, B3).
    ///
    /// Default: 30 s. Turned off, a peer that never reads keeps its connection for as long as it likes.
    #[must_use]
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.edit().write_timeout = timeout.into();
        self
    }

    /// How long, once our Close frame is written, the peer may take to answer it and to end the connection
    /// (SPEC X1, X6).
    ///
    /// Default: 5 s. Zero closes the socket at once; a peer that is still sending may then lose the Close frame.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.edit().close_timeout = timeout;
        self
    }

    /// How long a callback other than `terminate` may run: over it its future is dropped, and the connection closed
    /// with 1011 "callback timeout" (SPEC L11).
    ///
    /// Default: off, as a callback is otherwise never cancelled. What it cancels is the waiting at an `.await`: a
    /// callback that blocks the thread cannot be stopped.
    #[must_use]
    pub fn callback_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.edit().callback_timeout = timeout.into();
        self
    }

    /// The most payload bytes in one frame; a larger one is refused with 1009 from its header (SPEC F5).
    ///
    /// Default: none; [`max_message_size`](Self::max_message_size) bounds frames too.
    #[must_use]
    pub fn max_frame_size(mut self, size: impl Into<Option<NonZeroUsize>>) -> Self {
        self.edit().max_frame_size = size.into();
        self
    }

    /// The most payload bytes in one message; a larger one is refused with 1009 from the header that passes the
    /// limit (SPEC F5).
    ///
    /// Default: 10 000 000 bytes, as in WebSock's adapters. A connection may hold up to twice this while such a
    /// message arrives (SPEC F6); beside that, each thread keeps up to 9 MiB of the memory of large messages for the
    /// next ones, and lends it to those whose header has come, up to 32 MiB in the whole process.
    #[must_use]
    pub fn max_message_size(mut self, size: NonZeroUsize) -> Self {
        self.edit().max_message_size = size;
        self
    }

    /// The most fragments in one message; over it the connection is closed with 1009 (SPEC F5).
    ///
    /// Default: 131 072. It bounds the work that a peer can cause with empty fragments, which are legal.
    #[must_use]
    pub fn max_fragments(mut self, count: NonZeroUsize) -> Self {
        self.edit().max_fragments = count;
        self
    }

    /// Whether text messages and their fragments are checked to be UTF-8 (SPEC F4).
    ///
    /// Default: on, as RFC 6455 §8.1 demands. Turned off, text arrives as
    /// [`Message::UncheckedText`](crate::Message::UncheckedText): for handlers that pass text on or check it
    /// themselves.
    #[must_use]
    pub fn validate_utf8(mut self, on: bool) -> Self {
        self.edit().validate_utf8 = on;
        self
    }

    /// How many messages a connection's mailbox holds before `send` waits and `try_send` fails (SPEC B1).
    ///
    /// Default: 64.
    #[must_use]
    pub fn mailbox_capacity(mut self, capacity: NonZeroUsize) -> Self {
        self.edit().mailbox_capacity = capacity;
        self
    }

    /// How many unsent bytes stop the reading and the callbacks until the peer has taken some (SPEC B3).
    ///
    /// Default: 64 KiB. A connection holds at most this and what one callback pushed. A server that sends messages of
    /// 64 KiB in quick succession takes about a sixth less CPU with 256 KiB: several of them go in one write.
    #[must_use]
    pub fn write_high_water(mut self, bytes: NonZeroUsize) -> Self {
        self.edit().write_high_water = bytes;
        self
    }

    /// The subprotocols that the server speaks, the most preferred first. The first one that the client offers is
    /// chosen; with none in common the connection is accepted without one (SPEC U4).
    ///
    /// Default: none.
    #[must_use]
    pub fn subprotocols(mut self, subprotocols: impl IntoIterator<Item = Subprotocol>) -> Self {
        self.edit().subprotocols = subprotocols.into_iter().collect();
        self
    }

    /// Which pages may connect: browsers name the page's origin, and it is checked (SPEC U5).
    ///
    /// Default: [`Origins::SameHost`], so that no foreign page can use a visitor's cookies.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.edit().origins = origins;
        self
    }

    /// Whether messages are compressed where the client offers it too (RFC 7692, SPEC C1): with the settings of
    /// [`deflate`](Self::deflate) if some were given, else with [`Deflate::default`]; or not at all.
    ///
    /// Default: off. **Text that holds a secret beside what others choose** tells of it by its compressed size;
    /// [`Frame::uncompressed`](crate::Frame::uncompressed) excepts such messages.
    #[must_use]
    pub fn compress(self, on: bool) -> Self {
        let settings = self.get_deflate().copied().unwrap_or_default();
        self.deflate(on.then_some(settings))
    }

    /// [`compress`](Self::compress) with settings of one's own.
    ///
    /// Default: none; nothing is compressed.
    #[must_use]
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.edit().deflate = deflate.into();
        self
    }

    /// The drain that closes these connections when the server goes down (SPEC S1). One drain may stand in any number
    /// of options, on any number of servers.
    ///
    /// Default: none; then the connections are lost when the process ends.
    #[cfg(feature = "driver")]
    #[must_use]
    pub fn drain(mut self, drain: impl Into<Option<Drain>>) -> Self {
        self.edit().drain = drain.into();
        self
    }

    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

macro_rules! getters {
    ($($name:ident: $type:ty = |$options:ident| $value:expr;)*) => {$(
        pub(crate) fn $name(&self) -> $type {
            let $options = &*self.0;
            $value
        }
    )*};
}

#[cfg_attr(not(feature = "driver"), allow(dead_code))]
impl Options {
    getters! {
        get_timeout: Option<Duration> = |options| options.timeout;
        get_keepalive: Option<Keepalive> = |options| options.keepalive;
        get_message_timeout: Option<Duration> = |options| options.message_timeout;
        get_close_timeout: Duration = |options| options.close_timeout;
        get_callback_timeout: Option<Duration> = |options| options.callback_timeout;
        get_max_frame_size: Option<usize> = |options| options.max_frame_size.map(NonZeroUsize::get);
        get_max_message_size: usize = |options| options.max_message_size.get();
        get_max_fragments: usize = |options| options.max_fragments.get();
        get_validate_utf8: bool = |options| options.validate_utf8;
        get_mailbox_capacity: usize = |options| options.mailbox_capacity.get();
        get_write_high_water: usize = |options| options.write_high_water.get();
    }

    /// The [`write_timeout`](Self::write_timeout), for an adapter that has to tell the system of it.
    pub fn get_write_timeout(&self) -> Option<Duration> {
        self.0.write_timeout
    }

    #[cfg(feature = "driver")]
    pub(crate) fn get_drain(&self) -> Option<&Drain> {
        self.0.drain.as_ref()
    }

    /// If new upgrades are refused because the server goes down: after how many seconds to come back.
    pub(crate) fn get_retry_after(&self) -> Option<u64> {
        #[cfg(feature = "driver")]
        return self.get_drain()?.retry_after();
        #[cfg(not(feature = "driver"))]
        return None;
    }

    pub(crate) fn get_subprotocols(&self) -> &[Subprotocol] {
        &self.0.subprotocols
    }

    pub(crate) fn get_origins(&self) -> &Origins {
        &self.0.origins
    }

    pub(crate) fn get_deflate(&self) -> Option<&Deflate> {
        self.0.deflate.as_ref()
    }
}

/// When a silent peer is pinged and given up: [`Options::keepalive`] (SPEC T2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    interval: Duration,
    answer: Duration,
}

impl Keepalive {
    /// A ping after `interval` without a byte from the peer, and the end after `answer` more.
    ///
    /// `None` if one of them is zero. In a constant the check is made by the compiler:
    ///
    /// ```
    /// use std::time::Duration;
    /// use websock_core::Keepalive;
    ///
    /// const KEEPALIVE: Keepalive = Keepalive::new(Duration::from_secs(10), Duration::from_secs(5)).unwrap();
    /// ```
    pub const fn new(interval: Duration, answer: Duration) -> Option<Self> {
        if interval.is_zero() || answer.is_zero() { None } else { Some(Keepalive { interval, answer }) }
    }

    /// How long the peer may be silent before it is pinged.
    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// How long it may be silent after a ping.
    pub const fn answer(self) -> Duration {
        self.answer
    }
}

impl Default for Keepalive {
    /// A ping after 25 s, given up 20 s later: in time for proxies that cut silent connections after 60 s.
    fn default() -> Self {
        Keepalive { interval: Duration::from_secs(25), answer: Duration::from_secs(20) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC E4.
    #[test]
    fn a_keepalive_of_no_time_cannot_be_built() {
        assert_eq!(Keepalive::new(Duration::ZERO, Duration::from_secs(1)), None);
        assert_eq!(Keepalive::new(Duration::from_secs(1), Duration::ZERO), None);
    }

    #[test]
    fn options_are_shared_until_they_are_changed() {
        let first = Options::default();
        let second = first.clone().timeout(None).validate_utf8(false);
        assert_eq!(first.get_timeout(), Some(Duration::from_secs(60)));
        assert_eq!(second.get_timeout(), None);
        assert!(first.get_validate_utf8() && !second.get_validate_utf8());
    }
}
