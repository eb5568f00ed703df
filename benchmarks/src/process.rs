//! A server as a process of its own, and what the kernel tells about it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::Result;
use crate::machine::{self, nanoseconds_per_tick};
use crate::offer::Offer;
use crate::servers::{self, CONGESTION, Kind, Server};

/// How long anything that is not measured may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How glibc copies from 2.40 on where the processor is AMD's, and before only if it is told to: without `rep movsb`, which
/// takes twenty times as long there between two places whose addresses nearly agree in their last twelve bits. Which
/// ones a process gets is luck, and lasts as long as it does.
const NO_STRING_MOVES: &str = "glibc.cpu.x86_rep_movsb_threshold=1000000000";

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) server: &'static Server,
    pub(crate) address: SocketAddr,
    /// What every connection asks for.
    offer: Option<Offer>,
    child: Child,
}

/// CPU time of a process, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    /// Precise.
    pub(crate) total: u64,
    /// In ticks: good for the ratio of the two only.
    pub(crate) user: u64,
    pub(crate) system: u64,
}

/// What `serve` does: the process's whole life.
pub(crate) fn serve(name: &str, workers: usize, cores: &[usize]) -> Result<()> {
    let server = servers::find(name).ok_or_else(|| format!("no server {name:?}"))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    machine::raise_open_files()?;
    if !cores.is_empty() {
        machine::pin(cores)?;
    }
    Ok(server.run(workers)?)
}

impl Process {
    pub(crate) fn start(
        server: &'static Server,
        workers: usize,
        cores: &[usize],
        offer: Option<Offer>,
    ) -> Result<Self> {
        let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
        let mut child = Command::new(std::env::current_exe()?)
            .env("GLIBC_TUNABLES", NO_STRING_MOVES)
            .args(["serve", server.name, "--workers", &workers.to_string(), "--cores", &cores.join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let address = line.trim().parse().unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
        let process = Process { server, address, offer, child };
        if process.address.port() == 0 {
            return Err(format!("{} did not start", server.name).into());
        }
        Ok(process)
    }

    /// A connection, upgraded when it is one to a WebSocket server; blocking, and patient.
    pub(crate) fn connect(&self, number: usize) -> Result<TcpStream> {
        let mut stream = self.dial(number)?;
        if self.server.kind != Kind::Floor {
            self.ask(&mut stream)?;
            self.upgraded(&mut stream)?;
        }
        Ok(stream)
    }

    /// The TCP connection alone. They come from different addresses, as one has only so many ports.
    pub(crate) fn dial(&self, number: usize) -> Result<TcpStream> {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_tcp_congestion(&socket, CONGESTION).ok();
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % 200 + 1)?);
        bind(&socket, &SocketAddr::from((from, 0)))?;
        connect(&socket, &self.address)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Asks for the upgrade, with the key of RFC 6455 §1.3, whose answer is known.
    pub(crate) fn ask(&self, stream: &mut TcpStream) -> Result<()> {
        let extensions = self.offer.map(|offer| format!("Sec-WebSocket-Extensions: {}\r\n", offer.field()));
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
            self.address,
            extensions.unwrap_or_default()
        );
        Ok(stream.write_all(request.as_bytes())?)
    }

    /// Reads the answer to that.
    pub(crate) fn upgraded(&self, stream: &mut TcpStream) -> Result<()> {
        let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
        while !head.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer)?;
            head.extend_from_slice(&buffer[..read]);
            if read == 0 || head.len() > 16_384 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&head);
        if !text.starts_with("HTTP/1.1 101 ") || !text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
            return Err(format!("{} refused the upgrade: {text:?}", self.server.name).into());
        }
        match self.offer {
            Some(offer) if !offer.is_met(&text) => {
                let (name, field) = (self.server.name, offer.field());
                Err(format!("{name} does not agree to \"{field}\": {text:?}").into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let proc = format!("/proc/{}", self.child.id());
        let stat = fs::read_to_string(format!("{proc}/stat"))?;
        let (_, fields) = stat.rsplit_once(") ").ok_or("/proc/PID/stat has another form")?;
        let mut ticks = fields.split_whitespace().skip(11).map(|field| field.parse().unwrap_or(0_u64));
        let mut next = || ticks.next().unwrap_or(0) * nanoseconds_per_tick();
        let (user, system) = (next(), next());
        let mut total = 0;
        for task in fs::read_dir(format!("{proc}/task"))? {
            let schedule = fs::read_to_string(task?.path().join("schedstat"))?;
            total += schedule.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        }
        Ok(Cpu { total, user, system })
    }

    /// Resident memory in KiB, when it has not changed for half a second (or does not stop changing).
    pub(crate) fn memory(&self) -> Result<f64> {
        let until = Instant::now() + PATIENCE;
        let mut same = 0;
        let mut last = self.resident()?;
        while same < 5 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.resident()?;
            same = if (now - last).abs() <= last / 1000.0 { same + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }

    fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("the server is gone")?;
        Ok(kib.parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the connections here really use.
pub(crate) fn congestion() -> String {
    let used = || -> io::Result<String> {
        let flags = SocketFlags::CLOEXEC;
        let socket: OwnedFd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_congestion(&socket, CONGESTION).ok();
        Ok(sockopt::tcp_congestion(&socket)?)
    };
    used().unwrap_or_else(|_| "unknown".to_owned())
}
