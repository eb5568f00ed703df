//! Requests that become no connection: U3, row by row, and L9.

use std::time::Duration;

use websock_core::{Drain, Drained, Options, Shutdown};

use crate::peer::{KEY, Peer, Request, Response, TEXT, ask, frame};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    other_methods_than_get_are_not_allowed: U3,
    http_1_0_is_asked_to_upgrade: U3,
    a_request_without_connection_upgrade_is_asked_to_upgrade: U1 U3,
    a_request_without_upgrade_websocket_is_asked_to_upgrade: U1 U3,
    a_request_with_a_body_is_bad: U1 U3,
    another_version_is_told_which_is_spoken: U1 U3,
    a_key_that_is_not_one_of_sixteen_bytes_is_bad: U1 U3,
    a_foreign_origin_is_forbidden: U3 U5,
    a_draining_server_says_when_to_come_back: U3 S2,
    a_transport_that_is_taken_is_a_server_error: U3,
    the_first_defect_of_the_table_is_told: U3,
    a_refused_peer_may_try_again: U3 L9,
    a_request_that_asks_to_close_is_refused_all_the_same: U3,
    what_a_request_says_is_quoted_on_one_line: U3,
    the_drafts_before_the_rfc_are_refused: U3,
    a_plain_request_to_the_route_is_no_connection: U3 U7,
    an_options_request_is_told_what_is_allowed: U3 U7,
    a_refusal_has_no_field_of_a_101: U3,
    a_request_that_is_refused_may_carry_early_frames: U3 L9,
}

/// What the rows of U3 have in common: a line of plain text, and a handler that nobody touched. The fields are the
/// row's, and what the server says in any response.
async fn expect_refusal(
    server: &mut Server,
    request: &Request,
    status: u16,
    fields: &[(&str, &str)],
) -> Response {
    let response = ask(server.addr, request).await;
    check_refusal(&response, status, fields);
    let line = response.body.strip_suffix('\n');
    let line = line.unwrap_or_else(|| panic!("{request:?}: no line of text in {response:?}"));
    assert!(!line.is_empty() && !line.contains(['\n', '\r']), "{request:?}: {line:?}");
    server.dropped().await;
    response
}

fn check_refusal(response: &Response, status: u16, fields: &[(&str, &str)]) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
    for (name, value) in fields {
        assert!(response.tokens(name).contains(&(*value).to_ascii_lowercase()), "{name} in {response:?}");
    }
    for (name, _) in &response.fields {
        let of_other_rows = ["allow", "upgrade", "retry-after", "set-cookie"].contains(&&**name);
        let is_foreign = of_other_rows || name.starts_with("sec-websocket-");
        assert!(!is_foreign || fields.iter().any(|field| field.0 == name), "{name} in {response:?}");
    }
    if !fields.iter().any(|(name, _)| *name == "connection") {
        assert!(!response.tokens("connection").contains(&"upgrade".into()), "{response:?}");
    }
}

const UPGRADE: [(&str, &str); 2] = [("upgrade", "websocket"), ("connection", "upgrade")];
const VERSION: [(&str, &str); 3] =
    [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")];

async fn other_methods_than_get_are_not_allowed(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW", "get"] {
        let request = Request::good(server.addr).method(method);
        let response = expect_refusal(&mut server, &request, 405, &[("allow", "GET")]).await;
        assert!(response.body.contains(method), "{response:?}");
    }
    // The answer to HEAD is the same without its body.
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).method("HEAD").with("Connection", "close, upgrade").bytes()).await;
    let response = peer.response_without_body().await;
    check_refusal(&response, 405, &[("allow", "GET")]);
    peer.end().await;
    server.dropped().await;
    server.expect_nothing_more().await;
}

async fn http_1_0_is_asked_to_upgrade(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).version("HTTP/1.0");
    let response = expect_refusal(&mut server, &request, 426, &UPGRADE).await;
    assert!(
        response.body.contains("HTTP/1.1") && response.body.contains("proxy_http_version"),
        "{response:?}"
    );
    let request = request.with("Connection", "keep-alive, upgrade");
    expect_refusal(&mut server, &request, 426, &UPGRADE).await;
    let request = request.without("Connection").without("Upgrade");
    expect_refusal(&mut server, &request, 426, &UPGRADE).await;
    server.expect_nothing_more().await;
}

async fn a_request_without_connection_upgrade_is_asked_to_upgrade(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr);
    let plain = good.clone().without("Connection");
    let response = expect_refusal(&mut server, &plain, 426, &UPGRADE).await;
    assert!(response.body.contains("`Connection: Upgrade`"), "{response:?}");
    for value in
        ["not-upgrade", "upgrade-not", "upgrades", "keep-alive", "\"upgrade\"", "upgrade;q=1", "up grade", ""]
    {
        expect_refusal(&mut server, &good.clone().with("Connection", value), 426, &UPGRADE).await;
    }
    server.expect_nothing_more().await;
}

async fn a_request_without_upgrade_websocket_is_asked_to_upgrade(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr);
    let response = expect_refusal(&mut server, &good.clone().without("Upgrade"), 426, &UPGRADE).await;
    assert!(response.body.contains("`Upgrade: websocket`"), "{response:?}");
    for value in ["h2c", "websockets", "not-websocket", "websocket/13", "web socket", ""] {
        expect_refusal(&mut server, &good.clone().with("Upgrade", value), 426, &UPGRADE).await;
    }
    server.expect_nothing_more().await;
}

async fn a_request_with_a_body_is_bad(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr);
    for (name, value) in
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Content-Length", "100000000")]
    {
        let response = expect_refusal(&mut server, &good.clone().with(name, value), 400, &[]).await;
        assert!(response.body.contains("body"), "{response:?}");
    }
    server.expect_nothing_more().await;
}

async fn another_version_is_told_which_is_spoken(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr);
    let missing = good.clone().without("Sec-WebSocket-Version");
    expect_refusal(&mut server, &missing, 426, &VERSION).await;
    for value in ["8", "12", "14", "013", "13, 8", "13;", "x", ""] {
        let request = good.clone().with("Sec-WebSocket-Version", value);
        expect_refusal(&mut server, &request, 426, &VERSION).await;
    }
    let twice = good.and("Sec-WebSocket-Version", "13");
    expect_refusal(&mut server, &twice, 426, &VERSION).await;
    server.expect_nothing_more().await;
}

async fn a_key_that_is_not_one_of_sixteen_bytes_is_bad(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr);
    let missing = good.clone().without("Sec-WebSocket-Key");
    expect_refusal(&mut server, &missing, 400, &[]).await;
    let long = format!("{KEY}{KEY}");
    for value in [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZSEh",
        "dGhl IHNhbXBsZSBub25jZQ==",
        &long,
    ] {
        let request = good.clone().with("Sec-WebSocket-Key", value);
        let response = expect_refusal(&mut server, &request, 400, &[]).await;
        assert!(response.body.contains("Sec-WebSocket-Key"), "{response:?}");
    }
    let twice = good.and("Sec-WebSocket-Key", KEY);
    let response = expect_refusal(&mut server, &twice, 400, &[]).await;
    assert!(response.body.contains("more than one"), "{response:?}");
    server.expect_nothing_more().await;
}

async fn a_foreign_origin_is_forbidden(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).with("Origin", "https://evil.example");
    let response = expect_refusal(&mut server, &request, 403, &[]).await;
    for told in ["https://evil.example", &server.addr.to_string(), "origins"] {
        assert!(response.body.contains(told), "{told}: {response:?}");
    }
    server.expect_nothing_more().await;
}

async fn a_draining_server_says_when_to_come_back(stage: &Stage) {
    let (short, long) = (Drain::new(), Drain::new());
    assert_eq!(short.shut_down(Shutdown::within(Duration::ZERO)).await, Drained::default());
    long.shut_down(Shutdown::within(Duration::ZERO).retry_after(Duration::from_millis(29_001))).await;
    for (drain, seconds) in [(short, "1"), (long, "30")] {
        let mut server = stage.start(Site::echo().with_options(Options::default().drain(drain))).await;
        let request = Request::good(server.addr);
        expect_refusal(&mut server, &request, 503, &[("retry-after", seconds)]).await;
        server.expect_nothing_more().await;
    }
}

async fn a_transport_that_is_taken_is_a_server_error(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).target("/taken");
    let response = expect_refusal(&mut server, &request, 500, &[]).await;
    assert!(response.body.contains("upgraded"), "{response:?}");
    // The same is told to a route that only asks.
    let asks = request.clone().target("/taken/look");
    assert_eq!(expect_refusal(&mut server, &asks, 500, &[]).await.body, response.body);
    // It is the last row: whatever else is wrong is told first.
    let request = request.with("Sec-WebSocket-Key", "x");
    expect_refusal(&mut server, &request, 400, &[]).await;
    server.expect_nothing_more().await;
}

/// A request with every defect is mended from the top of the table.
async fn the_first_defect_of_the_table_is_told(stage: &Stage) {
    let drain = Drain::new();
    drain.shut_down(Shutdown::within(Duration::ZERO)).await;
    let mut server = stage.start(Site::echo().with_options(Options::default().drain(drain))).await;
    let bad = Request::good(server.addr)
        .target("/taken")
        .method("DELETE")
        .version("HTTP/1.0")
        .without("Connection")
        .without("Upgrade")
        .with("Content-Length", "1")
        .with("Sec-WebSocket-Version", "8")
        .with("Sec-WebSocket-Key", "x")
        .with("Origin", "null");
    expect_refusal(&mut server, &bad, 405, &[("allow", "GET")]).await;
    let bad = bad.method("GET");
    expect_refusal(&mut server, &bad, 426, &UPGRADE).await;
    let bad = bad.version("HTTP/1.1");
    expect_refusal(&mut server, &bad, 426, &UPGRADE).await;
    let bad = bad.with("Connection", "upgrade").with("Upgrade", "websocket");
    expect_refusal(&mut server, &bad, 400, &[]).await;
    let bad = bad.without("Content-Length");
    expect_refusal(&mut server, &bad, 426, &VERSION).await;
    let bad = bad.with("Sec-WebSocket-Version", "13");
    expect_refusal(&mut server, &bad, 400, &[]).await;
    let bad = bad.with("Sec-WebSocket-Key", KEY);
    expect_refusal(&mut server, &bad, 403, &[]).await;
    let bad = bad.without("Origin");
    expect_refusal(&mut server, &bad, 503, &[("retry-after", "1")]).await;
    let mut server = stage.start(Site::echo()).await;
    let bad = bad.with("Host", server.addr.to_string());
    expect_refusal(&mut server, &bad, 500, &[]).await;
    let good = bad.target("/ws");
    assert_eq!(ask(server.addr, &good).await.status, 101);
}

async fn a_refused_peer_may_try_again(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr);
    expect_refusal(&mut server, &good.clone().with("Sec-WebSocket-Version", "8"), 426, &VERSION).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(crate::peer::frame(crate::peer::TEXT, "x")).await;
    assert_eq!(peer.frame().await.payload, b"x");
}

async fn a_request_that_asks_to_close_is_refused_all_the_same(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    let request =
        Request::good(server.addr).with("Connection", "close, upgrade").with("Sec-WebSocket-Version", "7");
    peer.send(&request.bytes()).await;
    check_refusal(&peer.response().await, 426, &VERSION);
    peer.end().await;
    server.dropped().await;
}

async fn what_a_request_says_is_quoted_on_one_line(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let request =
        Request::good(server.addr).with("Origin", format!("http://{}\ttab\"quote", "x".repeat(2000)));
    let response = expect_refusal(&mut server, &request, 403, &[]).await;
    assert!(response.body.len() < 1000 && response.body.is_ascii(), "{response:?}");
}

/// hixie-76 has two keys and no version; hybi-00 to hybi-12 have other versions.
async fn the_drafts_before_the_rfc_are_refused(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr);
    let hixie = good
        .clone()
        .without("Sec-WebSocket-Key")
        .without("Sec-WebSocket-Version")
        .with("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5")
        .with("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00");
    expect_refusal(&mut server, &hixie, 426, &VERSION).await;
    for version in ["7", "8"] {
        expect_refusal(&mut server, &good.clone().with("Sec-WebSocket-Version", version), 426, &VERSION)
            .await;
    }
    assert_eq!(ask(server.addr, &good).await.status, 101);
}

async fn a_plain_request_to_the_route_is_no_connection(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let plain = Request::good(server.addr)
        .without("Connection")
        .without("Upgrade")
        .without("Sec-WebSocket-Key")
        .without("Sec-WebSocket-Version")
        .with("Accept", "text/html");
    let response = ask(server.addr, &plain).await;
    // The framework may have an answer of its own.
    assert_ne!(response.status, 101);
    if response.status == 426 {
        check_refusal(&response, 426, &UPGRADE);
    }
    server.dropped().await;
    server.expect_nothing_more().await;
}

async fn an_options_request_is_told_what_is_allowed(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let plain = Request::good(server.addr).method("OPTIONS").without("Connection").without("Upgrade");
    expect_refusal(&mut server, &plain, 405, &[("allow", "GET")]).await;
    server.expect_nothing_more().await;
}

async fn a_refusal_has_no_field_of_a_101(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr).with("Sec-WebSocket-Protocol", "chat");
    for bad in
        [good.clone().method("PUT"), good.clone().with("Sec-WebSocket-Key", "x"), good.with("Origin", "null")]
    {
        let response = ask(server.addr, &bad).await;
        for name in ["sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"] {
            assert_eq!(response.field(name), None, "{response:?}");
        }
        server.dropped().await;
    }
}

async fn a_request_that_is_refused_may_carry_early_frames(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let bad = Request::good(server.addr)
        .with("Origin", "https://evil.example")
        .with("Connection", "close, upgrade");
    let mut peer = Peer::connect(server.addr).await;
    peer.send([bad.bytes(), frame(TEXT, "early")].concat()).await;
    assert_eq!(peer.response().await.status, 403);
    server.dropped().await;
    server.expect_nothing_more().await;
}
