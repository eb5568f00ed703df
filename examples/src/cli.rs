//! What the binaries have in common: their arguments, the log, and how they fail.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;
use websock_core::WebSock;

use crate::servers::{App, Server};

/// Where and on what to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// The server to run on
    #[arg(long, value_enum, default_value_t)]
    pub server: Server,
    /// The address to listen on
    #[arg(long)]
    pub addr: SocketAddr,
    /// How many threads serve connections; at most 512 on actix [default: one for each processor]
    #[arg(long)]
    pub workers: Option<NonZeroUsize>,
}

impl Serve {
    /// Serves until the process is told to stop. Where that cannot begin, one line says why, and the exit code is 1.
    pub fn run<H, F>(self, name: &str, app: App<F>) -> ExitCode
    where
        H: WebSock,
        F: Fn() -> H + Clone + Send + Sync + 'static,
    {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        let addr = self.addr;
        match self.serve(name, app) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                print_error(&format!("{name}: cannot serve on {addr}: {error}"));
                ExitCode::FAILURE
            }
        }
    }

    fn serve<H, F>(self, name: &str, app: App<F>) -> std::io::Result<()>
    where
        H: WebSock,
        F: Fn() -> H + Clone + Send + Sync + 'static,
    {
        let listener = TcpListener::bind(self.addr)?;
        let workers = self.workers.or(std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let addr = listener.local_addr()?;
        let scheme = if app.page.is_some() { "http" } else { "ws" };
        print_line(&format!("{name} on {}: {scheme}://{addr}/", self.server.name()));
        self.server.run(listener, workers, app)
    }
}

/// Nobody has to listen: who started it may read no further than the first line.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
