//! A WebSocket echo at `/`.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use websock_examples::cli::Serve;
use websock_examples::echo::{Echo, options, shutdown};
use websock_examples::servers::App;

/// A WebSocket echo at `/`: every message comes back as it is
#[derive(Parser)]
#[command(name = "echo")]
struct Args {
    #[command(flatten)]
    serve: Serve,
    /// The most bytes in one message [default: 10000000]
    #[arg(long)]
    max_message_size: Option<NonZeroUsize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let options = match args.max_message_size {
        Some(size) => options().max_message_size(size),
        None => options(),
    };
    let app = App { path: "/", page: None, handler: || Echo, options, shutdown: shutdown() };
    args.serve.run("echo", SocketAddr::from((Ipv4Addr::LOCALHOST, 9001)), app)
}
