//! The generator's sockets: never waiting, and checking what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::Result;

/// Without a byte for so long, the server is stuck.
const STALLED: Duration = Duration::from_secs(5);

/// Up to here every byte that comes back is compared; of more, every byte of one exchange in sixteen, and of the others
/// both ends of every read.
const COMPARED: usize = 64 * 1024;
const EVERY: u64 = 16;
const ENDS: usize = 16;

/// A connection that sends something and waits for what has to come back, again and again.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    writable: bool,
    readable: bool,
    sent: usize,
    got: usize,
    exchanges: u64,
}

/// Tells which of many connections can go on.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
    buffer: Vec<u8>,
    moved: Instant,
}

impl Poller {
    pub(crate) fn new() -> Result<Self> {
        Ok(Poller {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(512),
            buffer: vec![0; 256 * 1024],
            moved: Instant::now(),
        })
    }

    /// Takes a connection; `number` names it.
    pub(crate) fn add(&self, stream: TcpStream, number: usize) -> Result<Wire> {
        stream.set_nonblocking(true)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), flags)?;
        Ok(Wire { stream, writable: true, readable: false, sent: 0, got: 0, exchanges: 0 })
    }

    /// After a rest nothing is stuck.
    pub(crate) fn go_on(&mut self) {
        self.moved = Instant::now();
    }

    /// The connections that can go on. Returns at once: a generator that slept would have to be woken by the server,
    /// at the server's expense.
    pub(crate) fn ready(&mut self, wires: &mut [Wire]) -> Result<Vec<usize>> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&Timespec::default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        if !self.events.is_empty() {
            self.moved = now;
        } else if now - self.moved > STALLED {
            return Err("nothing has moved for five seconds".into());
        }
        let mut ready = Vec::with_capacity(self.events.len());
        for event in &self.events {
            let (number, flags) = (usize::try_from(event.data.u64())?, event.flags);
            wires[number].writable |= flags.contains(EventFlags::OUT);
            wires[number].readable |= flags.intersects(!EventFlags::OUT);
            ready.push(number);
        }
        Ok(ready)
    }

    /// Sends what it can of `request`, receives what it can of `response`; whether all of that has come.
    pub(crate) fn exchange(&mut self, wire: &mut Wire, request: &[u8], response: &[u8]) -> Result<bool> {
        wire.push(request)?;
        wire.pull(response, &mut self.buffer)?;
        if wire.sent < request.len() || wire.got < response.len() {
            return Ok(false);
        }
        (wire.sent, wire.got) = (0, 0);
        wire.exchanges += 1;
        Ok(true)
    }

    /// Sends what it can of `request`, and hands on what has come.
    pub(crate) fn converse(
        &mut self,
        wire: &mut Wire,
        request: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        wire.push(request)?;
        while let Some(read) = wire.read(&mut self.buffer)? {
            take(&self.buffer[..read])?;
        }
        Ok(())
    }
}

impl Wire {
    /// Whether a request is on its way, or its response.
    pub(crate) fn is_waiting(&self) -> bool {
        self.sent > 0 || self.got > 0
    }

    fn push(&mut self, request: &[u8]) -> Result<()> {
        while self.writable && self.sent < request.len() {
            match self.stream.write(&request[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Begins with another request.
    pub(crate) fn again(&mut self) {
        self.sent = 0;
    }

    fn pull(&mut self, response: &[u8], buffer: &mut [u8]) -> Result<()> {
        while self.got < response.len()
            && let Some(read) = self.read(buffer)?
        {
            self.check(&buffer[..read], &response[self.got..], response.len())?;
            self.got += read;
        }
        Ok(())
    }

    /// How many bytes have come, unless there are none.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        if !self.readable {
            return Ok(None);
        }
        match self.stream.read(buffer) {
            Ok(0) => Err("the server closed the connection".into()),
            Ok(read) => {
                // Edge-triggered: a short read has emptied it.
                self.readable = read == buffer.len();
                Ok(Some(read))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check(&self, got: &[u8], expected: &[u8], whole: usize) -> Result<()> {
        let same = got.len() <= expected.len() && {
            let expected = &expected[..got.len()];
            if whole <= COMPARED || self.exchanges.is_multiple_of(EVERY) {
                got == expected
            } else {
                let (head, tail) = (got.len().min(ENDS), got.len().saturating_sub(ENDS));
                got[..head] == expected[..head] && got[tail..] == expected[tail..]
            }
        };
        if same { Ok(()) } else { Err(format!("a wrong answer after {} right ones", self.exchanges).into()) }
    }
}
