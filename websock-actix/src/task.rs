//! The task of a connection.

use std::cell::{OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::transport::Link;

/// A connection's driver. It runs in a task of its own and, where that saves the way there and back, right in the
/// server's task: whenever the server, having read, asks the response's body for bytes.
pub(crate) struct Driver {
    link: Rc<Link>,
    future: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    bell: OnceCell<(Arc<Bell>, Waker)>,
}

/// Wakes the driver for everything but bytes and room: these are looked after without.
struct Bell {
    /// Only ever swapped: so the run that a ringing leads to, or that it finds going on, sees what was done before it.
    rung: AtomicBool,
    task: Waker,
}

impl Driver {
    /// Spawns the task that runs `future` on the other end of `link`.
    pub(crate) fn spawn(link: Rc<Link>, future: impl Future<Output = ()> + 'static) -> Rc<Self> {
        let driver =
            Rc::new(Driver { link, future: RefCell::new(Some(Box::pin(future))), bell: OnceCell::new() });
        let task = driver.clone();
        actix_web::rt::spawn(poll_fn(move |cx| task.poll(cx)));
        driver
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (bell, waker) = self.bell.get_or_init(|| {
            let task = cx.waker().clone();
            let _ = self.link.task.set(task.clone());
            let bell = Arc::new(Bell { rung: AtomicBool::new(true), task });
            (bell.clone(), bell.into())
        });
        if self.link.fetch() | bell.rung.load(Ordering::Acquire) {
            self.run(bell, waker);
        }
        if self.future.borrow().is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// In the server's task: runs the driver if bytes came for it or were taken from it. Many bytes are left to the
    /// driver's own task, so that the server first reads from all its connections, which costs less than reading and
    /// writing in turns. And so is what comes after many bytes were taken: the server's task does not end as long as it
    /// gets more, and others are to have their turn.
    pub(crate) fn attend(&self) {
        let Some((bell, waker)) = self.bell.get() else { return };
        let came = self.link.fetch();
        if came && self.link.holds_much() {
            waker.wake_by_ref();
        } else if came | self.link.has_room_again() {
            match self.link.turn_is_spent() {
                true => waker.wake_by_ref(),
                false => self.run(bell, waker),
            }
        }
    }

    fn run(&self, bell: &Bell, waker: &Waker) {
        let Some(mut future) = self.future.take() else { return };
        bell.rung.swap(false, Ordering::AcqRel);
        match future.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Pending => drop(self.future.replace(Some(future))),
            Poll::Ready(()) => bell.task.wake_by_ref(),
        }
    }

    pub(crate) fn wake(&self) {
        if let Some((_, waker)) = self.bell.get() {
            waker.wake_by_ref();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.swap(true, Ordering::AcqRel);
        self.task.wake_by_ref();
    }
}
