//! What must hold when all is over, by the provider's own list of the texts it accepted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use trunkline_jobs::campaigns::{self, Plan};
use trunkline_jobs::contacts::optout::{self, CONFIRM_WITHIN};
use trunkline_jobs::contacts::place;
use trunkline_jobs::sends::{self, SendFilter, SendRow, SendState};
use trunkline_openphone::simulator::AcceptedMessage;
use trunkline_platform::db::{Db, Engine};

use crate::kept::statement;

/// What a request may take from the commit that lets it go to the provider's door.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(15);
const DAY: TimeDelta = TimeDelta::days(1);

/// Has the database write down, in the transaction that closes a number, which tries to text it there were by then. The number's
/// lock is held there: a try that is not among them was committed after the number was closed.
pub(super) async fn watch_closings(db: &Db) {
    let lines: &[&str] = match db.engine() {
        Engine::Postgres => &[
            "CREATE TABLE seen_at_close (number TEXT, send_id BIGINT, tries INTEGER)",
            "CREATE FUNCTION note_close() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF NEW.closed AND NOT EXISTS (SELECT 1 FROM seen_at_close WHERE number = NEW.number) THEN
                     INSERT INTO seen_at_close VALUES (NEW.number, 0, 0);
                     INSERT INTO seen_at_close SELECT number, id, tries FROM sends WHERE number = NEW.number;
                 END IF;
                 RETURN NULL;
             END $$",
            "CREATE TRIGGER note_close AFTER INSERT OR UPDATE ON opt_outs FOR EACH ROW EXECUTE FUNCTION note_close()",
        ],
        Engine::Sqlite => &[
            "CREATE TABLE seen_at_close (number TEXT, send_id INTEGER, tries INTEGER)",
            "CREATE TRIGGER note_insert AFTER INSERT ON opt_outs
             WHEN NEW.closed AND NOT EXISTS (SELECT 1 FROM seen_at_close WHERE number = NEW.number) BEGIN
                 INSERT INTO seen_at_close VALUES (NEW.number, 0, 0);
                 INSERT INTO seen_at_close SELECT number, id, tries FROM sends WHERE number = NEW.number;
             END",
            "CREATE TRIGGER note_update AFTER UPDATE ON opt_outs
             WHEN NEW.closed AND NOT EXISTS (SELECT 1 FROM seen_at_close WHERE number = NEW.number) BEGIN
                 INSERT INTO seen_at_close VALUES (NEW.number, 0, 0);
                 INSERT INTO seen_at_close SELECT number, id, tries FROM sends WHERE number = NEW.number;
             END",
        ],
    };
    let mut tx = db.write().await.unwrap();
    for line in lines {
        statement((*line).to_owned()).query().execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[derive(sqlx::FromRow)]
struct Late {
    number: String,
    send_id: i64,
    tries: i64,
}

/// Tries of campaigns' texts that were committed after their number was closed.
pub(super) async fn tries_after_closing(db: &Db) -> Vec<String> {
    let text = "SELECT s.number, s.id AS send_id, CAST(s.tries AS BIGINT) AS tries FROM sends AS s
         WHERE s.kind = 'campaign' AND EXISTS (SELECT 1 FROM seen_at_close AS c WHERE c.number = s.number)
           AND s.tries > COALESCE((SELECT c.tries FROM seen_at_close AS c WHERE c.number = s.number AND c.send_id = s.id), 0)";
    let rows: Vec<Late> =
        statement(text.to_owned()).query().all(&mut db.read().await.unwrap()).await.unwrap();
    let told = |row: Late| {
        let Late { number, send_id, tries } = row;
        format!("text {send_id}, try {tries}, was committed after {number} had been closed")
    };
    rows.into_iter().map(told).collect()
}

/// How many numbers were closed.
pub(super) async fn closings(db: &Db) -> usize {
    optout::list(db, None, 1_000).await.unwrap().len()
}

/// What was promised of the campaigns that were played.
pub(super) struct Promise<'p> {
    pub(super) campaigns: &'p [i64],
    /// Beside whom they go to, which is the same for all, these hold for all: hours, cap.
    pub(super) plan: &'p Plan,
    pub(super) people: &'p [String],
}

/// What is wrong, one line each.
pub(super) async fn wrongs(db: &Db, accepted: &[AcceptedMessage], promise: &Promise<'_>) -> Vec<String> {
    let all = SendFilter { limit: 1_000, ..SendFilter::default() };
    let texts = sends::list(db, &all).await.unwrap();
    let bodies: BTreeSet<&str> =
        texts.iter().filter(|text| text.kind == "campaign").map(|text| text.body.as_str()).collect();
    let (ours, others): (Vec<_>, Vec<_>) =
        accepted.iter().partition(|text| bodies.contains(text.content.as_str()));
    let mut wrongs = tries_after_closing(db).await;
    wrongs.extend(twice(&ours));
    wrongs.extend(outside_the_hours(&ours, promise.plan));
    wrongs.extend(over_the_cap(&ours, promise.plan));
    for number in promise.people {
        wrongs.extend(after_closing(db, number, &ours, &others).await);
        wrongs.extend(ends(db, number, promise.campaigns).await);
    }
    wrongs.extend(ledger_and_provider(&texts, accepted));
    wrongs
}

fn number(text: &AcceptedMessage) -> &str {
    text.to.first().map_or("", String::as_str)
}

fn twice(ours: &[&AcceptedMessage]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let again = ours.iter().filter(|text| !seen.insert((number(text), text.content.as_str())));
    again
        .map(|text| {
            format!("{} was texted {:?} twice, again at {}", number(text), text.content, text.accepted_at)
        })
        .collect()
}

fn outside_the_hours(ours: &[&AcceptedMessage], plan: &Plan) -> Vec<String> {
    let wrong = ours
        .iter()
        .filter(|text| !plan.hours.open(&place::of(number(text)).zones, &BTreeMap::new(), text.accepted_at));
    wrong
        .map(|text| format!("{} was texted at {}, outside {}", number(text), text.accepted_at, plan.hours))
        .collect()
}

/// A text counts from its commit on, and reaches the provider a little later.
fn over_the_cap(ours: &[&AcceptedMessage], plan: &Plan) -> Vec<String> {
    let mut by_sender: BTreeMap<&str, Vec<DateTime<Utc>>> = BTreeMap::new();
    for text in ours {
        by_sender.entry(&text.from).or_default().push(text.accepted_at);
    }
    let mut wrongs = Vec::new();
    for (sender, mut times) in by_sender {
        times.sort();
        for first in &times {
            let within = times.iter().filter(|at| *at >= first && **at < *first + DAY - ON_ITS_WAY).count();
            if within > plan.daily_cap as usize {
                wrongs.push(format!("{within} texts of {sender} in the day from {first}"));
            }
        }
    }
    wrongs
}

/// By the clock, beside what the database noted: after a number is closed, only what was on its way arrives, and one
/// confirmation.
async fn after_closing(
    db: &Db,
    person: &str,
    ours: &[&AcceptedMessage],
    others: &[&AcceptedMessage],
) -> Vec<String> {
    let said = optout::consents(db, person, 100).await.unwrap();
    let closed = said.iter().filter(|row| row.act == "opt_out").map(|row| row.recorded_at).min();
    let mut wrongs = Vec::new();
    if let Some(closed) = closed {
        let late =
            ours.iter().filter(|text| number(text) == person && text.accepted_at > closed + ON_ITS_WAY);
        wrongs.extend(
            late.map(|text| format!("{person} was texted at {}, closed at {closed}", text.accepted_at)),
        );
    }
    let confirmations: Vec<_> = others.iter().filter(|text| number(text) == person).collect();
    if confirmations.len() > 1 {
        wrongs.push(format!("{person} got {} texts beside the campaigns'", confirmations.len()));
    }
    for text in confirmations {
        let in_time = closed.is_some_and(|closed| {
            text.accepted_at >= closed - ON_ITS_WAY
                && text.accepted_at <= closed + CONFIRM_WITHIN + ON_ITS_WAY
        });
        if !in_time {
            wrongs.push(format!(
                "{person} was told {:?} at {}, closed {closed:?}",
                text.content, text.accepted_at
            ));
        }
    }
    wrongs
}

/// Everybody has come to one end in each campaign.
async fn ends(db: &Db, person: &str, all: &[i64]) -> Vec<String> {
    use SendState as S;
    let ends = [S::Accepted, S::Sent, S::Delivered, S::Failed, S::Undelivered, S::Refused, S::Unresolved];
    let rows = campaigns::recipients_of(db, person, 100).await.unwrap();
    let mut wrongs = Vec::new();
    for campaign in all {
        let rows: Vec<_> = rows.iter().filter(|row| row.campaign_id == *campaign).collect();
        let [row] = rows.as_slice() else {
            wrongs.push(format!("{person} is in campaign {campaign} {} times", rows.len()));
            continue;
        };
        let text: Option<SendState> = row.send_state.as_deref().map(|state| state.parse().unwrap());
        let ended = match row.state.as_str() {
            "taken" => text.is_some_and(|state| ends.contains(&state)),
            // What was to be tried again, and then was not wanted any more, keeps its row.
            "refused" => row.reason.is_some() && text.is_none_or(|state| state == S::Waiting),
            _ => false,
        };
        if !ended {
            wrongs.push(format!("{person} has no one end in campaign {campaign}: {row:?}"));
        }
    }
    wrongs
}

/// What the ledger claims the provider has, and nothing that the provider has is unknown to it but what it doubts.
fn ledger_and_provider(texts: &[SendRow], accepted: &[AcceptedMessage]) -> Vec<String> {
    let known: BTreeMap<&str, &SendRow> =
        texts.iter().filter_map(|text| Some((text.provider_id.as_deref()?, text))).collect();
    let at_the_provider: BTreeMap<&str, &AcceptedMessage> =
        accepted.iter().map(|text| (text.id.as_str(), text)).collect();
    let mut wrongs = Vec::new();
    for (id, text) in &known {
        match at_the_provider.get(id) {
            Some(there) if number(there) == text.number && there.content == text.body => {}
            there => wrongs.push(format!("text {} is said to be {id}, which is {there:?}", text.id)),
        }
    }
    for text in accepted.iter().filter(|text| !known.contains_key(text.id.as_str())) {
        let doubted = texts.iter().any(|row| {
            row.number == number(text) && row.body == text.content && row.state == SendState::Unresolved
        });
        if !doubted {
            wrongs.push(format!("the provider has a text that the ledger does not know of: {text:?}"));
        }
    }
    wrongs
}
