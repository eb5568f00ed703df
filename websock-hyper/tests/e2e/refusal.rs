//! Requests that become no connection: U3, row by row, and L9.

use std::time::Duration;

use websock_hyper::{Drain, Drained, Options, Shutdown};

use crate::peer::{KEY, Peer, Request, Response, ask};
use crate::site::{Host, Server, Site};

on_every_host! {
    other_methods_than_get_are_not_allowed,
    http_1_0_is_asked_to_upgrade,
    a_request_without_connection_upgrade_is_asked_to_upgrade,
    a_request_without_upgrade_websocket_is_asked_to_upgrade,
    a_request_with_a_body_is_bad,
    another_version_is_told_which_is_spoken,
    a_key_that_is_not_one_of_sixteen_bytes_is_bad,
    a_foreign_origin_is_forbidden,
    a_draining_server_says_when_to_come_back,
    a_transport_that_is_taken_is_a_server_error,
    the_first_defect_of_the_table_is_told,
    a_refused_peer_may_try_again,
    a_request_that_asks_to_close_is_refused_all_the_same,
    what_a_request_says_is_quoted_on_one_line,
}

/// What the rows of U3 have in common: a line of plain text, and a handler that nobody touched. The fields are the
/// row's, and those of any response.
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
        let servers_own = ["date", "connection", "content-length", "content-type"];
        assert!(servers_own.contains(&&**name) || fields.iter().any(|field| field.0 == name), "{response:?}");
    }
    if !fields.iter().any(|(name, _)| *name == "connection") {
        assert!(!response.tokens("connection").contains(&"upgrade".into()), "{response:?}");
    }
}

const UPGRADE: [(&str, &str); 2] = [("upgrade", "websocket"), ("connection", "upgrade")];
const VERSION: [(&str, &str); 3] =
    [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")];

async fn other_methods_than_get_are_not_allowed(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn http_1_0_is_asked_to_upgrade(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn a_request_without_connection_upgrade_is_asked_to_upgrade(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn a_request_without_upgrade_websocket_is_asked_to_upgrade(host: Host) {
    let mut server = host.start(Site::echo());
    let good = Request::good(server.addr);
    let response = expect_refusal(&mut server, &good.clone().without("Upgrade"), 426, &UPGRADE).await;
    assert!(response.body.contains("`Upgrade: websocket`"), "{response:?}");
    for value in ["h2c", "websockets", "not-websocket", "websocket/13", "web socket", ""] {
        expect_refusal(&mut server, &good.clone().with("Upgrade", value), 426, &UPGRADE).await;
    }
    server.expect_nothing_more().await;
}

async fn a_request_with_a_body_is_bad(host: Host) {
    let mut server = host.start(Site::echo());
    let good = Request::good(server.addr);
    for (name, value) in
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Content-Length", "100000000")]
    {
        let response = expect_refusal(&mut server, &good.clone().with(name, value), 400, &[]).await;
        assert!(response.body.contains("body"), "{response:?}");
    }
    server.expect_nothing_more().await;
}

async fn another_version_is_told_which_is_spoken(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn a_key_that_is_not_one_of_sixteen_bytes_is_bad(host: Host) {
    let mut server = host.start(Site::echo());
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

async fn a_foreign_origin_is_forbidden(host: Host) {
    let mut server = host.start(Site::echo());
    let request = Request::good(server.addr).with("Origin", "https://evil.example");
    let response = expect_refusal(&mut server, &request, 403, &[]).await;
    for told in ["https://evil.example", &server.addr.to_string(), "origins"] {
        assert!(response.body.contains(told), "{told}: {response:?}");
    }
    server.expect_nothing_more().await;
}

async fn a_draining_server_says_when_to_come_back(host: Host) {
    let (short, long) = (Drain::new(), Drain::new());
    assert_eq!(short.shut_down(Shutdown::within(Duration::ZERO)).await, Drained::default());
    long.shut_down(Shutdown::within(Duration::ZERO).retry_after(Duration::from_millis(29_001))).await;
    for (drain, seconds) in [(short, "1"), (long, "30")] {
        let mut server = host.start(Site::echo().options(Options::default().drain(drain)));
        let request = Request::good(server.addr);
        expect_refusal(&mut server, &request, 503, &[("retry-after", seconds)]).await;
        server.expect_nothing_more().await;
    }
}

async fn a_transport_that_is_taken_is_a_server_error(host: Host) {
    let mut server = host.start(Site::echo());
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
async fn the_first_defect_of_the_table_is_told(host: Host) {
    let drain = Drain::new();
    drain.shut_down(Shutdown::within(Duration::ZERO)).await;
    let mut server = host.start(Site::echo().options(Options::default().drain(drain)));
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
    let mut server = host.start(Site::echo());
    let bad = bad.with("Host", server.addr.to_string());
    expect_refusal(&mut server, &bad, 500, &[]).await;
    let good = bad.target("/ws");
    assert_eq!(ask(server.addr, &good).await.status, 101);
}

async fn a_refused_peer_may_try_again(host: Host) {
    let mut server = host.start(Site::echo());
    let good = Request::good(server.addr);
    expect_refusal(&mut server, &good.clone().with("Sec-WebSocket-Version", "8"), 426, &VERSION).await;
    let mut peer = Peer::upgraded(server.addr).await;
    server.init().await;
    peer.send(crate::peer::frame(crate::peer::TEXT, "x")).await;
    assert_eq!(peer.frame().await.payload, b"x");
}

async fn a_request_that_asks_to_close_is_refused_all_the_same(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::connect(server.addr).await;
    let request =
        Request::good(server.addr).with("Connection", "close, upgrade").with("Sec-WebSocket-Version", "7");
    peer.send(&request.bytes()).await;
    check_refusal(&peer.response().await, 426, &VERSION);
    peer.end().await;
    server.dropped().await;
}

async fn what_a_request_says_is_quoted_on_one_line(host: Host) {
    let mut server = host.start(Site::echo());
    let request =
        Request::good(server.addr).with("Origin", format!("http://{}\ttab\"quote", "x".repeat(2000)));
    let response = expect_refusal(&mut server, &request, 403, &[]).await;
    assert!(response.body.len() < 1000 && response.body.is_ascii(), "{response:?}");
}
