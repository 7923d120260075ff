//! A contact, as the API tells it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use trunkline_jobs::contacts::people::Person;

use super::super::granted::View;

/// Somebody whom campaigns can text
#[derive(Debug, Object)]
pub(super) struct Contact {
    number: String,
    first_name: Option<String>,
    last_name: Option<String>,
    company: Option<String>,
    email: Option<String>,
    /// What else templates can name
    fields: BTreeMap<String, String>,
    /// As somebody said; without it the area code tells
    time_zone: Option<String>,
    /// As somebody said
    state: Option<String>,
    tags: Vec<String>,
    /// `blocked`, `complained`, `invalid`, `test`, `vip`
    flags: Vec<String>,
    /// Must not be texted
    opted_out: bool,
    /// When a text of theirs came last
    last_reply_at: Option<DateTime<Utc>>,
    /// `import:17`, `operator:ana`
    source: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Contact {
    pub(super) fn of(person: Person, view: View) -> Self {
        let person = view.person(person);
        Self {
            number: person.number,
            first_name: person.first_name,
            last_name: person.last_name,
            company: person.company,
            email: person.email,
            fields: person.fields,
            time_zone: person.time_zone,
            state: person.state,
            tags: person.tags.into_iter().collect(),
            flags: person.flags.into_iter().collect(),
            opted_out: person.opted_out,
            last_reply_at: person.last_reply_at,
            source: person.source,
            created_at: person.created_at,
            updated_at: person.updated_at,
        }
    }
}
