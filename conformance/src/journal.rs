//! What happens on the threads of one case beside what it asserts: the log of its server, and panics.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, Once, PoisonError};

use tokio::sync::mpsc::UnboundedSender;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Level};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The panics of a case and of its servers. Where the case succeeds nobody is shown them: some are wanted.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<String>>);

thread_local! {
    static WRITING: RefCell<Option<(Journal, Writer)>> = const { RefCell::new(None) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Case,
    Server,
}

impl Journal {
    /// From now on the panics of this thread are the case's, until the guard is dropped.
    pub(crate) fn of_the_case(&self) -> impl Drop + use<> {
        struct Guard;
        impl Drop for Guard {
            fn drop(&mut self) {
                WRITING.take();
            }
        }
        self.write(Writer::Case);
        Guard
    }

    fn write(&self, writer: Writer) {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let others = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                let writing = WRITING.try_with(|writing| writing.borrow().clone()).ok().flatten();
                match writing {
                    Some((journal, writer)) => journal.note(info, writer),
                    None => others(info),
                }
            }));
        });
        WRITING.set(Some((self.clone(), writer)));
    }

    fn note(&self, info: &PanicHookInfo<'_>, writer: Writer) {
        let mut panics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let what = info.payload_as_str().unwrap_or("(no text)");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let _ = match writer {
            Writer::Server => writeln!(panics, "the server panicked at {place}:\n{what}"),
            Writer::Case => writeln!(panics, "panicked at {place}:\n{what}\n{}", line_of_the_case()),
        };
    }

    pub(crate) fn panics(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The lines of the case that led to a panic, which often is in one of the clients. Without debug information there
/// are none.
fn line_of_the_case() -> String {
    let backtrace = Backtrace::force_capture().to_string();
    let places = backtrace.lines().filter_map(|line| line.trim().strip_prefix("at "));
    let mut lines: Vec<_> = places
        .filter(|place| place.contains("src/cases/"))
        .map(|place| format!("  called at {place}"))
        .collect();
    lines.dedup();
    lines.join("\n")
}

/// What the threads of one server are to do with their log and their panics.
#[derive(Clone)]
pub(crate) struct Threads {
    journal: Journal,
    log: Dispatch,
}

impl Threads {
    pub(crate) fn new(journal: Journal, log: UnboundedSender<Event>) -> Self {
        let log = tracing_subscriber::registry().with(LevelFilter::INFO).with(Capture(log)).into();
        Threads { journal, log }
    }

    /// From now on this thread is one of the server's.
    pub(crate) fn enter(&self) {
        // The thread ends with the server, so nothing is ever set back.
        std::mem::forget(tracing::dispatcher::set_default(&self.log));
        self.journal.write(Writer::Server);
    }
}

/// An event of the log.
#[derive(Debug)]
pub struct Event {
    /// How grave it is.
    pub level: Level,
    /// Names and values, `message` among them.
    pub fields: Vec<(&'static str, String)>,
    /// Names and values of the span in which it happened, which is the connection's.
    pub span: Vec<(&'static str, String)>,
}

impl Event {
    /// The value of a field.
    ///
    /// # Panics
    /// Where it has none of this name.
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(other, _)| *other == name);
        found.map_or_else(|| panic!("no {name} in {self:?}"), |(_, value)| value)
    }
}

/// Collects a server's log.
struct Capture(UnboundedSender<Event>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        if !event.metadata().target().starts_with("websock") {
            return; // a server's own
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let span = context.event_span(event);
        let span = span.and_then(|span| span.extensions().get::<Fields>().cloned()).unwrap_or_default();
        let _ = self.0.send(Event { level: *event.metadata().level(), fields: fields.0, span: span.0 });
    }
}

/// What an event or a span says.
#[derive(Clone, Default)]
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}
