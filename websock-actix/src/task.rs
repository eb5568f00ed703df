//! The task of a connection.

use std::cell::{Cell, OnceCell, RefCell};
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
    /// Much has come, and the server's other connections are read first.
    deferred: Cell<bool>,
}

/// Wakes the driver for everything but bytes and room: these are looked after without.
struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Driver {
    /// Spawns the task that runs `future` on the other end of `link`.
    pub(crate) fn spawn(link: Rc<Link>, future: impl Future<Output = ()> + 'static) -> Rc<Self> {
        let future = RefCell::new(Some(Box::pin(future) as _));
        let driver = Rc::new(Driver { link, future, bell: OnceCell::new(), deferred: Cell::new(false) });
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
        let deferred = self.deferred.get();
        let left_to_server = deferred && self.link.wake_server();
        if !left_to_server && self.link.fetch() | deferred | bell.rung.load(Ordering::Acquire) {
            self.run(bell, waker);
        }
        if self.future.borrow().is_none() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// In the server's task: runs the driver if bytes came for it or were taken from it. Many bytes wait for the task's
    /// next turn, so that the server first reads from all its connections, which costs less than reading and writing
    /// in turns. The driver's own task asks for that turn, or runs the driver if the server is busy writing.
    pub(crate) fn attend(&self) {
        let Some((bell, waker)) = self.bell.get() else { return };
        let came = self.link.fetch();
        if self.deferred.get() {
            self.run(bell, waker);
        } else if came && self.link.holds_much() {
            self.deferred.set(true);
            bell.task.wake_by_ref();
        } else if came | self.link.has_room_again() {
            self.run(bell, waker);
        }
    }

    fn run(&self, bell: &Bell, waker: &Waker) {
        self.deferred.set(false);
        let Some(mut future) = self.future.take() else { return };
        bell.rung.store(false, Ordering::Release);
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
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}
