//! The table of contacts. A contact is told whole, so the newest telling replaces the record and its numbers.

use serde_json::json;
use sha2::{Digest, Sha256};
use trunkline_openphone::event::Contact;
use trunkline_platform::job::{Context, Done, Failure};

use crate::Services;
use crate::conversations::number_rows;
use crate::events::Told;
use crate::media::Sha256Hash;

trunkline_platform::statements! {
    KEEP_CONTACT = same {
        "INSERT INTO contacts AS kept (id, deleted, told_at, fingerprint, first_name, last_name, company, role,
             location, emails, custom_fields, source, external_id, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (id) DO UPDATE SET
             deleted = excluded.deleted, told_at = excluded.told_at, fingerprint = excluded.fingerprint,
             first_name = excluded.first_name, last_name = excluded.last_name, company = excluded.company,
             role = excluded.role, location = excluded.location, emails = excluded.emails,
             custom_fields = excluded.custom_fields, source = excluded.source,
             external_id = excluded.external_id, created_at = excluded.created_at,
             updated_at = excluded.updated_at
         WHERE (excluded.deleted, excluded.told_at, excluded.fingerprint)
             > (kept.deleted, kept.told_at, kept.fingerprint)"
    }
    FORGET_NUMBERS = same { "DELETE FROM contact_numbers WHERE contact_id = $1" }
    KEEP_NUMBERS = parts {
        "INSERT INTO contact_numbers (contact_id, number)
         SELECT $1, r.number FROM " (rows "$2" as r (number TEXT)) " WHERE true ORDER BY r.number
         ON CONFLICT DO NOTHING"
    }
}

/// Whether a telling has the contact in the address book.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Present,
    Deleted,
}

/// Replaces the stored record by this one if this is newer. Deleted is newer than anything else.
pub(super) async fn keep(
    cx: &Context<Services>,
    told: Told<Contact>,
    standing: Standing,
) -> Result<Done, Failure> {
    let Told { subject: contact, at, .. } = &told;
    let numbers = number_rows(contact.phone_numbers.iter().map(String::as_str))?;

    let mut tx = cx.services().db.write().await?;
    let replaced = KEEP_CONTACT
        .bind(&contact.id)
        .bind(standing == Standing::Deleted)
        .bind(*at)
        .bind(fingerprint(contact))
        .bind(contact.first_name.as_deref())
        .bind(contact.last_name.as_deref())
        .bind(contact.company.as_deref())
        .bind(contact.role.as_deref())
        .bind(contact.location.as_deref())
        .bind(json!(contact.emails).to_string())
        .bind(contact.custom_fields.to_string())
        .bind(contact.source.as_deref())
        .bind(contact.external_id.as_deref())
        .bind(contact.created_at)
        .bind(contact.updated_at)
        .execute(&mut tx)
        .await?;
    if replaced > 0 {
        FORGET_NUMBERS.bind(&contact.id).execute(&mut tx).await?;
        KEEP_NUMBERS.bind(&contact.id).bind(numbers).execute(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(Done::new())
}

/// The same for the same record, however it was told.
fn fingerprint(contact: &Contact) -> String {
    let record = json!([
        contact.first_name,
        contact.last_name,
        contact.company,
        contact.role,
        contact.location,
        contact.emails,
        contact.phone_numbers,
        contact.custom_fields,
        contact.source,
        contact.external_id,
        contact.created_at,
    ]);
    let hash: [u8; 32] = Sha256::digest(record.to_string()).into();
    Sha256Hash::from(hash).to_string()
}
