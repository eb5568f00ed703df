//! The start-up: a site on actix-web.

use std::future::pending;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue, SET_COOKIE};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{Data, get, resource, route};
use actix_web::{App, Error, HttpResponse, HttpServer, Responder};
use websock_actix::{Rejection, Upgrade};

use crate::site::{Host, Site};

pub(crate) const HOST: Host = Host(|listener, site| {
    Box::pin(async move {
        let (handle_in, handle) = tokio::sync::oneshot::channel();
        let options = site.options.clone();
        let log = tracing::dispatcher::get_default(Clone::clone);
        std::thread::spawn(move || {
            let log_here = log.clone();
            let app = move || {
                // Called once on each of actix's workers.
                std::mem::forget(tracing::dispatcher::set_default(&log_here));
                let taken = |path| {
                    resource(path).wrap(from_fn(take)).route(match path {
                        "/taken" => route().to(accept),
                        _ => route().to(look),
                    })
                };
                App::new()
                    .app_data(Data::from(site.clone()))
                    .service(resource("/ws").route(route().to(accept)))
                    .service(resource("/look").route(route().to(look)))
                    .service(resource("/cookie").wrap(from_fn(add_cookie)).route(route().to(accept)))
                    .service(resource("/members").wrap(from_fn(members_only)).route(route().to(accept)))
                    .service(resource("/replaced").wrap(from_fn(replace)).route(route().to(accept)))
                    .service(taken("/taken"))
                    .service(taken("/taken/look"))
                    .default_service(get().to(not_found))
            };
            actix_web::rt::System::new().block_on(async {
                let server = HttpServer::new(app)
                    .workers(2)
                    // As short as actix's clock allows, which steps by half a second.
                    .client_disconnect_timeout(Duration::from_millis(600))
                    .on_connect(websock_actix::on_connect(&options))
                    .listen(listener)
                    .unwrap()
                    .disable_signals()
                    .run();
                handle_in.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        let _stop = StopOnDrop(handle.await.unwrap());
        pending().await
    })
});

/// The server goes down with the host's task.
struct StopOnDrop(ServerHandle);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // The call does it; its future only waits.
        drop(self.0.stop(false));
    }
}

async fn accept(site: Data<Site>, upgrade: Upgrade) -> Result<HttpResponse, Rejection> {
    upgrade.accept(site.probe(), &site.options)
}

async fn look(site: Data<Site>, upgrade: Upgrade) -> Result<&'static str, Rejection> {
    drop(site.probe());
    upgrade.validate(&site.options).map(|()| "acceptable")
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
