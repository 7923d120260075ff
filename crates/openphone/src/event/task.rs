//! The provider's to-do items. Only what every event of them tells is read; the rest is kept as it came.

use serde_json::Value;

use super::{Context, EventError, context::View, fields};

/// A to-do item in the provider's app.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub id: String,
    /// What the event told of it; most events tell only the id.
    pub resource: Value,
    pub context: Context,
}

impl Task {
    pub(crate) fn read(view: &View<'_>, raw: &serde_json::value::RawValue) -> Result<Self, EventError> {
        Ok(Self {
            id: view.subject.id("id").ok_or(EventError::NoId)?,
            resource: fields::value(raw),
            context: Context::read(view),
        })
    }
}
