//! What is logged.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Hears everything that is logged on this thread while it lives.
pub(crate) struct Ear {
    heard: Arc<Mutex<Vec<Heard>>>,
    _default: DefaultGuard,
}

/// A span that was opened, or an event and the span in which it happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) is_span: bool,
    pub(crate) level: String,
    pub(crate) fields: BTreeMap<String, String>,
    /// The name and the fields of the innermost span.
    pub(crate) within: Option<BTreeMap<String, String>>,
}

struct Listener(Arc<Mutex<Vec<Heard>>>);

impl Ear {
    pub(crate) fn new() -> Self {
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let subscriber = Registry::default().with(Listener(heard.clone()));
        Ear { heard, _default: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn spans(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().filter(|heard| heard.is_span).cloned().collect()
    }

    pub(crate) fn events(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().filter(|heard| !heard.is_span).cloned().collect()
    }
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
        self.0.lock().unwrap().push(Heard { is_span: true, level, fields: fields.0, within: None });
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let within = context.event_span(event).and_then(|span| span.extensions().get().cloned());
        let level = event.metadata().level().to_string();
        self.0.lock().unwrap().push(Heard { is_span: false, level, fields: fields.0, within });
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
