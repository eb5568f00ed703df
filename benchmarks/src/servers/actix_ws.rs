//! actix-ws: the session and the stream of its docs, whole messages.

use std::io;
use std::net::TcpListener;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_ws::AggregatedMessage;

use super::MAX_MESSAGE;

pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        let app = || App::new().route("/", web::get().to(echo));
        HttpServer::new(app).workers(workers).disable_signals().listen(listener)?.run().await
    })
}

async fn echo(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, mut session, stream) = actix_ws::handle(&request, body)?;
    let mut stream =
        stream.max_frame_size(MAX_MESSAGE).aggregate_continuations().max_continuation_size(MAX_MESSAGE);
    actix_web::rt::spawn(async move {
        while let Some(Ok(message)) = stream.recv().await {
            let sent = match message {
                AggregatedMessage::Text(text) => session.text(text).await,
                AggregatedMessage::Binary(bytes) => session.binary(bytes).await,
                AggregatedMessage::Ping(payload) => session.pong(&payload).await,
                AggregatedMessage::Pong(_) => Ok(()),
                AggregatedMessage::Close(reason) => {
                    session.close(reason).await.ok();
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
        session.close(None).await.ok();
    });
    Ok(response)
}
