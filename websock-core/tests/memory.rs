//! Memory, by the bytes that are allocated (SPEC B5, B8, F6): in a program of its own, with an allocator that counts.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod counting;

use counting::live;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use websock_core::upgrade::{HttpVersion, negotiate};
use websock_core::{Bytes, HandleResult, Message, Options, Outcome, RequestHead, WebSock};

struct Echo;

impl WebSock for Echo {
    type Info = ();

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        Ok(Outcome::push(message))
    }
}

fn connect(options: &Options, on_the_way: usize) -> (DuplexStream, JoinHandle<()>) {
    let head = RequestHead::new(HttpVersion::Http11, "GET")
        .header("connection", b"upgrade")
        .header("upgrade", b"websocket")
        .header("sec-websocket-version", b"13")
        .header("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==");
    let (client, server) = tokio::io::duplex(on_the_way);
    let connection = negotiate(&head, options).unwrap().connection(Echo);
    (client, tokio::spawn(connection.run(server, Bytes::new())))
}

/// One binary message of at least 126 bytes there and back, masked with a key of zeros.
async fn echo(client: &mut DuplexStream, size: u16) {
    let mut frame = vec![0x82, 0x80 | 126];
    frame.extend(size.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(size), 7);
    let mut answer = vec![0; 4 + usize::from(size)];
    let (mut reader, mut writer) = tokio::io::split(client);
    let (written, read) = tokio::join!(writer.write_all(&frame), reader.read_exact(&mut answer));
    written.unwrap();
    read.unwrap();
}

/// Opens and closes so many connections, one after the other, each with a message.
async fn open_and_close(options: &Options, connections: usize) {
    for _ in 0..connections {
        let (mut client, running) = connect(options, 1024);
        echo(&mut client, 300).await;
        client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [0x88, 0]);
        drop(client);
        running.await.unwrap();
    }
}

/// The tests share the counter, so they are one.
#[tokio::test(flavor = "current_thread")]
async fn a_connection_gives_back_everything_and_an_idle_one_holds_no_buffer() {
    let options = Options::default();

    // B5: after many connections as much is live as after few.
    open_and_close(&options, 1_000).await;
    let few = live();
    open_and_close(&options, 9_000).await;
    let many = live();
    assert!((many - few).abs() <= 64 * 1024, "{few} bytes after 1000 connections, {many} after 10000");

    // B8: an idle connection holds after its traffic what it held before.
    // (The first message also fills the duplex itself, which then keeps its memory.)
    const IDLE: isize = 100;
    let before = live();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(connect(&options, 1024));
    }
    for (client, _) in &mut idle {
        echo(client, 3000).await;
    }
    let fresh = (live() - before) / IDLE;
    for (client, _) in &mut idle {
        echo(client, 60_000).await;
    }
    let used = (live() - before) / IDLE;
    println!("{fresh} bytes for an idle connection, {used} after a message of 60 000 bytes, duplex included");
    assert!((used - fresh).abs() <= 64, "{fresh} bytes before, {used} after");
    // The duplex has 1 KiB each way; a read buffer would be 64 KiB.
    assert!(fresh < 4 * 1024, "{fresh} bytes for an idle connection");
}
