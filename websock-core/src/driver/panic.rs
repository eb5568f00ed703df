//! A panic in a callback ends its own connection and nothing else (SPEC E1).

use std::any::Any;
use std::fmt::{Display, Write};
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::Poll;

/// A future panicked; what the panic said, for the log.
#[derive(Debug)]
pub(super) struct Panicked(pub(super) String);

/// Runs a future to its end or to its panic.
///
/// What the future borrowed is seen again after a panic, so it must be sound then: the driver's own state changes
/// only between callbacks. It is pinned by the caller, so that it lies in memory once.
pub(super) fn catch_unwind<F: Future>(
    mut future: Pin<&mut F>,
) -> impl Future<Output = Result<F::Output, Panicked>> {
    poll_fn(move |cx| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(payload) => Poll::Ready(Err(Panicked(message(payload)))),
    })
}

/// The text of something of the application's, for the log: as far as it comes, if it fails or panics.
pub(super) fn text_of(value: &impl Display) -> String {
    let mut text = String::new();
    match std::panic::catch_unwind(AssertUnwindSafe(|| write!(text, "{value}"))) {
        Ok(Ok(())) => return text,
        Ok(Err(_)) => {}
        Err(payload) => discard(payload),
    }
    text.push_str(" (its text cannot be shown)");
    text
}

fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => {
            let message =
                payload.downcast_ref::<&str>().copied().unwrap_or("a value that is no text").to_owned();
            discard(payload);
            message
        }
    }
}

/// Drops what a panic was made with, which may panic itself.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}
