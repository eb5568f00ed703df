//! Fan-out: what one connection sends goes to all the others.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use websock_core::{HandleResult, Mailbox, Message, Outcome, Prepared, Socket, WebSock};

use super::ours;

/// How many messages may wait for a socket.
const CHANNEL: usize = 64;

/// The connections, each with its number.
type Members<T> = Arc<Mutex<Vec<(usize, T)>>>;

fn lock<T>(members: &Mutex<T>) -> MutexGuard<'_, T> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a connection, and gives its number.
fn join<T>(members: &Members<T>, connection: T) -> usize {
    let mut members = lock(members);
    let number = members.len();
    members.push((number, connection));
    number
}

/// Gives a message to all the connections but one. Where one takes none, it shows as a message that never comes; who has
/// left is nobody's loss.
fn publish<T>(members: &Members<T>, own: usize, give: impl Fn(&T)) {
    for (number, connection) in lock(members).iter() {
        if *number != own {
            give(connection);
        }
    }
}

/// All the connections of a server.
#[derive(Clone, Default)]
pub(super) struct Hub(Members<Mailbox<Prepared>>);

/// One of them.
pub(super) struct Subscriber {
    hub: Hub,
    number: usize,
}

impl Subscriber {
    pub(super) fn new(hub: Hub) -> Self {
        Subscriber { hub, number: usize::MAX }
    }
}

impl WebSock for Subscriber {
    type Info = Prepared;

    async fn init(&mut self, socket: Socket<Prepared>) -> HandleResult {
        self.number = join(&self.hub.0, socket.mailbox().clone());
        Ok(Outcome::none())
    }

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        let frame = Prepared::binary(message.into_bytes());
        publish(&self.hub.0, self.number, |mailbox| drop(mailbox.try_send(frame.clone())));
        Ok(Outcome::none())
    }

    async fn handle_info(&mut self, frame: Prepared) -> HandleResult {
        Ok(Outcome::push(frame))
    }
}

pub(super) fn hyper(listener: TcpListener, workers: usize) -> io::Result<()> {
    let hub = Hub::default();
    ours::hyper(listener, workers, ours::options(), move || Subscriber::new(hub.clone()))
}

pub(super) fn axum(listener: TcpListener, workers: usize) -> io::Result<()> {
    let hub = Hub::default();
    ours::axum(listener, workers, move || Subscriber::new(hub.clone()))
}

pub(super) fn warp(listener: TcpListener, workers: usize) -> io::Result<()> {
    let hub = Hub::default();
    ours::warp(listener, workers, move || Subscriber::new(hub.clone()))
}

/// What is read from one socket is written to all the others.
pub(super) fn bare(listener: TcpListener, workers: usize) -> io::Result<()> {
    let members = Members::<OwnedWriteHalf>::default();
    super::accept(listener, workers, move |stream| {
        let members = members.clone();
        async move { pass_on(stream, &members).await.unwrap_or_default() }
    })
}

/// The same with a task for each socket, as servers have it: it reads, and writes what comes through its channel.
pub(super) fn tasks(listener: TcpListener, workers: usize) -> io::Result<()> {
    let members = Members::<mpsc::Sender<Bytes>>::default();
    super::accept(listener, workers, move |stream| {
        let members = members.clone();
        async move { subscribe(stream, &members).await.unwrap_or_default() }
    })
}

async fn subscribe(mut stream: TcpStream, members: &Members<mpsc::Sender<Bytes>>) -> io::Result<()> {
    let (sender, mut messages) = mpsc::channel(CHANNEL);
    let own = join(members, sender);
    let mut buffer = [0; 4096];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let message = Bytes::copy_from_slice(&buffer[..read]);
                publish(members, own, |sender| drop(sender.try_send(message.clone())));
            }
            Some(message) = messages.recv() => stream.write_all(&message).await?,
        }
    }
}

async fn pass_on(stream: TcpStream, members: &Members<OwnedWriteHalf>) -> io::Result<()> {
    let (mut from, to) = stream.into_split();
    let own = join(members, to);
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let message = Bytes::copy_from_slice(&buffer[..read]);
        // So few bytes are on their way that the socket takes them all.
        publish(members, own, |to| drop(to.try_write(&message)));
    }
}
