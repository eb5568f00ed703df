//! The memory of compression, by the bytes that are allocated (SPEC C7): in a program of its own, with an allocator
//! that counts.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod counting;

use counting::live;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{Bytes, Deflate, HandleResult, Message, Options, Outcome, RequestHead, WebSock};

const KIB: isize = 1024;

struct Echo;

impl WebSock for Echo {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

type Client = (DuplexStream, JoinHandle<()>);

/// A connection that has echoed short messages, none of them compressed, which have filled the duplex.
async fn connect(options: &Options) -> Client {
    let head = RequestHead::new(HttpVersion::Http11, "GET")
        .header("connection", b"upgrade")
        .header("upgrade", b"websocket")
        .header("sec-websocket-version", b"13")
        .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-extensions", b"permessage-deflate");
    let (mut client, server) = tokio::io::duplex(1024);
    let connection = negotiate(&head, options).unwrap().connection(Echo);
    let running = tokio::spawn(connection.run(server, Bytes::new()));
    let frame = [&[0x82, 0x80 | 126][..], &500_u16.to_be_bytes(), &[0; 4], &[7; 500]].concat();
    client.write_all(&frame.repeat(10)).await.unwrap();
    client.read_exact(&mut [0; 10 * 504]).await.unwrap();
    (client, running)
}

async fn connect_many(options: &Options, count: isize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(connect(options).await);
    }
    clients
}

/// A compressed message there, in a stored block, and one back.
async fn echo_compressed(client: &mut DuplexStream) {
    let text = b"all work and no play makes a dull boy. ".repeat(50);
    let length = u16::try_from(text.len()).unwrap();
    let deflated = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &text, &[0]].concat();
    let length = u16::try_from(deflated.len()).unwrap();
    let frame = [&[0xc2, 0x80 | 126][..], &length.to_be_bytes(), &[0; 4], &deflated].concat();
    client.write_all(&frame).await.unwrap();
    let mut header = [0; 2];
    client.read_exact(&mut header).await.unwrap();
    assert!(header[0] == 0xc2 && header[1] < 126, "{header:x?}");
    client.read_exact(&mut vec![0; header[1].into()]).await.unwrap();
}

async fn close(clients: Vec<Client>) {
    for (mut client, running) in clients {
        client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
        drop(client);
        running.await.unwrap();
    }
}

/// Bytes by which each of so many connections has grown since.
fn grown(since: isize, connections: isize) -> isize {
    (live() - since) / connections
}

/// The tests share the counter, so they are one.
#[tokio::test(flavor = "current_thread")]
async fn memory_for_compression_is_taken_when_it_is_needed_and_kept_only_for_contexts() {
    const COUNT: isize = 50;
    let off = Options::default();
    let alone = Options::default().compress(true);
    let takeover = Deflate::default().server_context_takeover(true).client_context_takeover(true);
    let takeover = Options::default().deflate(takeover);
    // What a thread has from its first connection on.
    close(connect_many(&off, 10).await).await;

    // Agreed on, and not used: next to nothing.
    let before = live();
    let clients = connect_many(&off, COUNT).await;
    let without = grown(before, COUNT);
    close(clients).await;
    for options in [&alone, &takeover] {
        let before = live();
        let clients = connect_many(options, COUNT).await;
        let unused = grown(before, COUNT);
        assert!(unused - without < KIB, "{without} bytes without compression, {unused} where it is unused");
        close(clients).await;
    }

    // Used, and without contexts: what one connection needs is enough for all.
    let mut clients = connect_many(&alone, COUNT).await;
    let before = live();
    for _ in 0..3 {
        echo_compressed(&mut clients[0].0).await;
    }
    let of_the_thread = live() - before;
    println!("{} KiB for the connections of a thread", of_the_thread / KIB);
    assert!(of_the_thread < 1024 * KIB, "{of_the_thread} bytes of the thread");
    let before = live();
    for _ in 0..3 {
        for (client, _) in &mut clients[1..] {
            echo_compressed(client).await;
        }
    }
    let kept = grown(before, COUNT - 1);
    assert!(kept.abs() < 64, "each connection has kept {kept} bytes");
    close(clients).await;

    // With contexts: a connection's own from the first message on, and no more with those that follow.
    let before_all = live();
    let mut clients = connect_many(&takeover, COUNT).await;
    let before = live();
    for (client, _) in &mut clients {
        echo_compressed(client).await;
    }
    let first = grown(before, COUNT);
    println!("{} KiB for the contexts of a connection", first / KIB);
    assert!((64 * KIB..512 * KIB).contains(&first), "{first} bytes for the contexts");
    for (client, _) in &mut clients {
        for _ in 0..30 {
            echo_compressed(client).await;
        }
    }
    let later = grown(before, COUNT);
    assert!((later - first).abs() < KIB, "{first} bytes after a message, {later} after many");
    close(clients).await;
    let left = live() - before_all;
    assert!(left.abs() < 64 * KIB, "{left} bytes are left");
}
