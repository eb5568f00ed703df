//! What routes do around an upgrade: U2, U6, U7, L9.

use crate::peer::{Frame, Peer, Request, TEXT, ask, frame};
use crate::server::Stage;
use crate::site::Site;

cases! {
    what_the_route_adds_to_the_101_arrives: U2 U7,
    a_route_may_refuse_in_its_own_way: U6 L9,
    a_route_may_ask_without_accepting: U6 L9,
    other_routes_answer_as_ever: U7,
    a_route_behind_authentication_is_a_websocket_for_members: U6 U7,
    a_refusal_gets_nothing_of_what_the_route_adds_to_a_101: U7 U3,
}

async fn what_the_route_adds_to_the_101_arrives(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn a_route_may_refuse_in_its_own_way(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn a_route_may_ask_without_accepting(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn other_routes_answer_as_ever(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
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

async fn a_route_behind_authentication_is_a_websocket_for_members(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let mut peer = Peer::connect(server.addr).await;
    let member = Request::good(server.addr).target("/members").with("Authorization", "secret");
    peer.send(&member.bytes()).await;
    assert_eq!(peer.response().await.status, 101);
    server.init().await;
    peer.send(frame(TEXT, "x")).await;
    assert_eq!(peer.frame().await, Frame::new(TEXT, "x"));
    // The member's mistakes are told as everybody's.
    let bad = member.with("Sec-WebSocket-Version", "8");
    server.message().await;
    assert_eq!(ask(server.addr, &bad).await.status, 426);
    server.dropped().await;
}

async fn a_refusal_gets_nothing_of_what_the_route_adds_to_a_101(stage: &Stage) {
    let mut server = stage.start(Site::echo()).await;
    let bad = Request::good(server.addr).target("/cookie").with("Sec-WebSocket-Key", "x");
    let response = ask(server.addr, &bad).await;
    assert_eq!((response.status, response.field("set-cookie")), (400, None));
    server.dropped().await;
    server.expect_nothing_more().await;
}
