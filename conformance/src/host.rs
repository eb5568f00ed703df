//! [`Host`]: what an adapter has to write.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use async_trait::async_trait;
use socket2::SockRef;
use tokio::runtime::Runtime;

use crate::journal::Threads;
use crate::site::Site;

/// A way to serve a site: all that the suite needs to know of a server.
///
/// A server has these routes. Each makes one handler with [`Site::probe`] for each request, also where it does not use
/// it, and upgrades with [`Site::options`]:
///
/// | path | |
/// |---|---|
/// | `/ws` | upgrades, whatever the method |
/// | `/cookie` | the same; a 101 gets `Set-Cookie: seen=1` and `X-Route: cookie` |
/// | `/members` | without `Authorization: secret` a 401 of its own that says `members only`; else upgrades |
/// | `/look` | asks whether the upgrade would be accepted, and answers 200 `acceptable`, or the refusal |
/// | `/taken` | something before the route has taken the request's transport |
/// | `/taken/look` | both |
/// | `/replaced` | something behind the route replaces the 101 by a 200 `replaced` |
/// | others | 404 |
///
/// Of a framework these are ordinary routes, with its ordinary middleware around them.
///
/// Handlers may run on any threads, also on several single-threaded executors; each such thread has to call
/// [`Site::enter_thread`] first. [`TokioServer`] does all of this for a server that runs in a tokio runtime.
#[async_trait]
pub trait Host: Send + Sync {
    /// What the server is called; its tests are called so too.
    fn name(&self) -> &'static str;

    /// Starts a server around the site, on a free port of the loopback interface. It accepts connections when this
    /// returns. A server that cannot start panics, and the case fails with that.
    ///
    /// Each case starts a server of its own, several at the same time.
    async fn start(&self, site: Arc<Site>) -> Box<dyn Running>;

    /// The cases that this server cannot run by its nature, by name, each with the reason.
    ///
    /// They are listed as ignored. A defect does not belong here: its case has to fail.
    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// A server that was started.
///
/// Dropped, it stops too, without anybody waiting for that.
#[async_trait]
pub trait Running: Send {
    /// Where it listens.
    fn addr(&self) -> SocketAddr;

    /// Stops it, whatever it is doing: open connections are dropped, and so is the site soon after.
    async fn stop(self: Box<Self>);
}

/// A listener on a free port of the loopback interface, which does not block. What it accepts has little room for what
/// the peer has not read: so a peer that reads nothing is met after kilobytes, where the system would take megabytes.
///
/// # Panics
/// Where there is none to be had.
pub fn listener() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    SockRef::from(&listener).set_send_buffer_size(64 * 1024).unwrap();
    listener
}

/// A server that runs in a tokio runtime of its own.
#[derive(Debug)]
pub struct TokioServer {
    addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl TokioServer {
    /// Runs `serve` with a listener and the site in a new runtime, which has two threads, so that connections are
    /// served at once. When it stops, everything that `serve` has spawned is dropped.
    ///
    /// # Panics
    /// Where the runtime or the listener cannot be made.
    pub fn start<F>(
        site: Arc<Site>,
        serve: impl FnOnce(tokio::net::TcpListener, Arc<Site>) -> F + Send + 'static,
    ) -> Box<dyn Running>
    where
        F: Future<Output = ()> + Send,
    {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let threads = site.threads();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || threads.iter().for_each(Threads::enter))
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            serve(listener, site).await;
        });
        Box::new(TokioServer { addr, runtime: Some(runtime) })
    }
}

#[async_trait]
impl Running for TokioServer {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    async fn stop(self: Box<Self>) {}
}

impl Drop for TokioServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
