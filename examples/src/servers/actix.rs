//! The application on actix-web.

use std::future::{Future, ready};
use std::net::TcpListener;

use actix_web::web::{Html, get, route};
use actix_web::{App as Routes, HttpServer, rt};
use websock_actix::{Upgrade, WebSock, on_connect};

use super::App;

/// actix does not start with more.
const MOST_WORKERS: usize = 512;

pub(super) fn serve<H: WebSock, F>(
    listener: TcpListener,
    workers: usize,
    app: App<F>,
    stop: impl Future<Output = std::io::Result<()>>,
) -> std::io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let App { path, page, handler, options, .. } = app;
    let on_connect = on_connect(&options);
    let routes = move || {
        let (handler, options) = (handler.clone(), options.clone());
        let websocket = move |upgrade: Upgrade| ready(upgrade.accept(handler(), &options));
        let routes = Routes::new().route(path, route().to(websocket));
        match page {
            Some(page) => routes.route("/", get().to(move || ready(Html::new(page)))),
            None => routes,
        }
    };
    rt::System::new().block_on(async {
        let server = HttpServer::new(routes)
            .on_connect(on_connect)
            .workers(workers.min(MOST_WORKERS))
            .disable_signals()
            .listen(listener)?
            .run();
        super::either(server, stop).await
    })
}
