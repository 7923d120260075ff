//! The layer that gathers what spans and events say, and writes a line for each event.

use std::io::Write;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use trunkline_platform::clock::Clock;

use super::fields::Fields;
use super::line::{self, Format};

/// Writes each event as a line, with the fields of all spans around it.
#[derive(Debug)]
pub struct LogLayer<W> {
    format: Format,
    clock: Clock,
    writer: W,
}

impl<W> LogLayer<W> {
    pub fn new(format: Format, clock: Clock, writer: W) -> Self {
        Self { format, clock, writer }
    }
}

impl<S, W> Layer<S> for LogLayer<W>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(own) = span.extensions().get::<Fields>() {
                fields.extend(own);
            }
        }
        event.record(&mut fields);
        if let Ok(line) = line::render(self.format, self.clock.now(), event.metadata(), fields) {
            // There is nowhere left to tell that logging failed.
            let _ = self.writer.make_writer_for(event.metadata()).write_all(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;
    use std::sync::{Arc, Mutex};

    use chrono::DateTime;
    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What is logged while `work` runs.
    fn logged(format: Format, work: impl FnOnce()) -> String {
        let output = Arc::new(Mutex::new(Vec::new()));
        let layer = LogLayer::new(format, Clock::manual(DateTime::UNIX_EPOCH), Output(Arc::clone(&output)));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let output = output.lock().unwrap();
        String::from_utf8(output.clone()).unwrap()
    }

    fn logged_json(work: impl FnOnce()) -> Vec<Value> {
        logged(Format::Json, work).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[derive(Clone)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Output {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn each_event_is_one_line_of_json() {
        let lines = logged_json(|| {
            tracing::info!(bytes = 3, done = true, "two\nlines \"quoted\"");
            tracing::warn!("second");
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            json!({"timestamp": "1970-01-01T00:00:00.000000Z", "level": "INFO", "target": module_path!(),
                "message": "two\nlines \"quoted\"", "bytes": 3, "done": true})
        );
        assert_eq!(lines[1]["level"], "WARN");
    }

    #[test]
    fn an_event_carries_the_fields_of_every_span_around_it() {
        let lines = logged_json(|| {
            let task = tracing::info_span!(
                "task",
                task.id = 7,
                task.kind = "media.download",
                correlation_id = "c-1"
            );
            let _task = task.enter();
            let _fetch = tracing::info_span!("fetch", origin = "https://example.com").entered();
            tracing::info!("fetched");
        });
        let expected = [
            ("task.id", json!(7)),
            ("task.kind", json!("media.download")),
            ("correlation_id", json!("c-1")),
            ("origin", json!("https://example.com")),
        ];
        for (name, value) in expected {
            assert_eq!(lines[0][name], value);
        }
    }

    #[test]
    fn a_field_recorded_later_and_one_of_an_inner_span_replace_the_earlier() {
        let lines = logged_json(|| {
            let outer = tracing::info_span!("outer", state = tracing::field::Empty, level = "loud").entered();
            outer.record("state", "known");
            tracing::info!("first");
            let _inner = tracing::info_span!("inner", state = "changed").entered();
            tracing::info!("second");
        });
        assert_eq!((&lines[0]["state"], &lines[1]["state"]), (&json!("known"), &json!("changed")));
        assert_eq!(lines[0]["level"], "INFO");
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let error = anyhow::anyhow!("disk full").context("cannot save");
        let error: Box<dyn Error + Send + Sync> = error.into();
        let lines = logged_json(|| tracing::error!(error = &*error as &dyn Error, "the download failed"));
        assert_eq!(lines[0]["error"], "cannot save: disk full");
    }

    #[test]
    fn phone_numbers_are_masked_in_messages_and_fields() {
        let work = || {
            let _span = tracing::info_span!("send", to = "+12125550101").entered();
            tracing::info!(note = ?Some("+12125550101"), "texting {}", "+12125550101");
        };
        for format in [Format::Json, Format::Pretty { colours: false }] {
            let line = logged(format, work);
            assert!(!line.contains("1212555"), "{line}");
            assert_eq!(line.matches("*******0101").count(), 3, "{line}");
        }
    }

    #[test]
    fn a_pretty_line_cannot_be_forged_by_what_it_tells() {
        let line = logged(Format::Pretty { colours: false }, || {
            let _span = tracing::info_span!("task", task.id = 7).entered();
            tracing::info!(name = "a b\n\x1b[2J", word = "x", "hello\nworld");
        });
        let target = module_path!();
        assert_eq!(
            line,
            format!(
                "1970-01-01T00:00:00.000000Z  INFO {target}: hello world task.id=7 name=\"a b\\n\\u{{1b}}[2J\" word=x\n"
            )
        );
    }
}
