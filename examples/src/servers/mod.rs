//! One file for each server: a page at `/` where there is one, and a WebSocket route.

use std::future::Future;
use std::net::TcpListener;

use clap::ValueEnum;
use websock_core::{Drain, Options, Shutdown, WebSock};

mod actix;
mod axum;
mod hyper;
mod warp;

/// A server to run an application on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// hyper
    #[default]
    Hyper,
    /// axum
    Axum,
    /// actix-web
    Actix,
    /// warp
    Warp,
}

/// What a server serves: a WebSocket route, and perhaps a page.
#[derive(Clone, Debug)]
pub struct App<F> {
    /// Where the WebSocket is.
    pub path: &'static str,
    /// What is at `/`, if that is not the WebSocket.
    pub page: Option<&'static str>,
    /// Makes the handler of each connection.
    pub handler: F,
    /// How connections behave.
    pub options: Options,
    /// How they are closed when the process is told to stop.
    pub shutdown: Shutdown,
}

impl Server {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Serves the application on a bound socket, with this many threads, until the process is told to stop by Ctrl-C
    /// or SIGTERM; then closes all WebSocket connections.
    ///
    /// # Errors
    /// When the runtime or the server cannot be started.
    pub fn run<H, F>(self, listener: TcpListener, workers: usize, mut app: App<F>) -> std::io::Result<()>
    where
        H: WebSock,
        F: Fn() -> H + Clone + Send + Sync + 'static,
    {
        listener.set_nonblocking(true)?;
        let drain = Drain::new();
        app.options = app.options.drain(drain.clone());
        let stop = drained(drain, app.shutdown.clone());
        match self {
            Server::Hyper => runtime(workers)?.block_on(either(hyper::serve(listener, app), stop)),
            Server::Axum => runtime(workers)?.block_on(either(axum::serve(listener, app), stop)),
            Server::Actix => actix::serve(listener, workers, app, stop),
            Server::Warp => runtime(workers)?.block_on(either(warp::serve(listener, app), stop)),
        }
    }
}

/// Runs the server until it fails or the connections are drained.
async fn either(
    server: impl Future<Output = std::io::Result<()>>,
    stop: impl Future<Output = std::io::Result<()>>,
) -> std::io::Result<()> {
    tokio::select! {
        failed = server => failed,
        stopped = stop => stopped,
    }
}

/// Waits until the process is told to stop, then closes all WebSocket connections; told again, it no longer waits for
/// them.
async fn drained(drain: Drain, how: Shutdown) -> std::io::Result<()> {
    told_to_stop().await?;
    tokio::select! {
        drained = drain.shut_down(how) => {
            tracing::info!(closed = drained.closed, cut = drained.cut, "drained");
            Ok(())
        }
        again = told_to_stop() => again,
    }
}

#[cfg(unix)]
async fn told_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

#[cfg(not(unix))]
async fn told_to_stop() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

/// A runtime of this many threads; with one, the simpler kind.
fn runtime(workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_all().build()
}
