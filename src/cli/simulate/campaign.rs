//! `trunkline simulate campaign`: a whole campaign against simulated people, in a database of its own that is gone afterwards, with
//! a clock that leaps from one thing to do to the next. What the simulated provider accepted is held against the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use trunkline_jobs::campaigns::{self, Audience, Hours, Missing, Move, Plan, create, make_move, outcomes};
use trunkline_jobs::contacts::{optout, place, seed};
use trunkline_openphone::factory::Factory;
use trunkline_openphone::simulator::{
    AcceptedMessage, Faults, Manners, Simulator, SimulatorConfig, SimulatorHandle,
};
use trunkline_platform::audit::Actor;
use trunkline_platform::clock::Clock;
use trunkline_platform::task::Tasks;

use super::{output, wall_clock};
use crate::app::{App, Roles};
use crate::config::{Config, Flags};

const PEOPLE: &str = "reply=0.1,stop=0.006,plea=0.003,filtered=0.005,failed=0.01,answer_within=0.3";
const TEXT: &str = "Hi {{first_name|there}}, 10% off this week. Reply STOP to opt out";
const DAY: TimeDelta = TimeDelta::days(1);
const MOST_CLOSED: u32 = 1_000;
/// The longest that the real world is waited for: answers that are under way.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(super) struct SimulateCampaign {
    #[arg(long, default_value_t = 5_000)]
    recipients: usize,
    /// How many times faster than life at most; it never goes faster than the machine works
    #[arg(long, default_value = "1000x", value_name = "TIMES", value_parser = speed)]
    speed: f64,
    /// How people take the texts; see `trunkline simulate --help`
    #[arg(long, default_value = PEOPLE, value_name = "NAME=RATE,…")]
    people: Manners,
    /// What goes wrong; see `trunkline simulate --help`
    #[arg(long, default_value = "", value_name = "NAME=RATE,…")]
    faults: Faults,
    #[arg(long, default_value = TEXT)]
    text: String,
    /// When people may be texted, by their own clocks
    #[arg(long, default_value_t)]
    hours: Hours,
    /// Texts in a period: 5/m, 600/h
    #[arg(long)]
    rate: Option<String>,
    /// Texts of each of the three sending numbers in any 24 hours
    #[arg(long, value_name = "TEXTS", default_value_t = 10_000)]
    daily_cap: u32,
    /// The same seed makes the same people
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches('x').parse().map_err(|_| "write 1000x".to_owned())?;
    if (1.0..=1_000_000.0).contains(&number) { Ok(number) } else { Err("from 1x to 1000000x".to_owned()) }
}

/// What came of it.
struct Played {
    accepted: Vec<AcceptedMessage>,
    outcomes: Vec<(String, i64)>,
    /// How the campaign ended, and why it was held if it was.
    state: String,
    opted_out: usize,
    answers: u64,
    took: TimeDelta,
    really: Duration,
}

impl SimulateCampaign {
    pub(super) async fn run(self) -> Result<()> {
        let played = self.play().await?;
        let (document, wrong) = self.report(&played);
        let text = if self.json { output::json(&document)? } else { told(&document) };
        output::print(&text)?;
        ensure!(wrong == 0, "a limit did not hold: see above");
        Ok(())
    }

    async fn play(&self) -> Result<Played> {
        let folder = tempfile::tempdir().context("making a folder for the simulation")?;
        let start = Clock::system().now();
        let clock = Clock::manual(start);
        let simulator = self.simulator(&clock).await?;
        let config = Config::load(&settings(folder.path(), &simulator), [])?;
        let app = App::build(config, clock.clone()).await?;
        let (kit, tasks) = (app.by_hand(), app.tasks().clone());
        let running = app.start(&"receiver".parse::<Roles>()?, None).await?;
        simulator.set_target(Some(format!("http://{}/webhooks/openphone", running.address()).parse()?));

        seed::seed(tasks.db(), &clock, self.recipients, self.seed, |_| {}).await?;
        let id = self.start(&tasks).await?;
        let began = Instant::now();
        let mut heard = false;
        loop {
            kit.drain().await?;
            let now = clock.now();
            if let Some(next) = kit.next_due().await? {
                heard = false;
                clock.advance(next - now);
                let pace = (next - start).to_std().unwrap_or_default().div_f64(self.speed);
                tokio::time::sleep(pace.saturating_sub(began.elapsed())).await;
            } else if heard {
                break;
            } else {
                // What people still answer comes in real time.
                heard = tokio::time::timeout(LAST_ANSWERS, simulator.idle()).await.is_ok();
            }
        }
        let rows = outcomes(tasks.db(), id).await?;
        let row = campaigns::show(tasks.db(), id).await?.context("the campaign is gone")?;
        let played = Played {
            accepted: simulator.accepted_messages(),
            outcomes: rows
                .into_iter()
                .map(|row| {
                    (format!("{} {}", row.state, row.reason.unwrap_or_default()).trim().to_owned(), row.count)
                })
                .collect(),
            state: [row.state.as_str(), row.reason.as_deref().unwrap_or_default()]
                .join(" ")
                .trim()
                .to_owned(),
            opted_out: optout::list(tasks.db(), None, MOST_CLOSED).await?.len(),
            answers: simulator.tally().events_by_type.get("message.received").copied().unwrap_or_default(),
            took: clock.now() - start,
            really: began.elapsed(),
        };
        simulator.stop().await;
        running.stop().await?;
        Ok(played)
    }

    async fn simulator(&self, clock: &Clock) -> Result<SimulatorHandle> {
        let mut settings = SimulatorConfig::new(wall_clock(clock.clone()));
        // It counts by the machine's clock, which is not the campaign's.
        settings.calls_per_second = u32::MAX;
        settings.manners = self.people.clone();
        settings.faults = self.faults;
        settings.seed = self.seed;
        settings.retry_scale = 0.000_1;
        Simulator::start(settings).await.context("starting the simulated provider")
    }

    async fn start(&self, tasks: &Tasks) -> Result<i64> {
        let mut plan = Plan::new(Audience::Everyone, "", self.text.as_str());
        plan.senders = Factory::new(0).world().lines.iter().map(|line| line.id.clone()).collect();
        plan.missing = Missing::Blank;
        plan.hours = self.hours.clone();
        plan.rate = self.rate.clone();
        plan.daily_cap = self.daily_cap;
        let actor = Actor { name: "trunkline:simulate".to_owned(), reason: None };
        let now = tasks.clock().now();
        let mut tx = tasks.begin().await?;
        let campaign = create(tx.session(), "simulated", &plan, &actor, now).await?;
        make_move(&mut tx, campaign.id, Move::Start, None, &actor, now).await?;
        tx.commit().await?;
        Ok(campaign.id)
    }

    /// What came of it, and how many limits did not hold.
    fn report(&self, played: &Played) -> (Value, usize) {
        let accepted = &played.accepted;
        let times: Vec<DateTime<Utc>> = accepted.iter().map(|text| text.accepted_at).collect();
        let mut by_sender: BTreeMap<&str, Vec<DateTime<Utc>>> = BTreeMap::new();
        for text in accepted {
            by_sender.entry(&text.from).or_default().push(text.accepted_at);
        }
        let (a_second, a_minute) =
            (fullest(&times, TimeDelta::seconds(1)), fullest(&times, TimeDelta::minutes(1)));
        let a_day = by_sender.values().map(|times| fullest(times, DAY)).max().unwrap_or_default();
        let people: BTreeSet<&str> = accepted.iter().map(number).collect();
        let early = accepted.iter().filter(|text| {
            !self.hours.open(&place::of(number(text)).zones, &BTreeMap::new(), text.accepted_at)
        });
        let checks = [
            ("texts a second, at most", a_second, 10),
            ("texts of one number a day, at most", a_day, self.daily_cap as usize),
            ("texts outside the hours", early.count(), 0),
            ("people texted twice", accepted.len() - people.len(), 0),
        ];
        let wrong = checks.iter().filter(|(_, found, most)| found > most).count();
        let checks: Vec<Value> = checks
            .iter()
            .map(|(what, found, most)| json!({ "what": what, "found": found, "limit": most, "holds": found <= most }))
            .collect();
        let document = json!({
            "recipients": self.recipients,
            "state": played.state,
            "texts": accepted.len(),
            "took_s": played.took.num_seconds(),
            "really_s": played.really.as_secs_f64(),
            "speed": played.took.num_milliseconds() as f64 / 1e3 / played.really.as_secs_f64().max(1e-3),
            "texts_in_the_fullest_minute": a_minute,
            "answers": played.answers,
            "opted_out": played.opted_out,
            "outcomes": played.outcomes.iter().map(|(what, count)| json!({ "what": what, "count": count })).collect::<Vec<_>>(),
            "checks": checks,
        });
        (document, wrong)
    }
}

fn number(text: &AcceptedMessage) -> &str {
    text.to.first().map_or("", String::as_str)
}

/// The most of these times, which are in order, within a period.
fn fullest(times: &[DateTime<Utc>], period: TimeDelta) -> usize {
    let within = |first: &DateTime<Utc>| {
        let from = times.partition_point(|at| at < first);
        times.partition_point(|at| *at < *first + period) - from
    };
    times.iter().map(within).max().unwrap_or_default()
}

fn told(document: &Value) -> String {
    let n = |key: &str| document[key].as_i64().unwrap_or_default();
    let took = trunkline_platform::duration::write(Duration::from_secs(n("took_s").unsigned_abs()));
    let mut text = format!(
        "{} texts to {} people in {took}, {:.0} times as fast as life; the campaign is {}\n  at most {} in a minute; {} answers, {} people asked to stop\n",
        n("texts"),
        n("recipients"),
        document["speed"].as_f64().unwrap_or_default(),
        document["state"].as_str().unwrap_or_default(),
        n("texts_in_the_fullest_minute"),
        n("answers"),
        n("opted_out"),
    );
    let mut states = output::Table::new(&[">COUNT", "STATE"]);
    for row in document["outcomes"].as_array().into_iter().flatten() {
        states.row([row["count"].to_string(), row["what"].as_str().unwrap_or_default().to_owned()]);
    }
    text += &states.text("nobody was texted");
    let mut checks = output::Table::new(&["CHECKED", ">FOUND", ">LIMIT", ""]);
    for row in document["checks"].as_array().into_iter().flatten() {
        let holds = if row["holds"] == json!(true) { "holds" } else { "DOES NOT HOLD" };
        let what = row["what"].as_str().unwrap_or_default().to_owned();
        checks.row([what, row["found"].to_string(), row["limit"].to_string(), holds.to_owned()]);
    }
    text + &checks.text("")
}

fn settings(folder: &std::path::Path, simulator: &SimulatorHandle) -> Flags {
    let simulated = SimulatorConfig::new(wall_clock(Clock::system()));
    let secrets = [&simulated.standard_secret, &simulated.legacy_secret].map(ExposeSecret::expose_secret);
    let mut flags = Flags::default();
    flags.assign("database.url", format!("sqlite://{}", folder.join("simulation.db").display()));
    flags.assign("media.dir", folder.join("media").display().to_string());
    flags.assign("http.listen", "127.0.0.1:0");
    flags.assign("receiver.rate_per_second", "100000");
    flags.assign("receiver.rate_burst", "100000");
    flags.assign("openphone.api_url", simulator.url());
    flags.assign("openphone.api_key", simulated.api_key.expose_secret());
    flags.assign("openphone.webhook_secrets", secrets.join(","));
    flags
}
