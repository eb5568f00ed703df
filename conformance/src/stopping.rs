//! What becomes of a WebSocket connection when its server is told to stop: two scripts for an adapter's
//! `tests/shutdown.rs`.
//!
//! No rule says how a server stops, and no server's own graceful shutdown closes WebSocket connections. An adapter's
//! docs show the lines that join a [`Drain`](websock_core::Drain) to it; these scripts prove those lines, and that
//! they are needed.
//!
//! A script runs `serve`, which is like a program's `main`: it serves until it is told to stop, and when it returns,
//! its runtime is gone. So `#[tokio::main]` may stand above it.
//!
//! ```no_run
//! use std::net::TcpListener;
//!
//! use websock_conformance::stopping::{self, Echo, ToldToStop};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn serve(listener: TcpListener, echo: Echo, told_to_stop: ToldToStop) {
//!     // what the docs show, with `echo.clone()` as the handler of each request to `/ws`
//! #   let _ = (listener, echo, told_to_stop);
//! }
//!
//! # async fn test() {
//! stopping::expect_closed(serve).await;
//! # }
//! ```

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use websock_core::{CloseReason, HandleResult, Message, Outcome, WebSock};

use crate::host::listener;
use crate::peer::{CLOSE, Frame, Peer, Request, TEXT, ask, frame, soon};

/// How soon a server ends whose peers answer a Close. What the docs show gives them ten seconds.
const SOON: Duration = Duration::from_secs(5);

/// A handler that sends back what it gets, and tells the script how it ended.
#[derive(Clone, Debug)]
pub struct Echo(UnboundedSender<CloseReason>);

impl WebSock for Echo {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }

    async fn terminate(self, reason: CloseReason) {
        let _ = self.0.send(reason);
    }
}

/// Resolves when the server is told to stop, in place of a signal.
#[derive(Debug)]
pub struct ToldToStop(oneshot::Receiver<()>);

impl Future for ToldToStop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Where the script has failed, too.
        let _ = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(())
    }
}

/// The server closes its connections: the peer gets a Close with 1001, new upgrades a 503 meanwhile, the handler
/// `terminate(Shutdown)`, and then the server ends, soon, and listens no more.
///
/// # Panics
/// Where it does not.
pub async fn expect_closed(serve: impl FnOnce(TcpListener, Echo, ToldToStop) + Send + 'static) {
    let mut serving = Serving::start(serve);
    let mut peer = serving.peer().await;
    let told = serving.tell();
    assert_eq!(peer.close_frame().await, (Some(1001), String::new()));
    // The peer has not answered yet, so the drain still waits.
    assert_eq!(ask(serving.addr, &Request::good(serving.addr)).await.status, 503);
    peer.send(frame(CLOSE, 1001u16.to_be_bytes())).await;
    peer.end().await;
    drop(peer); // and so ends its side, too
    let reason = soon("terminate", serving.reasons.recv()).await;
    assert!(matches!(reason, Some(CloseReason::Shutdown)), "terminate got {reason:?}");
    serving.end().await;
    assert!(told.elapsed() < SOON, "it took {:?}", told.elapsed());
}

/// The server ends and closes none: the peer reads the end of the connection without a Close, and `terminate` does not
/// run.
///
/// # Panics
/// Where that is not so: then the server needs no drain, or another one.
pub async fn expect_forgotten(serve: impl FnOnce(TcpListener, Echo, ToldToStop) + Send + 'static) {
    let mut serving = Serving::start(serve);
    let mut peer = serving.peer().await;
    serving.tell();
    assert_eq!(peer.reader.rest().await, b"", "the peer was told something");
    serving.end().await;
    let reason = soon("the handler's end", serving.reasons.recv()).await;
    assert!(reason.is_none(), "terminate got {reason:?}");
}

/// A server on a thread of its own.
struct Serving {
    addr: SocketAddr,
    tell: Option<oneshot::Sender<()>>,
    reasons: UnboundedReceiver<CloseReason>,
    ended: oneshot::Receiver<()>,
}

impl Serving {
    fn start(serve: impl FnOnce(TcpListener, Echo, ToldToStop) + Send + 'static) -> Self {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let (tell, told) = oneshot::channel();
        let (reasons_in, reasons) = unbounded_channel();
        let (ends, ended) = oneshot::channel();
        std::thread::spawn(move || {
            serve(listener, Echo(reasons_in), ToldToStop(told));
            let _ = ends.send(());
        });
        Serving { addr, tell: Some(tell), reasons, ended }
    }

    /// A peer whose connection is seen to work.
    async fn peer(&self) -> Peer {
        let mut peer = Peer::upgraded(self.addr).await;
        peer.send(frame(TEXT, "hello")).await;
        assert_eq!(peer.frame().await, Frame::new(TEXT, "hello"));
        peer
    }

    /// Tells the server to stop, and gives the time.
    fn tell(&mut self) -> Instant {
        self.tell.take().unwrap().send(()).unwrap();
        Instant::now()
    }

    /// The server ends, and nobody listens any more.
    async fn end(&mut self) {
        soon("the server's end", &mut self.ended).await.expect("it panicked");
        let refused = tokio::net::TcpStream::connect(self.addr).await;
        assert!(refused.is_err(), "somebody still listens");
    }
}
