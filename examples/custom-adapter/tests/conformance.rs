//! What the rules promise, over real sockets, on poem.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::ExitCode;
use std::sync::Arc;

use poem::http::{HeaderValue, StatusCode, header};
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{Endpoint, EndpointExt, IntoResponse, Request, Response, Route, Server, handler};
use websock_conformance::{Host, Running, Site, TokioServer, async_trait};
use websock_custom_adapter::{NoDelay, Rejection, Upgrade};

struct Poem;

#[async_trait]
impl Host for Poem {
    fn name(&self) -> &'static str {
        "poem"
    }

    async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
        TokioServer::start(site, async move |listener, site| {
            let acceptor = NoDelay(TcpAcceptor::from_tokio(listener).unwrap());
            Server::new_with_acceptor(acceptor).run(routes(site)).await.unwrap();
        })
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        const REPLACED: &str = "hyper, under poem, hands over although the response was no 101";
        &[
            ("lifecycle::a_101_that_was_replaced_drops_the_handler_when_the_connection_ends", REPLACED),
            ("lifecycle::a_101_that_was_replaced_never_becomes_a_connection", REPLACED),
        ]
    }
}

fn main() -> ExitCode {
    websock_conformance::main(&[&Poem])
}

/// The routes that [`Host`] lists, what surrounds them as middleware.
fn routes(site: Arc<Site>) -> impl Endpoint {
    Route::new()
        .at("/ws", accept)
        .at("/look", look)
        .at("/cookie", accept.after(add_cookie))
        .at("/members", accept.around(members_only))
        .at("/replaced", accept.after(async |_| poem::Result::Ok("replaced")))
        .at("/taken", accept.before(take))
        .at("/taken/look", look.before(take))
        .at("/*", not_found)
        .data(site)
}

#[handler]
fn accept(Data(site): Data<&Arc<Site>>, upgrade: Upgrade) -> Result<Response, Rejection> {
    upgrade.accept(site.probe(), site.options())
}

#[handler]
fn look(Data(site): Data<&Arc<Site>>, upgrade: Upgrade) -> Result<&'static str, Rejection> {
    drop(site.probe());
    upgrade.validate(site.options()).map(|()| "acceptable")
}

#[handler]
fn not_found(Data(site): Data<&Arc<Site>>) -> (StatusCode, &'static str) {
    drop(site.probe());
    (StatusCode::NOT_FOUND, "not found")
}

async fn add_cookie(response: poem::Result<Response>) -> poem::Result<Response> {
    let mut response = response?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::SET_COOKIE, HeaderValue::from_static("seen=1"));
        response.headers_mut().insert("x-route", HeaderValue::from_static("cookie"));
    }
    Ok(response)
}

async fn members_only<E: Endpoint>(next: Arc<E>, request: Request) -> poem::Result<Response> {
    if request.header(header::AUTHORIZATION) == Some("secret") {
        return Ok(next.call(request).await?.into_response());
    }
    if let Some(site) = request.data::<Arc<Site>>() {
        drop(site.probe());
    }
    Ok("members only".with_status(StatusCode::UNAUTHORIZED).into_response())
}

async fn take(request: Request) -> poem::Result<Request> {
    let _ = request.take_upgrade();
    Ok(request)
}
