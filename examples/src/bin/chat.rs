//! The chat: a page at `/`, its WebSocket at `/ws`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use websock_examples::chat::{Chat, PAGE, Rooms, options, shutdown};
use websock_examples::cli::Serve;
use websock_examples::servers::App;

/// A chat in the browser: rooms, nicknames, and the last messages for newcomers
#[derive(Parser)]
#[command(name = "chat", mut_arg("addr", |addr| addr.required(false).default_value("127.0.0.1:8080")))]
struct Args {
    #[command(flatten)]
    serve: Serve,
}

fn main() -> ExitCode {
    let rooms = Arc::new(Rooms::default());
    let handler = move || Chat::new(rooms.clone());
    let app = App { path: "/ws", page: Some(PAGE), handler, options: options(), shutdown: shutdown() };
    Args::parse().serve.run("chat", app)
}
