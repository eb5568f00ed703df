//! A peer made by hand, and a handler that tells what is called on it. None of it shares code with the engine.

mod log;
mod transport;
mod wire;

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};
use websock_core::upgrade::{Accepted, HttpVersion, negotiate};
use websock_core::{
    Bytes, CloseReason, Control, Frames, HandleResult, Mailbox, Message, Options, Outcome, RequestHead,
    Socket, Transport, WebSock,
};

pub(crate) use log::Ear;
pub(crate) use transport::{Fault, Sharing, Stage, transport};
pub(crate) use wire::{close, frame, names_of_sent, ping, pong, text};
use wire::{name_of_sent, named, take_sent};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Waits until nothing on this runtime can go on: only then does the paused clock move.
pub(crate) async fn quiet() {
    sleep(Duration::from_millis(1)).await;
}

/// Lets the clock go on under a flood, in which no one ever waits, until something is done.
pub(crate) async fn clock_until(done: impl Fn() -> bool, step: Duration) -> Duration {
    let began = Instant::now();
    while !done() && began.elapsed() < 600 * SECOND {
        advance(step).await;
    }
    began.elapsed()
}

/// A good request, accepted; it offers compression.
pub(crate) fn accepted(options: &Options) -> Accepted {
    let head = RequestHead::new(HttpVersion::Http11, "GET")
        .header("connection", b"upgrade")
        .header("upgrade", b"websocket")
        .header("sec-websocket-version", b"13")
        .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", b"chat")
        .header("sec-websocket-extensions", b"permessage-deflate");
    negotiate(&head, options).unwrap()
}

/// A client's end of a connection.
pub(crate) struct Peer {
    pub(crate) io: DuplexStream,
    unread: Vec<u8>,
}

impl Peer {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next frame, or `end`.
    pub(crate) async fn next(&mut self) -> String {
        self.next_frame().await.map_or_else(|| "end".into(), name_of_sent)
    }

    /// The next frame's first byte and its payload.
    pub(crate) async fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = take_sent(&mut self.unread) {
                return Some(frame);
            }
            if self.io.read_buf(&mut self.unread).await.unwrap() == 0 {
                assert!(self.unread.is_empty(), "the stream ends inside of a frame");
                return None;
            }
        }
    }

    /// All frames that still come, to the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(frame) = self.next_frame().await {
            names.push(name_of_sent(frame));
        }
        names
    }

    /// The same, and then the end of the peer's own side.
    pub(crate) async fn rest_and_end(&mut self) -> Vec<String> {
        let rest = self.rest().await;
        self.io.shutdown().await.unwrap();
        rest
    }
}

/// What a script answers to a callback.
pub(crate) type Answer = Pin<Box<dyn Future<Output = HandleResult> + Send>>;

pub(crate) fn answer(outcome: Outcome) -> Answer {
    Box::pin(ready(Ok(outcome)))
}

pub(crate) fn go_on() -> Answer {
    answer(Outcome::none())
}

pub(crate) fn push(frames: impl Into<Frames>) -> Answer {
    answer(Outcome::push(frames))
}

pub(crate) fn never() -> Answer {
    Box::pin(pending())
}

/// Answers after some time.
pub(crate) fn slowly(delay: Duration, outcome: Outcome) -> Answer {
    Box::pin(async move {
        sleep(delay).await;
        Ok(outcome)
    })
}

/// Holds a callback until the test lets it go on.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<tokio::sync::Notify>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.notify_one();
    }

    /// Answers when the gate is opened; each opening lets one pass.
    pub(crate) fn then(&self, result: impl Into<Held>) -> Answer {
        let (gate, Held(result)) = (self.0.clone(), result.into());
        Box::pin(async move {
            gate.notified().await;
            result
        })
    }
}

/// What is answered behind a [`Gate`].
pub(crate) struct Held(HandleResult);

impl From<Outcome> for Held {
    fn from(outcome: Outcome) -> Self {
        Held(Ok(outcome))
    }
}

impl From<HandleResult> for Held {
    fn from(result: HandleResult) -> Self {
        Held(result)
    }
}

/// Tells each callback by name, and answers what its script says: `init`, `text hello`, `ping`, `info 7`,
/// `terminate Normal`. What a script answers to `terminate` is waited for and then ignored.
pub(crate) struct Probe {
    script: Box<dyn FnMut(&str) -> Answer + Send>,
    calls: UnboundedSender<(String, Instant)>,
    mailbox: UnboundedSender<Mailbox<u32>>,
}

impl Probe {
    fn called(&mut self, name: String) -> Answer {
        let _ = self.calls.send((name.clone(), Instant::now()));
        (self.script)(&name)
    }
}

impl WebSock for Probe {
    type Info = u32;

    fn init(&mut self, socket: Socket<u32>) -> impl Future<Output = HandleResult> + Send {
        let _ = self.mailbox.send(socket.mailbox().clone());
        self.called("init".into())
    }

    fn handle_in(&mut self, message: Message) -> impl Future<Output = HandleResult> + Send {
        let kind = match message {
            Message::Text(_) => "text",
            Message::Binary(_) => "binary",
            Message::UncheckedText(_) => "unchecked",
        };
        self.called(named(kind, message.as_bytes()))
    }

    fn handle_control(&mut self, control: Control) -> impl Future<Output = HandleResult> + Send {
        let kind = if matches!(control, Control::Ping(_)) { "ping" } else { "pong" };
        self.called(named(kind, control.payload()))
    }

    fn handle_info(&mut self, info: u32) -> impl Future<Output = HandleResult> + Send {
        self.called(format!("info {info}"))
    }

    fn terminate(mut self, reason: CloseReason) -> impl Future<Output = ()> + Send {
        let answer = self.called(format!("terminate {reason:?}"));
        async move {
            let _ = answer.await;
            drop(self);
        }
    }
}

/// The test's view of a running connection from the server's side.
pub(crate) struct Handler {
    calls: UnboundedReceiver<(String, Instant)>,
    mailboxes: UnboundedReceiver<Mailbox<u32>>,
    mailbox: Option<Mailbox<u32>>,
    began: Instant,
    pub(crate) task: JoinHandle<()>,
}

impl Handler {
    /// The next callback.
    pub(crate) async fn next(&mut self) -> String {
        self.next_at().await.0
    }

    /// The next callback, and when it was called, in milliseconds from the beginning.
    pub(crate) async fn next_at(&mut self) -> (String, u128) {
        let (name, at) = self.calls.recv().await.expect("one more callback");
        (name, (at - self.began).as_millis())
    }

    /// The callbacks so far that were not taken.
    pub(crate) fn so_far(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.calls.try_recv().ok()).map(|(name, _)| name).collect()
    }

    /// All callbacks to the handler's drop.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some((name, _)) = self.calls.recv().await {
            names.push(name);
        }
        names
    }

    pub(crate) async fn mailbox(&mut self) -> Mailbox<u32> {
        match &self.mailbox {
            Some(mailbox) => mailbox.clone(),
            None => self.mailbox.insert(self.mailboxes.recv().await.unwrap()).clone(),
        }
    }

    /// Milliseconds from the beginning.
    pub(crate) fn elapsed(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// When the connection is gone, in milliseconds from the beginning.
    pub(crate) async fn gone(&mut self) -> u128 {
        (&mut self.task).await.unwrap();
        self.elapsed()
    }
}

/// A connection over a pipe that holds 64 KiB each way.
pub(crate) fn connect(
    options: Options,
    script: impl FnMut(&str) -> Answer + Send + 'static,
) -> (Peer, Handler) {
    connect_within(64 * 1024, options, script)
}

/// A connection over a pipe that holds so many bytes each way.
pub(crate) fn connect_within(
    on_the_way: usize,
    options: Options,
    script: impl FnMut(&str) -> Answer + Send + 'static,
) -> (Peer, Handler) {
    let (io, server) = tokio::io::duplex(on_the_way);
    (Peer { io, unread: Vec::new() }, connect_over(server, options, script))
}

/// A connection over any transport.
pub(crate) fn connect_over(
    transport: impl Transport + Send + 'static,
    options: Options,
    script: impl FnMut(&str) -> Answer + Send + 'static,
) -> Handler {
    connect_with(transport, Bytes::new(), &options, script)
}

/// A connection whose request came together with the first bytes.
pub(crate) fn connect_with(
    transport: impl Transport + Send + 'static,
    received: Bytes,
    options: &Options,
    script: impl FnMut(&str) -> Answer + Send + 'static,
) -> Handler {
    let (calls, calls_receiver) = unbounded_channel();
    let (mailbox, mailboxes) = unbounded_channel();
    let probe = Probe { script: Box::new(script), calls, mailbox };
    let task = tokio::spawn(accepted(options).connection(probe).run(transport, received));
    Handler { calls: calls_receiver, mailboxes, mailbox: None, began: Instant::now(), task }
}
