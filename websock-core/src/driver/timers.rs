//! The one timer of a connection: it is moved only to an earlier moment, and finds out what is due when it fires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::task::coop::has_budget_remaining;
use tokio::time::Sleep;

/// The time, by the clock that tests can pause.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// `delay` after `start`; never, if there is no delay or it goes beyond all time.
pub(super) fn after(start: Instant, delay: Option<Duration>) -> Option<Instant> {
    start.checked_add(delay?)
}

/// The earlier of two moments that may never come.
pub(super) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}

/// A timer that costs nothing while its deadline only moves away: it then fires early, and is set anew.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whom the timer wakes, as far as that is known.
    waker: Option<Waker>,
}

impl Alarm {
    /// Ready when the deadline has passed. Without one it never is.
    #[inline]
    pub(super) fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline.map(tokio::time::Instant::from_std) else { return Poll::Pending };
        if let Some(sleep) = &self.sleep
            && sleep.deadline() <= deadline
            && !sleep.is_elapsed()
            && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        self.poll_sleep(deadline, cx)
    }

    #[cold]
    fn poll_sleep(&mut self, deadline: tokio::time::Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            // Without budget the timer would not take the waker.
            let takes_waker = has_budget_remaining();
            if sleep.as_mut().poll(cx).is_pending() {
                self.waker = takes_waker.then(|| cx.waker().clone());
                return Poll::Pending;
            }
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use tokio::task::coop;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn poll(alarm: &mut Alarm, deadline: Option<Instant>, task: &Arc<Woken>) -> bool {
        alarm.poll(deadline, &mut Context::from_waker(&task.clone().into())).is_ready()
    }

    async fn spend_budget() {
        poll_fn(|cx| {
            while coop::has_budget_remaining() {
                coop::poll_proceed(cx).map(|budget| budget.made_progress()).is_ready();
            }
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_who_asked_last_even_if_that_had_no_budget() {
        let (first, last) = <(Arc<Woken>, Arc<Woken>)>::default();
        let deadline = after(now(), Some(Duration::from_secs(10)));
        let mut alarm = Alarm::default();
        assert!(!poll(&mut alarm, deadline, &first));
        spend_budget().await;
        assert!(!poll(&mut alarm, deadline, &last));
        tokio::task::yield_now().await;
        assert!(!poll(&mut alarm, deadline, &last));
        last.0.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(!poll(&mut alarm, deadline, &last) && !last.0.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!first.0.load(Ordering::Relaxed) && last.0.load(Ordering::Relaxed));
        assert!(poll(&mut alarm, deadline, &last));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_away_or_comes_nearer_is_met() {
        let task = Arc::<Woken>::default();
        let start = now();
        let at = |seconds| after(start, Some(Duration::from_secs(seconds)));
        let mut alarm = Alarm::default();
        assert!(!poll(&mut alarm, at(10), &task));
        assert!(!poll(&mut alarm, at(15), &task));
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(task.0.swap(false, Ordering::Relaxed), "it fires early");
        assert!(!poll(&mut alarm, at(15), &task));
        assert!(!poll(&mut alarm, at(13), &task));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(task.0.swap(false, Ordering::Relaxed));
        assert!(poll(&mut alarm, at(13), &task));
        assert!(!poll(&mut alarm, None, &task));
    }
}
