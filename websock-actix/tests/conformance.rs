//! What the rules promise, over real sockets, on actix-web.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue, SET_COOKIE};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Data, ServiceConfig, resource, route};
use actix_web::{App, Error, HttpResponse, HttpServer, Responder};
use websock_actix::{Rejection, Upgrade};
use websock_conformance::{Host, Running, Site, async_trait, listener};

struct Actix;

#[async_trait]
impl Host for Actix {
    fn name(&self) -> &'static str {
        "actix"
    }

    async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let (started, handle) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let options = site.options().clone();
            let app = move || {
                // Called once on each of actix's workers.
                site.enter_thread();
                App::new().app_data(Data::from(site.clone())).configure(routes)
            };
            actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(app)
                    .workers(2)
                    // As short as actix's clock allows, which steps by half a second.
                    .client_disconnect_timeout(Duration::from_millis(600))
                    .on_connect(websock_actix::on_connect(&options))
                    .disable_signals()
                    .listen(listener)
                    .unwrap()
                    .run();
                started.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        Box::new(Started { addr, handle: handle.recv().unwrap() })
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("upgrade::upgrade_may_be_a_list", "actix's parser knows no list there"),
            (
                "lifecycle::a_101_that_was_replaced_drops_the_handler_when_the_next_upgrade_comes",
                "actix closes a connection behind a response to a request whose payload it has not read",
            ),
        ]
    }
}

struct Started {
    addr: SocketAddr,
    handle: ServerHandle,
}

#[async_trait]
impl Running for Started {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn stop(self: Box<Self>) {}
}

impl Drop for Started {
    fn drop(&mut self) {
        // The call does it; its future only waits.
        drop(self.handle.stop(false));
    }
}

fn main() -> ExitCode {
    websock_conformance::main(&[&Actix])
}

/// The routes that [`Host`] lists, what surrounds them as middleware.
fn routes(app: &mut ServiceConfig) {
    app.service(resource("/ws").route(route().to(accept)))
        .service(resource("/look").route(route().to(look)))
        .service(resource("/cookie").wrap(from_fn(add_cookie)).route(route().to(accept)))
        .service(resource("/members").wrap(from_fn(members_only)).route(route().to(accept)))
        .service(resource("/replaced").wrap(from_fn(replace)).route(route().to(accept)))
        .service(resource("/taken").wrap(from_fn(take)).route(route().to(accept)))
        .service(resource("/taken/look").wrap(from_fn(take)).route(route().to(look)))
        .default_service(route().to(not_found));
}

async fn accept(site: Data<Site>, upgrade: Upgrade) -> Result<HttpResponse, Rejection> {
    upgrade.accept(site.probe(), site.options())
}

async fn look(site: Data<Site>, upgrade: Upgrade) -> Result<&'static str, Rejection> {
    drop(site.probe());
    upgrade.validate(site.options()).map(|()| "acceptable")
}

async fn add_cookie(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(SET_COOKIE, HeaderValue::from_static("seen=1"));
        response.headers_mut().insert(HeaderName::from_static("x-route"), HeaderValue::from_static("cookie"));
    }
    Ok(response)
}

async fn members_only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, Error> {
    match request.headers().get(AUTHORIZATION) {
        Some(authorization) if authorization == "secret" => {
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        _ => {
            probed(&request);
            let refusal = HttpResponse::Unauthorized().body("members only");
            Ok(request.into_response(refusal))
        }
    }
}

async fn replace(request: ServiceRequest, next: Next<impl MessageBody>) -> Result<ServiceResponse, Error> {
    let response = next.call(request).await?;
    Ok(response.into_response(HttpResponse::Ok().body("replaced")))
}

async fn take(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    request.set_payload(Payload::None);
    next.call(request).await
}

async fn not_found(site: Data<Site>) -> impl Responder {
    drop(site.probe());
    ("not found", StatusCode::NOT_FOUND)
}

fn probed(request: &ServiceRequest) {
    let site: Option<&Data<Site>> = request.app_data();
    drop(site.map(|site| site.probe()));
}
