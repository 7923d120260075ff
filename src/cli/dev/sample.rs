//! The campaign that `trunkline dev` carries out in front of whoever starts it for the first time: made-up people, two texts,
//! and answers.

use anyhow::Result;
use trunkline_jobs::campaigns::{self, Audience, CampaignFilter, Move, State, create, make_move};
use trunkline_jobs::contacts::optout;
use trunkline_jobs::contacts::seed::seed;
use trunkline_jobs::contacts::segments::{self, Filter};
use trunkline_openphone::simulator::Manners;
use trunkline_platform::audit::Actor;
use trunkline_platform::db::Db;
use trunkline_platform::task::Tasks;

use crate::cli::seed::sample;

const NAME: &str = "sample";
/// Enough to see which of the texts is answered more.
pub(super) const PEOPLE: usize = 300;
/// Three numbers of ours send 125 texts a day each.
const MOST_PEOPLE: usize = 375;
const SEED: u64 = 1;
/// Most like coffee better than a discount, and some ask to stop; fewer than would stop the campaign.
const MANNERS: &str =
    "reply=0.08,reply:coffee=0.4,stop=0.008,plea=0.004,filtered=0.01,failed=0.01,answer_within=4";
const MOST_CLOSED: u32 = 1_000;

/// Reads how many there are to be.
pub(super) fn people(text: &str) -> Result<usize, String> {
    let people = text.parse().ok().filter(|people| *people <= MOST_PEOPLE);
    people.ok_or_else(|| format!("a number up to {MOST_PEOPLE}: more would take another day"))
}

/// How its people take texts.
pub(super) fn manners() -> Result<Manners> {
    Ok(MANNERS.parse()?)
}

/// The campaign while it runs.
pub(super) struct Sample {
    id: i64,
    people: usize,
}

impl Sample {
    /// Makes people and starts the campaign. None: there are campaigns already, which are left alone.
    pub(super) async fn start(tasks: &Tasks, people: usize) -> Result<Option<Self>> {
        if !campaigns::list(tasks.db(), &CampaignFilter { limit: 1, ..CampaignFilter::default() })
            .await?
            .is_empty()
        {
            return Ok(None);
        }
        seed(tasks.db(), tasks.clock(), people, SEED, |_| {}).await?;
        let now = tasks.clock().now();
        let mut plan = sample(Audience::Everyone);
        // Whoever tries the program does so at any hour, and nobody real is texted.
        plan.hours = "00:00-23:59".parse()?;
        let actor = Actor { name: "trunkline:dev".to_owned(), reason: None };
        let mut tx = tasks.begin().await?;
        let campaign = create(tx.session(), NAME, &plan, &actor, now).await?;
        make_move(&mut tx, campaign.id, Move::Start, None, &actor, now).await?;
        tx.commit().await?;
        Ok(Some(Self { id: campaign.id, people }))
    }

    /// How far it is, in a line; and whether it has come to its end.
    pub(super) async fn told(&self, tasks: &Tasks) -> Result<(String, bool)> {
        let db = tasks.db();
        let Some(campaign) = campaigns::show(db, self.id).await? else { return Ok((String::new(), true)) };
        let outcomes = campaigns::outcomes(db, self.id).await?;
        let count = |states: &[&str]| -> i64 {
            outcomes.iter().filter(|row| states.contains(&row.state.as_str())).map(|row| row.count).sum()
        };
        let (arrived, failed) = (count(&["delivered"]), count(&["failed", "undelivered"]));
        let sent = arrived + failed + count(&["accepted", "sent"]);
        let (replies, closed) = (replies(tasks).await?, closed(db).await?);
        let end = matches!(campaign.state, State::Completed | State::Paused | State::Cancelled);
        let line = format!(
            "campaign {NAME} {}: {sent} of {} sent, {arrived} delivered, {failed} not | {replies} people answered, {closed} asked to stop",
            campaign.state, self.people
        );
        Ok((line, end && count(&["accepted", "sent"]) == 0))
    }

    pub(super) const fn id(&self) -> i64 {
        self.id
    }
}

async fn replies(tasks: &Tasks) -> Result<u64> {
    let filter: Filter = "has:reply".parse()?;
    Ok(segments::count(tasks.db(), &filter, tasks.clock().now()).await?.people)
}

async fn closed(db: &Db) -> Result<usize> {
    Ok(optout::list(db, None, MOST_CLOSED).await?.len())
}
