//! `trunkline campaigns start|schedule|pause|resume|cancel|change`.

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use trunkline_jobs::campaigns::{Hours, Move, Plan, State, change, make_move, resume_without};

use crate::cli::audit::ActorArgs;
use crate::cli::{database, output, payload, provider};
use crate::config::Config;

#[derive(Args, Debug)]
struct One {
    id: i64,
    #[command(flatten)]
    actor: ActorArgs,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Start {
    #[command(flatten)]
    one: One,
}

#[derive(Args, Debug)]
pub(super) struct Schedule {
    #[command(flatten)]
    one: One,
    /// When it starts
    #[arg(long, value_name = "TIME", conflicts_with = "within")]
    at: Option<String>,
    /// How long from now it starts: 90m
    #[arg(long = "in", value_name = "TIME", id = "within")]
    within: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Pause {
    #[command(flatten)]
    one: One,
}

#[derive(Args, Debug)]
pub(super) struct Resume {
    #[command(flatten)]
    one: One,
    /// One of its texts by its name: who would get it gets none
    #[arg(long, value_name = "VARIANT")]
    without: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Cancel {
    #[command(flatten)]
    one: One,
}

#[derive(Args, Debug)]
pub(super) struct ChangePlan {
    #[command(flatten)]
    one: One,
    /// Texts in a period, or "off"
    #[arg(long)]
    rate: Option<String>,
    /// When people may be texted
    #[arg(long)]
    hours: Option<Hours>,
    /// Texts of each of our numbers in any 24 hours
    #[arg(long, value_name = "TEXTS")]
    daily_cap: Option<u32>,
    /// Segments it may use up in all, or "off"
    #[arg(long, value_name = "SEGMENTS")]
    budget: Option<String>,
}

impl Start {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        self.one.make(config, Move::Start, None).await
    }
}

impl Schedule {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let now = trunkline_platform::clock::Clock::system().now();
        match payload::not_before(self.at.as_deref(), self.within.as_deref(), now)? {
            Some(at) => self.one.make(config, Move::Schedule, Some(at)).await,
            None => bail!("when? Say --at TIME or --in TIME"),
        }
    }
}

impl Pause {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        self.one.make(config, Move::Pause, None).await
    }
}

impl Resume {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let Some(variant) = &self.without else { return self.one.make(config, Move::Resume, None).await };
        let (one, actor) = (&self.one, self.one.actor.actor()?);
        let state = database::act(config, async |tasks| {
            let mut tx = tasks.begin().await?;
            let state = resume_without(&mut tx, one.id, variant, &actor, tasks.clock().now()).await?;
            tx.commit().await?;
            Ok(state)
        });
        one.tell(state.await?, None)
    }
}

impl Cancel {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        self.one.make(config, Move::Cancel, None).await
    }
}

impl One {
    async fn make(&self, config: &Config, to: Move, at: Option<DateTime<Utc>>) -> Result<()> {
        let actor = self.actor.actor()?;
        let state = database::act(config, async |tasks| {
            if to == Move::Start {
                provider::with_key(config, tasks.db()).await.context(
                    "nothing can be sent (`trunkline dev` sends with TRUNKLINE_OPENPHONE_API_KEY=simulated-api-key)",
                )?;
            }
            let mut tx = tasks.begin().await?;
            let state = make_move(&mut tx, self.id, to, at, &actor, tasks.clock().now()).await?;
            tx.commit().await?;
            Ok(state)
        });
        self.tell(state.await?, at)
    }

    fn tell(&self, state: State, at: Option<DateTime<Utc>>) -> Result<()> {
        if self.json {
            return output::print(&output::json(&json!({ "id": self.id, "state": state, "at": at }))?);
        }
        output::print(&format!("campaign {} is {state}\n", self.id))
    }
}

impl ChangePlan {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let budget = match self.budget.as_deref() {
            None => None,
            Some("off") => Some(None),
            Some(text) => Some(Some(text.parse::<u32>()?)),
        };
        if self.rate.is_none() && self.hours.is_none() && self.daily_cap.is_none() && budget.is_none() {
            bail!("nothing to change: say --rate, --hours, --daily-cap or --budget");
        }
        let actor = self.one.actor.actor()?;
        let tasks = database::open_tasks(config).await?;
        let mut tx = tasks.begin().await?;
        let apply = |plan: &mut Plan| {
            if let Some(rate) = self.rate.clone() {
                plan.rate = (rate != "off").then_some(rate);
            }
            if let Some(hours) = self.hours.clone() {
                plan.hours = hours;
            }
            plan.daily_cap = self.daily_cap.unwrap_or(plan.daily_cap);
            if let Some(budget) = budget {
                plan.budget_segments = budget;
            }
        };
        let plan = change(tx.session(), self.one.id, apply, None, &actor, tasks.clock().now()).await?;
        tx.commit().await?;
        if self.one.json {
            return output::print(&output::json(&json!({ "id": self.one.id, "plan": plan }))?);
        }
        output::print(&format!("campaign {} is changed; the next text goes by it\n", self.one.id))
    }
}
