//! What a case serves, and how it sees what became of it. Nothing here knows a server.

use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use websock_hyper::{CloseReason, Control, HandleResult, Message, Options, Outcome, Socket, WebSock};

use crate::peer::soon;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A way to serve a site. All that a case needs of a server.
///
/// It serves these routes, each with a handler of [`Site::probe`] and the site's options:
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
#[derive(Clone, Copy)]
pub(crate) struct Host(pub(crate) fn(TcpListener, Arc<Site>) -> BoxFuture<()>);

impl Host {
    /// Starts a server on a port of its own.
    pub(crate) fn start(self, mut site: Site) -> Server {
        let (reports_in, reports) = unbounded_channel();
        let (log_in, log) = unbounded_channel();
        let dispatch: tracing::Dispatch =
            tracing_subscriber::registry().with(LevelFilter::INFO).with(Capture(log_in)).into();
        site.reports = Some(reports_in);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(self.0(listener, Arc::new(site)));
        Server { addr, reports, log, runtime: Some(runtime) }
    }
}

/// What is served: a handler's behaviour and the options.
pub(crate) struct Site {
    pub(crate) options: Options,
    on_init: Callback<Socket<Outcome>>,
    on_message: Callback<Message>,
    on_control: Callback<Control>,
    reports: Option<UnboundedSender<(usize, Report)>>,
    connections: AtomicUsize,
}

type Callback<A> = Arc<dyn Fn(A) -> BoxFuture<HandleResult> + Send + Sync>;

impl Site {
    /// A handler that answers messages so.
    pub(crate) fn new<F>(on_message: impl Fn(Message) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HandleResult> + Send + 'static,
    {
        Site {
            // A case that waits for it does not wait long; see `Site::options`.
            options: Options::default().close_timeout(Duration::from_millis(500)),
            on_init: Arc::new(|_| Box::pin(async { Ok(Outcome::none()) })),
            on_message: Arc::new(move |message| Box::pin(on_message(message))),
            on_control: Arc::new(|_| Box::pin(async { Ok(Outcome::none()) })),
            reports: None,
            connections: AtomicUsize::new(0),
        }
    }

    pub(crate) fn echo() -> Self {
        Site::new(async |message| Ok(Outcome::push(message)))
    }

    /// What the handler's `init` does.
    pub(crate) fn on_init<F>(mut self, on_init: impl Fn(Socket<Outcome>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HandleResult> + Send + 'static,
    {
        self.on_init = Arc::new(move |socket| Box::pin(on_init(socket)));
        self
    }

    /// What the handler's `handle_control` does.
    pub(crate) fn on_control<F>(mut self, on_control: impl Fn(Control) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HandleResult> + Send + 'static,
    {
        self.on_control = Arc::new(move |control| Box::pin(on_control(control)));
        self
    }

    pub(crate) fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The handler of one more upgrade.
    pub(crate) fn probe(&self) -> Probe {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        Probe {
            connection,
            on_init: self.on_init.clone(),
            on_message: self.on_message.clone(),
            on_control: self.on_control.clone(),
            reports: self.reports.clone(),
        }
    }
}

/// A handler that reports every call, and does what the case wants.
pub(crate) struct Probe {
    connection: usize,
    on_init: Callback<Socket<Outcome>>,
    on_message: Callback<Message>,
    on_control: Callback<Control>,
    reports: Option<UnboundedSender<(usize, Report)>>,
}

/// What happened to a handler.
#[derive(Debug)]
pub(crate) enum Report {
    Init(Socket<Outcome>),
    In(Message),
    Control(Control),
    Terminate(CloseReason),
    /// It was dropped without `terminate`.
    Dropped,
}

impl Probe {
    fn report(&self, report: Report) {
        if let Some(reports) = &self.reports {
            let _ = reports.send((self.connection, report));
        }
    }
}

impl WebSock for Probe {
    /// The mailbox takes what `handle_info` is to answer.
    type Info = Outcome;

    async fn init(&mut self, socket: Socket<Outcome>) -> HandleResult {
        self.report(Report::Init(socket.clone()));
        (self.on_init)(socket).await
    }

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        self.report(Report::In(message.clone()));
        (self.on_message)(message).await
    }

    async fn handle_control(&mut self, control: Control) -> HandleResult {
        self.report(Report::Control(control.clone()));
        (self.on_control)(control).await
    }

    async fn handle_info(&mut self, outcome: Outcome) -> HandleResult {
        Ok(outcome)
    }

    async fn terminate(mut self, reason: CloseReason) {
        self.report(Report::Terminate(reason));
        self.reports = None;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.report(Report::Dropped);
    }
}

/// A running server: its address, and what its handlers have reported.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    reports: UnboundedReceiver<(usize, Report)>,
    log: UnboundedReceiver<Event>,
    runtime: Option<Runtime>,
}

impl Server {
    /// The next report, and the number of the connection that it is about.
    pub(crate) async fn numbered_report(&mut self) -> (usize, Report) {
        soon("a report", self.reports.recv()).await.unwrap()
    }

    pub(crate) async fn init(&mut self) -> Socket<Outcome> {
        match self.numbered_report().await.1 {
            Report::Init(socket) => socket,
            other => panic!("init is due, not {other:?}"),
        }
    }

    pub(crate) async fn message(&mut self) -> Message {
        match self.numbered_report().await.1 {
            Report::In(message) => message,
            other => panic!("handle_in is due, not {other:?}"),
        }
    }

    pub(crate) async fn control(&mut self) -> Control {
        match self.numbered_report().await.1 {
            Report::Control(control) => control,
            other => panic!("handle_control is due, not {other:?}"),
        }
    }

    pub(crate) async fn terminated(&mut self) -> CloseReason {
        match self.numbered_report().await.1 {
            Report::Terminate(reason) => reason,
            other => panic!("terminate is due, not {other:?}"),
        }
    }

    /// A handler on which nothing was called since the last report was dropped without `terminate`.
    pub(crate) async fn dropped(&mut self) {
        match self.numbered_report().await.1 {
            Report::Dropped => {}
            other => panic!("the handler is to be dropped, not {other:?}"),
        }
    }

    /// The next event of this level.
    pub(crate) async fn event(&mut self, level: Level) -> Event {
        loop {
            let event = soon("an event", self.log.recv()).await.unwrap();
            if event.level == level {
                return event;
            }
        }
    }

    pub(crate) async fn error(&mut self) -> Event {
        self.event(Level::ERROR).await
    }

    /// Stops the server, whatever it is doing, and gives the reports and the errors that nobody has asked for.
    pub(crate) async fn stop(mut self) -> (Vec<Report>, Vec<Event>) {
        self.runtime.take().unwrap().shutdown_background();
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
    pub(crate) async fn expect_nothing_more(self) {
        let (reports, errors) = self.stop().await;
        assert!(reports.is_empty() && errors.is_empty(), "{reports:?} {errors:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An event of the log.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) level: Level,
    /// Names and values, `message` among them.
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl Event {
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(other, _)| *other == name);
        found.map_or_else(|| panic!("no {name} in {self:?}"), |(_, value)| value)
    }
}

/// Collects a server's log.
struct Capture(UnboundedSender<Event>);

impl<S: tracing::Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if !event.metadata().target().starts_with("websock") {
            return; // a server's own
        }
        let mut captured = Event { level: *event.metadata().level(), fields: Vec::new() };
        event.record(&mut captured);
        let _ = self.0.send(captured);
    }
}

impl Visit for Event {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }
}
