//! What routes do around an upgrade: U2, U6, U7, L9.

use crate::peer::{Frame, Peer, Request, TEXT, ask, frame};
use crate::site::{Host, Site};

on_every_host! {
    what_the_route_adds_to_the_101_arrives,
    a_route_may_refuse_in_its_own_way,
    a_route_may_ask_without_accepting,
    other_routes_answer_as_ever,
}

async fn what_the_route_adds_to_the_101_arrives(host: Host) {
    let mut server = host.start(Site::echo());
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&Request::good(server.addr).target("/cookie").bytes()).await;
    let response = peer.response().await;
    assert_eq!(response.status, 101);
    assert_eq!(response.field("set-cookie"), Some("seen=1"));
    assert_eq!(response.field("x-route"), Some("cookie"));
    assert_eq!(response.field("upgrade"), Some("websocket"));
    server.init().await;
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "x"));
}

async fn a_route_may_refuse_in_its_own_way(host: Host) {
    let mut server = host.start(Site::echo());
    let request = Request::good(server.addr).target("/members");
    let response = ask(server.addr, &request).await;
    assert_eq!((response.status, response.body.as_str()), (401, "members only"));
    assert_eq!(response.field("upgrade"), None);
    server.dropped().await;
    // A guest's request is refused by the route also where the upgrade would have something to say.
    assert_eq!(ask(server.addr, &request.clone().method("POST")).await.status, 401);
    server.dropped().await;
    let member = request.with("Authorization", "secret");
    assert_eq!(ask(server.addr, &member).await.status, 101);
    server.init().await;
}

async fn a_route_may_ask_without_accepting(host: Host) {
    let mut server = host.start(Site::echo());
    let request = Request::good(server.addr).target("/look");
    let response = ask(server.addr, &request).await;
    assert_eq!((response.status, response.body.as_str()), (200, "acceptable"));
    server.dropped().await;
    let bad = request.clone().with("Sec-WebSocket-Version", "8");
    let response = ask(server.addr, &bad).await;
    assert_eq!((response.status, response.field("sec-websocket-version")), (426, Some("13")));
    server.dropped().await;
    let plain = request.without("Upgrade").without("Connection");
    assert_eq!(ask(server.addr, &plain).await.status, 426);
    server.dropped().await;
    server.expect_nothing_more().await;
}

async fn other_routes_answer_as_ever(host: Host) {
    let mut server = host.start(Site::echo());
    // Also a request that looks like an upgrade.
    let request = Request::good(server.addr).target("/elsewhere");
    assert_eq!(ask(server.addr, &request).await.status, 404);
    server.dropped().await;
    let plain = request.without("Upgrade").without("Connection").with("Connection", "close");
    assert_eq!(ask(server.addr, &plain).await.status, 404);
    server.dropped().await;
    assert_eq!(ask(server.addr, &plain.target("/ws")).await.status, 426);
    server.dropped().await;
    server.expect_nothing_more().await;
}
