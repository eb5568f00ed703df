//! The same handler on actix.

use std::io;
use std::net::TcpListener;

use actix_web::{App, HttpServer, web};
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
    let options = options();
    actix_web::rt::System::new().block_on(async move {
        let on_connect = websock_actix::on_connect(&options);
        let app = move || {
            let (handler, options) = (handler.clone(), options.clone());
            let route = move |upgrade: Upgrade| {
                let response = upgrade.accept(handler(), &options);
                async { response }
            };
            App::new().route("/", web::route().to(route))
        };
        let server = HttpServer::new(app).on_connect(on_connect);
        server.workers(workers).disable_signals().listen(listener)?.run().await
    })
}
