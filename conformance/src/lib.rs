//! The rules of WebSock as cases, to be run against any server over real sockets.
//!
//! For authors of adapters. An adapter joins in with one file, `tests/conformance.rs`, and `harness = false` for it in
//! its `Cargo.toml`:
//!
//! ```no_run
//! # use std::sync::Arc;
//! use std::process::ExitCode;
//!
//! use websock_conformance::{Host, Running, Site, TokioServer, async_trait};
//!
//! struct MyServer;
//!
//! #[async_trait]
//! impl Host for MyServer {
//!     fn name(&self) -> &'static str {
//!         "my-server"
//!     }
//!
//!     async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
//!         TokioServer::start(site, my_server::serve)
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     websock_conformance::main(&[&MyServer])
//! }
//! # mod my_server {
//! #     pub async fn serve(_: tokio::net::TcpListener, _: super::Arc<websock_conformance::Site>) {}
//! # }
//! ```
//!
//! Then `cargo test --test conformance` runs every case, each by its name, and `cargo test --test conformance closing`
//! those whose names contain `closing`. What the server has to serve stands at [`Host`].
//! [The guide](guide) goes all the way, from an empty crate to a green suite.
//!
//! The program of this crate makes a page of it: `websock-conformance --package my-server`, in the workspace of
//! `my-server`, runs that test and writes `target/conformance/index.html`, cases by servers.
//!
//! # Cases
//!
//! A case is a plain async function that names no server and the rules that it proves, by their ids in
//! [the rules](websock_core::spec). It gets a [`Stage`], starts a server there around a [`Site`], which says what the
//! handler does, talks to the server's address, and looks at what the handler reported. Two clients speak to it: the
//! [`peer`], whose bytes are made by hand and which shares no code with `websock-core`, and tokio-tungstenite, the
//! [`referee`]. They are public, so that an adapter can test in the same way what is true of its own server only.
//!
//! Each case has [a time](case::TIME_LIMIT) to end in, so what hangs fails and says so. A failure tells the line of the
//! case, what was wrong, and whatever panicked in the server.
//!
//! | module | rules |
//! |---|---|
//! | `lifecycle` | L: which callback runs when |
//! | `outcomes` | O: what callbacks answer |
//! | `closing` | X: how connections end |
//! | `frames` | F: framing, limits, and bytes that come in pieces |
//! | `compression` | C: what is agreed on, and compressed messages both ways |
//! | `time` | T: the timers |
//! | `backpressure` | B: slow sides, and the mailbox |
//! | `shutdown` | S: drains |
//! | `errors` | E: panics, and what the log says |
//! | `upgrade` | U: requests, and responses |
//!
//! That the suite catches servers that are wrong is shown by [mutants].
//!
//! What other suites ask for, and which case asks the same here, stands line by line in `CASES.md`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Lists the cases of a module, each with the ids of the rules that it proves.
macro_rules! cases {
    ($($case:ident: $($rule:ident)+,)*) => {
        pub(crate) fn cases() -> Vec<crate::case::Case> {
            vec![$(
                crate::case::Case::new(
                    module_path!(),
                    stringify!($case),
                    &[$(stringify!($rule)),+],
                    |stage| Box::pin($case(stage)),
                )
            ),*]
        }
    };
}

#[doc = include_str!("../GUIDE.md")]
pub mod guide {}

pub mod case;
mod cases;
mod harness;
mod host;
mod inflater;
mod journal;
#[doc = include_str!("../MUTANTS.md")]
pub mod mutants {}
mod payload;
pub mod peer;
pub mod referee;
pub mod results;
mod server;
mod site;
pub mod stopping;

pub use async_trait::async_trait;
pub use case::Case;
pub use cases::cases;
pub use harness::main;
pub use host::{Host, Running, TokioServer, listener};
pub use journal::Event;
pub use server::{Server, Stage};
pub use site::{Probe, Report, Site};
