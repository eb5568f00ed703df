//! What is logged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

thread_local! {
    /// Where this thread's ear, if it has one, keeps what it hears.
    static HEARD: RefCell<Option<Arc<Mutex<Vec<Heard>>>>> = const { RefCell::new(None) };
}

/// Hears everything that is logged on this thread while it lives.
///
/// There is one subscriber for the whole program: with one for each thread, a thread that has none can make tracing
/// believe that nobody listens.
pub(crate) struct Ear(Arc<Mutex<Vec<Heard>>>);

/// A span that was opened, or an event and the span in which it happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) is_span: bool,
    pub(crate) level: String,
    pub(crate) fields: BTreeMap<String, String>,
    /// The name and the fields of the innermost span.
    pub(crate) within: Option<BTreeMap<String, String>>,
}

struct Listener;

impl Ear {
    pub(crate) fn new() -> Self {
        static LISTENING: Once = Once::new();
        LISTENING.call_once(|| {
            tracing::subscriber::set_global_default(Registry::default().with(Listener)).unwrap();
        });
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        HEARD.set(Some(heard.clone()));
        Ear(heard)
    }

    pub(crate) fn spans(&self) -> Vec<Heard> {
        self.0.lock().unwrap().iter().filter(|heard| heard.is_span).cloned().collect()
    }

    pub(crate) fn events(&self) -> Vec<Heard> {
        self.0.lock().unwrap().iter().filter(|heard| !heard.is_span).cloned().collect()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        HEARD.set(None);
    }
}

fn hear(heard: Heard) {
    HEARD.with_borrow(|ear| {
        if let Some(ear) = ear {
            ear.lock().unwrap().push(heard);
        }
    });
}

impl Heard {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        fields.0.insert("span".into(), attributes.metadata().name().into());
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields.0.clone());
        let level = attributes.metadata().level().to_string();
        hear(Heard { is_span: true, level, fields: fields.0, within: None });
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let within = context.event_span(event).and_then(|span| span.extensions().get().cloned());
        let level = event.metadata().level().to_string();
        hear(Heard { is_span: false, level, fields: fields.0, within });
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}
