//! The same handler on actix.

use std::io;
use std::net::TcpListener;

use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use websock_actix::Upgrade;
use websock_core::WebSock;

use super::fanout::{Hub, Subscriber};
use super::ours::{Echo, options};

pub(super) fn echo(listener: TcpListener, workers: usize) -> io::Result<()> {
    serve(listener, workers, || Echo)
}

pub(super) fn fanout(listener: TcpListener, workers: usize) -> io::Result<()> {
    let hub = Hub::default();
    serve(listener, workers, move || Subscriber::new(hub.clone()))
}

fn serve<H: WebSock, F>(listener: TcpListener, workers: usize, handler: F) -> io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let options = Data::new(options());
    actix_web::rt::System::new().block_on(async move {
        let app = move || {
            let (handler, options) = (handler.clone(), options.clone());
            let route = move |upgrade: Upgrade| {
                let response = upgrade.accept(handler(), &options);
                async { response }
            };
            App::new().route("/", web::get().to(route))
        };
        HttpServer::new(app).workers(workers).disable_signals().listen(listener)?.run().await
    })
}
