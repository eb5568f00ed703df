//! [`Stage`], where a case starts its servers, and [`Server`], as the case sees one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::Level;
use websock_core::{CloseReason, Control, Message, Outcome, Socket};

use crate::host::{Host, Running};
use crate::journal::{Event, Journal, Threads};
use crate::peer::soon;
use crate::site::{Report, Site};

/// Where a case starts its servers; they are stopped when it is over, however it ended.
pub struct Stage {
    host: &'static dyn Host,
    journal: Journal,
    running: Mutex<Vec<Slot>>,
}

/// A server, until somebody stops it.
type Slot = Arc<Mutex<Option<Box<dyn Running>>>>;

impl Stage {
    /// A stage for servers of this host: for tests of a server outside of the suite.
    pub fn new(host: &'static dyn Host) -> Self {
        Stage::in_journal(host, Journal::default())
    }

    pub(crate) fn in_journal(host: &'static dyn Host, journal: Journal) -> Self {
        Stage { host, journal, running: Mutex::default() }
    }

    /// Starts a server around a site.
    pub async fn start(&self, site: Site) -> Server {
        let (reports_in, reports) = unbounded_channel();
        let (log_in, log) = unbounded_channel();
        let site = site.reporting(reports_in, Threads::new(self.journal.clone(), log_in));
        let running = soon("the server's start", self.host.start(Arc::new(site))).await;
        let addr = running.addr();
        let running = Arc::new(Mutex::new(Some(running)));
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running.clone());
        Server { addr, reports, log, running }
    }

    /// Stops all servers that still run.
    pub async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in running {
            stop(&slot).await;
        }
    }
}

async fn stop(slot: &Slot) {
    let running = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(running) = running {
        running.stop().await;
    }
}

/// A running server: its address, and what its handlers have reported.
///
/// Every method that waits panics when nothing comes for ten seconds, and when something else comes.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    reports: UnboundedReceiver<(usize, Report)>,
    log: UnboundedReceiver<Event>,
    running: Slot,
}

impl Server {
    /// The next report, and the number of the handler that it is about.
    pub async fn numbered_report(&mut self) -> (usize, Report) {
        soon("a report", self.reports.recv()).await.unwrap()
    }

    /// The next report is that `init` was called; gives what it got.
    pub async fn init(&mut self) -> Socket<Outcome> {
        match self.numbered_report().await.1 {
            Report::Init(socket) => socket,
            other => panic!("init is due, not {other:?}"),
        }
    }

    /// The next report is that `handle_in` was called.
    pub async fn message(&mut self) -> Message {
        match self.numbered_report().await.1 {
            Report::In(message) => message,
            other => panic!("handle_in is due, not {other:?}"),
        }
    }

    /// The next report is that `handle_control` was called.
    pub async fn control(&mut self) -> Control {
        match self.numbered_report().await.1 {
            Report::Control(control) => control,
            other => panic!("handle_control is due, not {other:?}"),
        }
    }

    /// The next report is that `terminate` was called.
    pub async fn terminated(&mut self) -> CloseReason {
        match self.numbered_report().await.1 {
            Report::Terminate(reason) => reason,
            other => panic!("terminate is due, not {other:?}"),
        }
    }

    /// The next report is that a handler was dropped without `terminate`.
    pub async fn dropped(&mut self) {
        match self.numbered_report().await.1 {
            Report::Dropped => {}
            other => panic!("the handler is to be dropped, not {other:?}"),
        }
    }

    /// The next event of this level.
    pub async fn event(&mut self, level: Level) -> Event {
        self.event_of(&[level]).await
    }

    /// The next event of any of these levels.
    pub async fn event_of(&mut self, levels: &[Level]) -> Event {
        loop {
            let event = soon("an event", self.log.recv()).await.unwrap();
            if levels.contains(&event.level) {
                return event;
            }
        }
    }

    /// The next error in the log.
    pub async fn error(&mut self) -> Event {
        self.event(Level::ERROR).await
    }

    /// Stops the server, whatever it is doing, and gives the reports and the errors that nobody has asked for.
    pub async fn stop(mut self) -> (Vec<Report>, Vec<Event>) {
        stop(&self.running).await;
        let (mut reports, mut errors) = (Vec::new(), Vec::new());
        while let Some((_, report)) = soon("the last handler's end", self.reports.recv()).await {
            reports.push(report);
        }
        while let Ok(event) = self.log.try_recv() {
            if event.level == Level::ERROR {
                errors.push(event);
            }
        }
        (reports, errors)
    }

    /// Stops the server; every call of a handler, and every error, must have been asked for.
    pub async fn expect_nothing_more(self) {
        let (reports, errors) = self.stop().await;
        assert!(reports.is_empty() && errors.is_empty(), "{reports:?} {errors:?}");
    }
}
