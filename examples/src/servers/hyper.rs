//! The application on hyper.

use std::convert::Infallible;
use std::net::TcpListener;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use websock_hyper::WebSock;

use super::App;

pub(super) async fn serve<H: WebSock, F>(listener: TcpListener, app: App<F>) -> std::io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: others have to be closed first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let app = app.clone();
        let service = service_fn(move |request| {
            let response = route(request, &app);
            async { Ok::<_, Infallible>(response) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new());
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}

fn route<H: WebSock, F: Fn() -> H>(mut request: Request<Incoming>, app: &App<F>) -> Response<Full<Bytes>> {
    let (path, page) = (request.uri().path(), app.page);
    if path == app.path {
        return websock_hyper::upgrade(&mut request, (app.handler)(), &app.options);
    }
    let html = page.filter(|_| path == "/");
    let mut response = Response::new(Full::from(html.unwrap_or("not found\n")));
    if html.is_some() {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
