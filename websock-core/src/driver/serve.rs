//! The loop: what the driver does between `init` and the end of a connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use super::Socket;
use super::ending::End;
use super::mailbox::{CloseRequest, Receiver};
use super::timers::{Alarm, after, earliest, now};
use super::transport::{Broken, Line, Transport, reclaim};
use crate::close::Timeout;
use crate::deflate::DeflateParameters;
use crate::handler::WebSock;
use crate::options::Options;
use crate::outcome::{FrameList, HandleResult, Outcome};
use crate::protocol::{Event, Protocol};

/// How many callbacks one source gets before the others are looked at, and half of what a turn has (SPEC L10).
const CALLBACKS_IN_A_ROW: usize = 64;

/// What a connection may do before it lets others on its thread go on (SPEC L10).
const CALLBACKS_PER_TURN: usize = 128;
const BYTES_PER_TURN: usize = 256 * 1024;

/// A connection while its handler runs on its transport.
#[derive(Debug)]
pub(super) struct Driver<T, I> {
    pub(super) line: Line<T>,
    pub(super) protocol: Protocol,
    pub(super) mailbox: Receiver<I>,
    pub(super) alarm: Alarm,
    pub(super) options: Options,
    high_water: usize,
    phase: Phase<I>,
    /// What wakes the task, as it was polled last: callbacks begin outside of any `poll` (see [`Driver::begin`]).
    waker: Waker,
    turn: Turn,
}

/// How far a connection has come.
#[derive(Debug)]
enum Phase<I> {
    /// With what `init` gets.
    BeforeInit(Socket<I>),
    Init,
    AfterInit,
}

/// What a connection has done since it last let others go on.
#[derive(Debug, Default)]
struct Turn {
    callbacks: usize,
    read: usize,
    written: usize,
}

impl Turn {
    fn callbacks_left(&self) -> usize {
        CALLBACKS_PER_TURN.saturating_sub(self.callbacks)
    }

    fn is_spent(&self) -> bool {
        self.callbacks_left() == 0 || self.read.max(self.written) >= BYTES_PER_TURN
    }
}

impl<T, I> Driver<T, I>
where
    T: Transport,
    I: Send + 'static,
{
    /// A connection whose 101 was just sent, and the bytes that came with its request (SPEC F7).
    pub(super) fn new(
        io: T,
        received: &[u8],
        mailbox: Receiver<I>,
        socket: Socket<I>,
        options: Options,
        deflate: Option<&DeflateParameters>,
    ) -> Self {
        let now = now();
        let mut protocol = Protocol::with_deflate(&options, deflate, now);
        if !received.is_empty() {
            protocol.receive(&mut received.to_vec(), now);
        }
        Driver {
            line: Line::new(io),
            protocol,
            mailbox,
            alarm: Alarm::default(),
            high_water: options.get_write_high_water(),
            options,
            phase: Phase::BeforeInit(socket),
            waker: Waker::noop().clone(),
            turn: Turn::default(),
        }
    }

    /// Runs the handler's callbacks until something ends the connection.
    pub(super) async fn serve<H: WebSock<Info = I>>(
        &mut self,
        handler: &mut H,
    ) -> Result<Infallible, Box<End>> {
        self.check_close_requested()?;
        // Nothing but to note the waker.
        self.until(|_, _| Poll::Ready(())).await;
        if let Phase::BeforeInit(socket) = std::mem::replace(&mut self.phase, Phase::Init) {
            self.call(pin!(handler.init(socket))).await?;
        }
        self.phase = Phase::AfterInit;
        let mut events = true;
        loop {
            let more_events = events && self.handle_events(handler).await?;
            if self.mailbox.has_news() {
                self.handle_infos(handler).await?;
            }
            let (mut woken, mut gave_a_turn) = (false, false);
            events = self
                .until(|driver, cx| driver.poll_wait(more_events, &mut woken, &mut gave_a_turn, cx))
                .await?;
        }
    }

    /// Whether `terminate` is to be called for this end: if `init` was entered, unless it did not come to its own end
    /// (SPEC L7).
    pub(super) fn owes_terminate(&self, end: &End) -> bool {
        match self.phase {
            Phase::BeforeInit(_) => false,
            Phase::Init => !matches!(end, End::Panic | End::Cut),
            Phase::AfterInit => true,
        }
    }

    /// Handles what has arrived, and tells whether it stopped before the last of it to let others in.
    async fn handle_events<H: WebSock<Info = I>>(&mut self, handler: &mut H) -> Result<bool, Box<End>> {
        'next: for _ in 0..CALLBACKS_IN_A_ROW.min(self.turn.callbacks_left()) {
            if self.must_pause() {
                self.pause().await?;
            }
            let message = 'message: {
                if let Some(message) = self.protocol.poll_message() {
                    break 'message message;
                }
                if self.protocol.is_compressed() && self.turn.is_spent() {
                    return Ok(true);
                }
                // No event is kept while a callback is awaited.
                let control = match self.poll_other_event() {
                    Some(Event::Message(message)) => {
                        if self.protocol.is_compressed() {
                            // Few bytes of the peer's may have become many, which takes its time.
                            self.turn.read = self.turn.read.saturating_add(message.len());
                        }
                        break 'message message;
                    }
                    Some(Event::Control(control)) => control,
                    Some(Event::Close(frame)) => return Err(boxed(End::Remote(frame))),
                    Some(Event::Violation(violation)) => return Err(boxed(End::Violation(violation))),
                    None => return Ok(false),
                };
                self.call(pin!(handler.handle_control(control))).await?;
                continue 'next;
            };
            let mut callback = pin!(handler.handle_in(message));
            match self.begin(callback.as_mut()) {
                Poll::Ready(done) => done?,
                Poll::Pending => {
                    self.finish_callback(callback).await?;
                    if self.mailbox.has_news() {
                        // It took its time, in which others have waited.
                        return Ok(true);
                    }
                }
            }
        }
        Ok(true)
    }

    /// The next event that is not easily decoded, or that only the transport has.
    #[inline]
    fn poll_other_event(&mut self) -> Option<Event> {
        self.protocol.poll_other_event().or_else(|| {
            if self.turn.is_spent() {
                return None;
            }
            let (event, count) = self.line.poll_shared(&mut self.protocol)?;
            self.turn.read += count;
            Some(event)
        })
    }

    /// Handles what other tasks sent; what has arrived is looked at again behind a callback that took its time.
    async fn handle_infos<H: WebSock<Info = I>>(&mut self, handler: &mut H) -> Result<(), Box<End>> {
        for _ in 0..CALLBACKS_IN_A_ROW.min(self.turn.callbacks_left()) {
            if self.must_pause() {
                self.pause().await?;
            }
            let Some(info) = self.mailbox.pop() else { break };
            let mut callback = pin!(handler.handle_info(info));
            match self.begin(callback.as_mut()) {
                Poll::Ready(done) => done?,
                Poll::Pending => return self.finish_callback(callback).await,
            }
        }
        Ok(())
    }

    /// Runs a callback and does what it answers: for those that are rare, as this is an `await` all the same.
    async fn call<F: Future<Output = HandleResult>>(
        &mut self,
        mut callback: Pin<&mut F>,
    ) -> Result<(), Box<End>> {
        match self.begin(callback.as_mut()) {
            Poll::Ready(done) => done,
            Poll::Pending => self.finish_callback(callback).await,
        }
    }

    /// Begins a callback, and if it is ready at once does what it answers: that costs nothing but its own work.
    ///
    /// It is polled here and not awaited, with the waker that was noted last, for the compiler's sake: what it sees
    /// stored in the callback's future just before it need not fetch from there, and a message on its way through the
    /// handler is not copied about in memory.
    #[inline(always)]
    fn begin<F: Future<Output = HandleResult>>(
        &mut self,
        callback: Pin<&mut F>,
    ) -> Poll<Result<(), Box<End>>> {
        callback.poll(&mut Context::from_waker(&self.waker)).map(|result| self.apply(result))
    }

    /// Waits for the end of a callback that was pending, and does what it answers.
    async fn finish_callback<F: Future<Output = HandleResult>>(
        &mut self,
        mut callback: Pin<&mut F>,
    ) -> Result<(), Box<End>> {
        let mut waiting_since = None;
        self.until(|driver, cx| {
            if waiting_since.is_some()
                && let Poll::Ready(result) = callback.as_mut().poll(cx)
            {
                driver.protocol.resume(now());
                return Poll::Ready(driver.apply(result));
            }
            driver.poll_during_callback(&mut waiting_since, cx).map(Err)
        })
        .await
    }

    /// All waiting of [`serve`](Self::serve) goes through here, so that the waker that is noted, also in the mailbox, is
    /// that of the last poll.
    fn until<R>(
        &mut self,
        mut poll: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<R>,
    ) -> impl Future<Output = R> {
        poll_fn(move |cx| {
            if !self.waker.will_wake(cx.waker()) {
                self.note_waker(cx.waker());
            }
            poll(self, cx)
        })
    }

    #[cold]
    fn note_waker(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
        self.mailbox.listen(waker);
    }

    /// Writes while a callback is pending (SPEC O11), and ends it if it takes too long (SPEC L11). Nothing is read
    /// meanwhile (SPEC B4), so the peer's silence does not count (SPEC T4).
    fn poll_during_callback(&mut self, since: &mut Option<Instant>, cx: &mut Context<'_>) -> Poll<Box<End>> {
        let since = *since.get_or_insert_with(now);
        self.protocol.pause(since);
        reclaim(&mut self.protocol);
        self.turn = Turn::default();
        self.write(cx);
        if self.mailbox.poll_cut().is_ready() {
            return Poll::Ready(boxed(End::Cut));
        }
        loop {
            let callback = after(since, self.options.get_callback_timeout());
            let write = self.write_deadline();
            ready!(self.alarm.poll(earliest(callback, write), cx));
            if has_passed(callback) {
                return Poll::Ready(boxed(End::Timeout(Timeout::Callback)));
            }
            self.line.give_up(Broken::TimedOut);
        }
    }

    /// What a callback answers is done here, and nowhere else (SPEC O).
    #[inline(always)]
    fn apply(&mut self, result: HandleResult) -> Result<(), Box<End>> {
        self.turn.callbacks += 1;
        let Outcome { frames, ending } = match result {
            Ok(outcome) => outcome,
            Err(error) => return Err(boxed(End::Fail(error, None))),
        };
        match frames.0 {
            FrameList::None => {}
            FrameList::One(frame) => self.protocol.send(frame),
            FrameList::Many(frames) => frames.into_iter().for_each(|frame| self.protocol.send(frame)),
        }
        match ending {
            None => Ok(()),
            Some(ending) => Err(boxed(match ending.error {
                Some(error) => End::Fail(error, ending.detail),
                None => End::Stop(ending.detail),
            })),
        }
    }

    /// Whether there may be no further callback now: because the connection is to close (SPEC B7), or because the
    /// peer has too much to read (SPEC B3), or was given up for it while a callback ran.
    #[inline]
    fn must_pause(&self) -> bool {
        self.mailbox.is_close_requested()
            || self.protocol.unsent() >= self.high_water
            || self.line.broken() == Some(Broken::TimedOut)
    }

    /// Ends the connection if it is to close, else waits until the peer has taken enough of what was pushed. Boxed, as
    /// few connections ever have to (SPEC B8).
    #[cold]
    fn pause(&mut self) -> Pin<Box<impl Future<Output = Result<(), Box<End>>>>> {
        Box::pin(async {
            self.check_close_requested()?;
            if self.line.broken() == Some(Broken::TimedOut) {
                return Err(boxed(End::Timeout(Timeout::Write)));
            }
            let room = self.until(Self::poll_room).await;
            self.protocol.resume(now());
            room
        })
    }

    fn check_close_requested(&self) -> Result<(), Box<End>> {
        Err(boxed(match self.mailbox.close_requested() {
            None => return Ok(()),
            Some(CloseRequest::Stop(frame)) => End::Stop(Some(frame)),
            Some(CloseRequest::Shutdown(frame)) => End::Shutdown(frame),
        }))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Box<End>>> {
        self.write(cx);
        if self.protocol.unsent() < self.high_water {
            return Poll::Ready(Ok(()));
        }
        self.protocol.pause(now());
        reclaim(&mut self.protocol);
        if self.mailbox.poll_close_requested().is_ready() {
            return Poll::Ready(self.check_close_requested());
        }
        if self.alarm.poll(self.write_deadline(), cx).is_ready() {
            return Poll::Ready(Err(boxed(End::Timeout(Timeout::Write))));
        }
        self.turn = Turn::default();
        Poll::Pending
    }

    /// Whether what has been read may be handled further, before anything is written or others have their turn.
    #[cold]
    fn may_go_on(&self) -> bool {
        !self.turn.is_spent() && self.protocol.unsent() < self.high_water
    }

    /// Ready when there is something to do, and tells whether the peer may have sent it. With `busy` there is something
    /// already: then it is waited only when others are to have their turn, or the peer is to read.
    #[inline(never)]
    fn poll_wait(
        &mut self,
        busy: bool,
        woken: &mut bool,
        gave_a_turn: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Box<End>>> {
        if busy && self.may_go_on() {
            // What is queued goes out together with what follows.
            return Poll::Ready(Ok(true));
        }
        self.write(cx);
        if self.line.broken() == Some(Broken::TimedOut) || self.is_write_late() {
            return Poll::Ready(Err(boxed(End::Timeout(Timeout::Write))));
        }
        if self.turn.is_spent() {
            // After writing and before reading: what was read last is not left to go cold.
            self.turn = Turn::default();
            reclaim(&mut self.protocol);
            give_way(cx);
            return Poll::Pending;
        }
        if busy || self.protocol.unsent() >= self.high_water {
            return Poll::Ready(Ok(true));
        }
        // The mailbox first when it may be what woke the task: the transport is asked when this is handled, so that
        // it is asked once and not twice.
        if *woken && self.mailbox.has_news() {
            return Poll::Ready(Ok(false));
        }
        if self.protocol.is_message_late() {
            return Poll::Ready(Err(boxed(End::Timeout(Timeout::Message))));
        }
        match self.line.poll_receive(&mut self.protocol, cx) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(boxed(End::Disconnected))),
            Poll::Ready(Ok(count)) => {
                self.turn.read += count;
                return Poll::Ready(Ok(true));
            }
            Poll::Pending => {}
        }
        if self.line.broken().is_some() {
            if std::mem::replace(gave_a_turn, true) {
                return Poll::Ready(Err(boxed(End::Disconnected)));
            }
            // What arrived before the write failed may be known only after a turn of the runtime (SPEC X8).
            give_way(cx);
            return Poll::Pending;
        }
        let mut deadline = self.protocol.poll_timeout();
        if self.line.stalled().is_some() {
            deadline = earliest(deadline, self.write_deadline());
        }
        if self.alarm.poll(deadline, cx).is_ready() {
            return Poll::Ready(self.check_peer().map(|()| false));
        }
        if self.mailbox.poll_news().is_ready() {
            return Poll::Ready(Ok(false));
        }
        self.turn = Turn::default();
        *woken = true;
        Poll::Pending
    }

    /// Pings a silent peer, or gives it up (SPEC T1, T2, T6). Asked only when everything that was read is handled,
    /// so that no slow handler is taken for a silent peer (SPEC T4).
    fn check_peer(&mut self) -> Result<(), Box<End>> {
        self.protocol.handle_timeout(now()).map_or(Ok(()), |timeout| Err(boxed(End::Timeout(timeout))))
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        self.turn.written += self.line.write(&mut self.protocol, cx);
    }

    /// When the peer will have taken nothing for too long.
    #[cold]
    fn write_deadline(&self) -> Option<Instant> {
        after(self.line.stalled()?, self.options.get_write_timeout())
    }

    #[inline]
    fn is_write_late(&self) -> bool {
        self.line.stalled().is_some() && has_passed(self.write_deadline())
    }
}

/// How a connection ends: boxed, as what ends once need not make room for itself in every result.
#[cold]
fn boxed(end: End) -> Box<End> {
    Box::new(end)
}

/// Lets others on the thread go on, and has the task polled again. One that just wakes itself comes before all those
/// that give way.
#[cold]
pub(super) fn give_way(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

#[cold]
fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= now())
}
