//! The transport of a connection: it reads from the request's payload and writes to the response's body.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use websock_core::protocol::Protocol;

use crate::gathered::Gathered;

/// How much the server may have given that the driver has not read. As long as there is room it is all taken from the
/// server: actix drops what it has read and could not pass on when the peer ends its side.
const INCOMING: usize = 128 * 1024;

/// So much is worth another turn of the runtime.
const MUCH: usize = 32 * 1024;

/// The most that actix copies together without writing it: it asks for more.
const TOGETHER: usize = 32 * 1024 - 1;

/// From here on bytes are passed on in the memory in which they lie, which comes back to the thread; a copy of fewer
/// costs less than that.
const WORTH_SHARING: usize = 512;

/// What a chunk takes beside its bytes. It counts with them: a peer can send each byte by itself.
const CHUNK: usize = 64;

/// What the server may take before other tasks have their turn (SPEC L10).
const TURN: usize = 256 * 1024;

/// For so many chunks a connection keeps the room that it had for them.
const CHUNKS: usize = 16;

/// How much the driver may write before the server takes it.
const OUTGOING: usize = 132 * 1024;

/// What lies between a connection's driver and the server.
pub(crate) struct Link {
    incoming: RefCell<Incoming>,
    outgoing: RefCell<Outgoing>,
    /// The driver's task, since it has run. The payload wakes it.
    pub(crate) task: OnceCell<Waker>,
    /// How much the server has taken since it last had to wait.
    taken: Cell<usize>,
}

/// From the server to the driver.
struct Incoming {
    payload: Payload,
    chunks: VecDeque<Bytes>,
    held: usize,
    ended: bool,
    error: Option<io::Error>,
}

/// From the driver to the server.
#[derive(Default)]
struct Outgoing {
    /// As it came from the engine, so that nothing but short pieces is copied.
    chunks: VecDeque<Bytes>,
    /// What comes after them, copied together.
    gathered: Gathered,
    held: usize,
    /// Whether the driver had more to write than there was room.
    is_short: bool,
    /// The server, while it waits for more.
    server: Option<Waker>,
    /// The driver is done.
    ended: bool,
    /// The server is gone.
    refused: bool,
}

impl Link {
    pub(crate) fn new(payload: Payload) -> Rc<Self> {
        let incoming = Incoming { payload, chunks: VecDeque::new(), held: 0, ended: false, error: None };
        let (incoming, outgoing) = (RefCell::new(incoming), RefCell::default());
        Rc::new(Link { incoming, outgoing, task: OnceCell::new(), taken: Cell::new(0) })
    }

    /// Takes over what has arrived at the server, and tells whether that was anything.
    pub(crate) fn fetch(&self) -> bool {
        self.task.get().is_some_and(|task| self.incoming.borrow_mut().fetch(task))
    }

    /// The bytes that the server is to write next.
    pub(crate) fn take(&self) -> Option<Bytes> {
        let bytes = self.outgoing.borrow_mut().take()?;
        self.taken.set(self.taken.get() + bytes.len());
        Some(bytes)
    }

    /// Whether the server has taken so much in one go that others have to have their turn.
    pub(crate) fn turn_is_spent(&self) -> bool {
        self.taken.get() >= TURN
    }

    /// Whether handling what came may take a while.
    pub(crate) fn holds_much(&self) -> bool {
        self.incoming.borrow().held >= MUCH
    }

    /// Whether there is room for which the driver waits.
    pub(crate) fn has_room_again(&self) -> bool {
        let mut outgoing = self.outgoing.borrow_mut();
        outgoing.held == 0 && std::mem::take(&mut outgoing.is_short)
    }

    /// The server waits for the next bytes, or for the end.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.ended {
            return Poll::Ready(());
        }
        outgoing.server = Some(cx.waker().clone());
        // It has nothing to go on with: now others have their turn.
        self.taken.set(0);
        Poll::Pending
    }

    /// The server looks for bytes by itself and need not be woken for them.
    pub(crate) fn attend(&self) {
        self.outgoing.borrow_mut().server = None;
    }

    /// The server takes and gives nothing more.
    pub(crate) fn refuse(&self) {
        self.outgoing.borrow_mut().refused = true;
    }
}

impl Incoming {
    fn fetch(&mut self, task: &Waker) -> bool {
        let mut cx = Context::from_waker(task);
        let mut news = false;
        while !self.ended && self.held < INCOMING {
            match Pin::new(&mut self.payload).poll_next(&mut cx) {
                Poll::Pending => break,
                // An empty one would be taken for the end.
                Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {}
                Poll::Ready(Some(Ok(chunk))) => {
                    self.held += chunk.len() + CHUNK;
                    self.chunks.push_back(chunk);
                }
                // That is how actix tells that the peer has ended its side.
                Poll::Ready(None | Some(Err(PayloadError::Incomplete(None)))) => self.ended = true,
                Poll::Ready(Some(Err(error))) => {
                    self.ended = true;
                    self.error = Some(io::Error::other(error));
                }
            }
            news = true;
        }
        news
    }

    fn take(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop_front()?;
        self.held -= chunk.len() + CHUNK;
        shrink(&mut self.chunks);
        Some(chunk)
    }
}

/// Gives the room for many chunks back when there are none.
fn shrink(chunks: &mut VecDeque<Bytes>) {
    if chunks.is_empty() && chunks.capacity() > CHUNKS {
        *chunks = VecDeque::new();
    }
}

impl Outgoing {
    /// Takes over bytes that stay where they are, too.
    fn push_copy(&mut self, bytes: &[u8]) {
        let follows_few = self.chunks.back().is_some_and(|last| last.len() < WORTH_SHARING);
        if self.held < TOGETHER && self.gathered.is_empty() && !follows_few {
            self.held += bytes.len();
            self.chunks.push_back(Bytes::copy_from_slice(bytes));
        } else {
            self.gather();
            self.held += bytes.len();
            self.gathered.push(bytes);
        }
    }

    /// Takes over bytes as they are. A write costs more than a copy, so what is more than actix writes at once is
    /// copied together.
    fn push(&mut self, bytes: Bytes) {
        if self.held < TOGETHER {
            self.chunks.extend(self.gathered.take());
            self.held += bytes.len();
            self.chunks.push_back(bytes);
        } else {
            self.push_copy(&bytes);
        }
    }

    /// From here on everything is copied together. Of the payload that would make actix write, only so much remains
    /// that it asks for the rest as well.
    fn gather(&mut self) {
        if let Some(last) =
            self.chunks.back_mut().filter(|_| self.gathered.is_empty() && self.held > TOGETHER)
        {
            let start = self.held - last.len();
            self.gathered.push(&last.split_off(TOGETHER - start));
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop_front().or_else(|| self.gathered.take())?;
        self.held -= chunk.len();
        shrink(&mut self.chunks);
        Some(chunk)
    }
}

/// The driver's end of a [`Link`].
pub(crate) struct Transport {
    link: Rc<Link>,
    /// What the driver has not taken of the chunk that it was shown. It lets go of one that is used up at once: only then
    /// can actix read into its memory again.
    received: Bytes,
}

impl Transport {
    pub(crate) fn new(link: Rc<Link>) -> Self {
        Transport { link, received: Bytes::new() }
    }
}

impl websock_core::Transport for Transport {
    /// What had arrived when the driver began is [shown](Self::received) before; this is for the rest of it, where that
    /// was more than there was room for, and for the end.
    fn poll_receive(&mut self, buffer: &mut impl BufMut, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.link.fetch()
            && let Some(received) = self.received()
        {
            let count = received.len().min(buffer.remaining_mut());
            buffer.put_slice(&received[..count]);
            received.advance(count);
            return Poll::Ready(Ok(count));
        }
        let incoming = &mut *self.link.incoming.borrow_mut();
        if incoming.ended || self.link.outgoing.borrow().refused {
            return Poll::Ready(incoming.error.take().map_or(Ok(0), Err));
        }
        Poll::Pending
    }

    fn received(&mut self) -> Option<&mut Bytes> {
        if self.received.is_empty() {
            self.received = self.link.incoming.borrow_mut().take().unwrap_or_default();
        }
        (!self.received.is_empty()).then_some(&mut self.received)
    }

    fn poll_transmit(&mut self, protocol: &mut Protocol, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let outgoing = &mut *self.link.outgoing.borrow_mut();
        if outgoing.refused {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let before = outgoing.held;
        while outgoing.held < OUTGOING {
            let mut next = [IoSlice::new(&[])];
            if protocol.poll_transmit(&mut next) == 0 {
                break;
            }
            let room = OUTGOING - outgoing.held;
            if next[0].len() < WORTH_SHARING {
                let count = next[0].len().min(room);
                outgoing.push_copy(&next[0][..count]);
                protocol.transmitted(count);
            } else if let Some(bytes) = protocol.take_transmit(room) {
                outgoing.push(bytes);
            }
        }
        if outgoing.held == before {
            outgoing.is_short = true;
            return Poll::Pending;
        }
        if let Some(server) = outgoing.server.take() {
            server.wake();
        }
        Poll::Ready(Ok(outgoing.held - before))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// actix gives no way to shut one half: the response's body stays open until the driver drops its end (SPEC X6).
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        let outgoing = &mut *self.link.outgoing.borrow_mut();
        outgoing.ended = true;
        if let Some(server) = outgoing.server.take() {
            server.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::iter;

    use super::*;

    /// What actix does with the chunks: how much it writes at once.
    fn writes(outgoing: &mut Outgoing) -> Vec<Vec<u8>> {
        let mut writes = vec![Vec::new()];
        while let Some(chunk) = outgoing.take() {
            assert!(!chunk.is_empty(), "which actix takes for the end");
            if writes.last().unwrap().len() > TOGETHER {
                writes.push(Vec::new());
            }
            writes.last_mut().unwrap().extend_from_slice(&chunk);
        }
        assert_eq!(outgoing.held, 0);
        writes
    }

    #[test]
    fn an_empty_chunk_is_no_end() {
        let chunks = [&b"a"[..], b"", b"b"].map(|chunk| Ok(Bytes::from_static(chunk)));
        let link = Link::new(Payload::Stream { payload: Box::pin(iter(chunks)) });
        link.task.set(Waker::noop().clone()).unwrap();
        assert!(link.fetch());
        let mut incoming = link.incoming.borrow_mut();
        assert_eq!([(); 3].map(|()| incoming.take()), [Some("a".into()), Some("b".into()), None]);
        assert!(incoming.ended);
    }

    #[test]
    fn single_bytes_take_no_more_memory_than_many_together() {
        let bytes = std::iter::repeat_with(|| Ok(Bytes::from_static(b"x")));
        let link = Link::new(Payload::Stream { payload: Box::pin(iter(bytes)) });
        link.task.set(Waker::noop().clone()).unwrap();
        assert!(link.fetch() && !link.fetch());
        let mut incoming = link.incoming.borrow_mut();
        assert!(
            incoming.chunks.capacity() * size_of::<Bytes>() <= INCOMING,
            "{}",
            incoming.chunks.capacity()
        );
        while incoming.take().is_some() {}
        assert_eq!(incoming.held, 0);
        assert!(incoming.chunks.capacity() <= CHUNKS);
    }

    #[test]
    fn whatever_the_sizes_are_it_is_one_write_and_in_order() {
        let around =
            [1, 10, TOGETHER - 11, TOGETHER - 10, TOGETHER - 1, TOGETHER, TOGETHER + 1, 2 * TOGETHER];
        let lists = around.iter().flat_map(|a| around.iter().map(move |b| [*a, *b]));
        let lists =
            lists.flat_map(|[a, b]| [vec![a, b], vec![a, 10, b, a], vec![a; 16], [[a, b]; 8].concat()]);
        for sizes in lists {
            let mut outgoing = Outgoing::default();
            let mut all = Vec::new();
            for (value, &size) in (0_u8..).zip(&sizes) {
                let chunk = vec![value; size];
                all.extend_from_slice(&chunk);
                if size < WORTH_SHARING { outgoing.push_copy(&chunk) } else { outgoing.push(chunk.into()) }
            }
            assert!(writes(&mut outgoing) == [all], "{sizes:?}");
        }
    }

    #[test]
    fn many_short_writes_are_few_chunks_and_the_room_for_many_is_given_back() {
        let mut outgoing = Outgoing::default();
        (0..10_000).for_each(|_| outgoing.push_copy(b"ab"));
        assert_eq!(outgoing.chunks.len(), 1);
        assert_eq!(writes(&mut outgoing), [b"ab".repeat(10_000)]);
        (0..2 * CHUNKS).for_each(|_| outgoing.push(vec![0; WORTH_SHARING].into()));
        assert_eq!(outgoing.chunks.len(), 2 * CHUNKS);
        writes(&mut outgoing);
        assert!(outgoing.chunks.capacity() <= CHUNKS);
    }

    #[test]
    fn a_message_alone_is_not_copied() {
        let payload = Bytes::from(vec![0; 4 * TOGETHER]);
        let mut outgoing = Outgoing::default();
        outgoing.push_copy(b"header");
        outgoing.push(payload.clone());
        outgoing.take();
        assert_eq!(outgoing.take().unwrap().as_ptr(), payload.as_ptr());
    }
}
