//! [`WebSock`]: the behaviour of a connection, five callbacks.

use std::future::{Future, ready};

use crate::close::CloseReason;
use crate::driver::Socket;
use crate::message::{Control, Message};
use crate::outcome::{HandleResult, Outcome};

/// The behaviour of a WebSocket connection: one value, five callbacks, on any server.
///
/// A value of the type is made for each upgrade and owns the connection's state. The driver calls
///
/// 1. [`init`](Self::init) once, when the connection is there;
/// 2. [`handle_in`](Self::handle_in) for each message from the peer, [`handle_control`](Self::handle_control) for
///    each ping and pong, and [`handle_info`](Self::handle_info) for each message from another task, in any number
///    and order;
/// 3. [`terminate`](Self::terminate) once, whatever ended the connection.
///
/// Only `handle_in` has to be written. Callbacks are plain `async fn`s:
///
/// ```
/// use websock_core::{HandleResult, Message, Outcome, WebSock};
///
/// struct Counter(u64);
///
/// impl WebSock for Counter {
///     type Info = ();
///
///     async fn handle_in(&mut self, message: Message) -> HandleResult {
///         self.0 += 1;
///         Ok(Outcome::push(format!("message {} has {} bytes", self.0, message.len())))
///     }
/// }
/// ```
///
/// # What the driver promises
///
/// - **Never two callbacks of one connection at once**, and each sees the state that the one before it left
///   (SPEC L2). No lock is needed.
/// - **A callback is not cancelled** (SPEC L11), so it needs no care at its `.await`s. Exceptions: the option
///   [`callback_timeout`](crate::Options::callback_timeout), and the end of a server's shutdown.
/// - **`terminate` is called exactly once** for every connection whose `init` was entered (SPEC L7), and no callback
///   runs after it has begun. Exceptions: `init` panicked, the end of a server's shutdown came while `init` or
///   `terminate` ran, or the runtime went down and dropped the connection's task: then the handler is dropped.
/// - **An accepted upgrade that comes to nothing** drops the handler without any callback (SPEC L9, L12).
/// - **Order**: messages come in the order in which the peer sent them, and what callbacks push goes out in the order
///   in which they pushed it (SPEC O2). Everything queued is written before the driver waits for anything, also for
///   a callback (SPEC O11).
/// - **Backpressure**: while a callback runs nothing is read, so a slow handler slows its peer down (SPEC B4); while
///   the peer does not read, no callback runs and memory is bounded (SPEC B3).
///
/// # Panics
///
/// A panic in a callback ends only its own connection: 1011 on the wire, and `terminate` gets
/// [`Error::Panic`](crate::Error::Panic) (SPEC E1). This needs `panic = "unwind"`, Rust's default.
pub trait WebSock: Sized + Send + 'static {
    /// What other tasks send to the connection's [`Mailbox`](crate::Mailbox); `()` if they send nothing.
    type Info: Send + 'static;

    /// The connection is there: the 101 is on its way, and nothing that this pushes comes before it (SPEC L3).
    ///
    /// The place to subscribe to something: `socket` has the mailbox that a publisher needs. May answer every
    /// outcome, also a stop. Default: goes on.
    fn init(&mut self, socket: Socket<Self::Info>) -> impl Future<Output = HandleResult> + Send {
        drop(socket);
        ready(Ok(Outcome::none()))
    }

    /// A complete message came; its fragments are joined (SPEC L4).
    fn handle_in(&mut self, message: Message) -> impl Future<Output = HandleResult> + Send;

    /// A ping or a pong came (SPEC L5). A ping's pong is queued already: never answer it here. Default: goes on.
    fn handle_control(&mut self, control: Control) -> impl Future<Output = HandleResult> + Send {
        drop(control);
        ready(Ok(Outcome::none()))
    }

    /// Another task sent this to the connection's mailbox (SPEC L6). Default: drops it and goes on.
    fn handle_info(&mut self, info: Self::Info) -> impl Future<Output = HandleResult> + Send {
        drop(info);
        ready(Ok(Outcome::none()))
    }

    /// The connection has ended, or ends while this runs (SPEC L7, X1). Nothing can be sent any more; the mailbox is
    /// closed. No timeout holds for it: a drain counts the connection until it is done. Default: nothing.
    fn terminate(self, reason: CloseReason) -> impl Future<Output = ()> + Send {
        drop(reason);
        ready(())
    }
}
