//! One campaign: what it is to do, where it is, and how it goes. While it goes the page looks again by itself, so whatever is to be
//! written is written elsewhere.

use std::sync::Arc;

use maud::{Markup, html};
use poem::web::{Data, Path};
use poem::{Request, handler};
use trunkline_jobs::campaigns::flight::QUICK;
use trunkline_jobs::campaigns::report::report as counted;
use trunkline_jobs::campaigns::{self as jobs, Audience, CampaignRow, Live, Move, Plan, State, breaker, sms};

use super::{figures, foreseen, found, report};
use crate::dashboard::form::Fields;
use crate::dashboard::layout::Place;
use crate::dashboard::visit::{Page, Visit};
use crate::dashboard::{Pages, parts};
use crate::mask::View;

/// The latest times the breaker stopped it.
const MOST_TRIPS: u32 = 10;
const SECONDS: u32 = 2;
/// Counting many takes longer, so they are counted less often.
const SECONDS_OF_MANY: u32 = 10;

/// `GET /campaigns/:id`
#[handler]
pub(in crate::dashboard) async fn show(
    Data(pages): Data<&Arc<Pages>>,
    request: &Request,
    Path(id): Path<String>,
) -> Page {
    let visit = pages.visit(request).await?;
    let campaign = found(&visit, &id).await?;
    let db = pages.tasks.db();
    let outcomes = jobs::outcomes(db, campaign.id).await?;
    let live = Live::of(db, &campaign, &outcomes, visit.now).await?;
    let trips = breaker::trips_of(db, campaign.id, MOST_TRIPS).await?;
    let counted = counted(db, &campaign).await?;
    let fares = match campaign.state {
        State::Running if live.waiting <= QUICK => {
            foreseen(&visit, pages.campaigns.tower(db).progress(&campaign, visit.now)).await?.flatten()
        }
        _ => None,
    };
    let stalled = jobs::stalled(&pages.tasks).await?.into_iter().find(|one| one.campaign == campaign.id);
    let ended = matches!(campaign.state, State::Completed | State::Cancelled);
    let content = html! {
        h1 { "Campaign " (campaign.id) " " (campaign.name) " " (super::state(campaign.state)) }
        (parts::outcome(&Fields::of_query(request)))
        @match (campaign.state, &campaign.reason) {
            (State::Paused, Some(why)) => p.problem { "Held: " (View::of(false).line(why)) },
            (State::Cancelled, Some(why)) => p { "Why: " (View::of(false).line(why)) },
            _ => {},
        }
        @if let Some(stalled) = stalled {
            p.problem role="alert" {
                "It stands still: its task " a href={ "/tasks/" (stalled.task) } { (stalled.task) }
                " is a dead letter. Retry that, and it goes on where it was."
            }
        }
        @if visit.may_operate() && !ended { (ways(&campaign)) }
        (links(&campaign))
        @if campaign.state != State::Draft { (figures::live(&live)) }
        @if let Some(fares) = &fares { (figures::fares(&visit, fares)) }
        (standing(&visit, &campaign))
        (figures::outcomes(&visit, &campaign, &outcomes))
        @if campaign.started_at.is_some() { (report::told(&counted)) }
        (figures::trips(&visit, &trips))
        (plan(&campaign))
    };
    let seconds = if campaign.recipients > QUICK { SECONDS_OF_MANY } else { SECONDS };
    let again = (campaign.state == State::Running).then_some(seconds);
    let (place, title) = (format!("/campaigns/{}", campaign.id), format!("Campaign {}", campaign.id));
    Ok(visit.live_at(&place, again, Place::Campaigns, &title, &content))
}

/// What can be done to it from where it is. Nothing is done yet by any of them.
fn ways(campaign: &CampaignRow) -> Markup {
    let (id, state) = (campaign.id, campaign.state);
    let words = [
        (Move::Start, "start", "Start…", "button"),
        (Move::Schedule, "schedule", "Schedule…", "button"),
        (Move::Pause, "pause", "Pause…", "button"),
        (Move::Resume, "resume", "Resume…", "button"),
        (Move::Cancel, "cancel", "Cancel…", "button grave"),
    ];
    let under_way = matches!(state, State::Running | State::Paused);
    html! {
        p.buttons {
            @for (to, word, says, class) in words {
                @if state.after(to).is_ok() { a class=(class) href={ "/campaigns/" (id) "/" (word) } { (says) } }
            }
            @if under_way && campaign.plan.0.variants.len() > 1 {
                a.button href={ "/campaigns/" (id) "/promote" } { "Promote a text…" }
            }
            a href={ "/campaigns/" (id) "/edit" } { (if state == State::Draft { "Edit it" } else { "Change its limits" }) }
        }
    }
}

fn links(campaign: &CampaignRow) -> Markup {
    let id = campaign.id;
    html! {
        p.ways {
            a href={ "/campaigns/" (id) "/plan" } { "Flight plan" }
            a href={ "/campaigns/" (id) "/preview" } { "What the next would get" }
            a href={ "/campaigns/" (id) "/recipients" } { "Recipients" }
            a href={ "/api/v1/campaigns/" (id) "/export?format=csv" } { "Export" }
            a href={ "/audit?subject=campaign:" (id) } { "Audit" }
        }
    }
}

fn standing(visit: &Visit<'_>, campaign: &CampaignRow) -> Markup {
    let time = |at: Option<_>| at.map(|at| parts::time(at, visit.now));
    let waits = campaign.waits_for.as_ref().map(|what| {
        html! { code { (what) } @if let Some(at) = campaign.next_at { ", until " (parts::time(at, visit.now)) } }
    });
    parts::facts(&[
        ("The next text waits for", waits),
        ("Starts", time(campaign.scheduled_for)),
        ("Started", time(campaign.started_at)),
        ("Ended", time(campaign.ended_at)),
        ("Promoted", time(campaign.promoted_at)),
        ("Segments so far", (campaign.segments > 0).then(|| html! { (campaign.segments) })),
        (
            "Made",
            Some(
                html! { (parts::time(campaign.created_at, visit.now)) " by " code { (campaign.created_by) } },
            ),
        ),
    ])
}

/// What it is to do.
fn plan(campaign: &CampaignRow) -> Markup {
    let plan = &campaign.plan.0;
    html! {
        h2 { "What it is to do" }
        @if plan.dry_run { p { strong { "A dry run: everything is decided and nothing is sent." } } }
        (parts::facts(&[
            ("To", Some(html! { (audience(&plan.audience, View::of(false))) @if plan.late_joiners { ", and whoever comes to be one of them" } })),
            ("From", Some(html! { @for sender in &plan.senders { code { (sender) } " " } })),
            ("Hours", Some(html! { (plan.hours) " by their own clocks" @if plan.skip_holidays { ", not on holidays" } })),
            ("Rate", Some(html! { @match &plan.rate { Some(rate) => (rate), None => "as fast as the provider takes them" } })),
            ("Daily cap", Some(html! { (plan.daily_cap) " texts of each of our numbers" })),
            ("Budget", plan.budget_segments.map(|segments| html! { (segments) " segments" })),
            ("Held out", (plan.holdout_percent > 0).then(|| html! { (plan.holdout_percent) " percent" })),
            ("Nobody twice within", Some(html! { (plan.duplicate_days) @if plan.duplicate_days == 1 { " day" } @else { " days" } })),
            ("Answers count for", Some(html! { (plan.counts_for_hours) " hours" })),
            ("Wins by itself", plan.winner.map(|rule| html! { (winner(&rule)) })),
        ]))
        (texts(plan))
    }
}

fn winner(rule: &jobs::experiment::WinnerRule) -> String {
    let what = match rule.metric {
        jobs::experiment::Metric::Replies => "whose people answer more",
        jobs::experiment::Metric::OptOuts => "at which fewer ask to stop",
    };
    let (alpha, minimum) = (rule.alpha_percent, rule.minimum);
    format!("the text {what}, wrong with {alpha} percent at most, after {minimum} of each")
}

/// To whom it goes, without whom a filter looks for unless they may be seen.
pub(super) fn audience(audience: &Audience, view: View) -> Markup {
    html! {
        @match audience {
            Audience::Everyone => "everybody on record",
            Audience::Tag(tag) => { "those with the tag " code { (tag) } },
            Audience::Segment(filter) => { "those whom the filter takes: " code { (view.filter(&filter.to_string())) } },
            Audience::List => "a list of numbers",
        }
    }
}

/// Its words, and what they cost.
pub(super) fn texts(plan: &Plan) -> Markup {
    let weights: u32 = plan.variants.iter().map(|text| text.weight).sum();
    html! {
        @for text in &plan.variants {
            h3 {
                "Text " (text.name)
                @if plan.variants.len() > 1 { " " span.note { (text.weight) " of " (weights) } }
                @if plan.without.contains(&text.name) { " " span.chip { "left out" } }
            }
            pre.prose tabindex="0" { (text.template) }
            p.note { (cut(&text.template)) }
        }
    }
}

/// How a template is cut, as it stands.
pub(super) fn cut(template: &str) -> Markup {
    let cut = sms::segments(template);
    html! {
        (cut.chars) " characters as it stands: " (cut.count) @if cut.count == 1 { " segment" } @else { " segments" }
        @if let Some((character, place)) = cut.forced_by {
            ", of 70 characters instead of 160 because of " code { (character) } " at character " (place)
        }
        "."
    }
}
