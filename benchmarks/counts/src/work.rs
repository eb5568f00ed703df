//! The scenarios: messages that come back, through the engine alone and through the driver.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use websock_core::protocol::Protocol;
use websock_core::upgrade::{Accepted, HttpVersion, negotiate};
use websock_core::{
    Bytes, HandleResult, Mailbox, Message, Options, Outcome, Prepared, RequestHead, Socket, WebSock,
};

/// What is counted.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// How many messages are few.
    pub(crate) messages: usize,
    pub(crate) run: fn(usize),
}

pub(crate) const WORKS: &[Work] = &[
    Work { name: "engine-20-x32", messages: 3200, run: |count| engine(binary(20), 32, count) },
    Work { name: "engine-20-x1", messages: 3000, run: |count| engine(binary(20), 1, count) },
    Work { name: "engine-125-text-x32", messages: 3200, run: |count| engine(text(125), 32, count) },
    Work { name: "engine-1k-text-x8", messages: 1600, run: |count| engine(text(1024), 8, count) },
    Work { name: "engine-1k-utf8-x8", messages: 1600, run: |count| engine(utf8(1024), 8, count) },
    Work { name: "engine-16k-x4", messages: 400, run: |count| engine(binary(16 * 1024), 4, count) },
    Work { name: "engine-256k-x1", messages: 40, run: |count| engine(binary(256 * 1024), 1, count) },
    Work { name: "driver-20-x32", messages: 3200, run: |count| driver(binary(20), 32, count) },
    Work { name: "driver-125-text-x32", messages: 3200, run: |count| driver(text(125), 32, count) },
    Work { name: "driver-20-x1", messages: 3000, run: |count| driver(binary(20), 1, count) },
    Work { name: "driver-info-x1", messages: 3000, run: informed },
    Work { name: "driver-1k-text-x8", messages: 1600, run: |count| driver(text(1024), 8, count) },
    Work { name: "driver-16k-x4", messages: 400, run: |count| driver(binary(16 * 1024), 4, count) },
];

/// How much is read at once.
const READ: usize = 64 * 1024;

/// A message that a client sends.
struct Sending {
    opcode: u8,
    payload: Vec<u8>,
}

fn binary(size: usize) -> Sending {
    Sending { opcode: 2, payload: vec![7; size] }
}

fn text(size: usize) -> Sending {
    Sending { opcode: 1, payload: vec![b'a'; size] }
}

fn utf8(size: usize) -> Sending {
    Sending { opcode: 1, payload: "éж漢🚀a".bytes().cycle().take(size / 12 * 12).collect() }
}

impl Sending {
    /// The same frame so many times.
    fn frames(&self, count: usize) -> Vec<u8> {
        let length = self.payload.len().to_be_bytes();
        let mut frame = vec![0x80 | self.opcode];
        match self.payload.len() {
            0..=125 => frame.push(0x80 | length[7]),
            126..=0xffff => frame.extend([0x80 | 126, length[6], length[7]]),
            _ => frame.extend([&[0x80 | 127], &length[..]].concat()),
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame.repeat(count)
    }
}

/// The engine, driven as a driver does it, with `together` messages at a time.
fn engine(sending: Sending, together: usize, count: usize) {
    let batch = sending.frames(together);
    let now = Instant::now();
    let mut engine = Protocol::new(&Options::default(), now);
    let mut buffer = Vec::with_capacity(READ);
    let mut echoed = 0;
    for _ in 0..count / together {
        for read in batch.chunks(READ) {
            buffer.clear();
            buffer.extend_from_slice(read);
            engine.receive(&mut buffer, now);
            loop {
                let message = engine.poll_message().or_else(|| match engine.poll_event() {
                    Some(websock_core::protocol::Event::Message(message)) => Some(message),
                    _ => None,
                });
                let Some(message) = message else { break };
                echoed += 1;
                engine.send(message.into());
            }
            engine.reclaim(&mut buffer);
        }
        engine.transmitted(engine.unsent());
    }
    assert_eq!(echoed, count);
}

struct Echo;

impl WebSock for Echo {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

/// A peer that sends a batch, waits until the driver does, and sends the next.
struct Peer {
    batch: Vec<u8>,
    at: usize,
    batches: usize,
    written: usize,
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let peer = &mut *self;
        if peer.at == peer.batch.len() {
            peer.at = 0;
            peer.batches -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if peer.batches > 0 {
            let count = buffer.remaining().min(peer.batch.len() - peer.at);
            buffer.put_slice(&peer.batch[peer.at..peer.at + count]);
            peer.at += count;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = slices.iter().map(|slice| slice.len()).sum();
        self.written += count;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        assert_eq!(self.batches, 0);
        assert!(self.written > 0);
    }
}

/// A connection from its 101 to its end, with `together` messages at a time.
fn driver(sending: Sending, together: usize, count: usize) {
    let peer = Peer { batch: sending.frames(together), at: 0, batches: count / together, written: 0 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without a driver of its own always starts");
    runtime.block_on(async {
        let served = tokio::spawn(accepted().connection(Echo).run(peer, Bytes::new()));
        served.await.expect("the connection does not panic");
    });
}

/// A subscriber: what comes by the mailbox goes out.
struct Subscriber(Option<oneshot::Sender<Mailbox<Prepared>>>);

impl WebSock for Subscriber {
    type Info = Prepared;

    async fn init(&mut self, socket: Socket<Prepared>) -> HandleResult {
        if let Some(subscribed) = self.0.take() {
            subscribed.send(socket.mailbox().clone()).ok();
        }
        Ok(Outcome::none())
    }

    async fn handle_in(&mut self, _: Message) -> HandleResult {
        Ok(Outcome::none())
    }

    async fn handle_info(&mut self, frame: Prepared) -> HandleResult {
        Ok(Outcome::push(frame))
    }
}

/// A peer that only reads, until it has so many frames.
struct Reader {
    frames: usize,
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.frames == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for Reader {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert_eq!(bytes.len(), 66);
        self.frames -= 1;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Lets the other task run, and the runtime do nothing else.
async fn pass() {
    let mut passed = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A connection that is woken by its mailbox for each message of 64 B, and sends it.
fn informed(count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime without a driver of its own always starts");
    let frame = Prepared::binary([7; 64]);
    runtime.block_on(async {
        let (subscribe, subscribed) = oneshot::channel();
        let connection = accepted().connection(Subscriber(Some(subscribe)));
        let served = tokio::spawn(connection.run(Reader { frames: count }, Bytes::new()));
        let publish = async move {
            let mailbox = subscribed.await.expect("the connection lives");
            for _ in 0..count {
                mailbox.try_send(frame.clone()).expect("there is room");
                pass().await;
            }
        };
        tokio::spawn(publish).await.expect("nobody panics");
        served.await.expect("the connection does not panic");
    });
}

fn accepted() -> Accepted {
    let head = RequestHead::new(HttpVersion::Http11, "GET")
        .header("connection", b"upgrade")
        .header("upgrade", b"websocket")
        .header("sec-websocket-version", b"13")
        .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==");
    negotiate(&head, &Options::default()).expect("it is a good request")
}
