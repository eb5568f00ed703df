//! What the SPEC promises, over real sockets, on hyper.
//!
//! A *case* is a plain async function that names no server: it gets a [`Host`](site::Host), which can start one around
//! a [`Site`](site::Site), talks to its address, and looks at what the handler reported. Two clients speak to it:
//! [`peer`], whose bytes are made by hand and which shares no code with `websock-core`, and tokio-tungstenite, the
//! [`referee`].
//!
//! Only [`support`], [`handover`] and [`http2`] know hyper. The macro below binds every case to every host.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Makes a test of each case on each host.
macro_rules! on_every_host {
    ($($case:ident,)*) => {
        on_host!(on_http1 = HTTP1: $($case,)*);
        on_host!(on_auto = AUTO: $($case,)*);
        on_host!(on_duplex = DUPLEX: $($case,)*);
    };
}

/// Makes a test of each case on one host.
macro_rules! on_host {
    ($name:ident = $host:ident: $($case:ident,)*) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $case() {
                    super::$case($crate::support::$host).await;
                }
            )*
        }
    };
}

mod peer;
mod referee;
mod site;
mod support;

mod backpressure;
mod closing;
mod draining;
mod early_data;
mod ending;
mod handover;
mod http2;
mod isolation;
mod messages;
mod origin;
mod refusal;
mod routes;
mod timing;
mod upgrading;
mod violations;
