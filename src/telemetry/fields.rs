//! The fields of a span or an event, in the order they were first set.

use std::error::Error;
use std::fmt::Debug;

use serde_json::Value;
use tracing::field::{Field, Visit};

use trunkline_platform::chain;

use crate::mask;

const MESSAGE: &str = "message";

#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    list: Vec<(&'static str, Value)>,
}

impl Fields {
    /// Sets a field; one of the same name keeps its place.
    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        match self.list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.list.push((name, value)),
        }
    }

    pub(super) fn extend(&mut self, inner: &Self) {
        inner.list.iter().for_each(|(name, value)| self.set(name, value.clone()));
    }

    /// The event's message and the other fields.
    pub(super) fn split(self) -> (String, Vec<(&'static str, Value)>) {
        let (message, others): (Vec<_>, Vec<_>) =
            self.list.into_iter().partition(|(name, _)| *name == MESSAGE);
        let message = message.into_iter().next().map(|(_, value)| text_of(&value)).unwrap_or_default();
        (message, others)
    }
}

/// A value as people read it.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), Value::String(mask::phones_in(value)));
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.record_str(field, &chain(error));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    enum Outer {
        #[error("cannot save")]
        Linked(#[source] io::Error),
        #[error("cannot save: {0}")]
        Repeating(#[source] io::Error),
    }

    #[test]
    fn an_error_is_told_with_its_causes_each_once() {
        for outer in [Outer::Linked, Outer::Repeating] {
            assert_eq!(chain(&outer(io::Error::other("disk full"))), "cannot save: disk full");
        }
    }
}
