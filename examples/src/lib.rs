//! Handlers that run on every server without a changed character, and the servers that run them.
//!
//! - [`echo`] and [`chat`] are the handlers. They name no server.
//! - [`servers`] has one file for each server, which names no handler.
//! - [`cli`] is what the binaries `echo` and `chat` have in common.

pub mod chat;
pub mod cli;
pub mod echo;
pub mod servers;

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
