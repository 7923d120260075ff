//! Contacts: those whom campaigns can text, one row a number.
//!
//! Lists go by how many people were gone through and not by the last number, so that a cursor tells nobody a number they
//! may not see.

pub(super) mod acts;
mod person;

use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use trunkline_jobs::contacts::export::{export_page, note_export};
use trunkline_jobs::contacts::optout::{self, ConsentRow};
use trunkline_jobs::contacts::people::Person;
use trunkline_jobs::contacts::{people as jobs, place, segments};
use trunkline_jobs::export::Format;

use super::download::{Chunk, Download, FileFormat};
use super::granted::{Granted, Operate, Read, View};
use super::opt_outs::OptOut;
use super::page::{Listing, Page, usual};
use super::problem::Problem;
use super::{Answer, Desk, Tag, people};
use acts::{ContactKept, ContactToKeep};
use person::Contact;

/// Words of one number that are told.
const MOST_SAID: u32 = 50;

pub(super) struct ContactsApi(pub(super) Desk);

/// All that is known of a number
#[derive(Debug, Object)]
struct ContactInFull {
    number: String,
    /// Absent: it is in no list
    #[oai(skip_serializing_if_is_none)]
    contact: Option<Contact>,
    /// The zones its person may be in; hours must be right in all of them
    zones: Vec<String>,
    /// Somebody said where they are, or the area code does
    place_known: bool,
    /// Absent: nobody ever spoke of it
    #[oai(skip_serializing_if_is_none)]
    opt_out: Option<OptOut>,
    /// What was said about being texted, the latest first, fifty at most
    said: Vec<Said>,
}

/// Something that was said about being texted
#[derive(Debug, Object)]
#[oai(rename = "ConsentEntry")]
struct Said {
    id: i64,
    /// `opt_out`, `opt_in`, `consent` or `help`
    act: String,
    at: DateTime<Utc>,
    channel: String,
    wording: Option<String>,
    message_id: Option<String>,
    /// Who wrote it down; absent for what the program heard itself
    actor: Option<String>,
    /// Whether a person should look, or did: `open`, `confirmed` or `reopened`
    review: Option<String>,
}

#[OpenApi(tag = "Tag::Contacts")]
impl ContactsApi {
    /// List contacts
    ///
    /// In the order of their numbers. A page looks through 20,000 people: it can be short, or empty, and not the last; who
    /// comes or goes between two pages shifts the second. A filter that looks into names, addresses or numbers takes the
    /// scope `pii`. Numbers, names and fields are masked; `unmask` takes it, too, and is in the audit.
    #[oai(path = "/contacts", method = "get", operation_id = "list_contacts")]
    async fn list(
        &self,
        by: Granted<Read>,
        /// Only those whom the segment of this name takes
        segment: Query<Option<String>>,
        /// Only those whom this filter takes: `tag:vip state:TX -flag:test`
        filter: Query<Option<String>>,
        #[oai(default)] unmask: Query<bool>,
        cursor: Query<Option<String>>,
        #[oai(default = "usual", validator(minimum(value = "1"), maximum(value = "200")))] limit: Query<u32>,
    ) -> Answer<Page<Contact>> {
        let filter = people::whom(&by, self.0.tasks.db(), segment.0.as_deref(), filter.0.as_deref()).await?;
        let listing = Listing::of("contacts", &filter.to_string());
        let passed = listing.after(cursor.0.as_deref())?.unwrap_or_default();
        let view = by.view(unmask.0, "contacts").await?;
        let (db, now) = (self.0.tasks.db(), self.0.tasks.clock().now());
        let leaf = segments::leaf(db, &filter, passed, limit.0 as usize, now).await?;
        let contacts = leaf.people.into_iter().map(|person| Contact::of(person, view)).collect();
        Ok(listing.page_until(contacts, leaf.next))
    }

    /// Write a contact
    ///
    /// Adds somebody, or takes on what is told of somebody who is there; what is absent stays.
    #[oai(path = "/contacts", method = "post", operation_id = "keep_contact")]
    async fn keep(&self, by: Granted<Operate>, body: Json<ContactToKeep>) -> Answer<ContactKept> {
        acts::keep(&self.0, &by, body.0).await
    }

    /// Export contacts
    ///
    /// As CSV that can be imported again, or as JSON. It is in the audit. Numbers, names and fields are masked; `unmask` takes
    /// the scope `pii`.
    #[oai(path = "/contacts/export", method = "get", operation_id = "export_contacts")]
    async fn export(
        &self,
        by: Granted<Read>,
        #[oai(default)] format: Query<FileFormat>,
        /// Only those whom the segment of this name takes
        segment: Query<Option<String>>,
        /// Only those whom this filter takes
        filter: Query<Option<String>>,
        #[oai(default)] unmask: Query<bool>,
        /// Why, for the audit
        #[oai(validator(max_length = 1000))]
        reason: Query<Option<String>>,
    ) -> Result<Download, Problem> {
        let db = self.0.tasks.db();
        let filter = people::whom(&by, db, segment.0.as_deref(), filter.0.as_deref()).await?;
        let view = by.view(unmask.0, "contacts").await?;
        let (actor, now) = (by.actor(reason.0), self.0.tasks.clock().now());
        note_export(db, &filter, unmask.0, &actor, now).await?;
        let (db, format) = (db.clone(), Format::from(format.0));
        let next = move |after: Option<String>| {
            let (db, filter) = (db.clone(), filter.clone());
            async move {
                let (shown, mut bytes) = (|person: Person| view.person(person), Vec::new());
                let page = export_page(&db, &filter, after.as_deref(), format, now, shown, &mut bytes);
                let (_, next) = page.await?;
                Ok(Chunk { bytes, next: next.map(Some) })
            }
        };
        Ok(Download::of("contacts", format, None, next))
    }

    /// Show all that is known of a number
    ///
    /// The person, and what they said about being texted. Everything personal is masked; `unmask` takes the scope `pii` and is
    /// in the audit.
    #[oai(path = "/contacts/:number", method = "get", operation_id = "show_contact")]
    async fn show(
        &self,
        by: Granted<Read>,
        /// As people write it
        number: Path<String>,
        #[oai(default)] unmask: Query<bool>,
    ) -> Answer<ContactInFull> {
        let number = people::number(&number, self.0.country)?;
        let db = self.0.tasks.db();
        let person = jobs::find(&mut db.read().await?, [number.as_str()]).await?.pop();
        let opt_out = optout::show(db, &number).await?;
        let said = optout::consents(db, &number, MOST_SAID).await?;
        if person.is_none() && opt_out.is_none() && said.is_empty() {
            return Err(Problem::not_found("contact with this number, and nobody ever spoke of it"));
        }
        let view = by.view(unmask.0, &format!("number:{number}")).await?;
        let place = person.as_ref().map_or_else(|| place::of(&number), Person::place);
        Ok(Json(ContactInFull {
            number: view.number(&number),
            contact: person.map(|person| Contact::of(person, view)),
            zones: place.zones.iter().map(|zone| zone.name().to_owned()).collect(),
            place_known: place.known,
            opt_out: opt_out.map(|row| OptOut::of(row, view)),
            said: said.into_iter().map(|row| Said::of(row, view)).collect(),
        }))
    }
}

impl Said {
    fn of(row: ConsentRow, view: View) -> Self {
        Self {
            id: row.id,
            act: row.act,
            at: row.at,
            channel: row.channel,
            wording: row.wording.map(|said| view.said(&said)),
            message_id: row.message_id,
            actor: row.actor,
            review: row.review,
        }
    }
}
