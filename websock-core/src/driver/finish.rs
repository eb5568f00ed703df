//! The end of a connection: the Close frame, `terminate`, and a transport that is closed so that the peer can read
//! everything (SPEC X1, X6).

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};

use super::drain::LAST_GRACE;
use super::ending::{End, Wire};
use super::mailbox::Receiver;
use super::panic::{Panicked, catch_unwind, text_of};
use super::serve::{Driver, give_way};
use super::timers::{Alarm, after, now};
use super::transport::{Line, Transport, reclaim};
use crate::close::{CloseCode, CloseFrame, CloseReason};
use crate::handler::WebSock;
use crate::options::Options;
use crate::protocol::Protocol;

/// How much is discarded before others on the thread may go on (SPEC L10).
const DISCARDED_PER_TURN: usize = 256 * 1024;

/// What there is to tell of a connection that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Why, as `terminate` got it, with all causes.
    pub(super) reason: String,
    /// The code of the Close frame that was sent; `None` if it was empty, or none was sent.
    pub(super) code: Option<CloseCode>,
    /// Whether a callback failed: an error of the application's own.
    pub(super) failed: bool,
}

impl<T, I> Driver<T, I>
where
    T: Transport,
    I: Send + 'static,
{
    /// Ends the connection.
    pub(super) async fn finish<H: WebSock<Info = I>>(&mut self, handler: H, end: End) -> Ended {
        let owes_terminate = self.owes_terminate(&end);
        let mut left = self.mailbox.close();
        // One by one: a panic while another unwinds would end the process.
        while let Err(Panicked(panic)) = catch_unwind(pin!(async { while left.pop().is_some() {} })).await {
            tracing::error!(panic, "a message that was not handled panicked as it was dropped");
        }
        reclaim(&mut self.protocol);
        // Also if it closes by itself, and its time was over before it could.
        let was_cut = self.mailbox.is_cut();
        let failed = matches!(end, End::Fail(..));
        let (wire, reason) = end.settle();
        let label = text_of(&Caused(&reason));
        let code = match &wire {
            Wire::Close(frame) => {
                self.protocol.close(frame.as_ref());
                frame.as_ref().map(CloseFrame::code)
            }
            Wire::Nothing => None,
        };
        let Driver { line, protocol, mailbox, alarm, options, .. } = self;
        // What panicked may have been the transport, and `terminate` is owed all the same (SPEC L7).
        let flushed = catch_unwind(pin!(poll_fn(|cx| Poll::Ready(line.write(protocol, cx))))).await;
        if wire == Wire::Nothing || flushed.is_err() {
            line.close();
        }
        let terminate = async {
            // With all that it holds, which is dropped where it is cut.
            let called = pin!(async {
                let terminate = pin!(async move {
                    if owes_terminate {
                        handler.terminate(reason).await;
                    } else {
                        drop(handler);
                    }
                });
                match was_cut {
                    true => drop(tokio::time::timeout(LAST_GRACE, terminate).await),
                    false => drop(unless_cut(mailbox, terminate).await),
                }
            });
            if let Err(Panicked(panic)) = catch_unwind(called).await {
                tracing::error!(panic, "the handler panicked at its end");
            }
        };
        let linger = async {
            let mut farewell = Farewell { line, protocol, alarm, options, can_shut: None, peer_ended: false };
            if let Some(Err(Panicked(panic))) =
                unless_cut(mailbox, catch_unwind(pin!(farewell.linger()))).await
            {
                tracing::error!(panic, "the transport panicked");
            }
            farewell.line.close();
        };
        both(terminate, linger).await;
        Ended { reason: label, code, failed }
    }
}

/// A reason together with what caused it, to the first cause.
struct Caused<'a>(&'a CloseReason);

impl fmt::Display for Caused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let CloseReason::Error(error) = self.0 else { return Ok(()) };
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What a closing connection still does on its transport.
struct Farewell<'a, T> {
    line: &'a mut Line<T>,
    protocol: &'a mut Protocol,
    alarm: &'a mut Alarm,
    options: &'a Options,
    /// Whether the transport could end our side alone, once it was asked to.
    can_shut: Option<bool>,
    /// Whether the peer has ended its side.
    peer_ended: bool,
}

impl<T: Transport> Farewell<'_, T> {
    /// Writes the rest, shuts our side, and discards what still comes until the peer has read everything and ends
    /// its side too, or time is up: a socket closed with unread bytes would be reset, and the reset would overtake
    /// the Close frame (SPEC X6). Where our side cannot be shut alone, a peer that has sent its Close waits for the
    /// end of the whole connection: then it ends at once.
    async fn linger(&mut self) {
        poll_fn(|cx| self.poll_write_rest(cx)).await;
        let deadline = after(now(), Some(self.options.get_close_timeout()));
        poll_fn(|cx| {
            if self.line.broken().is_some() || self.alarm.poll(deadline, cx).is_ready() {
                return Poll::Ready(());
            }
            if self.can_shut.is_none()
                && let Poll::Ready(shut) = self.line.poll_shutdown(cx)
            {
                self.can_shut = Some(shut.is_ok());
            }
            let peer_ended = self.poll_peer_ended(cx);
            if self.can_shut.is_some() { peer_ended } else { Poll::Pending }
        })
        .await;
    }

    /// Ready when everything is written, or nothing more can be. The peer may have to be read from first.
    fn poll_write_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.line.write(self.protocol, cx);
        if self.protocol.unsent() == 0 && self.line.is_flushed() {
            return Poll::Ready(());
        }
        let _ = self.poll_peer_ended(cx);
        let deadline = self.line.stalled().and_then(|since| after(since, self.options.get_write_timeout()));
        self.alarm.poll(deadline, cx).map(|()| self.line.close())
    }

    /// Discards what the peer sends. Ready when it has ended its side.
    fn poll_peer_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut discarded = 0;
        while !self.peer_ended && (self.can_shut != Some(false) || !self.protocol.has_received_close()) {
            if discarded >= DISCARDED_PER_TURN {
                give_way(cx);
                return Poll::Pending;
            }
            let received = self.line.poll_receive(self.protocol, cx);
            reclaim(self.protocol);
            match ready!(received) {
                Ok(0) | Err(_) => self.peer_ended = true,
                Ok(count) => discarded += count,
            }
        }
        Poll::Ready(())
    }
}

/// Runs a future to its end, unless the server's shutdown has no time left for it (SPEC L11).
async fn unless_cut<I, F: Future>(mailbox: &Receiver<I>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            mailbox.listen(cx.waker());
            mailbox.poll_cut().map(|()| None)
        }
    })
    .await
}

/// Runs both futures to their ends, side by side.
async fn both(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut first_done, mut second_done) = (false, false);
    poll_fn(|cx| {
        first_done = first_done || first.as_mut().poll(cx).is_ready();
        second_done = second_done || second.as_mut().poll(cx).is_ready();
        if first_done && second_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
