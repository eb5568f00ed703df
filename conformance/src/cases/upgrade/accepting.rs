//! Requests that become connections, and the 101: U1, U2, U4, L1, L3.

use websock_core::{Options, Subprotocol};

use crate::peer::{ACCEPT, Frame, KEY, Peer, Request, Response, TEXT, ask, frame};
use crate::referee::Referee;
use crate::server::Stage;
use crate::site::Site;

cases! {
    the_101_has_the_fields_of_the_rfc_and_no_others: U2,
    the_accept_key_is_that_of_the_key: U2,
    fields_are_lists_of_tokens_without_case: U1,
    fields_may_be_repeated: U1,
    upgrade_may_be_a_list: U1,
    a_length_of_zero_is_no_body: U1,
    the_query_and_other_fields_do_not_matter: U1,
    the_first_subprotocol_of_the_server_that_is_offered_is_chosen: U4,
    without_a_common_subprotocol_there_is_none: U4,
    the_referee_agrees_on_the_subprotocol: U4,
    extensions_that_are_offered_are_not_accepted: C1 U2,
    what_the_client_accepts_encoded_does_not_change_the_101: U2,
    names_of_fields_have_no_case: U1,
    spaces_around_values_do_not_matter: U1,
    several_extensions_none_of_which_is_known_leave_a_101_without: C1 U2,
    a_single_offered_subprotocol_is_chosen: U4,
    subprotocols_that_nobody_configured_are_passed_over: U4,
    an_empty_offer_of_subprotocols_is_none: U4,
    other_targets_are_other_routes: U7,
}

/// The request becomes a connection that echoes.
async fn expect_upgrade(server: &mut crate::server::Server, request: &Request) -> Response {
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

async fn the_101_has_the_fields_of_the_rfc_and_no_others(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr);
    let response = expect_upgrade(&mut server, &request).await;
    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!(response.tokens("connection"), ["upgrade"]);
    assert_eq!(response.field("upgrade"), Some("websocket"));
    assert_eq!(response.field("sec-websocket-accept"), Some(ACCEPT));
    // A server may date its responses and name itself; there is no body, no framing of one and no type.
    for (name, _) in &response.fields {
        let is_foreign = name.starts_with("content-")
            || name.starts_with("sec-websocket-") && name != "sec-websocket-accept"
            || ["transfer-encoding", "allow", "retry-after", "set-cookie"].contains(&&**name);
        assert!(!is_foreign, "{name} in {response:?}");
    }
    server.expect_nothing_more().await;
}

async fn the_accept_key_is_that_of_the_key(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn fields_are_lists_of_tokens_without_case(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn fields_may_be_repeated(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).with("Connection", "keep-alive").and("Connection", "Upgrade");
    expect_upgrade(&mut server, &request).await;
    for values in [["h2c", "websocket"], ["websocket", "h2c"]] {
        let request = Request::good(server.addr).with("Upgrade", values[0]).and("Upgrade", values[1]);
        expect_upgrade(&mut server, &request).await;
    }
}

async fn upgrade_may_be_a_list(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    for list in ["h2c, websocket", "WebSocket,h2c", "h2c ,\twebsocket, x/1"] {
        let request = Request::good(server.addr).with("Upgrade", list);
        expect_upgrade(&mut server, &request).await;
    }
}

async fn a_length_of_zero_is_no_body(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).with("Content-Length", "0");
    expect_upgrade(&mut server, &request).await;
}

async fn the_query_and_other_fields_do_not_matter(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr)
        .target("/ws?token=a%20b&x=/y")
        .with("User-Agent", "x")
        .with("Cookie", "a=b; name=Zo\u{eb}")
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
async fn chosen(stage: &Stage, offers: &[&str]) -> Option<String> {
    let mut server = stage.start(Site::echo().with_options(two_subprotocols())).await;
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

async fn the_first_subprotocol_of_the_server_that_is_offered_is_chosen(stage: &Stage) {
    assert_eq!(chosen(stage, &["chat.v1, chat.v2"]).await.as_deref(), Some("chat.v2"));
    assert_eq!(chosen(stage, &["chat.v1", "x,chat.v2"]).await.as_deref(), Some("chat.v2"));
    assert_eq!(chosen(stage, &["x, chat.v1"]).await.as_deref(), Some("chat.v1"));
}

async fn without_a_common_subprotocol_there_is_none(stage: &Stage) {
    assert_eq!(chosen(stage, &[]).await, None);
    // Tokens are compared whole, and with their case.
    assert_eq!(chosen(stage, &["x, chat, chat.v22, CHAT.V1"]).await, None);
}

async fn the_referee_agrees_on_the_subprotocol(stage: &Stage) {
    let mut server = stage.start(Site::echo().with_options(two_subprotocols())).await;
    let (mut referee, chosen) = Referee::offering(server.addr, "chat.v1, chat.v2").await;
    assert_eq!(chosen.as_deref(), Some("chat.v2"));
    assert_eq!(server.init().await.subprotocol(), Some("chat.v2"));
    referee.send("hello").await;
    assert_eq!(referee.next().await.into_text().unwrap(), "hello");
}

async fn extensions_that_are_offered_are_not_accepted(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr)
        .with("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let response = ask(server.addr, &request).await;
    assert_eq!(response.status, 101);
    assert_eq!(response.field("sec-websocket-extensions"), None);
}

async fn what_the_client_accepts_encoded_does_not_change_the_101(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).with("Accept-Encoding", "deflate, gzip, br");
    let response = expect_upgrade(&mut server, &request).await;
    assert_eq!((response.field("content-encoding"), response.field("vary")), (None, None));
}

async fn names_of_fields_have_no_case(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let addr = server.addr.to_string();
    for change in [str::to_ascii_uppercase, str::to_ascii_lowercase] {
        let mut request = Request::good(server.addr);
        for (name, value) in [
            ("Host", &*addr),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ] {
            request = request.with(&change(name), value);
        }
        let response = expect_upgrade(&mut server, &request).await;
        assert_eq!(response.field("sec-websocket-accept"), Some(ACCEPT));
    }
}

async fn spaces_around_values_do_not_matter(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr)
        .with("Sec-WebSocket-Key", format!("  {KEY} \t"))
        .with("Sec-WebSocket-Version", " 13 ")
        .with("Upgrade", "  websocket  ");
    let response = expect_upgrade(&mut server, &request).await;
    assert_eq!(response.field("sec-websocket-accept"), Some(ACCEPT));
}

async fn several_extensions_none_of_which_is_known_leave_a_101_without(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    for offer in ["x-unknown", "x-unknown; a=1, y-unknown; b", "permessage-bzip2", ";;,,", "\"quoted"] {
        let request = Request::good(server.addr).with("Sec-WebSocket-Extensions", offer);
        let response = expect_upgrade(&mut server, &request).await;
        assert_eq!(response.field("sec-websocket-extensions"), None, "{offer}");
    }
}

async fn a_single_offered_subprotocol_is_chosen(stage: &Stage) {
    assert_eq!(chosen(stage, &["chat.v1"]).await.as_deref(), Some("chat.v1"));
    assert_eq!(chosen(stage, &["chat.v2"]).await.as_deref(), Some("chat.v2"));
}

async fn subprotocols_that_nobody_configured_are_passed_over(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).with("Sec-WebSocket-Protocol", "chat.v1, chat.v2");
    let response = expect_upgrade(&mut server, &request).await;
    assert_eq!(response.field("sec-websocket-protocol"), None);
}

async fn an_empty_offer_of_subprotocols_is_none(stage: &Stage) {
    assert_eq!(chosen(stage, &[""]).await, None);
    assert_eq!(chosen(stage, &[",, ,"]).await, None);
    assert_eq!(chosen(stage, &["", "chat.v1"]).await.as_deref(), Some("chat.v1"));
}

async fn other_targets_are_other_routes(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    for target in ["/", "/ws/more", "/WS"] {
        assert_eq!(
            ask(server.addr, &Request::good(server.addr).target(target)).await.status,
            404,
            "{target}"
        );
        server.dropped().await;
    }
}
