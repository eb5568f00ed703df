//! The driver (SPEC L, O, X, T, B, E), over an in-memory transport and a paused clock.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod backpressure;
mod closing;
mod faults;
mod lifecycle;
mod outcomes;
mod support;
mod time;
