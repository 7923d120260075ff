//! What can be done to contacts: write one; tag, flag and remove those who are named, or whom a filter takes. A request does so
//! much and says when there is more.

use std::collections::BTreeMap;

use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use trunkline_jobs::contacts::people::{
    self as jobs, Label, LabelError, Labelling, NewPerson, OnDuplicate, PeopleAct, PersonError, Put, Whom,
};

use super::super::granted::{Granted, Operate};
use super::super::problem::Problem;
use super::super::{Answer, Desk, Tag, people};
use crate::mask;

/// People that one request acts on.
const MOST: u64 = 100_000;

pub(in crate::admin) struct ContactActsApi(pub(in crate::admin) Desk);

/// What becomes of somebody who is there already
#[derive(Clone, Copy, Debug, Default, Enum)]
#[oai(remote = "OnDuplicate", rename_all = "snake_case")]
enum Duplicate {
    /// Takes on what is told
    #[default]
    Update,
    /// Stays as it is
    Skip,
    /// Stays as it is, and the request is refused
    Fail,
}

/// A contact to write. What is absent stays
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct ContactToKeep {
    /// As people write it
    number: String,
    first_name: Option<String>,
    last_name: Option<String>,
    company: Option<String>,
    email: Option<String>,
    /// What else templates can name; those that are not told stay
    #[oai(default)]
    fields: BTreeMap<String, String>,
    /// `America/Chicago`
    time_zone: Option<String>,
    /// A state or province by its two letters
    state: Option<String>,
    /// To put on
    #[oai(default, validator(max_items = 20))]
    tags: Vec<String>,
    /// To put on: `blocked`, `complained`, `invalid`, `test`, `vip`
    #[oai(default, validator(max_items = 20))]
    flags: Vec<String>,
    #[oai(default)]
    on_duplicate: Duplicate,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// What became of a contact that was to be written
#[derive(Debug, Object)]
pub(super) struct ContactKept {
    number: String,
    /// `added`, `updated` or `skipped`
    outcome: String,
}

/// Which contacts: by number, or by a segment or a filter
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct ContactSelection {
    #[oai(validator(max_items = 1000))]
    numbers: Option<Vec<String>>,
    /// Those whom the segment of this name takes
    segment: Option<String>,
    /// Those whom this filter takes
    filter: Option<String>,
}

/// A tag to put on contacts, or to take off
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct ContactTag {
    which: ContactSelection,
    tag: String,
    /// Take it off
    #[oai(default)]
    remove: bool,
    /// Only tell how many people it would be
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// A flag to put on contacts, or to take off
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct ContactFlag {
    which: ContactSelection,
    /// `blocked`, `complained`, `invalid`, `test`, `vip`
    flag: String,
    /// Take it off
    #[oai(default)]
    remove: bool,
    /// Only tell how many people it would be
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// Contacts to remove
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
struct ContactRemoval {
    which: ContactSelection,
    /// Only tell how many people it would be
    #[oai(default)]
    dry_run: bool,
    /// Why, for the audit
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
}

/// What was done, or would be
#[derive(Debug, Object)]
struct ContactsActedOn {
    dry_run: bool,
    /// Those it was to be done to
    people: u64,
    /// Those whom it changed
    changed: u64,
    /// There are more than the hundred thousand that one request takes: narrow the filter
    more: bool,
}

pub(super) async fn keep(desk: &Desk, by: &Granted<Operate>, told: ContactToKeep) -> Answer<ContactKept> {
    let tags = told.tags.iter().map(|tag| Label::tag(tag));
    let labels: Result<Vec<Label>, LabelError> =
        tags.chain(told.flags.iter().map(|flag| Label::flag(flag))).collect();
    let person = NewPerson {
        number: people::number(&told.number, desk.country)?,
        first_name: told.first_name,
        last_name: told.last_name,
        company: told.company,
        email: told.email,
        fields: told.fields,
        time_zone: told.time_zone,
        state: told.state,
        labels: labels?,
    };
    let (person, actor) = (person.checked()?, by.actor(told.reason));
    let (tasks, now) = (&desk.tasks, desk.tasks.clock().now());
    let outcome = match jobs::keep(tasks.db(), &person, told.on_duplicate.into(), &actor, now).await? {
        Put::Added => "added",
        Put::Updated => "updated",
        Put::Skipped => "skipped",
        Put::Duplicate { .. } => {
            return Err(Problem::conflict("there is a contact with this number already"));
        }
    };
    let view = by.view(false, "contacts").await?;
    Ok(Json(ContactKept { number: view.number(&person.number), outcome: outcome.to_owned() }))
}

#[OpenApi(tag = "Tag::Contacts")]
impl ContactActsApi {
    /// Tag contacts, or untag them
    #[oai(path = "/contacts/tag", method = "post", operation_id = "tag_contacts")]
    async fn tag(&self, by: Granted<Operate>, body: Json<ContactTag>) -> Answer<ContactsActedOn> {
        let Json(ContactTag { which, tag, remove, dry_run, reason }) = body;
        let act = PeopleAct::Label(Label::tag(&tag)?, labelling(remove));
        self.act(&by, which, act, dry_run, reason).await
    }

    /// Flag contacts, or unflag them
    ///
    /// Campaigns leave out whoever is `blocked`, `complained` or `invalid`.
    #[oai(path = "/contacts/flag", method = "post", operation_id = "flag_contacts")]
    async fn flag(&self, by: Granted<Operate>, body: Json<ContactFlag>) -> Answer<ContactsActedOn> {
        let Json(ContactFlag { which, flag, remove, dry_run, reason }) = body;
        let act = PeopleAct::Label(Label::flag(&flag)?, labelling(remove));
        self.act(&by, which, act, dry_run, reason).await
    }

    /// Remove contacts
    ///
    /// What they said about being texted stays. It cannot be undone.
    #[oai(path = "/contacts/remove", method = "post", operation_id = "remove_contacts")]
    async fn remove(&self, by: Granted<Operate>, body: Json<ContactRemoval>) -> Answer<ContactsActedOn> {
        let Json(ContactRemoval { which, dry_run, reason }) = body;
        self.act(&by, which, PeopleAct::Remove, dry_run, reason).await
    }
}

impl ContactActsApi {
    async fn act(
        &self,
        by: &Granted<Operate>,
        which: ContactSelection,
        act: PeopleAct,
        dry_run: bool,
        reason: Option<String>,
    ) -> Answer<ContactsActedOn> {
        let (tasks, actor) = (&self.0.tasks, by.actor(reason));
        let whom = which.read(&self.0, by).await?;
        let now = tasks.clock().now();
        let acted = jobs::act(tasks.db(), &whom, &act, dry_run, Some(MOST), &actor, now).await?;
        let (people, changed, more) = (acted.people, acted.changed, acted.more);
        Ok(Json(ContactsActedOn { dry_run, people, changed, more }))
    }
}

fn labelling(remove: bool) -> Labelling {
    if remove { Labelling::Remove } else { Labelling::Add }
}

impl ContactSelection {
    /// Nobody is chosen by accident.
    async fn read(self, desk: &Desk, by: &Granted<Operate>) -> Result<Whom, Problem> {
        match (self.numbers, self.segment, self.filter) {
            (Some(numbers), None, None) if !numbers.is_empty() => {
                Ok(Whom::Numbers(people::numbers(&numbers, desk.country)?))
            }
            (None, segment, filter) if segment.is_some() || filter.is_some() => {
                let filter = people::whom(by, desk.tasks.db(), segment.as_deref(), filter.as_deref()).await?;
                Ok(Whom::Members(filter))
            }
            _ => Err(Problem::invalid("say in `which` either numbers, or a segment, or a filter")),
        }
    }
}

impl From<LabelError> for Problem {
    fn from(error: LabelError) -> Self {
        Self::invalid(mask::phones_in(&error.to_string()))
    }
}

impl From<PersonError> for Problem {
    fn from(error: PersonError) -> Self {
        Self::invalid(mask::phones_in(&error.to_string()))
    }
}
