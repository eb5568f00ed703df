//! uWebSockets, which is C++: a program of its own, built by `uwebsockets/build`.

use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/uwebsockets/echo");

/// Whether it was built.
pub(super) fn is_there() -> bool {
    Path::new(PROGRAM).exists()
}

/// Becomes that program, which listens on the same port and prints the address itself.
pub(super) fn run(listener: TcpListener, workers: usize) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    drop(listener);
    Err(Command::new(PROGRAM).args([port.to_string(), workers.to_string()]).exec())
}
