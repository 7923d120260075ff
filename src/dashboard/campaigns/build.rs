//! Making a campaign, and changing one. What cannot be is told at the form, which keeps what was typed. Whatever is made is a draft:
//! nothing leaves before it is started.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Body, Request, Response, handler};
use tokio::time::timeout;
use trunkline_jobs::campaigns::{
    self as jobs, Audience, CampaignRow, OperateError, Plan, State, add_recipients,
};
use trunkline_jobs::contacts::people::Label;
use trunkline_jobs::contacts::segments::{self, SegmentError};
use trunkline_platform::db::DbError;

use super::written::{self, Extent};
use super::{found, refusal, show};
use crate::dashboard::form::{Fields, hidden};
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Stop, Visit};
use crate::dashboard::{PATIENCE, Pages, people, see_other};
use crate::mask::{self, View};

/// Longer lists are imported, and named by a tag.
const MOST_NUMBERS: usize = 20_000;
/// Segments to choose from.
const MOST_SEGMENTS: u32 = 200;

/// Why something is not done: it is told at the form, or there is another page instead.
enum No {
    Told(String),
    Stop(Stop),
}

impl From<String> for No {
    fn from(why: String) -> Self {
        Self::Told(why)
    }
}

impl From<DbError> for No {
    fn from(error: DbError) -> Self {
        Self::Stop(error.into())
    }
}

/// What sending the form came to.
enum Sent {
    /// What it would be.
    Looked(Markup),
    /// It is done, and shown there.
    Done(String),
}

/// A plan, and the numbers of a list.
struct Wanted {
    plan: Plan,
    numbers: Vec<String>,
}

/// `GET /campaigns/new`
#[handler]
pub(in crate::dashboard) async fn blank(Data(pages): Data<&Arc<Pages>>, request: &Request) -> Page {
    let visit = pages.operator(request).await?;
    let fields = written::fields(&usual(&visit));
    form(&visit, None, &fields, &html! {}).await
}

/// As a plan is when nobody has said anything yet.
fn usual(visit: &Visit<'_>) -> Plan {
    Plan {
        variants: Vec::new(),
        senders: Vec::new(),
        counts_for_hours: visit.pages.campaigns.counts_for_hours,
        ..Plan::new(Audience::List, "", "")
    }
}

/// `POST /campaigns/new`: with `do=look`, only what it would be.
#[handler]
pub(in crate::dashboard) async fn make(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let fields = sent(&visit, body).await?;
    answer(&visit, None, &fields).await
}

/// `GET /campaigns/:id/edit`
#[handler]
pub(in crate::dashboard) async fn edit(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.operator(request).await?;
    let campaign = changeable(&visit, &id).await?;
    let fields = written::fields(&campaign.plan.0);
    form(&visit, Some(&campaign), &fields, &html! {}).await
}

/// `POST /campaigns/:id/edit`: with `do=look`, only what it would be.
#[handler]
pub(in crate::dashboard) async fn change(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
    body: Body,
) -> Page {
    let visit = pages.operator(request).await?;
    let campaign = changeable(&visit, &id).await?;
    let fields = sent(&visit, body).await?;
    answer(&visit, Some(&campaign), &fields).await
}

async fn answer(visit: &Visit<'_>, campaign: Option<&CampaignRow>, fields: &Fields) -> Page {
    match attempt(visit, campaign, fields).await {
        Ok(Sent::Done(place)) => Ok(see_other(&place)),
        Ok(Sent::Looked(looked)) => form(visit, campaign, fields, &looked).await,
        Err(No::Told(why)) => {
            form(visit, campaign, fields, &html! { p.problem #problem role="alert" { (why) } }).await
        }
        Err(No::Stop(stop)) => Err(stop),
    }
}

async fn attempt(visit: &Visit<'_>, campaign: Option<&CampaignRow>, fields: &Fields) -> Result<Sent, No> {
    let wanted = wanted(visit, fields, campaign).await?;
    let drawn = campaign.map_or(0, |campaign| campaign.recipients);
    if fields.get("do") == Some("look") {
        return Ok(Sent::Looked(looked(visit, &wanted, drawn).await?));
    }
    Ok(Sent::Done(match campaign {
        None => format!("/campaigns/{}?did=make", create(visit, fields, &wanted).await?),
        Some(campaign) => {
            put(visit, campaign, fields, wanted.plan).await?;
            format!("/campaigns/{}?did=change", campaign.id)
        }
    }))
}

async fn sent(visit: &Visit<'_>, body: Body) -> Result<Fields, Stop> {
    let too_long = || {
        visit.refuse(Place::Campaigns, "This is too long for a form. Import the people, and name their tag.")
    };
    Fields::of_body(body).await.ok_or_else(too_long)
}

/// A campaign of which something can still be changed.
async fn changeable(visit: &Visit<'_>, id: &str) -> Result<CampaignRow, Stop> {
    let campaign = found(visit, id).await?;
    match campaign.state {
        State::Completed | State::Cancelled => {
            let why = refusal(visit, OperateError::Fixed("it", campaign.state))?;
            Err(visit.refuse(Place::Campaigns, &why))
        }
        _ => Ok(campaign),
    }
}

fn extent(campaign: Option<&CampaignRow>) -> Extent {
    match campaign.map(|campaign| campaign.state) {
        None => Extent::New,
        Some(State::Draft) => Extent::Draft,
        Some(_) => Extent::Limits,
    }
}

/// What is wanted, which may be none that the library takes.
async fn wanted(visit: &Visit<'_>, fields: &Fields, campaign: Option<&CampaignRow>) -> Result<Wanted, No> {
    let extent = extent(campaign);
    let before = campaign.map_or_else(|| usual(visit), |campaign| campaign.plan.0.clone());
    let same = before.audience.clone();
    let plan = written::read(fields, before, extent)?;
    let (audience, numbers) = match (extent, fields.get("whom")) {
        (Extent::Limits, _) | (Extent::Draft, Some("same")) => (same, Vec::new()),
        (_, whom) => chosen(visit, fields, whom, extent).await?,
    };
    let plan = Plan { audience, ..plan };
    plan.check().map_err(|error| format!("{error}."))?;
    Ok(Wanted { plan, numbers })
}

async fn chosen(
    visit: &Visit<'_>,
    fields: &Fields,
    whom: Option<&str>,
    extent: Extent,
) -> Result<(Audience, Vec<String>), No> {
    let written = |name: &str| fields.get(name).unwrap_or_default();
    let audience = match whom {
        Some("everyone") => Audience::Everyone,
        Some("tag") => {
            let tag = Label::tag(written("tag")).map_err(|error| mask::phones_in(&format!("{error}.")))?;
            Audience::Tag(tag.word().to_owned())
        }
        Some("segment") => {
            let segment = segments::show(visit.pages.tasks.db(), written("segment")).await;
            let filter = segment.and_then(|segment| segment.filter());
            Audience::Segment(filter.map_err(|error| match error {
                SegmentError::Database(error) => No::from(error),
                other => No::Told(format!("{other}.")),
            })?)
        }
        Some("filter") if fields.has("filter") => {
            Audience::Segment(people::filter(visit, written("filter"))?)
        }
        Some("filter") => {
            return Err(No::Told(
                "The filter is empty. Choose everybody on record if you mean them.".to_owned(),
            ));
        }
        Some("numbers") if extent == Extent::New => {
            return Ok((Audience::List, numbers(visit, written("numbers"))?));
        }
        _ => return Err(No::Told("To whom? Choose one.".to_owned())),
    };
    Ok((audience, Vec::new()))
}

fn numbers(visit: &Visit<'_>, told: &str) -> Result<Vec<String>, String> {
    let told: Vec<&str> = told.split(['\n', ',', ';']).map(str::trim).filter(|one| !one.is_empty()).collect();
    if told.len() > MOST_NUMBERS {
        return Err(format!(
            "A list has {MOST_NUMBERS} numbers at most here: import the people, and name their tag."
        ));
    }
    let numbers =
        told.into_iter().map(|one| people::number(visit, one)).collect::<Result<Vec<String>, String>>()?;
    if numbers.is_empty() {
        return Err("The list has no numbers.".to_owned());
    }
    Ok(numbers)
}

async fn create(visit: &Visit<'_>, fields: &Fields, wanted: &Wanted) -> Result<i64, No> {
    let name = fields.get("name").ok_or_else(|| "Give it a name.".to_owned())?;
    let actor = visit.actor(Some(reason(fields)?));
    let mut tx = visit.pages.tasks.begin().await?;
    let made = jobs::create(tx.session(), name, &wanted.plan, &actor, visit.now).await;
    let campaign = made.map_err(|error| refused(visit, error))?;
    if !wanted.numbers.is_empty() {
        add_recipients(tx.session(), &campaign, &wanted.numbers, visit.now).await?;
    }
    tx.commit().await?;
    Ok(campaign.id)
}

async fn put(visit: &Visit<'_>, campaign: &CampaignRow, fields: &Fields, wanted: Plan) -> Result<(), No> {
    let actor = visit.actor(Some(reason(fields)?));
    let limits = extent(Some(campaign)) == Extent::Limits;
    let mut tx = visit.pages.tasks.begin().await?;
    let apply = |plan: &mut Plan| {
        // What was not asked about stays as it is by now.
        *plan = match limits {
            true => Plan {
                hours: wanted.hours,
                skip_holidays: wanted.skip_holidays,
                rate: wanted.rate,
                daily_cap: wanted.daily_cap,
                budget_segments: wanted.budget_segments,
                ..plan.clone()
            },
            false => Plan { without: plan.without.clone(), ..wanted },
        };
    };
    let changed = jobs::change(tx.session(), campaign.id, apply, fields.get("seen"), &actor, visit.now).await;
    changed.map_err(|error| refused(visit, error))?;
    tx.commit().await?;
    Ok(())
}

fn reason(fields: &Fields) -> Result<&str, No> {
    fields
        .get("reason")
        .ok_or_else(|| No::Told("Say why: the audit tells it to whoever looks next.".to_owned()))
}

fn refused(visit: &Visit<'_>, error: OperateError) -> No {
    match refusal(visit, error) {
        Ok(why) => No::Told(why),
        Err(stop) => No::Stop(stop),
    }
}

/// What it would be: how many it goes to by now. `drawn`: those who are written down.
async fn looked(visit: &Visit<'_>, wanted: &Wanted, drawn: i64) -> Result<Markup, No> {
    let count = match super::audience(&wanted.plan.audience) {
        Some(filter) => {
            let db = visit.pages.tasks.db();
            match timeout(PATIENCE, segments::count(db, &filter, visit.now)).await {
                Ok(count) => Some(count?),
                Err(_) => None,
            }
        }
        None => {
            let mut numbers = wanted.numbers.clone();
            numbers.sort_unstable();
            numbers.dedup();
            let people = if numbers.is_empty() { drawn.unsigned_abs() } else { numbers.len() as u64 };
            return Ok(
                html! { p.big role="status" { "By now it would go to " strong { (people) } " numbers. Nothing is saved yet." } },
            );
        }
    };
    Ok(html! {
        @match count {
            Some(count) => {
                p.big role="status" { "By now it would go to " strong { (count.people) } " people. Nothing is saved yet." }
                p {
                    "Of them " (count.opted_out) " asked to get none, " (count.kept_out) " are left out by a flag, and of "
                    (count.nowhere) " nobody knows which time it is where they are."
                }
            },
            None => p.big role="status" { "It takes too long to count whom it would go to. Nothing is saved yet." },
        }
    })
}

async fn form(
    visit: &Visit<'_>,
    campaign: Option<&CampaignRow>,
    fields: &Fields,
    above: &Markup,
) -> Result<Response, Stop> {
    let extent = extent(campaign);
    let segments = segments::list(visit.pages.tasks.db(), None, MOST_SEGMENTS).await?;
    let segments: Vec<String> = segments.into_iter().map(|segment| segment.name).collect();
    let lines = visit.pages.lines.list().await;
    let whom = campaign.map(|campaign| show::audience(&campaign.plan.0.audience, View::of(false)));
    let seen = campaign.map(|campaign| campaign.plan.0.tag());
    let (title, place, back) = match campaign {
        None => ("New campaign".to_owned(), "/campaigns/new".to_owned(), "/campaigns".to_owned()),
        Some(CampaignRow { id, name, .. }) => (
            format!("Change campaign {id} {name}"),
            format!("/campaigns/{id}/edit"),
            format!("/campaigns/{id}"),
        ),
    };
    let content = html! {
        h1 { (title) }
        (above)
        @if extent == Extent::Limits { p { "It is no draft any more: what can be changed is what limits it. The next text goes by it." } }
        form.plan method="post" action=(place) {
            @if extent == Extent::New {
                label for="name" { "Name" }
                input #name name="name" value=[fields.get("name")] required maxlength="100" autocomplete="off";
            }
            (hidden(&[("seen", fields.get("seen").or(seen.as_deref()))]))
            (written::form(fields, extent, &whom.unwrap_or_default(), &segments, lines.as_ref()))
            label for="reason" { "Why" }
            input #reason name="reason" value=[fields.get("reason")] maxlength="500" placeholder="For whoever reads the audit later";
            p.buttons {
                button type="submit" name="do" value="save" { (if campaign.is_none() { "Make the draft" } else { "Change it" }) }
                @if extent != Extent::Limits { button.quiet type="submit" name="do" value="look" { "Count whom it goes to…" } }
                a href=(back) { "Leave it" }
            }
        }
    };
    Ok(visit.page(Place::Campaigns, &title, &content))
}
