//! A WebSocket echo at `/`.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use websock_examples::cli::Serve;
use websock_examples::echo::{Echo, options, shutdown};
use websock_examples::servers::App;

/// A WebSocket echo at `/`: every message comes back as it is
#[derive(Parser)]
#[command(name = "echo", mut_arg("addr", |addr| addr.required(false).default_value("127.0.0.1:9001")))]
struct Args {
    #[command(flatten)]
    serve: Serve,
    /// The most bytes in one message [default: 10000000]
    #[arg(long)]
    max_message_size: Option<NonZeroUsize>,
    /// Compress messages where the client offers it too
    #[arg(long)]
    compress: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut options = options().compress(args.compress);
    if let Some(size) = args.max_message_size {
        options = options.max_message_size(size);
    }
    let app = App { path: "/", page: None, handler: || Echo, options, shutdown: shutdown() };
    args.serve.run("echo", app)
}
