//! `trunkline tunnel`: the webhooks of an installation on a machine that it cannot reach. It asks the installation's API for
//! what was received, delivers each webhook to a local address as it came, and goes on only after the local answer.
//!
//! * `remote`: what is asked of the installation. `local`: what is delivered here.
//! * `place`: how far it is, in a file, so that a restart goes on.
//! * `told`: what it prints. `keys`: what is typed meanwhile.

mod keys;
mod local;
mod place;
mod remote;
mod told;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use trunkline_jobs::forward::EventTypes;
use url::Url;

use self::keys::Typed;
use self::local::{Answer, Local};
use self::place::Place;
use self::remote::{Delivery, Failure, Remote};
use self::told::Told;
use super::server::ServerArgs;
use super::shutdown;

const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(5);
/// How long the local address may still answer after a stop was asked for.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Deliveries that are kept to be sent once more without asking for them.
const MOST_KEPT: usize = 50;

#[derive(Args, Debug)]
#[command(after_help = "The key needs the scopes read and pii.")]
pub(super) struct TunnelCommand {
    #[command(flatten)]
    server: ServerArgs,
    /// Where webhooks are delivered to
    #[arg(long, value_name = "URL")]
    to: Url,
    /// Where to begin: now, beginning, or behind an event's number [default: where it was the last time, or now]
    #[arg(long, value_name = "WHERE")]
    from: Option<Begin>,
    /// Only these types: message.received,call.*
    #[arg(long = "type", value_name = "TYPES", default_value = "")]
    types: EventTypes,
    /// The file that keeps how far it is [default: in ~/.local/state/trunkline, one for each --server and --to]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// How long the local address may take to answer. A webhook that was sent and not answered is not sent again by itself
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: String,
    /// Stop after so many deliveries
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print each webhook's body, too, without phone numbers, names and texts
    #[arg(long)]
    body: bool,
    /// With --body: show phone numbers, names and texts
    #[arg(long, requires = "body")]
    unmask: bool,
    /// Read commands although standard input is no terminal
    #[arg(long)]
    interactive: bool,
    /// Why, for the installation's audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print a JSON object for each delivery
    #[arg(long)]
    json: bool,
}

/// Where a tunnel begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begin {
    Now,
    Behind(i64),
}

impl FromStr for Begin {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse()) {
            ("now", _) => Ok(Self::Now),
            ("beginning", _) => Ok(Self::Behind(0)),
            (_, Ok(event @ 0..)) => Ok(Self::Behind(event)),
            _ => bail!("{text:?} is no place to begin: write now, beginning, or an event's number"),
        }
    }
}

/// A tunnel at work.
struct Tunnel {
    remote: Remote,
    local: Local,
    place: Place,
    told: Told,
    keys: keys::Keys,
    /// The newest at the end.
    kept: VecDeque<Delivery>,
    stop: CancellationToken,
    left: Option<u64>,
}

impl TunnelCommand {
    pub(super) async fn run(self) -> Result<()> {
        let timeout = trunkline_platform::duration::parse(&self.timeout)
            .with_context(|| format!("{:?} is no length of time: write one such as 60s", self.timeout))?;
        let server = self.server.open(remote::SILENCE)?;
        let mut place = Place::open(self.state.clone(), &self.server.server, &self.to)?;
        let mut remote = Remote::new(server, self.types.clone(), self.reason.clone());
        let told = Told { json: self.json, body: self.body, unmask: self.unmask };
        let stop = shutdown::listen()?;
        let position = patiently(&stop, async || remote.open().await).await?;
        let Some(position) = position else { return Ok(()) };
        match self.from {
            Some(Begin::Behind(event)) => place.go(event)?,
            Some(Begin::Now) => place.go(position)?,
            None if place.after().is_none() => place.go(position)?,
            None => {}
        }
        let keys = keys::Keys::start(self.interactive);
        told.begun(&self.server.server, &self.to, place.after().unwrap_or(position), keys.are_read());
        let tunnel = Tunnel {
            remote,
            local: Local::new(self.to, timeout)?,
            place,
            told,
            keys,
            kept: VecDeque::new(),
            stop,
            left: self.count,
        };
        tunnel.run().await
    }
}

/// Tries until it succeeds; none when a stop was asked for meanwhile. Only what cannot be helped is an error.
async fn patiently<T>(
    stop: &CancellationToken,
    mut ask: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<Option<T>> {
    let mut rest = FIRST_REST;
    loop {
        let asked = tokio::select! {
            asked = ask() => asked,
            () = stop.cancelled() => return Ok(None),
        };
        match asked {
            Ok(answer) => return Ok(Some(answer)),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(error)) => {
                if rest == FIRST_REST {
                    eprintln!("{}; trying again", trunkline_platform::chain(error.as_ref()));
                }
                tokio::select! {
                    () = sleep(rest) => {}
                    () = stop.cancelled() => return Ok(None),
                }
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

impl Tunnel {
    async fn run(mut self) -> Result<()> {
        while self.left != Some(0) && !self.stop.is_cancelled() {
            let after = self.place.after().unwrap_or_default();
            let (remote, stop) = (&mut self.remote, &self.stop);
            let page = tokio::select! {
                // Whatever was on its way is asked for again: the place has not moved.
                typed = self.keys.next() => {
                    self.typed(typed).await?;
                    continue;
                }
                page = patiently(stop, async || remote.follow(after).await) => page?,
            };
            let Some(page) = page else { break };
            for delivery in page.items {
                if !self.deliver(&delivery).await? {
                    return Ok(());
                }
                self.place.go(delivery.id)?;
                self.keep(delivery);
                if self.left == Some(0) {
                    return Ok(());
                }
            }
            if page.next > self.place.after().unwrap_or_default() {
                self.place.go(page.next)?;
            }
        }
        Ok(())
    }

    /// Delivers until there is an answer; false when a stop was asked for before.
    async fn deliver(&mut self, delivery: &Delivery) -> Result<bool> {
        let mut rest = FIRST_REST;
        loop {
            if self.stop.is_cancelled() {
                return Ok(false);
            }
            let answer = tokio::select! {
                answer = self.local.deliver(delivery) => answer,
                () = async { self.stop.cancelled().await; sleep(LAST_ANSWER).await } => {
                    eprintln!("event {} was sent and not answered; it will be sent again", delivery.id);
                    return Ok(false);
                }
            };
            if let Answer::Away(error) = &answer {
                if rest == FIRST_REST {
                    eprintln!(
                        "event {} waits: {}; trying again",
                        delivery.id,
                        trunkline_platform::chain(error)
                    );
                }
                tokio::select! {
                    () = sleep(rest) => {}
                    () = self.stop.cancelled() => return Ok(false),
                }
                rest = (rest * 2).min(LONGEST_REST);
                continue;
            }
            self.told.delivered(delivery, &answer, false)?;
            self.left = self.left.map(|left| left.saturating_sub(1));
            return Ok(true);
        }
    }

    fn keep(&mut self, delivery: Delivery) {
        self.kept.push_back(delivery);
        if self.kept.len() > MOST_KEPT {
            self.kept.pop_front();
        }
    }

    async fn typed(&mut self, typed: Option<Typed>) -> Result<()> {
        match typed {
            None => {}
            Some(Typed::Quit) => self.stop.cancel(),
            Some(Typed::Help(word)) => keys::help(word.as_deref()),
            Some(Typed::Replay(event)) => self.replay(event).await?,
        }
        Ok(())
    }

    /// Delivers one again, as it came. Where the tunnel is does not change.
    async fn replay(&mut self, event: Option<i64>) -> Result<()> {
        let known = match event {
            None => self.kept.back(),
            Some(event) => self.kept.iter().find(|kept| kept.id == event),
        };
        let delivery = match (known.cloned(), event) {
            (Some(delivery), _) => Some(delivery),
            (None, Some(event @ 1..)) => match self.remote.one(event).await {
                Ok(found) => found,
                Err(Failure::Final(error) | Failure::Passing(error)) => {
                    eprintln!("{}", trunkline_platform::chain(error.as_ref()));
                    return Ok(());
                }
            },
            _ => None,
        };
        let Some(delivery) = delivery else {
            eprintln!("there is no such webhook to send again");
            return Ok(());
        };
        match self.local.deliver(&delivery).await {
            Answer::Away(error) => eprintln!("event {}: {}", delivery.id, trunkline_platform::chain(&error)),
            answer => self.told.delivered(&delivery, &answer, true)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_begins_now_at_the_beginning_or_behind_an_event() {
        assert_eq!("now".parse::<Begin>().unwrap(), Begin::Now);
        assert_eq!("beginning".parse::<Begin>().unwrap(), Begin::Behind(0));
        assert_eq!("17".parse::<Begin>().unwrap(), Begin::Behind(17));
        for bad in ["", "-1", "yesterday", "1.5"] {
            assert!(bad.parse::<Begin>().is_err(), "{bad}");
        }
    }
}
