//! People in the address book.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    Context, EventError,
    context::{View, normalise_contact_id},
    fields::{self, Fields},
};

/// A contact, created, changed or deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// In the spelling of [`normalise_contact_id`].
    pub id: String,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub company: Option<String>,
    pub role: Option<String>,
    pub location: Option<String>,
    pub emails: Vec<String>,
    pub phone_numbers: Vec<String>,
    /// A list of objects with `name`, `value` and, where known, `key`, `id` and `type`.
    pub custom_fields: Value,
    pub created_at: Option<DateTime<Utc>>,
    pub updated_at: Option<DateTime<Utc>>,
    pub source: Option<String>,
    pub external_id: Option<String>,
    pub context: Context,
}

impl Contact {
    pub(crate) fn read(view: &View<'_>) -> Result<Self, EventError> {
        let subject = &view.subject;
        let id = subject.id("id").ok_or(EventError::NoId)?;
        let mut card = Card::default();
        card.add_present(subject);
        card.add_listed(&subject.objects("fields"));
        card.add_mapped(&subject.object("fields"));
        Ok(Self {
            id: normalise_contact_id(&id).to_owned(),
            first_name: subject.filled("firstName"),
            last_name: subject.filled("lastName"),
            company: subject.filled("company"),
            role: subject.filled("role"),
            location: subject.filled("location"),
            emails: card.emails,
            phone_numbers: card.phone_numbers,
            custom_fields: Value::Array(card.custom_fields),
            created_at: subject.time("createdAt"),
            updated_at: subject.time("updatedAt"),
            source: subject.filled("source"),
            external_id: subject.id("externalId"),
            context: Context::read(view),
        })
    }
}

/// The variable part of a contact, of which three shapes are known.
#[derive(Default)]
struct Card {
    emails: Vec<String>,
    phone_numbers: Vec<String>,
    custom_fields: Vec<Value>,
}

impl Card {
    /// The present shape: three lists.
    fn add_present(&mut self, subject: &Fields<'_>) {
        let values = |key| subject.objects(key).iter().filter_map(|item| item.filled("value")).collect();
        self.emails = values("emails");
        self.phone_numbers = values("phoneNumbers");
        if let Value::Array(items) = subject.value("customFields") {
            self.custom_fields = items;
        }
    }

    /// The oldest shape: one list of fields, each with its type.
    fn add_listed(&mut self, items: &[Fields<'_>]) {
        for item in items {
            let name = item.text("name").unwrap_or_default();
            match (item.text("type").as_deref(), item.filled("value")) {
                (Some("phone-number"), Some(value)) => self.phone_numbers.push(value),
                (Some("email"), Some(value)) => self.emails.push(value),
                (Some("phone-number" | "email"), None) => {}
                (kind, _) => {
                    self.custom_fields.push(json!({"name": name, "type": kind, "value": item.value("value")}))
                }
            }
        }
    }

    /// The shape between: an object from a field's name to one or more strings, without types.
    fn add_mapped(&mut self, items: &Fields<'_>) {
        for (name, raw) in items.entries() {
            let mut others = Vec::new();
            for value in strings(raw) {
                if is_phone(&name, &value) {
                    self.phone_numbers.push(value);
                } else if is_email(&name, &value) {
                    self.emails.push(value);
                } else {
                    others.push(value);
                }
            }
            if !others.is_empty() {
                let value = if others.len() == 1 { json!(others[0]) } else { json!(others) };
                self.custom_fields.push(json!({"name": name, "value": value}));
            }
        }
    }
}

/// One string or several. A comma inside a street address does not make it two.
fn strings(raw: &serde_json::value::RawValue) -> Vec<String> {
    let found = fields::text(raw).map_or_else(|| fields::texts(raw), |one| vec![one]);
    found.into_iter().filter(|value| !value.trim().is_empty()).collect()
}

fn is_phone(name: &str, value: &str) -> bool {
    let e164 = value
        .strip_prefix('+')
        .is_some_and(|digits| (2..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
    e164 || name.to_ascii_lowercase().starts_with("phone")
}

fn is_email(name: &str, value: &str) -> bool {
    value.contains('@') && name.to_ascii_lowercase().contains("mail")
}
