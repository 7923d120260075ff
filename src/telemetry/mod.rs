//! Logs, on standard error: standard output is data.
//!
//! A line of JSON is one flat object: `timestamp`, `level`, `target`, `message`, then the fields of every span
//! around the event, from the outermost inwards, then the event's own; the innermost of two with one name stays.
//! So a line can be found by `correlation_id`, `task.id` or `task.kind` wherever in the program it was written.
//!
//! Errors logged as `error = &error as &dyn Error` are told with their causes, each once. Phone numbers lose all
//! but their last digits, whoever logged them.

mod fields;
mod layer;
mod line;

use std::io::{self, IsTerminal};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use trunkline_platform::clock::Clock;

use crate::config::{LogConfig, LogFormat};

pub use layer::LogLayer;
pub use line::Format;

/// Sets up logs for the whole process. Where somebody did so before, as a test might, theirs stay.
pub fn init(config: &LogConfig) {
    let format = format_for(config.format, io::stderr().is_terminal());
    let layer = LogLayer::new(format, Clock::system(), io::stderr);
    let _ = tracing_subscriber::registry().with(config.level.clone()).with(layer).try_init();
}

fn format_for(format: LogFormat, terminal: bool) -> Format {
    match (format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => Format::Json,
        (LogFormat::Pretty | LogFormat::Auto, colours) => Format::Pretty { colours },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_pretty_on_a_terminal_and_json_elsewhere_unless_told() {
        assert_eq!(format_for(LogFormat::Auto, true), Format::Pretty { colours: true });
        assert_eq!(format_for(LogFormat::Auto, false), Format::Json);
        assert_eq!(format_for(LogFormat::Json, true), Format::Json);
        assert_eq!(format_for(LogFormat::Pretty, false), Format::Pretty { colours: false });
    }
}
