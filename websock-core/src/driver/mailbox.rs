//! The mailbox: how other tasks reach a connection (SPEC B1, B2, B6, B7).

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::sync::{Semaphore, TryAcquireError};

use super::drain::{Drain, Membership, Target};
use crate::close::{CloseCode, CloseFrame};
use crate::text::Text;

/// Sends messages to one connection, whose [`handle_info`](crate::WebSock::handle_info) gets them in order.
///
/// Cheap to clone. It does not keep the connection alive and may outlive it: then its messages come back. What is
/// sent while `init` runs is delivered after it.
///
/// # Which way to send
///
/// [`send`](Self::send) waits for room, so it fits a task that works for this one connection. A broadcast must not
/// wait for its slowest listener: it uses [`try_send`](Self::try_send), and decides what [`TrySendError::Full`]
/// means. Either the message is left out for that one (a price that the next one replaces), or the connection is
/// closed with [`close`](Self::close), so that the peer reconnects and starts from a fresh state (a chat).
pub struct Mailbox<I> {
    shared: Arc<Shared<I>>,
}

/// The connection's end of its mailbox. Dropping it closes the mailbox.
pub(super) struct Receiver<I> {
    shared: Arc<Shared<I>>,
}

struct Shared<I> {
    /// One permit for each message that there is room for.
    room: Semaphore,
    /// What there is for the driver, and whether it waits for it: spares it the lock.
    signs: AtomicU8,
    state: Mutex<State<I>>,
}

/// There is a message.
const MESSAGE: u8 = 1;
/// A close was asked for.
const CLOSE: u8 = 2;
/// The connection is to end at once.
const CUT: u8 = 4;
/// The driver waits: the next sign wakes it, and no other, so that a driver that has enough to do is left alone.
const WAITS: u8 = 8;

/// Messages in their order. There is mostly one at a time, and that needs no memory of its own.
pub(super) struct Queue<I> {
    first: Option<I>,
    /// Nothing, if there is no first.
    rest: VecDeque<I>,
}

impl<I> Queue<I> {
    fn new() -> Self {
        Queue { first: None, rest: VecDeque::new() }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn push(&mut self, info: I) {
        match self.first {
            None => self.first = Some(info),
            Some(_) => self.rest.push_back(info),
        }
    }

    /// Takes the first; with the last one no memory is held (SPEC B8).
    pub(super) fn pop(&mut self) -> Option<I> {
        let next = self.rest.pop_front();
        if next.is_none() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        std::mem::replace(&mut self.first, next)
    }
}

struct State<I> {
    queue: Queue<I>,
    close: Option<CloseRequest>,
    closed: bool,
    /// The driver's waker: it stays here, so that the driver gives it once and not each time that it waits.
    driver: Option<Waker>,
}

/// Why a connection is to close, other than by its handler or its peer.
#[derive(Clone, Debug)]
pub(super) enum CloseRequest {
    /// Somebody asked for it by the mailbox (SPEC B7).
    Stop(CloseFrame),
    /// The server goes down (SPEC S2).
    Shutdown(CloseFrame),
}

/// [`Mailbox::send`] failed; the message comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError<I> {
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed(I),
    /// A callback of this very connection sent to its own mailbox, which is full: it would wait for itself for ever
    /// (SPEC B6).
    #[error("a callback cannot wait for room in the full mailbox of its own connection")]
    OwnMailboxFull(I),
}

/// [`Mailbox::try_send`] failed; the message comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError<I> {
    /// The mailbox is full: the handler, or its peer, is slower than those who send.
    #[error("the connection's mailbox is full")]
    Full(I),
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed(I),
}

/// Makes a connection's mailbox.
pub(super) fn mailbox<I>(capacity: usize) -> (Mailbox<I>, Receiver<I>) {
    let shared = Arc::new(Shared {
        room: Semaphore::new(capacity.min(Semaphore::MAX_PERMITS)),
        signs: AtomicU8::new(0),
        state: Mutex::new(State { queue: Queue::new(), close: None, closed: false, driver: None }),
    });
    (Mailbox { shared: shared.clone() }, Receiver { shared })
}

impl<I> Mailbox<I> {
    /// Sends a message, and waits for room while the mailbox is full.
    ///
    /// If the future is dropped before it is done, the message is dropped with it.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection has ended or ends meanwhile; [`SendError::OwnMailboxFull`] if it is
    /// full and the caller is a callback of this very connection.
    pub async fn send(&self, info: I) -> Result<(), SendError<I>> {
        let permit = match self.shared.room.try_acquire() {
            Err(TryAcquireError::NoPermits) if self.shared.is_running_callback() => {
                return Err(SendError::OwnMailboxFull(info));
            }
            Err(TryAcquireError::NoPermits) => self.shared.room.acquire().await.ok(),
            permit => permit.ok(),
        };
        let Some(permit) = permit else { return Err(SendError::Closed(info)) };
        permit.forget();
        self.shared.deliver(info).map_err(SendError::Closed)
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`TrySendError::Full`] if there is no room, [`TrySendError::Closed`] if the connection has ended.
    pub fn try_send(&self, info: I) -> Result<(), TrySendError<I>> {
        match self.shared.room.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::NoPermits) => return Err(TrySendError::Full(info)),
            Err(TryAcquireError::Closed) => return Err(TrySendError::Closed(info)),
        }
        self.shared.deliver(info).map_err(TrySendError::Closed)
    }

    /// Closes the connection with this code and text, as the outcome `stop` with a close would (SPEC B7, O5). It
    /// works when the mailbox is full, and takes effect after the callback that is running; messages that wait are
    /// dropped.
    ///
    /// Tells whether this call is the one that counts: the first does, unless the connection has ended already.
    pub fn close(&self, code: CloseCode, reason: impl Into<Text>) -> bool {
        self.shared.request_close(CloseRequest::Stop(CloseFrame::new(code, reason)))
    }

    /// Whether the connection has ended, so that nothing can be sent to it.
    pub fn is_closed(&self) -> bool {
        self.shared.room.is_closed()
    }
}

/// The callbacks of one connection.
pub(super) struct Callbacks(usize);

impl Callbacks {
    /// Runs `future` as callbacks of the connection, so that its mailbox knows its own (SPEC B6).
    pub(super) fn run<F: Future>(self, mut future: Pin<&mut F>) -> impl Future<Output = F::Output> {
        struct Restore(usize);
        impl Drop for Restore {
            fn drop(&mut self) {
                RUNNING.set(self.0);
            }
        }
        poll_fn(move |cx| {
            let _restore = Restore(RUNNING.replace(self.0));
            future.as_mut().poll(cx)
        })
    }
}

impl<I> Shared<I> {
    /// The state; a panic elsewhere cannot leave it half changed.
    fn lock(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message, whose permit was taken, in the queue.
    fn deliver(&self, info: I) -> Result<(), I> {
        let mut state = self.lock();
        if state.closed {
            return Err(info);
        }
        let is_first = state.queue.is_empty();
        state.queue.push(info);
        // Behind another message there is nothing to tell: the driver looks for the next before it waits for one.
        if is_first {
            self.show(state, MESSAGE);
        }
        Ok(())
    }

    /// Asks the driver to close the connection, if nobody has done so before.
    fn request_close(&self, request: CloseRequest) -> bool {
        let mut state = self.lock();
        if state.closed || state.close.is_some() {
            return false;
        }
        state.close = Some(request);
        self.show(state, CLOSE);
        true
    }

    /// Shows a sign to the driver, and wakes it if it waits, after the lock is released.
    fn show(&self, state: MutexGuard<'_, State<I>>, sign: u8) {
        let show = |signs: u8| Some((signs | sign) & !WAITS);
        let (Ok(before) | Err(before)) = self.signs.fetch_update(Ordering::AcqRel, Ordering::Acquire, show);
        let driver = if before & WAITS == 0 { None } else { state.driver.clone() };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// What stands for this mailbox in [`RUNNING`].
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether the code that runs on this thread runs in a callback of this mailbox's connection.
    fn is_running_callback(&self) -> bool {
        RUNNING.get() == self.id()
    }
}

thread_local! {
    /// The mailbox of the connection whose callbacks this thread is running; 0 if it runs none.
    static RUNNING: Cell<usize> = const { Cell::new(0) };
}

impl<I> Receiver<I> {
    /// The callbacks of the mailbox's connection.
    pub(super) fn callbacks(&self) -> Callbacks {
        Callbacks(self.shared.id())
    }

    /// Counts the connection in a drain.
    pub(super) fn join(&self, drain: &Drain) -> Membership
    where
        I: Send + 'static,
    {
        drain.join(self.shared.clone())
    }

    /// The next message.
    pub(super) fn pop(&mut self) -> Option<I> {
        if !self.sees(MESSAGE) {
            return None;
        }
        let mut state = self.shared.lock();
        let info = state.queue.pop();
        if state.queue.is_empty() {
            self.shared.signs.fetch_and(!MESSAGE, Ordering::AcqRel);
        }
        drop(state);
        if info.is_some() {
            self.shared.room.add_permits(1);
        }
        info
    }

    /// From now on this waker is the driver's.
    pub(super) fn listen(&self, driver: &Waker) {
        let mut state = self.shared.lock();
        match &mut state.driver {
            Some(known) => known.clone_from(driver),
            none => *none = Some(driver.clone()),
        }
    }

    /// Whether there is a message or a close was asked for.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.sees(MESSAGE | CLOSE)
    }

    /// Whether somebody asked for a close.
    #[inline]
    pub(super) fn is_close_requested(&self) -> bool {
        self.sees(CLOSE)
    }

    /// Whether the connection is to end at once.
    pub(super) fn is_cut(&self) -> bool {
        self.sees(CUT)
    }

    #[inline]
    fn sees(&self, signs: u8) -> bool {
        self.shared.signs.load(Ordering::Acquire) & signs != 0
    }

    /// Ready when there is a message or a close was asked for. If not, the waker that was [given](Self::listen) is
    /// woken by the next sign of any kind.
    #[inline]
    pub(super) fn poll_news(&self) -> Poll<()> {
        self.poll(MESSAGE | CLOSE)
    }

    /// Ready when a close was asked for, else as [`poll_news`](Self::poll_news).
    pub(super) fn poll_close_requested(&self) -> Poll<()> {
        self.poll(CLOSE)
    }

    /// Ready when the connection is to end at once, else as [`poll_news`](Self::poll_news).
    pub(super) fn poll_cut(&self) -> Poll<()> {
        self.poll(CUT)
    }

    #[inline]
    fn poll(&self, signs: u8) -> Poll<()> {
        let mut shown = self.shared.signs.load(Ordering::Acquire);
        if shown & (signs | WAITS) == 0 {
            shown = self.shared.signs.fetch_or(WAITS, Ordering::AcqRel);
        }
        if shown & signs == 0 { Poll::Pending } else { Poll::Ready(()) }
    }

    /// The close that somebody asked for, if one did.
    pub(super) fn close_requested(&self) -> Option<CloseRequest> {
        self.shared.lock().close.clone()
    }

    /// Takes no more messages, and gives those that wait.
    pub(super) fn close(&mut self) -> Queue<I> {
        self.shared.room.close();
        let mut state = self.shared.lock();
        state.closed = true;
        state.driver = None;
        std::mem::replace(&mut state.queue, Queue::new())
    }
}

impl<I: Send> Target for Shared<I> {
    fn shut_down(&self, frame: CloseFrame) {
        self.request_close(CloseRequest::Shutdown(frame));
    }

    fn cut(&self) {
        self.show(self.lock(), CUT);
    }
}

impl<I> Drop for Receiver<I> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl<I> Clone for Mailbox<I> {
    fn clone(&self) -> Self {
        Mailbox { shared: self.shared.clone() }
    }
}

impl<I> fmt::Debug for Mailbox<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for Receiver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for SendError<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed(_) => "Closed(..)",
            SendError::OwnMailboxFull(_) => "OwnMailboxFull(..)",
        })
    }
}

impl<I> fmt::Debug for TrySendError<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<I> SendError<I> {
    /// The message that was not sent.
    pub fn into_inner(self) -> I {
        match self {
            SendError::Closed(info) | SendError::OwnMailboxFull(info) => info,
        }
    }
}

impl<I> TrySendError<I> {
    /// The message that was not sent.
    pub fn into_inner(self) -> I {
        match self {
            TrySendError::Full(info) | TrySendError::Closed(info) => info,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// SPEC L10: a driver that wakes itself while it has something to do would come before all that waits for a socket.
    #[test]
    fn only_a_driver_that_waits_is_woken_and_only_once() {
        let woken = Arc::<Woken>::default();
        let times = || woken.0.swap(0, Ordering::Relaxed);
        let (mailbox, mut receiver) = mailbox(8);
        receiver.listen(&woken.clone().into());
        mailbox.try_send(1).unwrap();
        assert!(receiver.poll_news().is_ready());
        assert_eq!((receiver.pop(), receiver.pop(), times()), (Some(1), None, 0));
        assert!(receiver.poll_news().is_pending());
        mailbox.try_send(2).unwrap();
        mailbox.try_send(3).unwrap();
        assert_eq!((receiver.pop(), receiver.pop(), times()), (Some(2), Some(3), 1));
        mailbox.try_send(4).unwrap();
        assert_eq!((receiver.pop(), times()), (Some(4), 0));
        assert!(receiver.poll_close_requested().is_pending());
        mailbox.try_send(5).unwrap();
        assert_eq!(times(), 1);
        assert!(receiver.poll_close_requested().is_pending() && receiver.poll_news().is_ready());
        mailbox.try_send(6).unwrap();
        assert_eq!(times(), 0);
        assert!(mailbox.close(CloseCode::NORMAL, ""));
        assert!(!mailbox.close(CloseCode::NORMAL, ""));
        assert_eq!(times(), 1);
        assert!(receiver.poll_close_requested().is_ready() && receiver.poll_cut().is_pending());
        receiver.shared.cut();
        assert!(receiver.poll_cut().is_ready());
        assert_eq!(times(), 1);
    }

    #[test]
    fn messages_keep_their_order_and_the_last_leaves_no_memory() {
        let (mut queue, mut pushed, mut popped) = (Queue::new(), 0, 0);
        for (pushes, pops) in [(1, 1), (3, 2), (2, 3), (1, 0), (5, 6)] {
            for _ in 0..pushes {
                queue.push(pushed);
                pushed += 1;
                assert!(!queue.is_empty());
            }
            for _ in 0..pops {
                assert_eq!(queue.pop(), Some(popped));
                popped += 1;
            }
            assert_eq!(queue.is_empty(), pushed == popped);
        }
        assert_eq!((popped, queue.pop(), queue.rest.capacity()), (12, None, 0));
    }
}
