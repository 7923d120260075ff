//! Sending stored events to a development copy, as the provider would: byte for byte, signed anew by a secret of that copy.
//!
//! The address is the operator's own choice, so nothing keeps it from being a private one. What an answer says is counted by
//! its status and not read, and nobody is led elsewhere by a redirect.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use serde_json::json;
use trunkline_jobs::events::{self, EventFilter, EventId, EventRow, Reading, survey};
use trunkline_openphone::signature::{
    Key, OPENPHONE_SIGNATURE, Scheme, Secrets, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, sign_legacy,
    sign_standard,
};
use trunkline_platform::audit::{self, Act, Actor};
use trunkline_platform::task::Tasks;
use url::Url;

use crate::cli::{output, shutdown};

/// The longest one delivery may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// So many without an answer in a row, and nobody is there.
const PATIENCE: u32 = 10;
/// More in a file of secrets is a mistake.
const LARGEST_FILE: u64 = 64 << 10;

/// A development copy.
pub(super) struct Target {
    url: Url,
    secrets: Secrets,
    http: reqwest::Client,
}

/// What is sent to it.
pub(super) struct Sending {
    pub(super) filter: EventFilter,
    /// Events in a second.
    pub(super) pace: u32,
    pub(super) after: Option<EventId>,
}

/// What became of it.
#[derive(Debug, Default)]
struct Sent {
    count: u64,
    /// By the status, or why there was none.
    answers: BTreeMap<String, u64>,
    well: u64,
    last: Option<EventId>,
    stopped: Option<Stopped>,
}

/// Why not everything was sent.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    Asked,
    Silent,
}

impl Stopped {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "you asked",
            Self::Silent => "nobody answers",
        }
    }
}

impl Target {
    pub(super) fn new(url: Url, secret_file: &Path) -> Result<Self> {
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            bail!(
                "--to is no address of a web server: write one such as http://127.0.0.1:8080/webhooks/openphone"
            );
        }
        let told = || format!("the secret in {}", secret_file.display());
        let size = std::fs::metadata(secret_file).with_context(told)?.len();
        if size > LARGEST_FILE {
            bail!("{} is too large for a file of secrets", secret_file.display());
        }
        let text = secrecy::SecretString::from(std::fs::read_to_string(secret_file).with_context(told)?);
        let lines =
            secrecy::ExposeSecret::expose_secret(&text).lines().filter(|line| !line.trim().is_empty());
        let secrets = Secrets::parse(lines).with_context(told)?;
        if secrets.is_empty() {
            bail!("{} is empty", secret_file.display());
        }
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(DEADLINE)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("setting up HTTP")?;
        Ok(Self { url, secrets, http })
    }

    /// The address without what would let anybody in.
    fn told(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }

    /// Posts one event as the provider would at this time, and answers with the status, or with why there is none.
    async fn post(&self, event: EventRow, now: DateTime<Utc>) -> Result<u16, &'static str> {
        let signed = signed(&self.secrets, &event, now);
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let request = signed.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        match request.body(event.body).send().await {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(error) if error.is_timeout() => Err("no answer in 10 s"),
            Err(error) if error.is_connect() => Err("no connection"),
            Err(_) => Err("no answer"),
        }
    }
}

/// The headers of an event, by the scheme it came in; by the other when there is no secret for that.
fn signed(secrets: &Secrets, event: &EventRow, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let body = event.body.as_bytes();
    let standard = |key: &Key| {
        // The delivery's own id, which the copy knows again; what came without one gets one that stays the same.
        let own = event.dedupe_key.strip_prefix("delivery:").map(str::to_owned);
        let id = own.unwrap_or_else(|| format!("trunkline-event-{}", event.id));
        let signature = sign_standard(key, &id, now.timestamp(), body);
        vec![
            (WEBHOOK_ID, id),
            (WEBHOOK_TIMESTAMP, now.timestamp().to_string()),
            (WEBHOOK_SIGNATURE, signature),
        ]
    };
    let legacy = |key: &Key| vec![(OPENPHONE_SIGNATURE, sign_legacy(key, now.timestamp_millis(), body))];
    let came_as_legacy = event.scheme == Scheme::Legacy.as_str();
    match (secrets.standard.first(), secrets.legacy.first()) {
        (_, Some(key)) if came_as_legacy => legacy(key),
        (Some(key), _) => standard(key),
        (None, Some(key)) => legacy(key),
        (None, None) => Vec::new(),
    }
}

impl Sending {
    pub(super) async fn run(
        self,
        tasks: &Tasks,
        target: &Target,
        actor: &Actor,
        json: bool,
    ) -> Result<ExitCode> {
        let counted = survey(tasks.db(), &self.filter, u64::MAX, |_| {}).await?;
        if counted.found == 0 {
            bail!("no event is as described");
        }
        let act = Act {
            action: "events.replay_to",
            subject: format!("url:{}", target.told()),
            before: None,
            after: Some(json!({
                "filter": self.filter, "found": counted.found, "by_type": counted.by_type, "pace": self.pace,
                "after": self.after,
            })),
        };
        let mut tx = tasks.begin().await?;
        audit::record(tx.session(), tasks.clock().now(), actor, &[act]).await?;
        tx.commit().await?;
        let sent = self.send(tasks, target).await?;
        output::print(&if json { output::json(&sent.as_json())? } else { sent.text() })?;
        Ok(match sent.stopped {
            Some(Stopped::Asked) => shutdown::INTERRUPTED.into(),
            None if sent.well == sent.count => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    async fn send(&self, tasks: &Tasks, target: &Target) -> Result<Sent> {
        let mut reading = Reading::begin(tasks.db(), &self.filter, self.after).await?;
        let mut sent = Sent::default();
        let mut silent = 0;
        let mut turns = tokio::time::interval(Duration::from_secs(1) / self.pace.max(1));
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
        while let Some(found) = reading.next().await? {
            for id in found.into_iter().map(|found| found.event.id) {
                tokio::select! {
                    _ = turns.tick() => {}
                    _ = &mut stop => {
                        sent.stopped = Some(Stopped::Asked);
                        return Ok(sent);
                    }
                }
                // Retention may have been there first.
                let Some(event) = events::show(tasks.db(), id).await? else { continue };
                let answer = target.post(event, tasks.clock().now()).await;
                silent = if answer.is_err() { silent + 1 } else { 0 };
                sent.note(id, answer);
                if silent == PATIENCE {
                    sent.stopped = Some(Stopped::Silent);
                    return Ok(sent);
                }
            }
        }
        Ok(sent)
    }
}

impl Sent {
    fn note(&mut self, id: EventId, answer: Result<u16, &'static str>) {
        self.count += 1;
        self.well += u64::from(answer.is_ok_and(|status| (200..300).contains(&status)));
        let name = answer.map_or_else(str::to_owned, |status| status.to_string());
        *self.answers.entry(name).or_default() += 1;
        self.last = Some(id);
        if self.count.is_multiple_of(100) {
            eprintln!("{} sent, {} accepted", self.count, self.well);
        }
    }

    fn as_json(&self) -> serde_json::Value {
        json!({
            "sent": self.count, "accepted": self.well, "answers": self.answers, "last": self.last,
            "stopped": self.stopped.map(Stopped::as_str),
        })
    }

    fn text(&self) -> String {
        let mut table = output::Table::new(&["ANSWER", ">EVENTS"]);
        for (answer, count) in &self.answers {
            table.row([answer.clone(), count.to_string()]);
        }
        let mut text = table.text("nothing was sent");
        text += &format!("{} sent, {} accepted\n", self.count, self.well);
        if let Some(why) = self.stopped.map(Stopped::as_str) {
            let on = self.last.map(|last| format!("; --after {last} goes on")).unwrap_or_default();
            text += &format!("stopped: {why}{on}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use trunkline_openphone::signature::{Tolerance, verify};

    use super::*;

    fn event(scheme: &str, dedupe_key: &str) -> EventRow {
        EventRow {
            id: EventId(7),
            dedupe_key: dedupe_key.to_owned(),
            scheme: scheme.to_owned(),
            event_id: "EV1".to_owned(),
            event_type: "message.received".to_owned(),
            api_version: None,
            job: None,
            occurred_at: None,
            received_at: DateTime::UNIX_EPOCH,
            headers: "{}".to_owned(),
            body: "{\"id\": \"EV1\"}".to_owned(),
            correlation_id: "wh_1".to_owned(),
        }
    }

    #[test]
    fn an_event_is_signed_in_the_scheme_it_came_in_if_there_is_a_secret_for_it() {
        const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        const LEGACY: &str = "c2VjcmV0";
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        for (secrets, scheme, key, signed_as, id) in [
            (vec![STANDARD, LEGACY], "standard", "delivery:msg_1", Scheme::Standard, Some("msg_1")),
            (vec![STANDARD, LEGACY], "legacy", "event:EV1:x:", Scheme::Legacy, None),
            (
                vec![STANDARD, LEGACY],
                "reconciled",
                "reconciled:EV1",
                Scheme::Standard,
                Some("trunkline-event-7"),
            ),
            (vec![STANDARD], "legacy", "event:EV1:x:", Scheme::Standard, Some("trunkline-event-7")),
            (vec![LEGACY], "standard", "delivery:msg_1", Scheme::Legacy, None),
        ] {
            let secrets = Secrets::parse(secrets).unwrap();
            let event = event(scheme, key);
            let headers = signed(&secrets, &event, now)
                .into_iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            let verified =
                verify(&secrets, &Tolerance::default(), &headers, event.body.as_bytes(), now).unwrap();
            assert_eq!((verified.scheme, verified.delivery_id.as_deref()), (signed_as, id), "{scheme}");
        }
    }

    #[test]
    fn an_address_is_told_without_its_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let target = |url: &str| Target::new(url.parse().unwrap(), &file);
        let told = target("http://ana:secret@127.0.0.1:8080/hooks?token=1").unwrap().told();
        assert_eq!(told, "http://127.0.0.1:8080/hooks");
        assert!(target("ftp://127.0.0.1/").is_err());
        std::fs::write(&file, "not base64!").unwrap();
        assert!(target("http://127.0.0.1/").is_err());
    }
}
