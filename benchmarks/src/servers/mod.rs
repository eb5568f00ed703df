//! The servers: each one file, in the loop that its own docs recommend.

use std::future::Future;
use std::io;
use std::net::TcpListener;

use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

mod actix_bytes;
mod fanout;
mod floor;
mod ours;
mod ours_actix;

#[cfg(feature = "peers")]
mod actix_ws;
#[cfg(feature = "peers")]
mod axum_ws;
#[cfg(feature = "peers")]
mod fastwebsockets;
#[cfg(feature = "peers")]
mod hyper_tungstenite;
#[cfg(feature = "peers")]
mod sockudo;
#[cfg(feature = "peers")]
mod tokio_tungstenite;
#[cfg(feature = "peers")]
mod tokio_websockets;
#[cfg(feature = "peers")]
mod uwebsockets;
#[cfg(feature = "peers")]
mod warp_ws;
#[cfg(feature = "peers")]
mod yawc;

/// The most bytes in one message, on every server.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The congestion control of both ends. On loopback it decides how large messages are cut, so it is the same
/// everywhere: the system's default may be anything.
pub(crate) const CONGESTION: &str = "reno";

/// What is compressed, and how much work is put into it, on every server that does.
const THRESHOLD: usize = 512;
const LEVEL: u8 = 6;

/// What a server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Sends it back.
    Echo,
    /// Sends it to all the other connections.
    Fanout,
    /// Inflates it, and sends it back deflated.
    Deflate,
}

/// What each framework ships or is mostly used with, and ours on the same.
pub(crate) const PAIRS: [(&str, &str); 4] = [
    ("hyper-tungstenite", "websock-hyper"),
    ("axum-ws", "websock-axum"),
    ("warp-ws", "websock-warp"),
    ("actix-ws", "websock-actix"),
];

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// WebSocket.
    WebSocket,
    /// Bytes, after the same handshake: what the HTTP server itself costs.
    Upgraded,
    /// Bytes from the start: what the others are compared with.
    Floor,
}

impl Kind {
    /// Whether it sends back the bytes as they came.
    pub(crate) fn is_bare(self) -> bool {
        self != Kind::WebSocket
    }
}

/// A server that can be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Its name on the command line and in the tables.
    pub(crate) name: &'static str,
    pub(crate) job: Job,
    pub(crate) kind: Kind,
    /// The crate whose version is shown.
    pub(crate) package: &'static str,
    /// How it reads and writes.
    pub(crate) how: &'static str,
    /// Where its docs say so.
    pub(crate) docs: &'static str,
    run: fn(TcpListener, usize) -> io::Result<()>,
}

const OURS: &str = "a handler that pushes the message back";
const DESIGN: &str = "../README.md";

/// The one that is no crate but a program of its own, and is there only where that was built.
const UWEBSOCKETS: &str = "uwebsockets";

/// All of them, in the order of the tables.
pub(crate) const ALL: &[Server] = &[
    Server {
        name: "floor-64k",
        job: Job::Echo,
        kind: Kind::Floor,
        package: "tokio",
        how: "bare TCP: one read of up to 64 KiB, one write",
        docs: "https://docs.rs/tokio/latest/tokio/net/struct.TcpStream.html",
        run: floor::run::<{ 64 * 1024 }>,
    },
    Server {
        name: "floor-256k",
        job: Job::Echo,
        kind: Kind::Floor,
        package: "tokio",
        how: "bare TCP: one read of up to 256 KiB, one write",
        docs: "https://docs.rs/tokio/latest/tokio/net/struct.TcpStream.html",
        run: floor::run::<{ 256 * 1024 }>,
    },
    Server {
        name: "websock-hyper",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "websock-hyper",
        how: OURS,
        docs: DESIGN,
        run: ours::hyper_echo,
    },
    Server {
        name: "websock-axum",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "websock-axum",
        how: OURS,
        docs: DESIGN,
        run: ours::axum_echo,
    },
    Server {
        name: "websock-warp",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "websock-warp",
        how: OURS,
        docs: DESIGN,
        run: ours::warp_echo,
    },
    Server {
        name: "websock-actix",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "websock-actix",
        how: OURS,
        docs: DESIGN,
        run: ours_actix::echo,
    },
    Server {
        name: "actix-bytes",
        job: Job::Echo,
        kind: Kind::Upgraded,
        package: "actix-web",
        how: "no WebSocket: the payload's chunks are the response's body",
        docs: "https://docs.rs/actix-web/latest/actix_web/struct.HttpResponseBuilder.html#method.streaming",
        run: actix_bytes::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "axum-ws",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "axum",
        how: "extract::ws: recv and send, one by one",
        docs: "https://docs.rs/axum/0.8/axum/extract/ws/index.html",
        run: axum_ws::one_by_one,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "axum-ws-batched",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "axum",
        how: "extract::ws: feed what is ready, flush once (by hand)",
        docs: "https://docs.rs/axum/0.8/axum/extract/ws/struct.WebSocket.html",
        run: axum_ws::batched,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "warp-ws",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "warp",
        how: "warp::ws: forward the stream to the sink",
        docs: "https://github.com/seanmonstar/warp/blob/master/examples/websockets.rs",
        run: warp_ws::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "actix-ws",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "actix-ws",
        how: "Session and an aggregated MessageStream",
        docs: "https://docs.rs/actix-ws/0.4/actix_ws/",
        run: actix_ws::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "hyper-tungstenite",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "hyper-tungstenite",
        how: "hyper and tokio-tungstenite: next and send, one by one",
        docs: "https://docs.rs/hyper-tungstenite/0.30/hyper_tungstenite/",
        run: hyper_tungstenite::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "fastwebsockets",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "fastwebsockets",
        how: "on hyper: FragmentCollector, read_frame and write_frame",
        docs: "https://github.com/denoland/fastwebsockets/blob/main/examples/echo_server.rs",
        run: fastwebsockets::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "yawc",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "yawc",
        how: "on hyper: next and send, one by one",
        docs: "https://docs.rs/yawc/0.5/yawc/",
        run: yawc::one_by_one,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "yawc-batched",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "yawc",
        how: "on hyper, as in its benchmarks: 128 KiB read buffer, up to 32 ready messages for each flush",
        docs: "https://github.com/infinitefield/yawc#benchmarks",
        run: yawc::batched,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "tokio-tungstenite",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "tokio-tungstenite",
        how: "its own handshake: forward the stream to the sink",
        docs: "https://github.com/snapview/tokio-tungstenite/blob/master/examples/echo-server.rs",
        run: tokio_tungstenite::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "tokio-websockets",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "tokio-websockets",
        how: "its own handshake: next and send, one by one",
        docs: "https://github.com/Gelbpunkt/tokio-websockets/blob/main/examples/echo_server.rs",
        run: tokio_websockets::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "sockudo-ws",
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: "sockudo-ws",
        how: "its own handshake: next and feed; its next flushes before it waits",
        docs: "https://docs.rs/crate/sockudo-ws/3.1.0",
        run: sockudo::run,
    },
    #[cfg(feature = "peers")]
    Server {
        name: UWEBSOCKETS,
        job: Job::Echo,
        kind: Kind::WebSocket,
        package: UWEBSOCKETS,
        how: "C++: send in the message handler",
        docs: "https://github.com/uNetworking/uWebSockets/blob/master/examples/EchoServerThreaded.cpp",
        run: uwebsockets::run,
    },
    Server {
        name: "floor-fanout",
        job: Job::Fanout,
        kind: Kind::Floor,
        package: "tokio",
        how: "bare TCP: a loop that writes the same bytes to every socket",
        docs: "https://docs.rs/tokio/latest/tokio/net/struct.TcpStream.html",
        run: fanout::bare,
    },
    Server {
        name: "floor-fanout-tasks",
        job: Job::Fanout,
        kind: Kind::Floor,
        package: "tokio",
        how: "bare TCP: a task for each socket, woken through a channel, writes what it gets",
        docs: "https://docs.rs/tokio/latest/tokio/sync/mpsc/index.html",
        run: fanout::tasks,
    },
    Server {
        name: "websock-hyper-fanout",
        job: Job::Fanout,
        kind: Kind::WebSocket,
        package: "websock-hyper",
        how: "one Prepared frame through every mailbox",
        docs: DESIGN,
        run: fanout::hyper,
    },
    Server {
        name: "websock-axum-fanout",
        job: Job::Fanout,
        kind: Kind::WebSocket,
        package: "websock-axum",
        how: "one Prepared frame through every mailbox",
        docs: DESIGN,
        run: fanout::axum,
    },
    Server {
        name: "websock-warp-fanout",
        job: Job::Fanout,
        kind: Kind::WebSocket,
        package: "websock-warp",
        how: "one Prepared frame through every mailbox",
        docs: DESIGN,
        run: fanout::warp,
    },
    Server {
        name: "websock-actix-fanout",
        job: Job::Fanout,
        kind: Kind::WebSocket,
        package: "websock-actix",
        how: "one Prepared frame through every mailbox",
        docs: DESIGN,
        run: ours_actix::fanout,
    },
    Server {
        name: "websock-hyper-deflate",
        job: Job::Deflate,
        kind: Kind::WebSocket,
        package: "websock-hyper",
        how: OURS,
        docs: DESIGN,
        run: ours::hyper_deflate,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "yawc-deflate",
        job: Job::Deflate,
        kind: Kind::WebSocket,
        package: "yawc",
        how: "on hyper: next and send, one by one; a DeflatePool",
        docs: "https://docs.rs/yawc/0.5/yawc/struct.DeflatePool.html",
        run: yawc::deflate,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "yawc-deflate-batched",
        job: Job::Deflate,
        kind: Kind::WebSocket,
        package: "yawc",
        how: "as yawc-batched; a DeflatePool",
        docs: "https://docs.rs/yawc/0.5/yawc/struct.DeflatePool.html",
        run: yawc::deflate_batched,
    },
    #[cfg(feature = "peers")]
    Server {
        name: "sockudo-ws-deflate",
        job: Job::Deflate,
        kind: Kind::WebSocket,
        package: "sockudo-ws",
        how: "as sockudo-ws; the handshake as in its server for Autobahn",
        docs: "https://docs.rs/crate/sockudo-ws/3.1.0/source/autobahn/server.rs",
        run: sockudo::deflate,
    },
];

/// The server of this name.
pub(crate) fn find(name: &str) -> Option<&'static Server> {
    ALL.iter().find(|server| server.name == name)
}

/// Prints them.
pub(crate) fn list() {
    println!("servers:");
    for server in ALL {
        println!("  {:21} {} {}: {}", server.name, server.package, server.version(), server.how);
        println!("  {:21} {}", "", server.docs);
    }
}

impl Server {
    /// The version that this binary was built with.
    pub(crate) fn version(&self) -> &'static str {
        if self.name == UWEBSOCKETS {
            return "20";
        }
        const LOCK: &str = include_str!("../../Cargo.lock");
        let named =
            |package: &&str| package.trim_start().starts_with(&format!("name = \"{}\"", self.package));
        // The last one is the newest, where there are several.
        let package = LOCK.split("[[package]]").filter(named).last().unwrap_or_default();
        let version = package.lines().find_map(|line| line.strip_prefix("version = \""));
        version.map_or("?", |version| version.trim_end_matches('"'))
    }

    /// Whether it can be measured on this machine.
    pub(crate) fn is_there(&self) -> bool {
        #[cfg(feature = "peers")]
        if self.name == UWEBSOCKETS {
            return uwebsockets::is_there();
        }
        true
    }

    /// Serves until the process is killed.
    pub(crate) fn run(&self, workers: usize) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // Accepted sockets inherit both, so no server has to be trusted with them.
        sockopt::set_tcp_nodelay(&listener, true)?;
        sockopt::set_tcp_congestion(&listener, CONGESTION).ok();
        listener.set_nonblocking(true)?;
        // That one listens by itself, and says so when it does.
        if self.name != UWEBSOCKETS {
            println!("{}", listener.local_addr()?);
        }
        (self.run)(listener, workers)
    }
}

/// The runtime that all but actix run on.
fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_all().build()
}

/// Runs a task for each connection.
fn accept<T>(listener: TcpListener, workers: usize, task: impl Fn(TcpStream) -> T) -> io::Result<()>
where
    T: Future<Output = ()> + Send + 'static,
{
    runtime(workers)?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(task(stream));
        }
    })
}

/// For the peers on hyper: runs a task for each HTTP connection, whose requests this function answers.
#[cfg(feature = "peers")]
fn http<F, B, E>(listener: TcpListener, workers: usize, answer: F) -> io::Result<()>
where
    F: Fn(Request) -> Result<hyper::Response<B>, E> + Clone + Send + 'static,
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    accept(listener, workers, move |stream| {
        let answer = answer.clone();
        let service = hyper::service::service_fn(move |request| {
            let response = answer(request);
            async { response }
        });
        async move {
            let stream = hyper_util::rt::TokioIo::new(stream);
            let http = hyper::server::conn::http1::Builder::new();
            http.serve_connection(stream, service).with_upgrades().await.ok();
        }
    })
}

#[cfg(feature = "peers")]
type Request = hyper::Request<hyper::body::Incoming>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_inherit_no_delay_and_congestion_control() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        sockopt::set_tcp_nodelay(&listener, true).unwrap();
        sockopt::set_tcp_congestion(&listener, CONGESTION).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(sockopt::tcp_nodelay(&accepted).unwrap());
        assert_eq!(sockopt::tcp_congestion(&accepted).unwrap(), CONGESTION);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ALL.iter().map(|server| server.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
