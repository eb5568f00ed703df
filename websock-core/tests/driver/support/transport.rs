//! A transport that does what a test says, and keeps a log of what was done with it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, sleep_until};
use websock_core::Transport;
use websock_core::protocol::Protocol;

use super::wire::{ends_of_sent, names_of_sent};

/// A transport that does what its [`Stage`] says. As those of tokio, it makes a task wait that has done much at once.
pub(crate) struct Actor(Stage);

/// The test's hold on a transport.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Mutex<Scene>>);

struct Scene {
    inbound: VecDeque<Inbound>,
    /// How much one read gives, and one write takes, at most.
    read_size: usize,
    write_size: usize,
    /// How much writes still take before they have to wait.
    room: usize,
    writes_fail: bool,
    flush_waits: bool,
    shutdown_waits: bool,
    has_halves: bool,
    fault: Option<(usize, Fault)>,
    operations: usize,
    written: Vec<u8>,
    began: Instant,
    log: Vec<(String, Instant)>,
    /// How much was written by then.
    progress: Vec<(usize, Instant)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

enum Inbound {
    Bytes(VecDeque<u8>),
    Endless(Vec<u8>),
    End,
    Reset,
}

/// What goes wrong with a transport in the middle of its work, and stays so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Error,
    Stall,
    Panic,
}

/// A transport on which nothing has arrived, and that takes everything that is written.
pub(crate) fn transport() -> (Actor, Stage) {
    let stage = Stage(Arc::new(Mutex::new(Scene {
        inbound: VecDeque::new(),
        read_size: usize::MAX,
        write_size: usize::MAX,
        room: usize::MAX,
        writes_fail: false,
        flush_waits: false,
        shutdown_waits: false,
        has_halves: true,
        fault: None,
        operations: 0,
        written: Vec::new(),
        began: Instant::now(),
        log: Vec::new(),
        progress: Vec::new(),
        reader: None,
        writer: None,
    })));
    (Actor(stage.clone()), stage)
}

/// A transport that shows what came, in memory that it shares.
pub(crate) struct Sharing {
    actor: Actor,
    received: Bytes,
}

impl From<Actor> for Sharing {
    fn from(actor: Actor) -> Self {
        Sharing { actor, received: Bytes::new() }
    }
}

impl Transport for Sharing {
    fn poll_receive(&mut self, buffer: &mut impl BufMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.actor.poll_receive(buffer, cx)
    }

    fn received(&mut self) -> Option<&mut Bytes> {
        if self.received.is_empty() {
            let mut received = Vec::with_capacity(64 * 1024).limit(64 * 1024);
            let read = self.actor.poll_receive(&mut received, &mut Context::from_waker(Waker::noop()));
            self.received = received.into_inner().into();
            let Poll::Ready(Ok(1..)) = read else { return None };
        }
        Some(&mut self.received)
    }

    fn poll_transmit(&mut self, protocol: &mut Protocol, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.actor.poll_transmit(protocol, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Transport::poll_flush(&mut self.actor, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Transport::poll_shutdown(&mut self.actor, cx)
    }
}

impl Stage {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self, inbound: Inbound) {
        let mut scene = self.scene();
        scene.inbound.push_back(inbound);
        scene.reader.take().into_iter().for_each(Waker::wake);
    }

    /// These bytes arrive.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.arrive(Inbound::Bytes(bytes.as_ref().iter().copied().collect()));
    }

    /// These bytes arrive again and again: each read gives them once.
    pub(crate) fn send_for_ever(&self, bytes: Vec<u8>) {
        self.arrive(Inbound::Endless(bytes));
    }

    /// The peer ends its side.
    pub(crate) fn end(&self) {
        self.arrive(Inbound::End);
    }

    /// The connection is reset.
    pub(crate) fn reset(&self) {
        self.arrive(Inbound::Reset);
    }

    /// One read gives this much at most.
    pub(crate) fn read_size(&self, size: usize) {
        self.scene().read_size = size;
    }

    /// One write takes this much at most.
    pub(crate) fn write_size(&self, size: usize) {
        self.scene().write_size = size;
    }

    /// From now on writes take this much, and then have to wait.
    pub(crate) fn room(&self, bytes: usize) {
        let mut scene = self.scene();
        scene.room = bytes;
        scene.writer.take().into_iter().for_each(Waker::wake);
    }

    /// From now on writes fail.
    pub(crate) fn fail_writes(&self) {
        let mut scene = self.scene();
        scene.writes_fail = true;
        scene.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Whether flushing has to wait.
    pub(crate) fn flush_waits(&self, waits: bool) {
        let mut scene = self.scene();
        scene.flush_waits = waits;
        scene.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Whether shutting our side has to wait.
    pub(crate) fn shutdown_waits(&self, waits: bool) {
        let mut scene = self.scene();
        scene.shutdown_waits = waits;
        scene.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Our side cannot be shut without the whole.
    pub(crate) fn has_no_halves(&self) {
        self.scene().has_halves = false;
    }

    /// After so many operations this happens.
    pub(crate) fn fault_after(&self, operations: usize, fault: Fault) {
        self.scene().fault = Some((operations, fault));
    }

    /// How many operations there were.
    pub(crate) fn operations(&self) -> usize {
        self.scene().operations
    }

    /// What was written so far.
    pub(crate) fn written(&self) -> Vec<u8> {
        self.scene().written.clone()
    }

    /// How much was written so far.
    pub(crate) fn written_len(&self) -> usize {
        self.scene().written.len()
    }

    /// The frames that were written so far.
    pub(crate) fn frames(&self) -> Vec<String> {
        names_of_sent(&self.written())
    }

    /// The frames that were written so far, and when each was written whole, in milliseconds from the beginning.
    pub(crate) fn frames_at(&self) -> Vec<(u128, String)> {
        let scene = self.scene();
        let ends = ends_of_sent(&scene.written);
        let moment = |end| scene.progress.iter().find(|(written, _)| *written >= end).unwrap().1;
        ends.into_iter().map(|(end, name)| ((moment(end) - scene.began).as_millis(), name)).collect()
    }

    /// Waits for a moment, in milliseconds from the beginning.
    pub(crate) async fn at(&self, milliseconds: u64) {
        let moment = self.scene().began + Duration::from_millis(milliseconds);
        sleep_until(moment).await;
    }

    /// Writes something in the log.
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.scene().log.push((what.into(), Instant::now()));
    }

    /// What was done so far: `read 6`, `read end`, `write 4`, `write 20 in 2`, `shutdown`, `dropped`, and notes.
    pub(crate) fn log(&self) -> Vec<String> {
        self.scene().log.iter().map(|(what, _)| what.clone()).collect()
    }

    /// When something was first done.
    pub(crate) fn moment(&self, what: &str) -> Option<Instant> {
        self.scene().log.iter().find(|(done, _)| done == what).map(|(_, at)| *at)
    }

    /// How much was read so far.
    pub(crate) fn read_len(&self) -> usize {
        let log = self.log();
        log.iter().filter_map(|done| done.strip_prefix("read ")?.parse::<usize>().ok()).sum()
    }
}

impl Scene {
    /// Counts an operation; gives what it does instead, if it goes wrong.
    fn operate<T>(&mut self) -> Option<Poll<io::Result<T>>> {
        self.operations += 1;
        let (_, fault) = self.fault.filter(|(after, _)| self.operations > *after)?;
        match fault {
            Fault::Error => Some(Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))),
            Fault::Stall => Some(Poll::Pending),
            Fault::Panic => panic!("the transport panics"),
        }
    }

    fn did(&mut self, what: impl Into<String>) {
        self.log.push((what.into(), Instant::now()));
    }
}

impl AsyncRead for Actor {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let budget = ready!(poll_proceed(cx));
        let mut scene = self.0.scene();
        if let Some(fault) = scene.operate() {
            return fault;
        }
        let most = scene.read_size.min(buffer.remaining());
        let Some(inbound) = scene.inbound.front_mut() else {
            scene.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        budget.made_progress();
        match inbound {
            Inbound::Bytes(bytes) => {
                let count = most.min(bytes.len());
                buffer.put_slice(&bytes.drain(..count).collect::<Vec<_>>());
                if bytes.is_empty() {
                    scene.inbound.pop_front();
                }
                scene.did(format!("read {count}"));
                Poll::Ready(Ok(()))
            }
            Inbound::Endless(bytes) => {
                let count = most.min(bytes.len());
                buffer.put_slice(&bytes[..count]);
                scene.did(format!("read {count}"));
                Poll::Ready(Ok(()))
            }
            Inbound::End => {
                scene.did("read end");
                Poll::Ready(Ok(()))
            }
            Inbound::Reset => {
                scene.did("read reset");
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
        }
    }
}

impl AsyncWrite for Actor {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let budget = ready!(poll_proceed(cx));
        let mut scene = self.0.scene();
        if let Some(fault) = scene.operate() {
            return fault;
        }
        if scene.writes_fail {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let waiting: usize = slices.iter().map(|slice| slice.len()).sum();
        let count = waiting.min(scene.room).min(scene.write_size);
        if count == 0 {
            scene.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        budget.made_progress();
        if scene.room != usize::MAX {
            scene.room -= count;
        }
        scene.written.extend(slices.iter().flat_map(|slice| slice.iter()).take(count));
        let written = scene.written.len();
        scene.progress.push((written, Instant::now()));
        scene.did(match slices.len() {
            1 => format!("write {count}"),
            pieces => format!("write {count} in {pieces}"),
        });
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scene = self.0.scene();
        if let Some(fault) = scene.operate() {
            return fault;
        }
        if scene.flush_waits {
            scene.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scene = self.0.scene();
        if let Some(fault) = scene.operate() {
            return fault;
        }
        if scene.shutdown_waits {
            scene.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if !scene.has_halves {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        scene.did("shutdown");
        Poll::Ready(Ok(()))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}
