//! Which pages may connect: U5.

use websock_core::{Options, Origins};

use crate::peer::{Request, ask};
use crate::server::{Server, Stage};
use crate::site::Site;

cases! {
    a_page_of_the_same_host_may_connect: U5,
    a_page_of_another_host_or_port_may_not: U5,
    an_origin_that_is_no_single_host_may_not: U5,
    an_origin_may_not_where_the_request_has_no_single_host: U5,
    the_authority_of_an_absolute_target_is_the_host: U5,
    forwarded_hosts_are_not_trusted: U5,
    listed_origins_may_connect_and_no_others: U5,
    any_origin_may_connect_where_that_is_said: U5,
}

/// The status for a page of this origin that asks for this host.
async fn status(server: &Server, host: &str, origin: &str) -> u16 {
    let request = Request::good(server.addr).with("Host", host).with("Origin", origin);
    ask(server.addr, &request).await.status
}

async fn a_page_of_the_same_host_may_connect(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    for (host, origin) in [
        ("example.com", "https://example.com"),
        ("example.com", "http://example.com"),
        ("EXAMPLE.com", "https://Example.COM"),
        ("example.com:443", "https://example.com"),
        ("example.com:80", "http://example.com"),
        ("example.com", "https://example.com:443"),
        ("example.com:8080", "http://example.com:8080"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("example.com:443", "http://example.com"),
    ] {
        assert_eq!(status(&server, host, origin).await, 101, "{host} {origin}");
    }
    // Clients that are no browsers send none.
    assert_eq!(ask(server.addr, &Request::good(server.addr)).await.status, 101);
}

async fn a_page_of_another_host_or_port_may_not(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    for (host, origin) in [
        ("example.com", "https://evil.com"),
        ("example.com", "https://example.com.evil.com"),
        ("example.com", "https://evil-example.com"),
        ("example.com", "https://www.example.com"),
        ("example.com", "https://example.com:8443"),
        ("example.com:8080", "http://example.com"),
        ("example.com:8080", "http://example.com:8081"),
        ("example.com", "http://example.com:443"),
    ] {
        assert_eq!(status(&server, host, origin).await, 403, "{host} {origin}");
    }
}

async fn an_origin_that_is_no_single_host_may_not(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    for origin in [
        "null",
        "",
        "example.com",
        "https://",
        "https://example.com/",
        "https://u@example.com",
        "https://example.com, https://example.com",
        "https://ex\u{e4}mple.com",
    ] {
        assert_eq!(status(&server, "example.com", origin).await, 403, "{origin}");
    }
    let good = Request::good(server.addr).with("Host", "example.com").with("Origin", "https://example.com");
    assert_eq!(ask(server.addr, &good).await.status, 101);
    assert_eq!(ask(server.addr, &good.clone().and("Origin", "https://example.com")).await.status, 403);
}

async fn an_origin_may_not_where_the_request_has_no_single_host(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let good = Request::good(server.addr).with("Host", "example.com").with("Origin", "https://example.com");
    for request in [good.clone().and("Host", "example.com"), good.without("Host")] {
        let response = ask(server.addr, &request).await;
        match response.status {
            403 => assert!(response.body.contains("without a single valid host"), "{response:?}"),
            // A server may refuse such a request by itself (RFC 9112 §3.2).
            status => assert_eq!(status, 400, "{response:?}"),
        }
    }
}

async fn the_authority_of_an_absolute_target_is_the_host(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr).target("http://example.com/ws").with("Host", "other.com");
    assert_eq!(ask(server.addr, &request).await.status, 101);
    let own = request.clone().with("Origin", "https://example.com");
    assert_eq!(ask(server.addr, &own).await.status, 101);
    let foreign = request.with("Origin", "https://other.com");
    let response = ask(server.addr, &foreign).await;
    assert_eq!(response.status, 403);
    assert!(response.body.contains("\"example.com\""), "{response:?}");
}

async fn forwarded_hosts_are_not_trusted(stage: &Stage) {
    let server = stage.start(Site::echo()).await;
    let request = Request::good(server.addr)
        .with("Origin", "https://evil.example")
        .with("X-Forwarded-Host", "evil.example")
        .with("Forwarded", "host=evil.example");
    assert_eq!(ask(server.addr, &request).await.status, 403);
}

async fn listed_origins_may_connect_and_no_others(stage: &Stage) {
    let list = ["https://app.example", "http://localhost:3000"].map(|origin| origin.parse().unwrap());
    let server =
        stage.start(Site::echo().with_options(Options::default().origins(Origins::List(list.into())))).await;
    for origin in ["https://app.example", "https://APP.example:443", "http://localhost:3000"] {
        assert_eq!(status(&server, "api.example", origin).await, 101, "{origin}");
    }
    for origin in ["http://app.example", "https://localhost:3000", "https://api.example", "null"] {
        assert_eq!(status(&server, "api.example", origin).await, 403, "{origin}");
    }
    assert_eq!(ask(server.addr, &Request::good(server.addr)).await.status, 101);
}

async fn any_origin_may_connect_where_that_is_said(stage: &Stage) {
    let server =
        stage.start(Site::echo().with_options(Options::default().origins(Origins::InsecureAny))).await;
    for origin in ["https://evil.example", "null", "???"] {
        assert_eq!(status(&server, "example.com", origin).await, 101, "{origin}");
    }
}
