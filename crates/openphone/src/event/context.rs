//! Where something happened, and with whom.

use super::{LookupStatus, fields::Fields};

/// The surroundings of an event. What an older generation does not tell is simply absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Context {
    pub org_id: Option<String>,
    /// The workspace number (`PN…`) it happened on.
    pub phone_number_id: Option<String>,
    /// `shared`, `private` or `external`.
    pub phone_number_type: Option<String>,
    pub conversation_id: Option<String>,
    pub user_id: Option<String>,
    /// The contacts concerned, in the spelling of [`normalise_contact_id`].
    pub contact_ids: Vec<String>,
    /// What an empty `contact_ids` means, where the event says.
    pub lookup_status: Option<LookupStatus>,
    /// Numbers of ours that took part.
    pub workspace: Vec<String>,
    /// Numbers of others that took part; not always phone numbers.
    pub external: Vec<String>,
    /// The users, groups or organisation a contact is shared with.
    pub shared_with_ids: Vec<String>,
    /// A link into the provider's app, for people.
    pub deep_link: Option<String>,
}

/// The three places in which an event keeps what it tells.
pub(crate) struct View<'a> {
    pub subject: Fields<'a>,
    pub context: Fields<'a>,
    pub links: Fields<'a>,
}

impl<'a> View<'a> {
    /// A view of a bare object, as the REST API and the older webhooks give it.
    pub(crate) fn bare(subject: Fields<'a>) -> Self {
        Self { subject, context: Fields::default(), links: Fields::default() }
    }

    fn id(&self, key: &str) -> Option<String> {
        self.context.id(key).or_else(|| self.subject.id(key))
    }
}

impl Context {
    pub(crate) fn read(view: &View<'_>) -> Self {
        let contacts = view.context.object("contacts");
        let contact_ids = match contacts.texts("ids") {
            ids if ids.is_empty() => view.subject.texts("contactIds"),
            ids => ids,
        };
        let participants = view.context.object("participants");
        let shared_with_ids = match view.context.texts("sharedWithIds") {
            ids if ids.is_empty() => view.subject.texts("sharedWith"),
            ids => ids,
        };
        Self {
            org_id: view.id("orgId"),
            phone_number_id: view.id("phoneNumberId"),
            phone_number_type: view.context.text("phoneNumberType"),
            conversation_id: view.id("conversationId"),
            user_id: view.id("userId"),
            contact_ids: contact_ids.iter().map(|id| normalise_contact_id(id).to_owned()).collect(),
            lookup_status: contacts.id("lookupStatus").map(LookupStatus::from),
            workspace: participants.texts("workspace"),
            external: participants.texts("external"),
            shared_with_ids,
            deep_link: view.links.filled("quo"),
        }
    }
}

/// The one spelling of a contact's id: webhooks write `CT` and 24 hex digits, the REST API the
/// digits alone.
pub fn normalise_contact_id(id: &str) -> &str {
    match id.strip_prefix("CT") {
        Some(digits) if digits.len() == 24 && digits.bytes().all(|b| b.is_ascii_hexdigit()) => digits,
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_contact_meet() {
        assert_eq!(normalise_contact_id("CT68f0a1b2c3d4e5f601234567"), "68f0a1b2c3d4e5f601234567");
        assert_eq!(normalise_contact_id("68f0a1b2c3d4e5f601234567"), "68f0a1b2c3d4e5f601234567");
        assert_eq!(normalise_contact_id("CTx"), "CTx");
    }
}
