//! actix alone: what its payload and its response's body cost, with nothing between them.

use std::io;
use std::net::TcpListener;

use actix_web::{App, HttpResponse, HttpServer, web};

/// What the generator's key is answered with (RFC 6455 §1.3).
const ACCEPT: (&str, &str) = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        let app = || App::new().route("/", web::get().to(echo));
        HttpServer::new(app).workers(workers).disable_signals().listen(listener)?.run().await
    })
}

async fn echo(payload: web::Payload) -> HttpResponse {
    HttpResponse::SwitchingProtocols().upgrade("websocket").insert_header(ACCEPT).streaming(payload)
}
