//! Requests that become connections, and the 101: U1, U2, U4, L1, L3.

use websock_hyper::{Options, Outcome, Subprotocol};

use crate::peer::{ACCEPT, Frame, KEY, Peer, Request, Response, TEXT, ask, frame};
use crate::referee::Referee;
use crate::site::{Host, Site};

on_every_host! {
    the_101_has_the_fields_of_the_rfc_and_no_others,
    the_accept_key_is_that_of_the_key,
    nothing_that_init_pushes_precedes_the_101,
    fields_are_lists_of_tokens_without_case,
    fields_may_be_repeated,
    a_length_of_zero_is_no_body,
    the_query_and_other_fields_do_not_matter,
    the_first_subprotocol_of_the_server_that_is_offered_is_chosen,
    without_a_common_subprotocol_there_is_none,
    the_referee_agrees_on_the_subprotocol,
    extensions_that_are_offered_are_not_accepted,
}

/// The request becomes a connection that echoes.
async fn expect_upgrade(server: &mut crate::site::Server, request: &Request) -> Response {
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&request.bytes()).await;
    let response = peer.response().await;
    assert_eq!(response.status, 101, "{request:?}: {response:?}");
    server.init().await;
    peer.send(frame(TEXT, "are you there?")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "are you there?"), "{request:?}");
    server.message().await;
    peer.send(crate::peer::close(1000, "")).await;
    peer.close_frame().await;
    server.terminated().await;
    response
}

async fn the_101_has_the_fields_of_the_rfc_and_no_others(host: Host) {
    let mut server = host.start(Site::echo());
    let request = Request::good(server.addr);
    let response = expect_upgrade(&mut server, &request).await;
    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!(response.tokens("connection"), ["upgrade"]);
    assert_eq!(response.field("upgrade"), Some("websocket"));
    assert_eq!(response.field("sec-websocket-accept"), Some(ACCEPT));
    // A server may date its responses; there is no body, no framing of one and no type.
    let own = ["connection", "upgrade", "sec-websocket-accept", "date"];
    assert!(response.fields.iter().all(|(name, _)| own.contains(&&**name)), "{response:?}");
    server.expect_nothing_more().await;
}

async fn the_accept_key_is_that_of_the_key(host: Host) {
    let mut server = host.start(Site::echo());
    // Computed with Python's hashlib. The second has bits behind its last byte (RFC 6455 §4.1).
    for (key, accept) in [
        (KEY, ACCEPT),
        ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
        ("//////////////////////==", "zXRQvy1wi5A4l0hwWYxMN3e2wNk="),
    ] {
        let request = Request::good(server.addr).with("Sec-WebSocket-Key", key);
        let response = expect_upgrade(&mut server, &request).await;
        assert_eq!(response.field("sec-websocket-accept"), Some(accept), "{key}");
    }
}

async fn nothing_that_init_pushes_precedes_the_101(host: Host) {
    let server = host.start(Site::echo().on_init(async |_| Ok(Outcome::push(["first", "second"]))));
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).bytes()).await;
    assert_eq!(peer.reader.take(12).await, b"HTTP/1.1 101");
    while !peer.reader.take(1).await.ends_with(b"\r") || peer.reader.take(3).await != b"\n\r\n" {}
    assert_eq!(peer.frame().await, Frame::new(TEXT, "first"));
    assert_eq!(peer.frame().await, Frame::new(TEXT, "second"));
}

async fn fields_are_lists_of_tokens_without_case(host: Host) {
    let mut server = host.start(Site::echo());
    for (connection, upgrade) in [
        ("upgrade", "websocket"),
        ("UPGRADE", "WebSocket"),
        ("keep-alive, Upgrade", "websocket"),
        ("Upgrade,keep-alive", "WEBSOCKET"),
        ("x ,\tupgrade\t, y", "websocket"),
        (", upgrade,", "websocket"),
        ("close, upgrade", "websocket"),
    ] {
        let request = Request::good(server.addr).with("CONNECTION", connection).with("uPGRADE", upgrade);
        let response = expect_upgrade(&mut server, &request).await;
        assert_eq!(response.field("sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(response.tokens("upgrade"), ["websocket"]);
        assert!(response.tokens("connection").contains(&"upgrade".into()), "{response:?}");
    }
}

async fn fields_may_be_repeated(host: Host) {
    let mut server = host.start(Site::echo());
    let request = Request::good(server.addr).with("Connection", "keep-alive").and("Connection", "Upgrade");
    expect_upgrade(&mut server, &request).await;
}

async fn a_length_of_zero_is_no_body(host: Host) {
    let mut server = host.start(Site::echo());
    let request = Request::good(server.addr).with("Content-Length", "0");
    expect_upgrade(&mut server, &request).await;
}

async fn the_query_and_other_fields_do_not_matter(host: Host) {
    let mut server = host.start(Site::echo());
    let request = Request::good(server.addr)
        .target("/ws?token=a%20b&x=/y")
        .with("User-Agent", "x")
        .with("Cookie", "a=b")
        .with("Pragma", "no-cache")
        .with("Accept", "*/*")
        .with("X-Long", "y".repeat(4000));
    expect_upgrade(&mut server, &request).await;
}

fn two_subprotocols() -> Options {
    const V2: Subprotocol = Subprotocol::new("chat.v2").unwrap();
    const V1: Subprotocol = Subprotocol::new("chat.v1").unwrap();
    Options::default().subprotocols([V2, V1])
}

/// What is chosen for these fields, on the wire; the handler must see the same.
async fn chosen(host: Host, offers: &[&str]) -> Option<String> {
    let mut server = host.start(Site::echo().options(two_subprotocols()));
    let mut request = Request::good(server.addr);
    for offer in offers {
        request = request.and("Sec-WebSocket-Protocol", *offer);
    }
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&request.bytes()).await;
    let response = peer.response().await;
    assert_eq!(response.status, 101);
    let chosen = response.field("sec-websocket-protocol").map(str::to_owned);
    assert_eq!(server.init().await.subprotocol(), chosen.as_deref());
    chosen
}

async fn the_first_subprotocol_of_the_server_that_is_offered_is_chosen(host: Host) {
    assert_eq!(chosen(host, &["chat.v1, chat.v2"]).await.as_deref(), Some("chat.v2"));
    assert_eq!(chosen(host, &["chat.v1", "x,chat.v2"]).await.as_deref(), Some("chat.v2"));
    assert_eq!(chosen(host, &["x, chat.v1"]).await.as_deref(), Some("chat.v1"));
}

async fn without_a_common_subprotocol_there_is_none(host: Host) {
    assert_eq!(chosen(host, &[]).await, None);
    // Tokens are compared whole, and with their case.
    assert_eq!(chosen(host, &["x, chat, chat.v22, CHAT.V1"]).await, None);
}

async fn the_referee_agrees_on_the_subprotocol(host: Host) {
    let mut server = host.start(Site::echo().options(two_subprotocols()));
    let (mut referee, chosen) = Referee::offering(server.addr, "chat.v1, chat.v2").await;
    assert_eq!(chosen.as_deref(), Some("chat.v2"));
    assert_eq!(server.init().await.subprotocol(), Some("chat.v2"));
    referee.send("hello").await;
    assert_eq!(referee.next().await.into_text().unwrap(), "hello");
}

async fn extensions_that_are_offered_are_not_accepted(host: Host) {
    let server = host.start(Site::echo());
    let request = Request::good(server.addr)
        .with("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let response = ask(server.addr, &request).await;
    assert_eq!(response.status, 101);
    assert_eq!(response.field("sec-websocket-extensions"), None);
}
