//! The drain: closes every connection before the server goes down (SPEC S).

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::timers::now;
use crate::close::{CloseCode, CloseFrame};

/// Closes all the connections of a server, or of a part of it, before it goes down.
///
/// No server closes upgraded connections when it shuts down: the process just ends, and every peer sees a lost
/// connection. Put one drain into the [`Options`](crate::Options::drain) of any number of upgrades, and call
/// [`shut_down`](Self::shut_down) when the server is told to go. Cheap to clone.
///
/// ```
/// # async fn wait_for_a_signal() {}
/// # async fn serve(_: websock_core::Options) {}
/// use std::time::Duration;
/// use websock_core::{Drain, Options, Shutdown};
///
/// # async fn run() {
/// let drain = Drain::new();
/// let server = serve(Options::default().drain(drain.clone()));
/// tokio::spawn(server);
/// wait_for_a_signal().await;
/// let drained = drain.shut_down(Shutdown::within(Duration::from_secs(20))).await;
/// println!("{} connections closed, {} cut", drained.closed, drained.cut);
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Drain(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Held by the call that closes the connections, one batch after the other.
    closing: tokio::sync::Mutex<()>,
    /// Told at each connection's end once the drain has begun.
    gone: Notify,
}

#[derive(Default)]
struct State {
    live: HashMap<u64, Arc<dyn Target>>,
    last_id: u64,
    /// How it shuts down, since it does.
    shutdown: Option<Shutdown>,
    /// Those that were there by then and are not told yet.
    untold: Vec<u64>,
    /// Whether the deadline has passed.
    cutting: bool,
    /// What has ended since it shuts down.
    ended: Drained,
}

/// A connection, as the drain reaches it.
pub(super) trait Target: Send + Sync {
    /// Asks it to close, after the callback that is running.
    fn shut_down(&self, frame: CloseFrame);

    /// Ends it at once, whatever it is doing (SPEC L11).
    fn cut(&self);
}

/// How a server's connections are closed: [`Drain::shut_down`].
#[derive(Clone, Debug)]
pub struct Shutdown {
    deadline: Duration,
    frame: CloseFrame,
    batch: Option<(NonZeroUsize, Duration)>,
    retry_after: Duration,
}

/// What a drain has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// How many connections ended by themselves or closed in time.
    pub closed: usize,
    /// How many had not closed at the deadline and were cut.
    pub cut: usize,
}

/// How long `terminate` may still run after the deadline (SPEC L11).
pub(super) const LAST_GRACE: Duration = Duration::from_secs(1);

impl Shutdown {
    /// Closes with 1001 all connections at once, and cuts what is left after `deadline`.
    pub fn within(deadline: Duration) -> Self {
        let frame = CloseCode::GOING_AWAY.into();
        Shutdown { deadline, frame, batch: None, retry_after: Duration::from_secs(1) }
    }

    /// The code to close with in place of 1001: [`CloseCode::RESTART`] (1012) tells clients to come back.
    #[must_use]
    pub fn code(mut self, code: CloseCode) -> Self {
        self.frame = code.into();
        self
    }

    /// Closes so many connections at a time, with a pause between, so that not all clients come back at the same
    /// moment. What the deadline leaves no time for is closed in one last batch before it is cut.
    #[must_use]
    pub fn batches(mut self, size: NonZeroUsize, pause: Duration) -> Self {
        self.batch = Some((size, pause));
        self
    }

    /// What the 503 to new upgrades says in `Retry-After`, in whole seconds, rounded up. Default: 1 s.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = delay;
        self
    }
}

impl Drain {
    /// A drain of no connections yet.
    pub fn new() -> Self {
        Drain::default()
    }

    /// How many connections live: from the moment in which their upgrade is accepted to their end (SPEC S1).
    pub fn live(&self) -> usize {
        self.lock().live.len()
    }

    /// Whether the shutdown has begun: new upgrades are refused with 503.
    pub fn is_draining(&self) -> bool {
        self.lock().shutdown.is_some()
    }

    /// Refuses new upgrades, closes all connections, and waits until they are gone (SPEC S2).
    ///
    /// Each gets its Close frame behind everything pushed before and `terminate(Shutdown)`; messages that wait in its
    /// mailbox are dropped. At the deadline what is left is cut: its transport is closed, its running callback
    /// dropped, and a `terminate` that begins only then gets one last second (SPEC L11), for which this waits too; one
    /// that is already running is dropped (SPEC L7). Without connections it is done at once.
    ///
    /// The first call decides how; a later one waits for the end, too, and goes on where one was dropped before its end.
    /// Dropped, it leaves the drain draining.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled.
    pub async fn shut_down(&self, how: Shutdown) -> Drained {
        let begun = now();
        let how = self.begin(how);
        let deadline = begun.checked_add(how.deadline);
        until(deadline, self.close_all(&how)).await;
        if until(deadline, self.all_gone()).await.is_none() {
            self.cut_all(&how);
            until(now().checked_add(LAST_GRACE), self.all_gone()).await;
        }
        self.report()
    }

    /// Marks the drain as draining, if this call is the first. Gives how it drains.
    fn begin(&self, how: Shutdown) -> Shutdown {
        let mut state = self.lock();
        if state.shutdown.is_none() {
            state.untold = state.live.keys().copied().collect();
        }
        state.shutdown.get_or_insert(how).clone()
    }

    async fn close_all(&self, how: &Shutdown) {
        let _closing = self.0.closing.lock().await;
        let (size, pause) = match how.batch {
            Some((size, pause)) => (size.get(), pause),
            None => (usize::MAX, Duration::ZERO),
        };
        while self.close_some(how, size) {
            if tokio::time::timeout(pause, self.all_gone()).await.is_ok() {
                return;
            }
        }
    }

    /// Closes so many connections that were not told before, and tells whether there may be more. Those that are gone
    /// take no place.
    fn close_some(&self, how: &Shutdown, size: usize) -> bool {
        let mut targets = Vec::new();
        let more = {
            let State { untold, live, .. } = &mut *self.lock();
            while targets.len() < size
                && let Some(id) = untold.pop()
            {
                targets.extend(live.get(&id).cloned());
            }
            !untold.is_empty()
        };
        targets.into_iter().for_each(|target| target.shut_down(how.frame.clone()));
        more
    }

    /// Waits until no connection lives.
    async fn all_gone(&self) {
        loop {
            let gone = self.0.gone.notified();
            if self.live() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Ends at once what is left, told or not.
    fn cut_all(&self, how: &Shutdown) {
        let left: Vec<_> = {
            let mut state = self.lock();
            state.cutting = true;
            state.live.values().cloned().collect()
        };
        for target in left {
            target.cut();
        }
        // Only now: a `terminate` that begins knows that it has its last second.
        self.close_some(how, usize::MAX);
    }

    /// What was done. What is still there after its last second is not waited for any longer.
    fn report(&self) -> Drained {
        let state = self.lock();
        Drained { closed: state.ended.closed, cut: state.ended.cut + state.live.len() }
    }

    /// What the 503 says, if new upgrades are refused: after how many seconds to come back.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let state = self.lock();
        let delay = state.shutdown.as_ref()?.retry_after;
        Some(delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)))
    }

    /// Counts a connection whose upgrade was accepted. One that comes while the drain is on closes at once (SPEC S3).
    pub(super) fn join(&self, target: Arc<dyn Target>) -> Membership {
        let mut state = self.lock();
        state.last_id += 1;
        let id = state.last_id;
        state.live.insert(id, target.clone());
        let shutdown = state.shutdown.clone();
        drop(state);
        if let Some(shutdown) = shutdown {
            target.shut_down(shutdown.frame);
        }
        Membership { drain: self.clone(), id }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in its drain, to the connection's end.
pub(super) struct Membership {
    drain: Drain,
    id: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.drain.lock();
        let target = state.live.remove(&self.id);
        if state.cutting {
            state.ended.cut += 1;
        } else if state.shutdown.is_some() {
            state.ended.closed += 1;
        }
        drop(state);
        drop(target);
        self.drain.0.gone.notify_waiters();
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let (live, draining) = (state.live.len(), state.shutdown.is_some());
        f.debug_struct("Drain").field("live", &live).field("draining", &draining).finish()
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the future gives, if it does so by then.
async fn until<F: Future>(moment: Option<Instant>, future: F) -> Option<F::Output> {
    match moment {
        Some(moment) => tokio::time::timeout_at(moment.into(), future).await.ok(),
        None => Some(future.await),
    }
}
