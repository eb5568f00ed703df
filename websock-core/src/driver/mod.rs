//! The driver: runs a handler on a transport, with the engine between them.
//!
//! One task for each connection, and one loop in it: what was read is handled, what was pushed is written, and only
//! when there is nothing left to do the task waits.
//!
//! | module | what it does |
//! |---|---|
//! | `serve` | the loop: from events to callbacks to outcomes |
//! | `ending` | the closing table: from an end to the wire and to `terminate` |
//! | `finish` | the Close frame, `terminate`, the lingering close |
//! | `transport` | reading and writing |
//! | `drain` | closes all connections before the server goes down |
//! | `mailbox` | how other tasks reach the connection |
//! | `timers` | the one timer |
//! | `panic` | what a panic ends, and what not |

mod drain;
mod ending;
mod finish;
mod mailbox;
mod panic;
mod serve;
mod timers;
mod transport;

use std::fmt;
use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use tracing::{Instrument, Level};

use crate::boxed::type_name;
use crate::handler::WebSock;
use crate::upgrade::{Accepted, Subprotocol};

use drain::Membership;
use ending::End;
use finish::Ended;
use mailbox::Receiver;
use panic::{Panicked, catch_unwind};
use serve::Driver;

pub use drain::{Drain, Drained, Shutdown};
pub use mailbox::{Mailbox, SendError, TrySendError};
pub use transport::Transport;

/// What a handler gets in [`init`](crate::WebSock::init): its connection as seen from inside.
pub struct Socket<I> {
    mailbox: Mailbox<I>,
    subprotocol: Option<Subprotocol>,
    compressed: bool,
}

impl<I> Socket<I> {
    /// The mailbox through which other tasks reach this connection. Clone it to give it away.
    pub fn mailbox(&self) -> &Mailbox<I> {
        &self.mailbox
    }

    /// The subprotocol that was agreed on (SPEC U4).
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_ref().map(Subprotocol::as_str)
    }

    /// Whether messages are compressed (SPEC C1).
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }
}

impl<I> fmt::Debug for Socket<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut socket = f.debug_struct("Socket");
        socket.field("mailbox", &self.mailbox).field("subprotocol", &self.subprotocol());
        socket.field("compressed", &self.compressed).finish()
    }
}

impl<I> Clone for Socket<I> {
    fn clone(&self) -> Self {
        Socket {
            mailbox: self.mailbox.clone(),
            subprotocol: self.subprotocol.clone(),
            compressed: self.compressed,
        }
    }
}

/// An accepted upgrade, from the moment of its 101: a handler that waits for its transport.
///
/// For the authors of adapters. Once the server hands over the transport, [`run`](Self::run) serves it to its end; if
/// the server fails to, [`fail`](Self::fail) says so. Dropped, it drops the handler, on which nothing was called.
#[must_use = "an accepted upgrade has to be run"]
pub struct Connection<H: WebSock> {
    handler: H,
    accepted: Accepted,
    mailbox: Mailbox<H::Info>,
    receiver: Receiver<H::Info>,
    /// Dropped last, so that the drain waits for all of the connection.
    membership: Option<Membership>,
}

impl Accepted {
    /// The connection that `handler` will serve. From here on a [`Drain`] counts it (SPEC S1).
    pub fn connection<H: WebSock>(self, handler: H) -> Connection<H> {
        let (mailbox, receiver) = mailbox::mailbox(self.options.get_mailbox_capacity());
        let membership = self.options.get_drain().map(|drain| receiver.join(drain));
        Connection { handler, accepted: self, mailbox, receiver, membership }
    }
}

impl<H: WebSock> fmt::Debug for Connection<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}

impl<H: WebSock> Connection<H> {
    /// Serves the connection to its end: `init`, any number of callbacks, `terminate`, and the closing of the
    /// transport. `received` are bytes that came with the request (SPEC F7).
    ///
    /// It must run in a task of its own, as [`Mailbox::send`] takes what runs in the same task for a callback. The
    /// task is a connection: while it is not polled, nothing is answered; when it is dropped, the handler is dropped
    /// without `terminate`.
    ///
    /// # Panics
    /// Where there is no tokio runtime with its timer enabled. A panic of the handler is caught.
    pub fn run<T>(self, transport: T, received: Bytes) -> impl Future<Output = ()>
    where
        T: Transport,
    {
        let Connection { mut handler, accepted, mailbox, receiver, membership } = self;
        let span = tracing::info_span!(
            "websocket",
            handler = type_name(&handler),
            subprotocol = accepted.subprotocol().map(Subprotocol::as_str),
            compression = accepted.deflate().is_some(),
        );
        let Accepted { subprotocol, deflate, options, .. } = accepted;
        let socket = Socket { mailbox, subprotocol, compressed: deflate.is_some() };
        let mut driver = Driver::new(transport, &received, receiver, socket, options, deflate.as_ref());
        // What is captured here has one place in the task. Arguments and variables of an `async fn` would have two.
        let serve = async move {
            let ended = {
                let callbacks = driver.mailbox.callbacks();
                catch_unwind(pin!(callbacks.run(pin!(driver.serve(&mut handler))))).await
            };
            let end = match ended {
                Ok(Err(end)) => *end,
                Err(Panicked(panic)) => {
                    tracing::error!(panic, "a callback panicked");
                    End::Panic
                }
            };
            // Boxed, so that a connection that lives does not hold the room that its end will need (SPEC B8).
            let ended = Box::pin(driver.finish(handler, end)).await;
            report(&ended, &driver);
            drop(driver);
            drop(membership);
        };
        serve.instrument(span)
    }

    /// The server did not hand over the transport (SPEC L12): says so in one `error` event, with what might help,
    /// and drops the handler, on which nothing was called.
    pub fn fail(self, cause: impl fmt::Display, remedy: &str) {
        tracing::error!(
            handler = type_name(&self.handler),
            %cause,
            remedy,
            "an accepted upgrade came to nothing"
        );
    }
}

/// The one event that tells how a connection ended (SPEC E3).
fn report<T, I>(ended: &Ended, driver: &Driver<T, I>) {
    let (received, sent) = (driver.protocol.received(), driver.protocol.sent());
    macro_rules! closed {
        ($level:expr) => {
            tracing::event!(
                $level,
                reason = ended.reason,
                code = ended.code.map(u16::from),
                received.text = received.text.messages,
                received.text_bytes = received.text.bytes,
                received.binary = received.binary.messages,
                received.binary_bytes = received.binary.bytes,
                received.ping = received.ping.messages,
                received.ping_bytes = received.ping.bytes,
                received.pong = received.pong.messages,
                received.pong_bytes = received.pong.bytes,
                received.close = received.close.messages,
                received.close_bytes = received.close.bytes,
                sent.text = sent.text.messages,
                sent.text_bytes = sent.text.bytes,
                sent.binary = sent.binary.messages,
                sent.binary_bytes = sent.binary.bytes,
                sent.ping = sent.ping.messages,
                sent.ping_bytes = sent.ping.bytes,
                sent.pong = sent.pong.messages,
                sent.pong_bytes = sent.pong.bytes,
                sent.close = sent.close.messages,
                sent.close_bytes = sent.close.bytes,
                "websocket closed"
            )
        };
    }
    // What a callback failed with is told nowhere else.
    if ended.failed { closed!(Level::WARN) } else { closed!(Level::INFO) }
}
