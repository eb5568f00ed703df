//! What the rules promise, over real sockets, on hyper: with its own builder, with hyper-util's, and on a stream that
//! is not TCP's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hosts;

use std::process::ExitCode;

use hosts::{AUTO, DUPLEX, HTTP1};

fn main() -> ExitCode {
    websock_conformance::main(&[&HTTP1, &AUTO, &DUPLEX])
}
