//! Reading and writing: from the transport to the engine, and back.
//!
//! No connection owns a read buffer: all those on a thread share one (SPEC B8).

use std::cell::RefCell;
use std::hint::cold_path;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::timers::now;
use crate::protocol::{Event, Protocol};

/// The size of a thread's read buffer: two messages of 64 KiB, headers and all.
const READ_BUFFER: usize = 132 * 1024;

/// How many pieces one write takes at most.
const PIECES: usize = 16;

thread_local! {
    /// The read buffer of all the connections on this thread: each needs it only while it reads.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a connection is served over: bytes in, bytes out.
///
/// Whatever is [`AsyncRead`] and [`AsyncWrite`] is a transport. Only an adapter whose server wants to be given bytes,
/// or gives them, implements this itself.
pub trait Transport {
    /// Reads what is there, once, into `buffer`, and gives the number of bytes: 0 at the end of the stream.
    ///
    /// # Errors
    /// When nothing can be read any more.
    fn poll_receive(&mut self, buffer: &mut impl BufMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Shows what came, at least one byte, for a transport to which bytes come in memory that it can share: then large
    /// messages are copied only once. The driver takes from the front of it, and asks again. `None` has
    /// [`poll_receive`](Self::poll_receive) asked, and is all that other transports need.
    #[inline]
    fn received(&mut self) -> Option<&mut Bytes> {
        None
    }

    /// Writes, once, of what waits in `protocol`, which is something, and tells it what was written. Gives the number
    /// of bytes; pending when there is no room.
    ///
    /// # Errors
    /// When nothing can be written any more.
    fn poll_transmit(&mut self, protocol: &mut Protocol, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Passes on what is written and still lies in a buffer of the transport's own.
    ///
    /// # Errors
    /// When nothing can be written any more.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing side alone, so that the peer reads everything and then the end (SPEC X6).
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the two sides cannot be ended each by itself.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {
    #[inline]
    fn poll_receive(&mut self, buffer: &mut impl BufMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_read_buf(Pin::new(self), cx, buffer)
    }

    #[inline]
    fn poll_transmit(&mut self, protocol: &mut Protocol, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(self);
        let count = match protocol.transmit_piece() {
            Some(piece) => ready!(io.poll_write(cx, piece))?,
            None => ready!(poll_write_pieces(io, protocol, cx))?,
        };
        protocol.transmitted(count);
        Poll::Ready(Ok(count))
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
}

#[inline(never)]
fn poll_write_pieces(
    io: Pin<&mut impl AsyncWrite>,
    protocol: &Protocol,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); PIECES];
    match protocol.poll_transmit(&mut slices) {
        1 => io.poll_write(cx, &slices[0]),
        count => io.poll_write_vectored(cx, &slices[..count]),
    }
}

/// The way to the peer: the transport, and how it stands with it.
#[derive(Debug)]
pub(super) struct Line<T> {
    /// `None` once it is closed.
    io: Option<T>,
    /// Since when the peer has taken nothing of what waits to be written.
    stalled: Option<Instant>,
    /// Whether something written may still lie in the transport's own buffer.
    unflushed: bool,
    /// Why nothing can be written any more, if so. What the peer sent before still counts (SPEC X8).
    broken: Option<Broken>,
}

/// Why nothing can be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// A write failed, or the transport is closed.
    Failed,
    /// The peer took nothing for the write timeout.
    TimedOut,
}

impl<T: Transport> Line<T> {
    pub(super) fn new(io: T) -> Self {
        Line { io: Some(io), stalled: None, unflushed: false, broken: None }
    }

    /// Since when the peer has taken nothing of what waits to be written.
    pub(super) fn stalled(&self) -> Option<Instant> {
        self.stalled
    }

    /// Why nothing can be written any more, if so.
    pub(super) fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Whether nothing that was written lies in the transport's own buffer.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed || self.broken.is_some()
    }

    /// Gives up writing.
    pub(super) fn give_up(&mut self, why: Broken) {
        self.broken = Some(why);
        self.stalled = None;
    }

    /// Closes the transport.
    pub(super) fn close(&mut self) {
        self.io = None;
        self.give_up(Broken::Failed);
    }

    fn open(io: &mut Option<T>) -> io::Result<&mut T> {
        #[cold]
        fn closed() -> io::Error {
            io::ErrorKind::NotConnected.into()
        }
        io.as_mut().ok_or_else(closed)
    }

    /// Reads what is there, once, into the engine, and gives the number of bytes: 0 at the end of the stream. The
    /// thread's read buffer is taken back from the engine first, so that none is kept when nothing is there.
    #[inline(never)]
    pub(super) fn poll_receive(
        &mut self,
        protocol: &mut Protocol,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let io = Self::open(&mut self.io)?;
        with_scratch(|buffer| {
            protocol.reclaim(buffer);
            if let Some(received) = io.received() {
                let before = received.len();
                protocol.receive_shared(received, buffer, now());
                // What is left to be taken from there counts when it is.
                return Poll::Ready(Ok(1.max(before - received.len())));
            }
            if protocol.outstanding().is_some() {
                cold_path();
                let direct = protocol.direct_buffer().map(|mut buffer| io.poll_receive(&mut buffer, cx));
                if let Some(read) = direct {
                    let count = ready!(read)?;
                    if count > 0 {
                        protocol.receive_direct(count, now());
                    }
                    return Poll::Ready(Ok(count));
                }
            }
            buffer.clear();
            buffer.reserve(READ_BUFFER);
            let limit = protocol.receive_limit();
            let count = ready!(io.poll_receive(&mut (&mut *buffer).limit(limit), cx))?;
            if count > 0 {
                protocol.receive(buffer, now());
            }
            Poll::Ready(Ok(count))
        })
    }

    /// The next event, if it is a message that the transport shows whole, and the number of its bytes.
    #[inline]
    pub(super) fn poll_shared(&mut self, protocol: &mut Protocol) -> Option<(Event, usize)> {
        let received = self.io.as_mut()?.received()?;
        let before = received.len();
        let event = protocol.poll_shared(received)?;
        Some((event, before - received.len()))
    }

    /// Writes what waits, as far as the transport takes it, and gives the number of bytes. What can no longer be
    /// written is forgotten.
    #[inline]
    pub(super) fn write(&mut self, protocol: &mut Protocol, cx: &mut Context<'_>) -> usize {
        if protocol.unsent() > 0 || self.unflushed { self.write_all(protocol, cx) } else { 0 }
    }

    fn write_all(&mut self, protocol: &mut Protocol, cx: &mut Context<'_>) -> usize {
        let before = protocol.unsent();
        while self.broken.is_none() && protocol.unsent() > 0 {
            match self.poll_transmit(protocol, cx) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.stalled = None;
                    self.unflushed = true;
                }
                Poll::Ready(_) => self.give_up(Broken::Failed),
                Poll::Pending => {
                    self.stalled.get_or_insert_with(now);
                    return before - protocol.unsent();
                }
            }
        }
        if self.broken.is_some() {
            protocol.discard_unsent();
        } else if self.unflushed {
            match self.poll_flush(cx) {
                // What lies in the transport's own buffer has not been taken by the peer either.
                Poll::Pending => _ = self.stalled.get_or_insert_with(now),
                Poll::Ready(Ok(())) => {
                    self.stalled = None;
                    self.unflushed = false;
                }
                Poll::Ready(Err(_)) => self.give_up(Broken::Failed),
            }
        }
        before - protocol.unsent()
    }

    fn poll_transmit(&mut self, protocol: &mut Protocol, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Self::open(&mut self.io)?.poll_transmit(protocol, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::open(&mut self.io)?.poll_flush(cx)
    }

    /// Ends our side of the transport, so that the peer reads everything and then the end (SPEC X6).
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::open(&mut self.io)?.poll_shutdown(cx)
    }
}

/// Takes the thread's read buffer back from the engine. No connection may keep it while it waits.
#[inline(never)]
pub(super) fn reclaim(protocol: &mut Protocol) {
    with_scratch(|buffer| protocol.reclaim(buffer));
}

/// Lends the thread's read buffer, which is never zeroed; another one, if that is lent already.
#[inline]
fn with_scratch<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    SCRATCH.with(|scratch| {
        let (mut shared, mut other);
        f(match scratch.try_borrow_mut() {
            Ok(buffer) => {
                shared = buffer;
                &mut shared
            }
            Err(_) => {
                cold_path();
                other = Vec::new();
                &mut other
            }
        })
    })
}
