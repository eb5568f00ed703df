//! [`Site`]: what a case serves, and the [`Probe`] that reports what became of it. Nothing here knows a server.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use websock_core::{CloseReason, Control, HandleResult, Message, Options, Outcome, Socket, WebSock};

use crate::journal::Threads;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Callback<A> = Arc<dyn Fn(A) -> BoxFuture<HandleResult> + Send + Sync>;
type Reports = UnboundedSender<(usize, Report)>;

/// What is served: a handler's behaviour and the options.
///
/// An adapter needs [`probe`](Site::probe) and [`options`](Site::options), and [`enter_thread`](Site::enter_thread)
/// where it starts threads of its own; the rest is for cases.
pub struct Site {
    options: Options,
    behaviour: Behaviour,
    started: Option<(Reports, Threads)>,
    probes: AtomicUsize,
}

/// What each callback does.
#[derive(Clone)]
struct Behaviour {
    init: Callback<Socket<Outcome>>,
    message: Callback<Message>,
    control: Callback<Control>,
    info: Callback<Outcome>,
    terminate: Arc<dyn Fn() -> BoxFuture<()> + Send + Sync>,
    counted: Arc<dyn Fn(u32, Outcome) -> Outcome + Send + Sync>,
}

/// Most peers here never answer a Close. Where a server cannot shut its write side alone, they would have to wait long
/// for the end of the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

impl Site {
    /// The handler of one more request. Each reports under a number of its own, from 0 on.
    pub fn probe(&self) -> Probe {
        Probe {
            number: self.probes.fetch_add(1, Ordering::Relaxed),
            calls: 0,
            behaviour: self.behaviour.clone(),
            reports: self.started.as_ref().map(|(reports, _)| reports.clone()),
        }
    }

    /// The options to upgrade with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Makes the calling thread one of the server's: what it logs is seen by the case, and what panics there is told
    /// with the case's failure. A thread that runs handlers calls this once, before the first of them.
    pub fn enter_thread(&self) {
        if let Some((_, threads)) = &self.started {
            threads.enter();
        }
    }

    /// The defaults but for a short `close_timeout`: a server that cannot end one side of a connection alone keeps a
    /// peer waiting for so long that does not answer its Close.
    pub fn usual_options() -> Options {
        Options::default().close_timeout(CLOSE_TIMEOUT)
    }

    /// A site whose handler answers messages so, and everything else with nothing. Its options are the
    /// [usual ones](Self::usual_options).
    pub fn new<F>(on_message: impl Fn(Message) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HandleResult> + Send + 'static,
    {
        let behaviour = Behaviour {
            init: Arc::new(|_| Box::pin(async { Ok(Outcome::none()) })),
            message: Arc::new(move |message| Box::pin(on_message(message))),
            control: Arc::new(|_| Box::pin(async { Ok(Outcome::none()) })),
            info: Arc::new(|outcome| Box::pin(async { Ok(outcome) })),
            terminate: Arc::new(|| Box::pin(async {})),
            counted: Arc::new(|_, outcome| outcome),
        };
        Site { options: Site::usual_options(), behaviour, started: None, probes: AtomicUsize::new(0) }
    }

    /// A site whose handler sends each message back.
    pub fn echo() -> Self {
        Site::new(async |message| Ok(Outcome::push(message)))
    }

    /// What the handler's `init` does.
    #[must_use]
    pub fn on_init<F>(mut self, on_init: impl Fn(Socket<Outcome>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HandleResult> + Send + 'static,
    {
        self.behaviour.init = Arc::new(move |socket| Box::pin(on_init(socket)));
        self
    }

    /// What the handler's `handle_control` does.
    #[must_use]
    pub fn on_control<F>(mut self, on_control: impl Fn(Control) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HandleResult> + Send + 'static,
    {
        self.behaviour.control = Arc::new(move |control| Box::pin(on_control(control)));
        self
    }

    /// What the handler's `handle_info` does, instead of answering with what it was sent.
    #[must_use]
    pub fn on_info<F>(mut self, on_info: impl Fn(Outcome) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = HandleResult> + Send + 'static,
    {
        self.behaviour.info = Arc::new(move |info| Box::pin(on_info(info)));
        self
    }

    /// What the handler's `terminate` does after it has reported.
    #[must_use]
    pub fn on_terminate<F>(mut self, on_terminate: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.behaviour.terminate = Arc::new(move || Box::pin(on_terminate()));
        self
    }

    /// Changes each outcome, knowing how many calls the handler itself has counted, this one included.
    #[must_use]
    pub fn counted(mut self, counted: impl Fn(u32, Outcome) -> Outcome + Send + Sync + 'static) -> Self {
        self.behaviour.counted = Arc::new(counted);
        self
    }

    /// The options to upgrade with, all of them.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    pub(crate) fn reporting(mut self, reports: Reports, threads: Threads) -> Self {
        self.started = Some((reports, threads));
        self
    }

    /// What the threads that will run its handlers are to do.
    pub(crate) fn threads(&self) -> Option<Threads> {
        self.started.as_ref().map(|(_, threads)| threads.clone())
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A handler that reports every call, and does what the case wants. Its mailbox takes what `handle_info` answers.
pub struct Probe {
    number: usize,
    calls: u32,
    behaviour: Behaviour,
    reports: Option<Reports>,
}

/// What happened to a handler.
#[derive(Debug)]
pub enum Report {
    /// `init` was called.
    Init(Socket<Outcome>),
    /// `handle_in` was called.
    In(Message),
    /// `handle_control` was called.
    Control(Control),
    /// `terminate` was called.
    Terminate(CloseReason),
    /// It was dropped without `terminate`.
    Dropped,
}

impl Probe {
    fn report(&self, report: Report) {
        if let Some(reports) = &self.reports {
            let _ = reports.send((self.number, report));
        }
    }

    async fn answer(&mut self, answer: BoxFuture<HandleResult>) -> HandleResult {
        self.calls += 1;
        Ok((self.behaviour.counted)(self.calls, answer.await?))
    }
}

impl WebSock for Probe {
    type Info = Outcome;

    async fn init(&mut self, socket: Socket<Outcome>) -> HandleResult {
        self.report(Report::Init(socket.clone()));
        self.answer((self.behaviour.init)(socket)).await
    }

    async fn handle_in(&mut self, message: Message) -> HandleResult {
        self.report(Report::In(message.clone()));
        self.answer((self.behaviour.message)(message)).await
    }

    async fn handle_control(&mut self, control: Control) -> HandleResult {
        self.report(Report::Control(control.clone()));
        self.answer((self.behaviour.control)(control)).await
    }

    async fn handle_info(&mut self, outcome: Outcome) -> HandleResult {
        self.answer((self.behaviour.info)(outcome)).await
    }

    async fn terminate(mut self, reason: CloseReason) {
        self.report(Report::Terminate(reason));
        // Its drop is no report any more; and yet, as long as this runs, more reports may come.
        let _reports = self.reports.take();
        (self.behaviour.terminate)().await;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.report(Report::Dropped);
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("number", &self.number).finish_non_exhaustive()
    }
}
